import Replication

/// Decodes what a Postgres source brings: pgoutput's messages (protocol 1 to 4, text, whole transactions) and copied
/// rows. Values stay Postgres' own text from the message to the warehouse's writer.
///
/// Pure and synchronous; what it makes of a record hangs on the records alone. A change is placed in its transaction by
/// counting row changes and truncated tables from 1, also those of tables that aren't replicated, so that the place
/// doesn't change with the pipeline file.
package final class PgOutputDecoder: RecordDecoder {
    private let configuration: PgOutputConfiguration
    private let known: [TableID: TableDefinition]
    private var tables: [TableID: ReplicatedTable] = [:]
    private var relations: [UInt32: Relation] = [:]
    private var facts: [UInt32: RelationFacts] = [:]
    private var copying: Relation?
    private let judge = RowJudge()
    private let scratch = ByteArena(capacity: 1024)

    // The transaction in hand; it may have begun in an earlier batch.
    private var commit: Int64 = 0
    private var commitTime_us = Int64.min
    private var transaction: Int64 = -1
    private var place: Int64 = 0

    // The batch in hand.
    private var records = RecordBatch(capacity: 64)
    private var batch = ChangeBatch(capacity: 64)
    private var batchNumber = 0
    private var used: [ReplicatedTable] = []
    private var recordIndex: Int32 = -1
    /// The table of the change that is being decoded, once it was counted as read.
    private var inHand: ReplicatedTable?
    private var fieldsPerRecord = 8
    /// Ordinal of copied rows of a table without a key, in their chunk.
    private var copiedRow: Int64 = 0
    private var copiedPart = Hash128()

    private static let epoch2000_us: Int64 = 946_684_800_000_000

    package init(_ configuration: PgOutputConfiguration) {
        self.configuration = configuration
        known = Dictionary(configuration.knownTables.map { ($0.source, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// A stream begins between transactions, and tells its relations anew: there is nothing to remember.
    package func restore(_ states: [TopicPartition: String?]) -> [TopicPartition] { [] }

    package func decode(_ records: RecordBatch) -> ChangeBatch {
        begin(records)
        for (index, record) in records.records.enumerated() {
            recordIndex = Int32(index)
            inHand = nil
            let fields = batch.fields.count
            let bytes = batch.arena.count
            let events = batch.events.count
            do {
                try decode(record)
            } catch {
                batch.events.removeLast(batch.events.count - events)
                batch.fields.removeLast(batch.fields.count - fields)
                batch.arena.truncate(to: bytes)
                var misfit = error as? Misfit ?? Misfit(nil, "the message ends too early")
                misfit.table = inHand
                quarantine(record, misfit)
            }
        }
        return finish()
    }

    /// Why a change goes to quarantine. `@unchecked Sendable`: it is thrown and caught inside one call of `decode`.
    private struct Misfit: Error, @unchecked Sendable {
        var table: ReplicatedTable?
        var operation: Operation?
        var reason: String

        init(_ table: ReplicatedTable?, _ reason: String, _ operation: Operation? = nil) {
            self.table = table
            self.reason = reason
            self.operation = operation
        }
    }

    private func begin(_ records: RecordBatch) {
        self.records = records
        batch = ChangeBatch(capacity: max(records.bytes, 4096))
        batch.events.reserveCapacity(records.records.count)
        batch.fields.reserveCapacity(records.records.count * fieldsPerRecord)
        batch.spans = records.spans
        batch.recordBytes = records.bytes
        batch.records = records
        batchNumber += 1
        used.removeAll(keepingCapacity: true)
    }

    private func finish() -> ChangeBatch {
        for (index, table) in used.enumerated() { batch.tables[index] = table.definition }
        let done = batch
        fieldsPerRecord = records.records.isEmpty ? 8 : done.fields.count / records.records.count + 1
        batch = ChangeBatch(capacity: 64)
        records = RecordBatch(capacity: 64)
        return done
    }

    // MARK: Messages

    private func decode(_ record: RecordBatch.Record) throws {
        guard !record.value.isNull else { return }
        let bytes = records.arena.bytes(record.value)
        var cursor = try PgOutputCursor(bytes)
        switch try cursor.byte() {
        case UInt8(ascii: "I"): try insert(record, &cursor)
        case UInt8(ascii: "U"): try update(record, &cursor)
        case UInt8(ascii: "D"): try delete(record, &cursor)
        case SourceRecord.row: try copied(record, UnsafeRawBufferPointer(rebasing: bytes[1...]))
        case UInt8(ascii: "B"):
            commit = try cursor.int64()
            commitTime_us = try cursor.int64() + Self.epoch2000_us
            transaction = Int64(try cursor.uint32())
            place = 0
            if commitTime_us > batch.newestSourceTime_us { batch.newestSourceTime_us = commitTime_us }
        case UInt8(ascii: "C"), UInt8(ascii: "O"), UInt8(ascii: "Y"): break
        case UInt8(ascii: "T"): try truncate(record, &cursor)
        case UInt8(ascii: "R"): try relation(&cursor)
        case UInt8(ascii: "M"): batch.control += 1
        case SourceRecord.facts:
            guard let described = RelationFacts(json: UnsafeRawBufferPointer(rebasing: bytes[1...])) else {
                throw Misfit(nil, "the description of a relation can't be read")
            }
            facts[described.oid] = described
            relations[described.oid]?.copiedAt = described.copiedAt
        case SourceRecord.copying:
            guard let described = RelationFacts(json: UnsafeRawBufferPointer(rebasing: bytes[1...])) else {
                throw Misfit(nil, "the description of a relation can't be read")
            }
            beginCopy(described, record)
        case SourceRecord.resync:
            guard let described = RelationFacts(json: UnsafeRawBufferPointer(rebasing: bytes[1...])) else {
                throw Misfit(nil, "the description of a relation can't be read")
            }
            beginCopy(described, record)
            resync(record)
        default: throw Misfit(nil, "a message of an unknown kind")
        }
    }

    /// What follows is of a chunk of this relation; the record's key names the chunk.
    private func beginCopy(_ described: RelationFacts, _ record: RecordBatch.Record) {
        copying = relation(
            described.table, columns: described.columns.map { ($0.name, ColumnType(sql: $0.type) ?? .unknown, true) },
            facts: described, flagged: [], isFull: described.isFull)
        // Also a table without rows is made.
        if let table = copying?.table, table.choice != nil { use(table) }
        copiedRow = 0
        copiedPart = Hash128()
        copiedPart.add(
            record.key.isNull ? UnsafeRawBufferPointer(start: nil, count: 0) : records.arena.bytes(record.key))
    }

    /// A truncate just below the snapshot's reads.
    private func resync(_ record: RecordBatch.Record) {
        guard let relation = copying, relation.table.choice != nil else { return }
        batch.read[relation.table.index] += 1
        var event = ChangeEvent(
            operation: .truncate, table: Int32(relation.table.index),
            version: Version(epoch: configuration.epoch, commit: record.offset, seq: -1), id: .zero,
            offset: record.offset, sourceTime_us: record.timestamp_ms < 0 ? .min : record.timestamp_ms * 1000)
        event.span = record.span
        event.record = recordIndex
        var hash = relation.table.seed
        hash.add(UInt64(Operation.truncate.rawValue), 1)
        hash.add(record.offset)
        event.id = hash.finish()
        append(event)
    }

    private func relation(_ cursor: inout PgOutputCursor) throws {
        let oid = try cursor.uint32()
        let schema = try cursor.string()
        let name = try cursor.string()
        let identity = try cursor.byte()
        let count = try cursor.int16()
        var columns: [(name: String, type: ColumnType, isKey: Bool)] = []
        let described = facts[oid]
        for _ in 0..<count {
            let flags = try cursor.byte()
            let column = try cursor.string()
            let typeOID = try cursor.uint32()
            let typmod = try cursor.int32()
            let told = described?.columns.first { $0.name == column }?.type
            let type = told.flatMap { ColumnType(sql: $0) } ?? BuiltinTypes.type(oid: typeOID, typmod: typmod)
            columns.append((column, type, flags & 1 != 0))
        }
        // pg_catalog is named by nothing.
        let id = TableID(schema: schema.isEmpty ? "pg_catalog" : schema, table: name)
        let isFull = identity == UInt8(ascii: "f")
        relations[oid] = relation(
            id, columns: columns, facts: described, flagged: isFull ? [] : columns.filter(\.isKey).map(\.name),
            isFull: isFull)
    }

    private func relation(
        _ id: TableID, columns: [(name: String, type: ColumnType, isKey: Bool)], facts: RelationFacts?,
        flagged: [String], isFull: Bool
    ) -> Relation {
        let table =
            tables[id]
            ?? ReplicatedTable(
                id, choice: configuration.select(id), known: known[id], equality: configuration.keyEquality,
                withholdsBytes: configuration.withholdsBytes(id))
        tables[id] = table
        var relation = Relation(
            table: table, columns: [], uses: [], isIdentity: ContiguousArray(columns.map { isFull || $0.isKey }),
            isFull: isFull, copiedAt: facts?.copiedAt)
        guard let choice = table.choice else { return relation }
        for column in columns {
            guard let index = table.column(named: column.name, type: column.type, isNullable: true) else {
                relation.columns.append(-1)
                relation.uses.append(.skip)
                continue
            }
            relation.columns.append(Int32(index))
            if let before = table.widen(index, to: column.type) { settle(index, of: table, as: before) }
            if choice.hashed.contains(column.name) {
                relation.uses.append(.hash)
            } else {
                let type = table.definition.columns[index].type
                let isByName = type.composite != nil && column.type.composite != nil && type != column.type
                if isByName { relation.namedTypes[relation.uses.count] = column.type }
                relation.uses.append(isByName ? .byName : type == column.type ? .keep : .check)
            }
        }
        var key = flagged
        // The catalog is asked when the relation comes, which may be later than the relation's own time.
        if let facts, Set(facts.effectiveKey).isSubset(of: columns.map(\.name)) { key = facts.effectiveKey }
        let missing = table.settleKey(key)
        let present = Set(relation.columns)
        let names = table.definition.key.map { table.definition.columns[$0].name }
        let absent = table.definition.key.first { !present.contains(Int32($0)) }
        if let lacking = missing.first ?? absent.map({ table.definition.columns[$0].name }) {
            relation.problem = "the relation lacks the key column \"\(lacking)\""
        } else if facts != nil, choice.key == nil, !key.isEmpty, Set(key) != Set(names) {
            relation.problem =
                "the source's key is (\(key.joined(separator: ", "))), the warehouse's (\(names.joined(separator: ", ")))"
        }
        let told = facts.map { $0.isFull ? Set(columns.map(\.name)) : Set($0.identity) } ?? Set(flagged)
        if !isFull, !Set(names).isSubset(of: told) {
            relation.identityProblem =
                "the replica identity doesn't cover the key (\(names.joined(separator: ", "))): the row can't be told"
        }
        return relation
    }

    /// A composite column has more fields from here on: what the batch has of it, and what other relations of the table
    /// bring, are texts of the fields that it had until now.
    private func settle(_ column: Int, of table: ReplicatedTable, as type: ColumnType) {
        for oid in relations.keys where relations[oid]?.table === table { relations[oid]?.name(type, of: column) }
        if copying?.table === table { copying?.name(type, of: column) }
        guard table.batch == batchNumber else { return }
        for event in batch.events where Int(event.table) == table.index && column < Int(event.width) {
            for image in [event.before, event.after] where image >= 0 {
                let field = batch.fields[Int(image) + column]
                guard field.kind == .text else { continue }
                let range = FieldText.appendJSON(field, type, from: batch.arena, to: batch.arena)
                batch.fields[Int(image) + column] = .stretch(.json, range)
            }
        }
    }

    // MARK: Rows

    /// The relation of a change, its place counted; nil where its table isn't replicated.
    private func change(_ cursor: inout PgOutputCursor) throws -> Relation? {
        let oid = try cursor.uint32()
        place += 1
        guard let relation = relations[oid] else { throw Misfit(nil, "a change of a relation that was not described") }
        guard relation.table.choice != nil else {
            batch.control += 1
            return nil
        }
        use(relation.table)
        batch.read[relation.table.index] += 1
        inHand = relation.table
        if let problem = relation.problem { throw Misfit(relation.table, problem) }
        return relation
    }

    private func use(_ table: ReplicatedTable) {
        guard table.batch != batchNumber else { return }
        table.batch = batchNumber
        table.index = used.count
        used.append(table)
        batch.tables.append(table.definition)
        batch.read.append(0)
    }

    private func insert(_ record: RecordBatch.Record, _ cursor: inout PgOutputCursor) throws {
        guard let relation = try change(&cursor) else { return }
        guard try cursor.byte() == UInt8(ascii: "N") else { throw Misfit(relation.table, "an insert without a row") }
        let after = try tuple(&cursor, relation, whole: true)
        var event = event(.create, relation, record)
        event.after = after
        try finish(&event, relation, after: after, before: -1)
    }

    private func update(_ record: RecordBatch.Record, _ cursor: inout PgOutputCursor) throws {
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

    private func delete(_ record: RecordBatch.Record, _ cursor: inout PgOutputCursor) throws {
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

    private func truncate(_ record: RecordBatch.Record, _ cursor: inout PgOutputCursor) throws {
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

    private func copied(_ record: RecordBatch.Record, _ row: UnsafeRawBufferPointer) throws {
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

    // MARK: Events

    private func event(_ operation: Operation, _ relation: Relation, _ record: RecordBatch.Record) -> ChangeEvent {
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
    private func finish(_ event: inout ChangeEvent, _ relation: Relation, after: Int32, before: Int32) throws {
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

    private func append(_ event: ChangeEvent) {
        var event = event
        // Its bytes mustn't be put aside.
        if used[Int(event.table)].withholdsBytes { event.record = -1 }
        event.width = Int32(used[Int(event.table)].definition.columns.count)
        batch.events.append(event)
    }

    /// A change's place in the log is its own, so it needs no image to be told from its like.
    private func id(
        _ operation: Operation, _ table: ReplicatedTable, _ record: RecordBatch.Record, key: ByteRange
    ) -> EventID {
        var hash = table.seed
        hash.add(UInt64(operation.rawValue))
        if operation == .read {
            // The chunk names its snapshot: two copies of one version are two reads.
            let part = copiedPart.finish()
            hash.add(record.offset)
            hash.add(part.high, part.low)
            if key.isNull { hash.add(copiedRow) }
        } else {
            hash.add(commit)
            hash.add(place)
        }
        if !key.isNull { hash.add(batch.arena.bytes(key)) }
        return hash.finish()
    }

    private func setKey(_ event: inout ChangeEvent, of image: Int32, _ relation: Relation) throws {
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

    /// Whether the row is under another key now.
    private func movesKey(from before: Int32, to after: Int32, _ relation: Relation) throws -> Bool {
        for column in relation.table.definition.key {
            let old = batch.fields[Int(before) + column]
            let new = batch.fields[Int(after) + column]
            // The old tuple has the identity's columns only; a key chosen elsewhere isn't in it.
            guard old.isKnown, old.kind != .null, new.isKnown, new.kind != .null else {
                if relation.isFull { continue }
                throw Misfit(
                    relation.table,
                    "the old row of an update lacks key column \"\(relation.table.definition.columns[column].name)\"",
                    .update)
            }
            if !batch.bytes(old).elementsEqual(batch.bytes(new)) { return true }
        }
        return false
    }

    /// An unchanged column's value stands in the old row, where that is whole.
    private func fill(_ after: Int32, from before: Int32, _ relation: Relation) {
        for column in relation.columns where column >= 0 {
            guard batch.fields[Int(after + column)].kind == .unchanged else { continue }
            let old = batch.fields[Int(before + column)]
            // Where only the identity is there, the others are null without meaning it.
            if old.isKnown, old.kind != .null { batch.fields[Int(after + column)] = old }
        }
    }

    private func isPartial(_ image: Int32, _ relation: Relation) -> Bool {
        for column in 0..<relation.table.definition.columns.count where !batch.fields[Int(image) + column].isKnown {
            return true
        }
        return false
    }

    private func imageHash(_ image: Int32, _ table: ReplicatedTable) throws -> EventID {
        guard let template = table.imageTemplate else { throw Misfit(table, "the table's key isn't settled") }
        let width = table.definition.columns.count
        for column in 0..<width where batch.fields[Int(image) + column].kind == .unchanged {
            throw Misfit(table, "an unchanged column in an image of a table without a key")
        }
        let fields = batch.fields
        return template.hash(width: width, in: batch.arena, scratch: scratch) { fields[Int(image) + $0] }
    }

    private func mark(_ filter: any RowFilter, _ table: ReplicatedTable, _ image: Int32, _ event: inout ChangeEvent) {
        let fields = batch.fields
        let verdict = judge.verdict(filter, table.filterColumns(filter), table.definition, in: batch.arena) {
            fields[Int(image) + $0]
        }
        event.flags.formUnion(verdict.flags)
    }

    // MARK: Tuples

    /// Room for an image of the table, all columns absent.
    private func image(_ relation: Relation) -> Int32 {
        let start = Int32(batch.fields.count)
        for _ in 0..<relation.table.definition.columns.count { batch.fields.append(.absent) }
        return start
    }

    /// - Parameter whole: every column stands in it; else those outside of the identity are null without meaning it.
    private func tuple(_ cursor: inout PgOutputCursor, _ relation: Relation, whole: Bool) throws -> Int32 {
        let image = image(relation)
        let count = try cursor.int16()
        guard count == relation.columns.count else {
            throw Misfit(relation.table, "a row of \(count) columns, where \(relation.columns.count) were described")
        }
        for place in 0..<count {
            let kind = try cursor.byte()
            var text = UnsafeRawBufferPointer(start: nil, count: 0)
            if kind == UInt8(ascii: "t") { text = try cursor.bytes(Int(try cursor.int32())) }
            let column = relation.columns[place]
            guard column >= 0 else { continue }
            let at = Int(image + column)
            switch kind {
            case UInt8(ascii: "t"): batch.fields[at] = try field(text, relation, place)
            case UInt8(ascii: "n"): batch.fields[at] = whole || relation.isIdentity[place] ? .null : .unchanged
            case UInt8(ascii: "u"): batch.fields[at] = .unchanged
            default: throw Misfit(relation.table, "a column in a form that wasn't asked for")
            }
        }
        return image
    }

    @inline(__always)
    private func field(_ text: UnsafeRawBufferPointer, _ relation: Relation, _ place: Int) throws -> Field {
        switch relation.uses[place] {
        case .keep, .skip: return .stretch(.text, batch.arena.append(text))
        case .hash: return .stretch(.text, configuration.hash(text, batch.arena))
        case .check, .byName:
            var field = Field.stretch(.text, batch.arena.append(text))
            if let type = relation.namedTypes[place] {
                field = .stretch(.json, FieldText.appendJSON(field, type, from: batch.arena, to: batch.arena))
            }
            let column = relation.table.definition.columns[Int(relation.columns[place])]
            if let reason = FieldMisfit.reason(field, column.type, in: batch.arena) {
                throw Misfit(relation.table, "column \"\(column.name)\" (\(column.type.sql)) \(reason)")
            }
            return field
        }
    }

    /// COPY's text: tabs between columns, `\N` for null, backslashes before what would be taken for either.
    private func copyRow(_ row: UnsafeRawBufferPointer, _ relation: Relation) throws -> Int32 {
        let image = image(relation)
        var end = row.count
        if end > 0, row[end - 1] == 0x0A { end -= 1 }
        var at = 0
        for place in 0..<relation.columns.count {
            let start = at
            var isEscaped = false
            while at < end, row[at] != 0x09 {
                if row[at] == 0x5C {
                    isEscaped = true
                    at += 1
                }
                at += 1
            }
            guard at <= end, place == relation.columns.count - 1 ? at == end : at < end else {
                throw Misfit(relation.table, "a copied row has another number of columns than its relation", .read)
            }
            let text = UnsafeRawBufferPointer(rebasing: row[start..<at])
            at += 1
            let column = relation.columns[place]
            guard column >= 0 else { continue }
            if isEscaped, text.count == 2, text[1] == UInt8(ascii: "N") {
                batch.fields[Int(image + column)] = .null
            } else if isEscaped {
                scratch.removeAll()
                Self.unescape(text, to: scratch)
                batch.fields[Int(image + column)] = try field(
                    scratch.bytes(ByteRange(offset: 0, length: scratch.count)), relation, place)
            } else {
                batch.fields[Int(image + column)] = try field(text, relation, place)
            }
        }
        return image
    }

    private static func unescape(_ text: UnsafeRawBufferPointer, to sink: ByteArena) {
        var at = 0
        while at < text.count {
            var byte = text[at]
            at += 1
            if byte == 0x5C, at < text.count {
                switch text[at] {
                case UInt8(ascii: "b"): byte = 0x08
                case UInt8(ascii: "f"): byte = 0x0C
                case UInt8(ascii: "n"): byte = 0x0A
                case UInt8(ascii: "r"): byte = 0x0D
                case UInt8(ascii: "t"): byte = 0x09
                case UInt8(ascii: "v"): byte = 0x0B
                case let other: byte = other
                }
                at += 1
            }
            sink.append(byte: byte)
        }
    }

    // MARK: Quarantine

    private func quarantine(_ record: RecordBatch.Record, _ misfit: Misfit) {
        if let table = misfit.table {
            use(table)
        } else {
            batch.readUnknown += 1
        }
        var entry = QuarantineEntry(
            table: misfit.table?.id, partition: records.spans[Int(record.span)].partition, offset: record.offset,
            reason: misfit.table.map { "\($0.id): \(misfit.reason)" } ?? misfit.reason, operation: misfit.operation)
        if misfit.table.map({ !configuration.withholdsBytes($0.id) }) ?? false {
            entry.value = Array(records.arena.bytes(record.value))
        }
        batch.quarantined.append(entry)
    }
}
