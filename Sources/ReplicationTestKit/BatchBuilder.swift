package import Replication

/// A cell of a hand-made event.
package enum Cell: Sendable, Hashable {
    case null
    case unchanged
    case absent
    case int(Int64)
    case text(String)
    case bool(Bool)
    case json(String)
}

/// A hand-made change event of one table, for tests.
package struct EventSpec: Sendable, Hashable {
    package var operation: Operation
    package var table: TableID
    package var version: Version
    package var before: [Cell]?
    package var after: [Cell]?
    package var otherKey: [Cell]?
    package var filtered = false
    package var time_us: Int64
    /// Distinguishes keyless twins.
    package var ordinal: Int64 = 0
    /// The source transaction's id.
    package var transaction: Int64 = -1

    package init(
        _ operation: Operation, _ table: TableID, _ version: Version, before: [Cell]? = nil, after: [Cell]? = nil,
        otherKey: [Cell]? = nil, filtered: Bool = false, time_us: Int64? = nil, ordinal: Int64 = 0,
        transaction: Int64 = -1
    ) {
        self.operation = operation
        self.table = table
        self.version = version
        self.before = before
        self.after = after
        self.otherKey = otherKey
        self.filtered = filtered
        self.time_us = time_us ?? (version.commit * 1_000_000)
        self.ordinal = ordinal
        self.transaction = transaction
    }
}

/// Makes `ChangeBatch`es as a decoder would.
package struct BatchBuilder: Sendable {
    package var definitions: [TableDefinition]
    package var partition = TopicPartition(topic: "test", partition: 0)

    package init(_ definitions: [TableDefinition]) { self.definitions = definitions }

    package func batch(_ specs: [EventSpec], from start: Int64 = 0) -> ChangeBatch {
        let batch = ChangeBatch()
        batch.tables = definitions
        batch.read = .init(repeating: 0, count: definitions.count)
        batch.spans = [.init(partition: partition, start: start, end: start + Int64(specs.count))]
        for (index, spec) in specs.enumerated() { append(spec, offset: start + Int64(index), to: batch) }
        return batch
    }

    private func append(_ spec: EventSpec, offset: Int64, to batch: ChangeBatch) {
        guard let table = definitions.firstIndex(where: { $0.source == spec.table }) else { return }
        let definition = definitions[table]
        batch.read[table] += 1
        var event = ChangeEvent(
            operation: spec.operation, table: Int32(table), version: spec.version, id: .zero, offset: offset,
            sourceTime_us: spec.time_us)
        event.width = Int32(definition.columns.count)
        event.before = image(spec.before, batch)
        event.after = image(spec.after, batch)
        event.transaction = spec.transaction
        if spec.filtered { event.flags.insert(.filtered) }
        if let after = spec.after, after.contains(where: { $0 == .unchanged || $0 == .absent }) {
            event.flags.insert(.partial)
        }
        let keyed = spec.operation == .delete ? event.before : event.after
        if !definition.isKeyless, keyed >= 0 {
            event.key = key(definition, keyed, batch)
            event.group = group(definition, keyed, batch)
        }
        if let other = spec.otherKey {
            event.flags.insert(spec.operation == .delete ? .moveDelete : .moveCreate)
            event.otherKey = key(definition, image(other, batch), batch)
        }
        if definition.isKeyless {
            if event.before >= 0 { event.imageBefore = imageHash(definition, event.before, batch) }
            if event.after >= 0 { event.imageAfter = imageHash(definition, event.after, batch) }
        }
        event.id = id(spec, event, batch)
        batch.events.append(event)
        batch.newestSourceTime_us = max(batch.newestSourceTime_us, spec.time_us)
    }

    private func id(_ spec: EventSpec, _ event: ChangeEvent, _ batch: ChangeBatch) -> EventID {
        var hash = Hash128()
        hash.add(spec.table.description)
        hash.add(UInt64(spec.operation.rawValue))
        hash.add(spec.version.commit)
        hash.add(spec.version.seq)
        if !event.key.isNull { hash.add(batch.arena.bytes(event.key)) }
        hash.add(event.imageBefore.high, event.imageBefore.low)
        hash.add(event.imageAfter.high, event.imageAfter.low)
        hash.add(spec.ordinal)
        return hash.finish()
    }

    private func image(_ cells: [Cell]?, _ batch: ChangeBatch) -> Int32 {
        guard let cells else { return -1 }
        let start = Int32(batch.fields.count)
        for cell in cells {
            let field: Field =
                switch cell {
                case .null: .null
                case .unchanged: .unchanged
                case .absent: .absent
                case .int(let value): .int(value)
                case .bool(let value): .bool(value)
                case .text(let text): .stretch(.text, batch.arena.append(text))
                case .json(let text): .stretch(.json, batch.arena.append(text))
                }
            batch.fields.append(field)
        }
        return start
    }

    private func key(_ definition: TableDefinition, _ image: Int32, _ batch: ChangeBatch) -> ByteRange {
        let width = Int32(definition.columns.count)
        return KeyTemplate(definition).appendKey(from: batch.arena, to: batch.arena) {
            batch.field(image, $0, width: width)
        }
    }

    private func group(_ definition: TableDefinition, _ image: Int32, _ batch: ChangeBatch) -> ByteRange {
        let width = Int32(definition.columns.count)
        return KeyTemplate(definition).appendGroup(from: batch.arena, to: batch.arena) {
            batch.field(image, $0, width: width)
        }
    }

    private func imageHash(_ definition: TableDefinition, _ image: Int32, _ batch: ChangeBatch) -> EventID {
        let width = definition.columns.count
        return ImageTemplate(columns: definition.columns).hash(width: width, in: batch.arena, scratch: ByteArena()) {
            batch.field(image, $0, width: Int32(width))
        }
    }
}
