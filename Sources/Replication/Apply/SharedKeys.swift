/// Keys under which several rows stood at once inside of a source transaction (deferrable keys), and what their deletes
/// mean then.
///
/// The batch's rows are written by their versions first, as those of any other key: that is right but for a delete that
/// spares a row (`DeleteVerdict`). Then such deletes are settled: a row that says what lives under the key is put in the
/// delete's place, at the delete's version. The verdict comes from raw's events of the key, so it doesn't depend on what
/// came when; a key is looked at when
/// - the batch has a delete of it behind a create of the same source transaction, or
/// - a delete whose source transaction may have begun before the batch meets a row of that transaction, or
/// - an event of it comes late, below a deleted or incomplete row, or
/// - an earlier delete of it was found to spare a row, which an older event can change.
///
/// All other keys pay nothing. Without raw only the first is seen, and only an image decides.
struct SharedKeys {
    struct Settlement {
        /// Rows to be written one table after the other, a key's in order of version.
        var tables: [StagedTable] = []
        /// To be recorded, so that older events which come later find them.
        var moves: Set<MoveDependency> = []
        /// Events of the batch that can't be decided: which row a delete meant, no image tells.
        var undecided: Set<Int32> = []
    }

    private struct Row {
        var key: String
        var version: Version
        var time_us: Int64
        /// Nil: deleted.
        var values: [String: String]?
    }

    static let reason = """
        it deletes one of several rows that had its key inside of its transaction, and no before-image tells which (a \
        deferrable key needs REPLICA IDENTITY FULL and source.kafka.catalog)
        """

    private let batch: ChangeBatch
    private let definition: TableDefinition
    private let hasRaw: Bool
    private let keyNames: Set<String>
    /// The batch's row events of the table, none twice.
    private let events: [Int32]
    /// To be read from raw.
    private var keys: Set<String> = []
    /// Without raw: the events of this batch alone, and whether there was a row before them.
    private var chains: [(events: [Int32], isOccupied: Bool)] = []

    init(_ batch: ChangeBatch, _ definition: TableDefinition, _ events: [Int32], hasRaw: Bool) {
        self.batch = batch
        self.definition = definition
        self.events = events
        self.hasRaw = hasRaw
        keyNames = Set(definition.key.map { definition.columns[$0].name })
    }

    private func key(_ index: Int32) -> String { batch.arena.string(batch.events[Int(index)].key) }

    // MARK: Which keys

    /// Looks at the deletes, before the batch's rows are written.
    mutating func look(
        _ coalesced: Coalescer.Result, _ marks: Marks, in transaction: some WarehouseTransaction
    ) throws {
        keys.formUnion(coalesced.spared.map(\.newKey))
        // One for each key: what is stored there is one row.
        var probes: [(deletes: [Int32], chain: [Int32])] = []
        var byKey: [String: Int] = [:]
        for chain in coalesced.doubtful {
            guard let delete = chain.last(where: { batch.events[Int($0)].operation == .delete }) else { continue }
            byKey[batch.arena.string(batch.events[Int(delete)].group)] = probes.count
            probes.append(([delete], chain))
        }
        if hasRaw {
            let begins = batch.events.first?.transaction ?? -1
            for index in events {
                let event = batch.events[Int(index)]
                guard event.operation == .delete, event.transaction >= 0,
                    event.transaction == begins || marks.mayHaveBegun(event, definition.source)
                else { continue }
                let key = batch.arena.string(event.group)
                if let at = byKey[key] {
                    probes[at].deletes.append(index)
                } else {
                    byKey[key] = probes.count
                    probes.append(([index], []))
                }
            }
        }
        guard !probes.isEmpty else { return }
        let stored = try self.stored(
            probes.map { (batch.events[Int($0.deletes[0])].before, batch.events[Int($0.deletes[0])].width) },
            in: transaction)
        for (row, probe) in probes.enumerated() {
            if let first = probe.chain.first {
                judge(probe.deletes[0], probe.chain, from: first, stored[row])
            } else {
                judge(probe.deletes, stored[row])
            }
        }
    }

    /// Whether the row there comes from the source transaction of any of the deletes, which all have one key.
    private mutating func judge(_ deletes: [Int32], _ stored: StoredRow?) {
        guard let stored else { return }
        for delete in deletes {
            let event = batch.events[Int(delete)]
            guard stored.version < event.version else { continue }
            let isOfCommit =
                stored.version.epoch == event.version.epoch && stored.version.commit == event.version.commit
            if isOfCommit || event.flags.contains(.alwaysProbe) { keys.insert(key(delete)) }
        }
    }

    private mutating func judge(_ delete: Int32, _ chain: [Int32], from first: Int32, _ stored: StoredRow?) {
        let isFree = stored.map { $0.isDeleted && $0.version < batch.events[Int(first)].version } ?? true
        guard hasRaw else { return chains.append((chain, !isFree)) }
        // An insert and a delete of a key that nothing else had: plain, and nothing has to be read for it.
        if isFree, verdicts(of: chain, isOccupied: false).values.allSatisfy({ $0 == .ends }) { return }
        keys.insert(key(delete))
    }

    private func verdicts(of chain: [Int32], isOccupied: Bool) -> [Version: DeleteVerdict] {
        KeyTenants.deletes(
            chain.map { RawEvent(batch.events[Int($0)], definition, in: batch) }, floors: [], key: keyNames,
            isOccupied: isOccupied
        ).verdicts
    }

    /// Rows (of `staged`) above which the warehouse has something newer.
    mutating func add(
        late rows: [Int], of staged: StagedTable, in transaction: some WarehouseTransaction
    ) throws {
        let rows = rows.filter { staged.rows[$0].event >= 0 }
        guard hasRaw, !rows.isEmpty else { return }
        let stored = try self.stored(rows.map { (staged.rows[$0].image, staged.rows[$0].width) }, in: transaction)
        for (index, row) in rows.enumerated() {
            guard let stored = stored[index], stored.isDeleted || !stored.columnVersions.isEmpty else { continue }
            keys.insert(key(staged.rows[row].event))
        }
    }

    /// What current has for the keys in these images, by their order.
    private func stored(
        _ images: [(image: Int32, width: Int32)], in transaction: some WarehouseTransaction
    ) throws -> [Int: StoredRow] {
        var probe = StagedTable(
            table: batch.tables.firstIndex { $0.source == definition.source } ?? 0, definition: definition)
        let columns = definition.columns.count
        for (image, width) in images {
            // The key alone: the engine might refuse another value, which nobody asks it to take.
            let key = Int32(batch.fields.count)
            for column in 0..<columns {
                batch.fields.append(
                    definition.key.contains(column) ? batch.field(image, column, width: width) : .unchanged)
            }
            probe.rows.append(
                StagedRow(
                    mode: .masked, isDeleted: true, counts: false, event: -1, image: key, width: Int32(columns),
                    version: .none, time_us: .min))
        }
        try transaction.stage(probe, batch)
        return Dictionary(try transaction.storedRows(probe, sparse: false).map { ($0.row, $0) }) { first, _ in first }
    }

    // MARK: What they are

    /// - Parameter spared: deletes found earlier to spare a row.
    func settle(
        spared: Set<MoveDependency>, floors: [Version], in transaction: some WarehouseTransaction
    ) throws -> Settlement {
        var settlement = Settlement()
        var rows: [[Row]] = []
        for chain in chains { rows.append(settle(chain.events, isOccupied: chain.isOccupied, &settlement)) }
        if !keys.isEmpty {
            var fold = RawFold(definition: definition, floors: floors)
            try fold.load(keys, from: transaction)
            var byKey: [String: [Int32]] = [:]
            for index in events {
                let key = key(index)
                if keys.contains(key) { byKey[key, default: []].append(index) }
            }
            for key in keys.sorted() {
                let before = Set(spared.filter { $0.newKey == key }.map(\.create))
                rows.append(settle(key, byKey[key] ?? [], fold, before, &settlement))
            }
        }
        // As of a truncate, whatever was below it is gone.
        let newest = floors.last ?? .none
        rows = rows.map { $0.filter { $0.version > newest } }
        for pass in 0..<(rows.map(\.count).max() ?? 0) {
            var staged = StagedTable(
                table: batch.tables.firstIndex { $0.source == definition.source } ?? 0, definition: definition)
            for row in rows where row.count > pass { try append(row[pass], to: &staged) }
            settlement.tables.append(staged)
        }
        return settlement
    }

    private func settle(
        _ key: String, _ own: [Int32], _ fold: RawFold, _ spared: Set<Version>, _ settlement: inout Settlement
    ) -> [Row] {
        let verdicts = fold.deletes(of: key).verdicts
        let ids = Set(own.map { batch.events[Int($0)].id })
        let earlier =
            verdicts.values.allSatisfy(\.isCertain) ? [:] : fold.deletes(of: key, without: ids).verdicts
        var rows: [Row] = []
        for event in fold.events(of: key).reversed() {
            guard let verdict = verdicts[event.version], event.operation == .delete else { continue }
            let (values, isCertain) = live(verdict, own)
            if !isCertain, earlier[event.version]?.isCertain ?? true {
                // The event that brought the doubt: the delete itself, or an older one that came after it.
                let newest = own.filter { batch.events[Int($0)].version <= event.version }.max {
                    batch.events[Int($0)].version < batch.events[Int($1)].version
                }
                if let newest { settlement.undecided.insert(newest) }
            }
            if verdict != .ends {
                settlement.moves.insert(
                    MoveDependency(table: definition.source, newKey: key, oldKey: key, create: event.version))
            }
            guard verdict != .ends || spared.contains(event.version) else { continue }
            rows.append(Row(key: key, version: event.version, time_us: event.sourceTime_us, values: values))
        }
        return rows
    }

    /// Without raw.
    private func settle(_ chain: [Int32], isOccupied: Bool, _ settlement: inout Settlement) -> [Row] {
        let verdicts = verdicts(of: chain, isOccupied: isOccupied)
        var rows: [Row] = []
        for index in chain {
            let event = batch.events[Int(index)]
            guard event.operation == .delete, let verdict = verdicts[event.version], verdict != .ends else { continue }
            let (values, isCertain) = live(verdict, chain)
            guard isCertain else {
                // Said, and left as versions have it: nothing would put it right when an older event comes late.
                settlement.undecided.insert(index)
                continue
            }
            rows.append(Row(key: key(index), version: event.version, time_us: event.sourceTime_us, values: values))
        }
        return rows
    }

    /// The values of what lives on; nil if nothing does, or nothing that a `where` lets through.
    private func live(_ verdict: DeleteVerdict, _ own: [Int32]) -> (values: [String: String]?, isCertain: Bool) {
        guard case .spares(let values, let made, let isCertain) = verdict else { return (nil, true) }
        guard definition.isFiltered else { return (values, isCertain) }
        // Raw doesn't hold what the filter said; only the batch's own events do.
        let maker = own.map { batch.events[Int($0)] }.first { $0.version == made }
        guard isCertain, let maker else { return (nil, false) }
        return (maker.flags.isDisjoint(with: [.filtered, .undecided]) ? values : nil, true)
    }

    private func append(_ row: Row, to staged: inout StagedTable) throws {
        let columns = definition.columns
        try CarriedColumns.appendKeyRow(row.key, version: row.version, to: &staged, batch: batch)
        let last = staged.rows.count - 1
        var registers = [ColumnRegister](
            repeating: ColumnRegister(own: row.version, isKnown: false), count: columns.count)
        for column in columns.indices {
            if definition.key.contains(column) {
                registers[column].isKnown = row.values != nil
            } else if let json = row.values?[columns[column].name] {
                registers[column].isKnown = true
                batch.fields[Int(staged.rows[last].image) + column] = try CarriedColumns.decode(
                    json, columns[column], batch)
            }
        }
        staged.rows[last].registers = Int32(staged.registers.count)
        staged.registers.append(registers)
        staged.rows[last].isDeleted = row.values == nil
        staged.rows[last].time_us = row.time_us
        staged.rows[last].settles = true
    }
}
