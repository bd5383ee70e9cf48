import Replication

/// Row changes: what becomes of each message.
extension PgOutputDecoder {
    func insert(_ record: RecordBatch.Record, _ cursor: inout PgOutputCursor) throws {
        guard let relation = try change(&cursor) else { return }
        guard try cursor.byte() == UInt8(ascii: "N") else { throw Misfit(relation.table, "an insert without a row") }
        let after = try tuple(&cursor, relation, whole: true)
        for column in relation.gone { batch.fields[Int(after + column)] = .null }
        var event = event(.create, relation, record)
        event.after = after
        try finish(&event, relation, after: after, before: -1)
    }

    func update(_ record: RecordBatch.Record, _ cursor: inout PgOutputCursor) throws {
        guard let relation = try change(&cursor) else { return }
        if let problem = relation.identityProblem { throw Misfit(relation.table, problem, .update) }
        var before: Int32 = -1
        var isWhole = false
        var kind = try cursor.byte()
        if kind == UInt8(ascii: "K") || kind == UInt8(ascii: "O") {
            isWhole = kind == UInt8(ascii: "O")
            before = try tuple(&cursor, relation, whole: isWhole)
            kind = try cursor.byte()
        }
        guard kind == UInt8(ascii: "N") else { throw Misfit(relation.table, "an update without a row", .update) }
        let after = try tuple(&cursor, relation, whole: true)
        if before >= 0 { fill(after, from: before, relation) }
        let table = relation.table
        if !table.definition.isKeyless, before >= 0, try movesKey(from: before, to: after, relation) {
            // Its delete, and its create above that: two events, as Debezium has them too.
            var gone = event(.delete, relation, record)
            gone.flags.insert(.moveDelete)
            gone.before = before
            try setKey(&gone, of: before, relation)
            var made = event(.create, relation, record)
            made.version.seq += 1
            made.flags.insert(.moveCreate)
            made.after = after
            try setKey(&made, of: after, relation)
            gone.otherKey = made.key
            made.otherKey = gone.key
            if let filter = table.choice?.filter { mark(filter, table, after, &made) }
            made.id = id(.create, table, record, key: made.key)
            gone.id = id(.delete, table, record, key: gone.key)
            if isPartial(after, relation) { made.flags.insert(.partial) }
            append(gone)
            append(made)
            batch.read[table.index] += 1
            return
        }
        var event = event(.update, relation, record)
        event.after = after
        // What isn't whole shows no more than the key, which is the row's own.
        if isWhole { event.before = before }
        try finish(&event, relation, after: after, before: isWhole ? before : -1)
    }

    func delete(_ record: RecordBatch.Record, _ cursor: inout PgOutputCursor) throws {
        guard let relation = try change(&cursor) else { return }
        if let problem = relation.identityProblem { throw Misfit(relation.table, problem, .delete) }
        let kind = try cursor.byte()
        guard kind == UInt8(ascii: "K") || kind == UInt8(ascii: "O") else {
            throw Misfit(relation.table, "a delete without an old row", .delete)
        }
        let before = try tuple(&cursor, relation, whole: kind == UInt8(ascii: "O"))
        var event = event(.delete, relation, record)
        event.before = before
        try finish(&event, relation, after: -1, before: before)
    }

    func truncate(_ record: RecordBatch.Record, _ cursor: inout PgOutputCursor) throws {
        let count = try cursor.int32()
        _ = try cursor.byte()
        var oids: [UInt32] = []
        for _ in 0..<max(count, 0) { oids.append(try cursor.uint32()) }
        for oid in oids {
            place += 1
            guard let relation = relations[oid] else {
                quarantine(record, Misfit(nil, "a truncate of a relation that was not described", .truncate))
                continue
            }
            guard relation.table.choice != nil else {
                batch.control += 1
                continue
            }
            use(relation.table)
            batch.read[relation.table.index] += 1
            var event = event(.truncate, relation, record)
            event.id = id(.truncate, relation.table, record, key: .null)
            if let copiedAt = relation.copiedAt, commit < copiedAt { event.flags.insert(.contained) }
            append(event)
        }
    }

    /// Copied rows from `first` on, as far as they come one after the other and are plain: all that doesn't change
    /// from row to row is looked up once. What isn't as it should be is left for `copied`.
    /// - Returns: the first record that isn't done.
    func copyRun(from first: Int) -> Int {
        guard first < records.records.count, let relation = copying else { return first }
        let next = records.records[first].wholeValue
        guard next.length > 0, records.arena.bytes(next)[0] == SourceRecord.row, relation.isPlain,
            let template = relation.table.keyTemplate
        else { return first }
        let table = relation.table
        use(table)
        let width = table.definition.columns.count
        let key = table.definition.key
        let arena = batch.arena
        let lines = records.arena
        var fields = batch.fields
        var events = batch.events
        // Unique, so that they are written where they are.
        batch.fields = []
        batch.events = []
        defer {
            batch.fields = fields
            batch.events = events
        }
        let withholds = table.withholdsBytes
        var at = first
        var done = 0
        relation.columns.withUnsafeBufferPointer { columns in
            records.records.withUnsafeBufferPointer { all in
                while at < all.count {
                    let record = all[at]
                    guard record.valueLength > 0 else { break }
                    let line = lines.bytes(record.wholeValue)
                    guard line[0] == SourceRecord.row else { break }
                    let image = fields.count
                    let bytes = arena.count
                    fields.append(contentsOf: repeatElement(.absent, count: width))
                    let isWhole = fields.withUnsafeMutableBufferPointer { places in
                        Self.split(line, into: places, at: image, columns, arena)
                            && key.allSatisfy { places[image + $0].kind == .text }
                    }
                    guard isWhole else {
                        fields.removeLast(width)
                        arena.truncate(to: bytes)
                        break
                    }
                    copiedRow += 1
                    done += 1
                    var event = ChangeEvent(
                        operation: .read, table: Int32(table.index),
                        version: Version(epoch: configuration.epoch, commit: record.offset, seq: 0), id: .zero,
                        offset: record.offset,
                        sourceTime_us: record.timestamp_ms < 0 ? .min : record.timestamp_ms * 1000)
                    event.span = record.span
                    event.record = withholds ? -1 : Int32(at)
                    event.flags = .fresh
                    event.width = Int32(width)
                    event.after = Int32(image)
                    event.key = template.appendKey(from: arena, to: arena) { fields[image + $0] }
                    event.group =
                        template.needsGroup
                        ? template.appendGroup(from: arena, to: arena) { fields[image + $0] } : event.key
                    event.id = id(.read, table, record, key: event.key)
                    events.append(event)
                    at += 1
                }
            }
        }
        batch.read[table.index] += done
        return at
    }

    /// A line of COPY's text whose first byte is its tag, into an image's fields. False: another number of columns, or
    /// an escape other than `\N`, which `copyRow` knows how to take.
    @inline(__always)
    private static func split(
        _ line: UnsafeRawBufferPointer, into fields: UnsafeMutableBufferPointer<Field>, at image: Int,
        _ columns: UnsafeBufferPointer<Int32>, _ arena: ByteArena
    ) -> Bool {
        var end = line.count
        if line[end - 1] == 0x0A { end -= 1 }
        var at = 1
        for place in 0..<columns.count {
            let start = at
            var isEscaped = false
            while at < end, line[at] != 0x09 {
                isEscaped = isEscaped || line[at] == 0x5C
                at += 1
            }
            guard place == columns.count - 1 ? at == end : at < end else { return false }
            let column = Int(columns[place])
            if column >= 0 {
                if isEscaped {
                    guard at - start == 2, line[start] == 0x5C, line[start + 1] == UInt8(ascii: "N") else {
                        return false
                    }
                    fields[image + column] = .null
                } else {
                    fields[image + column] = .stretch(
                        .text, arena.append(UnsafeRawBufferPointer(rebasing: line[start..<at])))
                }
            }
            at += 1
        }
        return true
    }

    func copied(_ record: RecordBatch.Record, _ row: UnsafeRawBufferPointer) throws {
        guard let relation = copying else { throw Misfit(nil, "a copied row of a relation that was not described") }
        guard relation.table.choice != nil else { return }
        use(relation.table)
        batch.read[relation.table.index] += 1
        inHand = relation.table
        if let problem = relation.problem { throw Misfit(relation.table, problem, .read) }
        let after = try copyRow(row, relation)
        var event = ChangeEvent(
            operation: .read, table: Int32(relation.table.index),
            version: Version(epoch: configuration.epoch, commit: record.offset, seq: 0), id: .zero,
            offset: record.offset, sourceTime_us: record.timestamp_ms < 0 ? .min : record.timestamp_ms * 1000)
        event.span = record.span
        event.record = recordIndex
        event.flags = .fresh
        event.after = after
        copiedRow += 1
        try finish(&event, relation, after: after, before: -1)
    }

    /// A delete at the snapshot's position, like the reads of its batch.
    func gone(_ record: RecordBatch.Record, _ row: UnsafeRawBufferPointer) throws {
        guard let relation = copying else { throw Misfit(nil, "a row of a relation that was not described") }
        guard relation.table.choice != nil, !relation.table.definition.isKeyless else { return }
        let table = relation.table
        use(table)
        batch.read[table.index] += 1
        inHand = table
        if let problem = relation.problem { throw Misfit(table, problem, .delete) }
        let before = try copyRow(row, relation)
        for column in table.definition.columns.indices where !table.definition.key.contains(column) {
            batch.fields[Int(before) + column] = .absent
        }
        var event = ChangeEvent(
            operation: .delete, table: Int32(table.index),
            version: Version(epoch: configuration.epoch, commit: record.offset, seq: 0), id: .zero,
            offset: record.offset, sourceTime_us: record.timestamp_ms < 0 ? .min : record.timestamp_ms * 1000)
        event.span = record.span
        event.record = recordIndex
        event.before = before
        copiedRow += 1
        try setKey(&event, of: before, relation)
        event.id = copiedID(.delete, table, record, key: event.key)
        append(event)
    }

    // MARK: Events

    func event(_ operation: Operation, _ relation: Relation, _ record: RecordBatch.Record) -> ChangeEvent {
        var event = ChangeEvent(
            operation: operation, table: Int32(relation.table.index),
            version: .change(epoch: configuration.epoch, commit: commit, place: place), id: .zero,
            offset: record.offset, sourceTime_us: commitTime_us)
        event.span = record.span
        event.record = recordIndex
        event.transaction = transaction
        return event
    }

    /// What all but truncates and key changes have in common: key, id, flags.
    func finish(_ event: inout ChangeEvent, _ relation: Relation, after: Int32, before: Int32) throws {
        let table = relation.table
        if table.definition.isKeyless {
            guard event.operation != .update || before >= 0 else {
                throw Misfit(table, "an update without a before-image, in a table without a key", .update)
            }
            if after >= 0 { event.imageAfter = try imageHash(after, table) }
            if before >= 0 { event.imageBefore = try imageHash(before, table) }
            if let copiedAt = relation.copiedAt, event.operation != .read, commit < copiedAt {
                event.flags.insert(.contained)
            }
        } else {
            try setKey(&event, of: after >= 0 ? after : before, relation)
        }
        event.id = id(event.operation, table, records.records[Int(recordIndex)], key: event.key)
        if after >= 0 {
            if isPartial(after, relation) { event.flags.insert(.partial) }
            if let filter = table.choice?.filter { mark(filter, table, after, &event) }
        }
        append(event)
    }

    func append(_ event: ChangeEvent) {
        var event = event
        // Its bytes mustn't be put aside.
        if used[Int(event.table)].withholdsBytes { event.record = -1 }
        event.width = Int32(used[Int(event.table)].definition.columns.count)
        batch.events.append(event)
    }

    /// A change's place in the log is its own, so it needs no image to be told from its like.
    func id(
        _ operation: Operation, _ table: ReplicatedTable, _ record: RecordBatch.Record, key: ByteRange
    ) -> EventID {
        if operation == .read { return copiedID(operation, table, record, key: key) }
        var hash = table.seed
        hash.add(UInt64(operation.rawValue))
        hash.add(commit)
        hash.add(place)
        if !key.isNull { hash.add(batch.arena.bytes(key)) }
        return .ordered(commit: commit, place: place, operation, hash: hash.finish())
    }

    /// The chunk names its snapshot: two copies of one version are two reads.
    private func copiedID(
        _ operation: Operation, _ table: ReplicatedTable, _ record: RecordBatch.Record, key: ByteRange
    ) -> EventID {
        var hash = table.seed
        hash.add(UInt64(operation.rawValue))
        let part = copiedPart.finish()
        hash.add(record.offset)
        hash.add(part.high, part.low)
        if key.isNull { hash.add(copiedRow) } else { hash.add(batch.arena.bytes(key)) }
        return .ordered(piece: copiedPiece, row: UInt32(truncatingIfNeeded: copiedRow), hash: hash.finish())
    }

    func setKey(_ event: inout ChangeEvent, of image: Int32, _ relation: Relation) throws {
        guard let template = relation.table.keyTemplate else { return }
        for column in relation.table.definition.key {
            let field = batch.fields[Int(image) + column]
            guard field.isKnown, field.kind != .null else {
                let name = relation.table.definition.columns[column].name
                throw Misfit(
                    relation.table,
                    field.kind == .null
                        ? "key column \"\(name)\" is null: the replica identity doesn't cover the key"
                        : "the change lacks the key column \"\(name)\"", event.operation)
            }
        }
        let fields = batch.fields
        event.key = template.appendKey(from: batch.arena, to: batch.arena) { fields[Int(image) + $0] }
        event.group =
            template.needsGroup
            ? template.appendGroup(from: batch.arena, to: batch.arena) { fields[Int(image) + $0] } : event.key
    }
}
