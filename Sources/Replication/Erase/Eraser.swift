/// One row whose values are to be erased.
package struct ErasureRequest: Sendable {
    /// Has a key.
    package var table: TableDefinition
    /// As raw writes it (`KeyNames.key`).
    package var key: String
    package var reason: String
    /// Records of the quarantine that are about the row.
    package var quarantined: [Int64]

    package init(table: TableDefinition, key: String, reason: String, quarantined: [Int64] = []) {
        self.table = table
        self.key = key
        self.reason = reason
        self.quarantined = quarantined
    }
}

/// What an erasure did. Holds no value, and of the key its name alone.
package struct ErasureReport: Sendable, Equatable {
    package var keyHash: String
    /// The newest version that was erased; `.none` where nothing had one.
    package var version: Version = .none
    /// Current had a row of the key.
    package var hadRow = false
    /// The row was live: as far as we know the source has it still.
    package var wasLive = false
    /// Of raw.
    package var events = 0
    /// Of the quarantine.
    package var records = 0
    /// Other keys that the row had before, whose events were erased as well.
    package var earlierKeys = 0
    /// A key change gave the row another key, under which it lives on.
    package var movedOn = false
    /// The key had been erased before.
    package var wasErased = false

    package init(keyHash: String) { self.keyHash = keyHash }

    package var foundNothing: Bool { !hadRow && events == 0 && records == 0 && !wasErased }
}

/// Scrubs a row's values from current, raw, quarantine and what else has them, and leaves an `Erasure` for each of its
/// keys, all in one transaction.
struct Eraser<Transaction: WarehouseTransaction> {
    /// Keys that are followed back from one row.
    static var keys_max: Int { 1000 }

    private let request: ErasureRequest
    private let layout: WarehouseLayout
    private let transaction: Transaction
    private let erasedAt_us: Int64
    private let names: KeyNames
    private var report: ErasureReport
    /// By name: the key's own texts, and below which version its events are of the row.
    private var found: [String: Key] = [:]
    private var events: [EventID: (event: RawEvent, name: String)] = [:]
    /// All texts of raw's keys, by name; only where equal keys may differ.
    private var texts: [String: [String]] = [:]
    /// Erasures of these keys that were there before, by name.
    private var known: [String: Erasure] = [:]

    private struct Key {
        var texts: [String]
        var limit: Version
        /// Of what was erased.
        var newest: Version = .none
        /// The oldest event that isn't a delete and is another row's.
        var others: Version?
    }

    static func run(
        _ request: ErasureRequest, layout: WarehouseLayout, in transaction: Transaction, erasedAt_us: Int64
    ) throws -> ErasureReport {
        try transaction.run {
            var eraser = try Eraser(request, layout, transaction, erasedAt_us)
            return try eraser.run()
        }
    }

    private init(
        _ request: ErasureRequest, _ layout: WarehouseLayout, _ transaction: Transaction, _ erasedAt_us: Int64
    ) throws {
        self.request = request
        self.layout = layout
        self.transaction = transaction
        self.erasedAt_us = erasedAt_us
        names = KeyNames(request.table, transaction.keyEquality)
        report = ErasureReport(keyHash: try names.name(ofKey: request.key))
    }

    private mutating func run() throws -> ErasureReport {
        let table = request.table
        let state = try transaction.lock([table.source], exclusive: true)[table.source]
        try transaction.refuseOutdated(table, state, layout, isWhole: true)
        if layout.hasRaw {
            if names.mayDiffer { try readKeys() }
            try follow(request.key)
        }
        if found[report.keyHash] == nil { found[report.keyHash] = Key(texts: [request.key], limit: .all) }
        known = try transaction.erasures(table.source, found.keys.sorted())
        report.wasErased = known[report.keyHash] != nil
        if layout.hasCurrent { try removeRows() }
        try scrub()
        report.earlierKeys = found.count - 1
        let all = erasures()
        report.version = all.first { $0.keyHash == report.keyHash }?.version ?? .none
        // Nothing is left behind for a key that was mistyped.
        guard !report.foundNothing else { return report }
        // Of an earlier key that was erased before, the reason stays.
        let again = all.filter { $0.keyHash != report.keyHash && known[$0.keyHash] != nil }
        try transaction.write(all.filter { !again.contains($0) }, reason: request.reason)
        try transaction.write(again, reason: nil)
        return report
    }

    // MARK: Looking

    private mutating func readKeys() throws {
        let names = names
        var texts: [String: [String]] = [:]
        try transaction.rawKeys(request.table) { text in
            // What doesn't fit the key's columns as they are now is no spelling of this key.
            guard let name = try? names.name(ofKey: text) else { return }
            texts[name, default: []].append(text)
        }
        self.texts = texts
    }

    /// Finds the events of a key, and those of the keys that its row had before.
    private mutating func follow(_ key: String) throws {
        var open: [(key: String, limit: Version)] = [(key, .all)]
        while let next = open.popLast() {
            let name = try names.name(ofKey: next.key)
            if let known = found[name], known.limit >= next.limit { continue }
            guard found.count < Self.keys_max else {
                throw ReplicationError(
                    .permanent, "\(request.table.source): the row had more than \(Self.keys_max) keys",
                    remedy: "erase its earlier keys one by one", table: request.table.source)
            }
            var entry = Key(texts: texts[name] ?? [next.key], limit: next.limit)
            let isEarlier = next.limit != .all
            let events = try transaction.rawEvents(request.table, keys: entry.texts, truncates: isEarlier)
            // Under an earlier key the row began behind the last one that had it: what ended that is no event of the row.
            let ends = events.filter { $0.operation == .delete || $0.operation == .truncate }.map(\.version)
            let start = isEarlier ? ends.filter { $0 < next.limit.deleteHalf }.max() ?? .none : .none
            for event in events where event.version > start && event.operation != .truncate {
                guard event.version < next.limit else {
                    if event.operation != .delete { entry.others = min(entry.others ?? .all, event.version) }
                    continue
                }
                self.events[event.id] = (event, name)
                entry.newest = max(entry.newest, event.version)
                if event.operation != .delete, let other = event.otherKey { open.append((other, event.version)) }
            }
            found[name] = entry
        }
        for (event, name) in events.values where name == report.keyHash && event.operation == .delete {
            guard let other = event.otherKey else { continue }
            if found[try names.name(ofKey: other)] == nil { report.movedOn = true }
        }
    }

    // MARK: Scrubbing

    /// A row that stands under an earlier key now may be another.
    private mutating func removeRows() throws {
        let batch = ChangeBatch(capacity: 256)
        batch.tables = [request.table]
        var staged = StagedTable(table: 0, definition: request.table)
        var order: [String] = []
        for (name, key) in found.sorted(by: { $0.key < $1.key }) {
            guard let text = key.texts.first else { continue }
            try CarriedColumns.appendKeyRow(text, version: .all, to: &staged, batch: batch)
            order.append(name)
        }
        try transaction.stage(staged, batch)
        var rows: [Int] = []
        for stored in try transaction.storedRows(staged, sparse: false) {
            let name = order[stored.row]
            guard stored.version < found[name]?.limit ?? .none || name == report.keyHash else { continue }
            rows.append(stored.row)
            let newest = max(found[name]?.newest ?? .none, stored.version)
            found[name]?.newest = newest
            guard name == report.keyHash else { continue }
            report.hadRow = true
            report.wasLive = !stored.isDeleted
        }
        try transaction.removeRows(staged, rows)
    }

    private mutating func scrub() throws {
        let table = request.table
        // A key that another row has now keeps what was noted of its moves.
        let texts = found.filter { $0.key == report.keyHash || $0.value.others == nil }.values.flatMap(\.texts)
        if layout.hasRaw {
            for (name, group) in Dictionary(grouping: events.values, by: \.name).sorted(by: { $0.key < $1.key }) {
                try transaction.scrubRaw(table, group.map(\.event), as: name)
            }
            report.events = events.count
            try transaction.scrubOldKeys(table, found[report.keyHash]?.texts ?? [])
        }
        let deferred = try transaction.forgetKeys(table.source, texts, events.keys.sorted { $0.text < $1.text })
        if deferred > 0 {
            var entry = LedgerEntry(table: table.source)
            entry.deferred = -deferred
            entry.superseded = deferred
            var record = CommitRecord()
            record.ledger = [entry]
            record.loadedAt_us = erasedAt_us
            try transaction.record(record)
        }
        report.records = try transaction.scrubQuarantine(request.quarantined)
    }

    /// Of earlier keys the versions alone tell which events are the row's: the source may have given them to another.
    private func erasures() -> [Erasure] {
        found.sorted { $0.key < $1.key }.map { name, key in
            let isGiven = name == report.keyHash
            return Erasure(
                table: request.table.source, keyHash: name,
                version: max(key.newest, known[name]?.version ?? .none),
                erasedAt_us: isGiven ? erasedAt_us : known[name]?.erasedAt_us ?? .min,
                revivedBy: isGiven ? nil : key.others)
        }
    }
}

extension BatchWriter {
    /// Erases a row; parts of a source transaction that have come have to come again.
    package mutating func erase(
        _ request: ErasureRequest, layout: WarehouseLayout, in transaction: some WarehouseTransaction,
        erasedAt_us: Int64
    ) throws -> ErasureReport {
        if let kept = request.table.keptTables.last {
            // Raw knows its earlier events by the key that the row had then, and the table that was kept its row.
            throw ReplicationError(
                .configuration,
                """
                \(request.table.source): its key was changed, and what \(kept) and raw have of rows under the key of before \
                isn't erased yet (not yet)
                """,
                remedy: "take the table in under another target, drop this one's tables, then millrace erase",
                table: request.table.source)
        }
        abandon(transaction)
        return try Eraser.run(request, layout: layout, in: transaction, erasedAt_us: erasedAt_us)
    }
}
