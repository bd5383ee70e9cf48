import Replication

/// Decodes what a Postgres source brings: pgoutput's messages (protocol 1 to 4, text, whole transactions) and copied
/// rows. Values stay Postgres' own text from the message to the warehouse's writer.
///
/// Pure and synchronous; what it makes of a record hangs on the records alone. A change is placed in its transaction by
/// counting row changes and truncated tables from 1, also those of tables that aren't replicated, so that the place
/// doesn't change with the pipeline file.
package final class PgOutputDecoder: RecordDecoder {
    private(set) var configuration: PgOutputConfiguration
    let known: [TableID: TableDefinition]
    var tables: [TableID: ReplicatedTable] = [:]
    var relations: [UInt32: Relation] = [:]
    var facts: [UInt32: RelationFacts] = [:]
    var copying: Relation?
    let judge = RowJudge()
    let scratch = ByteArena(capacity: 1024)

    // The transaction in hand; it may have begun in an earlier batch.
    var commit: Int64 = 0
    var commitTime_us = Int64.min
    var transaction: Int64 = -1
    var place: Int64 = 0

    // The batch in hand.
    var records = RecordBatch(capacity: 64)
    var batch = ChangeBatch(capacity: 64)
    var batchNumber = 0
    var used: [ReplicatedTable] = []
    var recordIndex: Int32 = -1
    /// The table of the change that is being decoded, once it was counted as read.
    var inHand: ReplicatedTable?
    var fieldsPerRecord = 8
    /// Ordinal of copied rows of a table without a key, in their chunk.
    var copiedRow: Int64 = 0
    var copiedPart = Hash128()
    /// Rises with the chunk and its pieces, as far as 32 bits go: the order in which they are mostly read.
    var copiedPiece: UInt32 = 0

    static let epoch2000_us: Int64 = 946_684_800_000_000

    package init(_ configuration: PgOutputConfiguration) {
        self.configuration = configuration
        known = Dictionary(configuration.knownTables.map { ($0.source, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// A stream begins between transactions, and tells its relations anew: there is nothing to remember.
    package func restore(_ states: [TopicPartition: String?]) -> [TopicPartition] { [] }

    /// A slot's own log has one epoch; a copy beside Kafka's events is of their newest.
    package func take(_ epochs: SourceEpochs) { configuration.epoch = epochs.newest }

    package func decode(_ records: RecordBatch) -> ChangeBatch {
        begin(records)
        let all = records.records
        var index = 0
        while index < all.count {
            let record = all[index]
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
                let isCopied = record.valueLength > 0 && records.arena.bytes(record.wholeValue)[0] == SourceRecord.row
                if isCopied { misfit.operation = .read }
                quarantine(record, misfit)
            }
            index += 1
            if copying != nil { index = copyRun(from: index) }
        }
        return finish()
    }

    /// Why a change goes to quarantine. `@unchecked Sendable`: it is thrown and caught inside one call of `decode`.
    struct Misfit: Error, @unchecked Sendable {
        var table: ReplicatedTable?
        var operation: Operation?
        var reason: String

        init(_ table: ReplicatedTable?, _ reason: String, _ operation: Operation? = nil) {
            self.table = table
            self.reason = reason
            self.operation = operation
        }
    }

    func begin(_ records: RecordBatch) {
        self.records = records
        // Keys come beside the values; room that isn't used costs nothing.
        batch = ChangeBatch(capacity: max(2 * records.bytes, 4096))
        batch.events.reserveCapacity(records.records.count)
        batch.fields.reserveCapacity(records.records.count * fieldsPerRecord)
        batch.spans = records.spans
        batch.recordBytes = records.bytes
        batch.records = records
        batchNumber += 1
        used.removeAll(keepingCapacity: true)
    }

    func finish() -> ChangeBatch {
        for (index, table) in used.enumerated() {
            batch.tables[index] = table.definition
            if table.hasImmediateKey, table.deferrableBatch != batchNumber { batch.immediateKeys.insert(index) }
            if batch.evolutions[table.id] != nil {
                batch.evolutions[table.id]?.applied = table.applied
                batch.evolutions[table.id]?.wanted = table.following
            }
            let before = table.definition
            if table.endBatch() { moved(table, from: before) }
        }
        let done = batch
        fieldsPerRecord = records.records.isEmpty ? 8 : done.fields.count / records.records.count + 1
        batch = ChangeBatch(capacity: 64)
        records = RecordBatch(capacity: 64)
        return done
    }

    // MARK: Messages

    func decode(_ record: RecordBatch.Record) throws {
        guard record.hasValue else { return }
        let bytes = records.arena.bytes(record.wholeValue)
        var cursor = try PgOutputCursor(bytes)
        switch try cursor.byte() {
        case UInt8(ascii: "I"): try insert(record, &cursor)
        case UInt8(ascii: "U"): try update(record, &cursor)
        case UInt8(ascii: "D"): try delete(record, &cursor)
        case SourceRecord.row: try copied(record, UnsafeRawBufferPointer(rebasing: bytes[1...]))
        case SourceRecord.gone: try gone(record, UnsafeRawBufferPointer(rebasing: bytes[1...]))
        case UInt8(ascii: "B"):
            commit = try cursor.int64()
            commitTime_us = try cursor.int64() &+ Self.epoch2000_us
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
        case SourceRecord.goneTable:
            guard let gone = GoneTable(json: UnsafeRawBufferPointer(rebasing: bytes[1...])) else {
                throw Misfit(nil, "the name of a table that is gone can't be read")
            }
            note(gone, at: record.offset)
        default: throw Misfit(nil, "a message of an unknown kind")
        }
    }

    /// What follows is of a chunk of this relation; the record's key names the chunk.
    func beginCopy(_ described: RelationFacts, _ record: RecordBatch.Record) {
        copying = relation(
            described.table,
            columns: described.columns.map { ($0.name, ColumnType(sql: $0.type) ?? .unknown, true, true) },
            facts: described, oid: described.oid, flagged: [], isFull: described.isFull, at: record.offset, place: 0,
            isCopy: true)
        // Also a table without rows is made.
        if let table = copying?.table, table.choice != nil { use(table) }
        copiedRow = 0
        copiedPart = Hash128()
        let name = record.key.isNull ? UnsafeRawBufferPointer(start: nil, count: 0) : records.arena.bytes(record.key)
        copiedPart.add(name)
        copiedPiece = Self.piece(name)
    }

    /// Of `…/chunk/piece/snapshot`.
    private static func piece(_ name: UnsafeRawBufferPointer) -> UInt32 {
        let numbers = name.split(separator: UInt8(ascii: "/")).suffix(3).dropLast().map { digits in
            digits.reduce(UInt32(0)) { $0 &* 10 &+ UInt32($1 &- 0x30) }
        }
        guard numbers.count == 2 else { return 0 }
        return numbers[0] << 12 | min(numbers[1], 0xFFF)
    }

    /// A truncate just below the snapshot's reads.
    func resync(_ record: RecordBatch.Record) {
        guard let relation = copying, relation.table.choice != nil else { return }
        batch.read[relation.table.index] += 1
        var event = ChangeEvent(
            operation: .truncate, table: Int32(relation.table.index),
            version: .resync(epoch: configuration.epoch, snapshot: record.offset), id: .zero,
            offset: record.offset, sourceTime_us: record.timestamp_ms < 0 ? .min : record.timestamp_ms * 1000)
        event.span = record.span
        event.record = recordIndex
        var hash = relation.table.seed
        hash.add(UInt64(Operation.truncate.rawValue), 1)
        hash.add(record.offset)
        event.id = hash.finish()
        append(event)
    }

    func relation(_ cursor: inout PgOutputCursor) throws {
        let oid = try cursor.uint32()
        let schema = try cursor.string()
        let name = try cursor.string()
        let identity = try cursor.byte()
        let count = max(0, try cursor.int16())
        var columns: [RelationColumn] = []
        let described = facts[oid]
        for _ in 0..<count {
            let flags = try cursor.byte()
            let column = try cursor.string()
            let typeOID = try cursor.uint32()
            let typmod = try cursor.int32()
            let told = described?.columns.first { $0.name == column }.flatMap { ColumnType(sql: $0.type) }
            let isBuiltin = BuiltinTypes.isTold(typeOID)
            let builtin = BuiltinTypes.type(oid: typeOID, typmod: typmod)
            columns.append(
                (column, isBuiltin ? builtin : told ?? builtin, isBuiltin || told != nil, flags & 1 != 0))
        }
        // pg_catalog is named by nothing.
        let id = TableID(schema: schema.isEmpty ? "pg_catalog" : schema, table: name)
        let isFull = identity == UInt8(ascii: "f")
        let flagged = isFull ? [] : columns.filter(\.isKey).map(\.name)
        let made = relation(
            id, columns: columns, facts: described, oid: oid, flagged: flagged, isFull: isFull, at: commit,
            place: place)
        relations[oid] = made
        // An identity that isn't the whole row is a unique index that is checked at each change; if it is the key's own.
        let table = made.table
        table.hasImmediateKey =
            !flagged.isEmpty
            && Set(flagged) == Set(table.definition.key.map { table.definition.columns[$0].nameAtSource })
        if !table.hasImmediateKey { table.deferrableBatch = batchNumber }
    }

    func relation(
        _ id: TableID, columns: [RelationColumn], facts: RelationFacts?, oid: UInt32, flagged: [String], isFull: Bool,
        at position: Int64, place: Int64, isCopy: Bool = false
    ) -> Relation {
        let table =
            tables[id]
            ?? ReplicatedTable(
                id, choice: configuration.select(id), known: known[id], equality: configuration.keyEquality,
                withholdsBytes: configuration.withholdsBytes(id))
        tables[id] = table
        let relation = Relation(
            table: table, isIdentity: ContiguousArray(columns.map { isFull || $0.isKey }), isFull: isFull,
            copiedAt: facts?.copiedAt)
        guard let choice = table.choice else { return relation }
        follow(table, columns, facts, oid: oid, flagged: flagged, isFull: isFull, at: position, place: place)
        for column in columns {
            let version = isCopy ? nil : Version(epoch: configuration.epoch, commit: position, seq: place)
            guard
                let index = table.column(
                    named: column.name, type: column.type, isNullable: true, at: version,
                    follows: configuration.followsSchemas)
            else {
                relation.columns.append(-1)
                relation.uses.append(.skip)
                continue
            }
            relation.columns.append(Int32(index))
            if let before = table.widen(index, to: column.type) { settle(index, of: table, as: before) }
            // One that was renamed at the source, too: its values weren't to be seen before that.
            if table.definition.columns[index].isAny(of: choice.hashed) {
                relation.uses.append(.hash)
            } else {
                let type = table.definition.columns[index].type
                let isByName = type.composite != nil && column.type.composite != nil && type != column.type
                if isByName { relation.namedTypes[relation.uses.count] = column.type }
                relation.uses.append(isByName ? .byName : type == column.type ? .keep : .check)
            }
        }
        var key = flagged
        let accords = facts.map { self.accords($0, columns, flagged: flagged, isFull: isFull) } ?? false
        // A new table has the key that the catalog has now: whatever came before that is copied.
        let isThere = facts.map { Set($0.effectiveKey).isSubset(of: columns.map(\.name)) } ?? false
        if let facts, accords || isThere && !table.isKeyKnown { key = facts.effectiveKey }
        let missing = table.settleKey(key)
        // A table that is new, or was made before schemas were followed.
        if table.definition.followed == nil {
            follow(table, columns, facts, oid: oid, flagged: flagged, isFull: isFull, at: position, place: place)
        }
        lacking(relation, at: position)
        let present = Set(relation.columns)
        let names = table.definition.key.map { table.definition.columns[$0].name }
        let atSource = table.definition.key.map { table.definition.columns[$0].nameAtSource }
        let absent = table.definition.key.first { !present.contains(Int32($0)) }
        if let lacking = missing.first ?? absent.map({ table.definition.columns[$0].name }) {
            relation.problem = "the relation lacks the key column \"\(lacking)\""
        } else if accords, choice.key == nil, !key.isEmpty, Set(key) != Set(atSource),
            // Where somebody had the table keep its key, what its rows show of it is enough.
            table.definition.followed?.key.map({ Set($0) != Set(key) }) ?? true
        {
            relation.problem =
                "the source's key is (\(key.joined(separator: ", "))), the warehouse's (\(names.joined(separator: ", ")))"
        }
        let told =
            accords ? facts.map { $0.isFull ? Set(columns.map(\.name)) : Set($0.identity) } ?? [] : Set(flagged)
        if !isFull, !Set(atSource).isSubset(of: told) {
            relation.identityProblem =
                "the replica identity doesn't cover the key (\(names.joined(separator: ", "))): the row can't be told"
        }
        if relation.problem != nil || relation.identityProblem != nil,
            facts != nil && !accords || table.isBehind(position, epoch: configuration.epoch)
        {
            batch.unreadable.insert(id)
        }
        return relation
    }

    /// A composite column has more fields from here on: what the batch has of it, and what other relations of the table
    /// bring, are texts of the fields that it had until now.
    func settle(_ column: Int, of table: ReplicatedTable, as type: ColumnType) {
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
    func change(_ cursor: inout PgOutputCursor) throws -> Relation? {
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

    func use(_ table: ReplicatedTable) {
        guard table.batch != batchNumber else { return }
        table.batch = batchNumber
        table.index = used.count
        used.append(table)
        batch.tables.append(table.definition)
        batch.read.append(0)
    }

    // MARK: Quarantine

    func quarantine(_ record: RecordBatch.Record, _ misfit: Misfit) {
        if let table = misfit.table {
            use(table)
        } else {
            batch.readUnknown += 1
        }
        var entry = QuarantineEntry(
            table: misfit.table?.id, partition: records.spans[Int(record.span)].partition, offset: record.offset,
            reason: misfit.table.map { "\($0.id): \(misfit.reason)" } ?? misfit.reason, operation: misfit.operation)
        if misfit.table.map({ !configuration.withholdsBytes($0.id) }) ?? false {
            entry.value = Array(records.value(of: record))
        }
        batch.quarantined.append(entry)
    }
}
