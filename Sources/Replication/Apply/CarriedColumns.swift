import JSON

/// Columns that an event doesn't hold and that the stored row can't give: those that a key change
/// carries over from another key, and those of rows that a filter had kept out of current. Both are
/// read from raw, which holds every event, so the result doesn't depend on what arrived when.
enum CarriedColumns {
    /// How far a chain of key changes is followed.
    static let chainLength_max = 256

    /// Fills what raw can fill in `coalesced`, adds rows for moved rows that an event of this batch reaches late, and
    /// records new dependencies. Raw must hold the batch's own events already.
    static func resolve(
        _ coalesced: inout Coalescer.Result, batch: ChangeBatch, events: [Int32], truncates: Bool, floors: [Version],
        state: inout TableState, in transaction: some WarehouseTransaction
    ) throws {
        let definition = coalesced.staged.definition
        var affected = Set<MoveDependency>()
        for index in coalesced.carrying {
            let event = batch.events[Int(index)]
            // A move whose old key can't be read stays incomplete.
            guard !event.otherKey.isNull else { continue }
            affected.insert(
                MoveDependency(
                    table: definition.source, newKey: batch.arena.string(event.key),
                    oldKey: batch.arena.string(event.otherKey), create: event.version))
        }
        if !affected.isEmpty {
            try transaction.record(affected.sorted { $0.create < $1.create })
            state.hasMoves = true
        }
        if state.hasMoves {
            try reach(&affected, definition, batch: batch, events: events, truncates: truncates, in: transaction)
            let onThemselves = affected.filter(\.isOnItself)
            affected.subtract(onThemselves)
            // Only what is older can change them.
            let oldest = events.lazy.map { batch.events[Int($0)].version }.min() ?? .none
            coalesced.spared = onThemselves.filter { truncates || oldest < $0.create }
        }
        let unresolved = definition.isFiltered ? partialRows(coalesced.staged) : []
        guard !affected.isEmpty || !unresolved.isEmpty else { return }

        var keys = Set(affected.flatMap { [$0.newKey, $0.oldKey] })
        for row in unresolved { keys.insert(key(of: coalesced.staged.rows[row], batch)) }
        var fold = RawFold(definition: definition, floors: floors)
        try fold.load(keys, from: transaction)

        for row in unresolved { try fill(row, in: &coalesced.staged, from: fold, batch: batch) }
        guard !affected.isEmpty else { return }
        var staged = [String: Int]()
        for row in coalesced.staged.rows.indices { staged[key(of: coalesced.staged.rows[row], batch)] = row }
        var carried = [String: Int]()
        for dependency in affected.sorted(by: { $0.create < $1.create }) {
            if let row = staged[dependency.newKey], coalesced.staged.rows[row].version >= dependency.create {
                // The create or something newer is what is written to the key now; if that is whole or a delete, it
                // needs nothing from elsewhere.
                guard coalesced.staged.rows[row].registers >= 0, !coalesced.staged.rows[row].isDeleted else { continue }
                try carry(dependency, into: &coalesced.staged, row: row, from: fold, batch: batch)
            } else {
                if carried[dependency.newKey] == nil {
                    let columns = coalesced.carried.definition.columns.count
                    try appendKeyRow(
                        dependency.newKey, version: dependency.create, to: &coalesced.carried, batch: batch)
                    coalesced.carried.registers.append(.init(repeating: .unseen, count: columns))
                    let row = coalesced.carried.rows.count - 1
                    coalesced.carried.rows[row].registers = Int32(coalesced.carried.registers.count - 1)
                    carried[dependency.newKey] = row
                }
                if let row = carried[dependency.newKey] {
                    try carry(dependency, into: &coalesced.carried, row: row, from: fold, batch: batch)
                }
            }
        }
    }

    /// Adds the dependencies that events of this batch reach, directly or through a chain of moves.
    private static func reach(
        _ affected: inout Set<MoveDependency>, _ definition: TableDefinition, batch: ChangeBatch, events: [Int32],
        truncates: Bool, in transaction: some WarehouseTransaction
    ) throws {
        if truncates {
            affected.formUnion(try transaction.moves(definition.source, oldKeys: nil))
            return
        }
        var seen = Set<String>()
        var keys = Set(events.map { batch.arena.string(batch.events[Int($0)].key) })
        for _ in 0..<chainLength_max where !keys.isEmpty {
            seen.formUnion(keys)
            let found = try transaction.moves(definition.source, oldKeys: keys.sorted())
            affected.formUnion(found)
            keys = Set(found.map(\.newKey)).subtracting(seen)
        }
    }

    private static func partialRows(_ staged: StagedTable) -> [Int] {
        staged.rows.indices.filter { staged.rows[$0].mode == .masked && !staged.rows[$0].isDeleted }
    }

    private static func key(of row: StagedRow, _ batch: ChangeBatch) -> String {
        row.event >= 0 ? batch.arena.string(batch.events[Int(row.event)].key) : ""
    }

    /// A filtered table's partial row: unknown columns come from the key's own earlier events.
    private static func fill(_ row: Int, in staged: inout StagedTable, from fold: RawFold, batch: ChangeBatch) throws {
        let target = staged.rows[row]
        let registers = Int(target.registers)
        for column in staged.definition.columns.indices where !staged.registers[registers][column].isKnown {
            let found = fold.value(of: column, key: key(of: target, batch), below: target.version)
            guard let value = found.json, found.carriedAt.isNone else { continue }
            let register = ColumnRegister(own: found.version, isKnown: true)
            if register > staged.registers[registers][column] {
                staged.registers[registers][column] = register
                batch.fields[Int(target.image) + column] = try decode(value, staged.definition.columns[column], batch)
            }
        }
    }

    private static func carry(
        _ dependency: MoveDependency, into staged: inout StagedTable, row: Int, from fold: RawFold, batch: ChangeBatch
    ) throws {
        let columns = staged.definition.columns
        let registers = Int(staged.rows[row].registers)
        let create = fold.events(of: dependency.newKey).first { $0.version == dependency.create }
        guard let create else { return }
        for column in columns.indices where create.unchanged.contains(columns[column].name) {
            let found = fold.carried(column, from: dependency.oldKey, at: dependency.create)
            var register = ColumnRegister(own: dependency.create, isKnown: found.json != nil)
            if found.json != nil { register.carried = found.version }
            guard register > staged.registers[registers][column] else { continue }
            staged.registers[registers][column] = register
            if let value = found.json {
                batch.fields[Int(staged.rows[row].image) + column] = try decode(value, columns[column], batch)
            }
        }
        // A key may have been moved onto more than once; the row stands for its newest create.
        staged.rows[row].version = max(staged.rows[row].version, dependency.create)
    }

    /// A staged row that has nothing but its key.
    static func appendKeyRow(
        _ key: String, version: Version, to staged: inout StagedTable, batch: ChangeBatch
    ) throws {
        let columns = staged.definition.columns
        let object = try? JSONValue(parsing: key)
        let image = Int32(batch.fields.count)
        for column in columns.indices {
            guard staged.definition.key.contains(column) else {
                batch.fields.append(.unchanged)
                continue
            }
            guard let value = object?[columns[column].name] else {
                throw ReplicationError(
                    .invariant,
                    "\(staged.definition.source): a key in raw or in the moves lacks column \(columns[column].name)")
            }
            batch.fields.append(try decode(value.serialized, columns[column], batch))
        }
        staged.rows.append(
            StagedRow(
                mode: .masked, isDeleted: false, counts: false, event: -1, image: image, width: Int32(columns.count),
                version: version, time_us: .min))
    }

    static func decode(_ json: String, _ column: Column, _ batch: ChangeBatch) throws -> Field {
        let found = try? JSONParser.withTape(of: Array(json.utf8)) { tape in
            FieldJSONDecode.field(tape, tape.root, column.type, to: batch.arena)
        }
        guard let field = found ?? nil else {
            throw ReplicationError(.permanent, "raw holds a value of column \(column.name) that doesn't fit its type")
        }
        return field
    }
}

/// Raw's events of some keys, folded on demand.
struct RawFold {
    private let definition: TableDefinition
    private var byKey: [String: [RawEvent]] = [:]
    private var deletes: [String: KeyDeletes] = [:]
    private var floors: [Version]

    init(definition: TableDefinition, floors: [Version]) {
        self.definition = definition
        self.floors = floors
    }

    /// Reads the keys' events, and those of the keys that they were moved from.
    mutating func load(_ keys: Set<String>, from transaction: some WarehouseTransaction) throws {
        var wanted = keys
        var truncates = true
        let names = RawNames(definition)
        for _ in 0..<CarriedColumns.chainLength_max where !wanted.isEmpty {
            for key in wanted { byKey[key] = [] }
            var next = Set<String>()
            for event in try transaction.rawEvents(
                definition, keys: wanted.sorted(), truncates: truncates, promoted: true)
            {
                if event.operation == .truncate {
                    floors.append(event.version)
                } else if let key = event.key {
                    byKey[key, default: []].append(names?.event(event) ?? event)
                    if event.version.createsMovedKey, let other = event.otherKey, byKey[other] == nil {
                        next.insert(other)
                    }
                }
            }
            truncates = false
            wanted = next
        }
        for key in byKey.keys { byKey[key]?.sort { $0.version > $1.version } }
        floors.sort()
        for key in byKey.keys { deletes[key] = deletes(of: key) }
    }

    /// What the key's deletes mean that stand behind a create of their own transaction.
    ///
    /// - Parameter unknown: events that are left out.
    func deletes(of key: String, without unknown: Set<EventID> = []) -> KeyDeletes {
        KeyTenants.deletes(
            events(of: key).filter { !unknown.contains($0.id) }.reversed(), floors: floors,
            key: Set(definition.key.map { definition.columns[$0].name })
        ) { create, name in
            guard let other = create.otherKey,
                let column = definition.columns.firstIndex(where: { $0.name == name })
            else { return nil }
            // Below that key's own verdicts, which may hang on this key's.
            let found = carried(column, from: other, at: create.version, isSettled: false)
            return found.json.map { ($0, found.version) }
        }
    }

    /// Newest first.
    func events(of key: String) -> [RawEvent] { byKey[key] ?? [] }

    struct Found {
        /// Nil: as of the position asked for there is no value that we know of.
        var json: String?
        var version: Version = .none
        /// The key change that carried it here, if one did.
        var carriedAt: Version = .none
    }

    /// The value that a create at `version` carries over from `other`. The move's own delete says it where its
    /// before-image is whole, whoever else lived under that key.
    func carried(_ column: Int, from other: String, at version: Version, isSettled: Bool = true) -> Found {
        let half = version.deleteHalf
        return told(by: half, other, definition.columns[column].name, isSettled: isSettled)
            ?? value(of: column, key: other, below: half, isSettled: isSettled)
    }

    /// What the key's delete at `version` says itself of the row that it ended; nil if it leaves that to the key's
    /// earlier events.
    private func told(by version: Version, _ key: String, _ name: String, isSettled: Bool) -> Found? {
        let delete = events(of: key).first { $0.version == version && $0.operation == .delete }
        if let json = delete.flatMap({ KeyTenants.members($0.before)[name] }) {
            return Found(json: json, version: version)
        }
        guard isSettled, let deletes = deletes[key], deletes.verdicts[version] != nil else { return nil }
        // An older event that comes later may say another value, whose version must then be another too.
        return deletes.ended[version]?[name].map {
            Found(json: $0, version: deletes.endedOrigins[version]?[name] ?? version)
        } ?? Found()
    }

    /// The value that `column` of `key` had just below `version`.
    func value(of column: Int, key: String, below version: Version, isSettled: Bool = true) -> Found {
        let name = definition.columns[column].name
        var key = key
        var version = version
        var carriedAt = Version.none
        for _ in 0..<CarriedColumns.chainLength_max {
            var moved = false
            for event in events(of: key) where event.version < version {
                let floor = RowMerge.floor(below: version, floors)
                if floor > event.version { return Found() }
                if event.operation == .delete {
                    guard isSettled, let deletes = deletes[key],
                        case .spares(let values, _, _)? = deletes.verdicts[event.version], let json = values[name]
                    else { return Found() }
                    let origin = deletes.sparedOrigins[event.version]?[name] ?? event.version
                    return Found(json: json, version: origin, carriedAt: carriedAt)
                }
                if event.unchanged.contains(name) {
                    guard event.version.createsMovedKey else { continue }
                    guard let other = event.otherKey else { return Found() }
                    if carriedAt.isNone { carriedAt = event.version }
                    key = other
                    version = event.version.deleteHalf
                    if let found = told(by: version, key, name, isSettled: isSettled) {
                        return Found(json: found.json, version: found.version, carriedAt: carriedAt)
                    }
                    moved = true
                    break
                }
                if let after = event.after, let value = (try? JSONValue(parsing: after))?[name] {
                    return Found(json: value.serialized, version: event.version, carriedAt: carriedAt)
                }
            }
            if !moved { return Found() }
        }
        return Found()
    }
}
