/// Rows of current that are to be what raw says.
package struct RefoldRequest: Sendable {
    package enum Way: Sendable {
        /// All that raw has of the rows is applied once more: what is missing or older is mended, and nothing that
        /// stands there is lost, whatever raw lacks.
        case over
        /// The rows are made from nothing but raw, which must have all of the table. Those that it doesn't know stay.
        case anew
    }

    /// Has a key.
    package var table: TableDefinition
    /// As raw writes them, or JSON objects of their columns' texts.
    package var keys: [String]
    package var way: Way
    package var options: ReleaseOptions
    /// Late events with these keys that arrived then (µs since 1970) are reconciled.
    package var reconciles: Range<Int64>?

    package init(
        table: TableDefinition, keys: [String], way: Way, options: ReleaseOptions, reconciles: Range<Int64>? = nil
    ) {
        self.table = table
        self.keys = keys
        self.way = way
        self.options = options
        self.reconciles = reconciles
    }
}

/// Folds rows from raw again, in one transaction: readers see them as they were or as they are then.
struct Refolder<Transaction: WarehouseTransaction> {
    private let request: RefoldRequest
    private let layout: WarehouseLayout
    private let transaction: Transaction
    private let loadedAt_us: Int64
    private let names: KeyNames
    /// By name: the key as it was given, and all of raw's texts for it.
    private var texts: [String: [String]] = [:]
    private var order: [String] = []
    /// By name: rows that are made from nothing but raw.
    private var remade: Set<String> = []

    /// Gives how many rows are others now.
    static func run(
        _ request: RefoldRequest, layout: WarehouseLayout, in transaction: Transaction, loadedAt_us: Int64
    ) throws -> Int {
        try transaction.run {
            var refolder = Refolder(request, layout, transaction, loadedAt_us)
            return try refolder.run()
        }
    }

    private init(
        _ request: RefoldRequest, _ layout: WarehouseLayout, _ transaction: Transaction, _ loadedAt_us: Int64
    ) {
        self.request = request
        self.layout = layout
        self.transaction = transaction
        self.loadedAt_us = loadedAt_us
        names = KeyNames(request.table, transaction.keyEquality)
    }

    private mutating func run() throws -> Int {
        let table = request.table
        let state = try transaction.lock([table.source], exclusive: true)[table.source] ?? .init()
        guard state.holds.isEmpty else {
            throw ReplicationError(
                .environment, "\(table.source) stands still, and its rows aren't made anew", remedy: "millrace status",
                table: table.source)
        }
        guard request.way == .over || state.rawFrom_us == nil else {
            throw ReplicationError(
                .environment, "raw of \(table.source) lacks what layers.raw_retention has taken from it",
                remedy: "copy the table anew: millrace resync \(table.source)", table: table.source)
        }
        try transaction.refuseOutdated(table, state, layout, isWhole: true, but: request.options.excluded)
        try name(scansRaw: request.way == .anew)
        let before = try stored()
        let all = Array(texts.values.joined())
        // A table's newest truncate is known by its floor; over what stands there nothing else is needed.
        let events = RawReplay.unerased(
            try transaction.rawEvents(table, keys: all, truncates: request.way == .anew))
        if request.way == .anew { try remove(before, events) }
        try apply(events, state)
        if let arrived_us = request.reconciles {
            try transaction.reconcile(table.source, all + request.keys, arrived_us)
        }
        let after = try stored()
        let poorer = order.filter { name in
            before[name].map { !$0.isDeleted && !$0.columnVersions.isIncomplete } ?? false
                && after[name]?.columnVersions.isIncomplete ?? true
        }
        guard poorer.isEmpty else {
            throw ReplicationError(
                .permanent,
                "raw of \(table.source) no longer has all columns of \(poorer.count) rows, which stay as they are",
                remedy: "compare them with the source by hand", table: table.source)
        }
        return order.count { before[$0] != after[$0] || remade.contains($0) }
    }

    /// One that doesn't fit the key's columns as they are now has no row.
    private mutating func name(scansRaw: Bool) throws {
        for given in request.keys {
            guard let key = try? names.key(given), let name = try? names.name(ofKey: key) else { continue }
            if texts[name] == nil { order.append(name) }
            for text in [key, given] where texts[name]?.contains(text) != true { texts[name, default: []].append(text) }
        }
        guard scansRaw, names.mayDiffer else { return }
        var texts = texts
        try transaction.rawKeys(request.table) { text in
            guard let name = try? names.name(ofKey: text), texts[name]?.contains(text) == false else { return }
            texts[name]?.append(text)
        }
        self.texts = texts
    }

    private struct State: Equatable {
        var version: Version
        var isDeleted: Bool
        var columnVersions: ColumnVersions
    }

    private func staged(_ batch: ChangeBatch) throws -> StagedTable {
        var staged = StagedTable(table: 0, definition: request.table)
        batch.tables = [request.table]
        for name in order {
            try CarriedColumns.appendKeyRow(texts[name]?.first ?? "", version: .all, to: &staged, batch: batch)
        }
        return staged
    }

    private func stored() throws -> [String: State] {
        let batch = ChangeBatch(capacity: 256)
        let staged = try staged(batch)
        try transaction.stage(staged, batch)
        return Dictionary(
            try transaction.storedRows(staged, sparse: false).map {
                (
                    order[$0.row],
                    State(version: $0.version, isDeleted: $0.isDeleted, columnVersions: $0.columnVersions)
                )
            }
        ) { first, _ in first }
    }

    /// Staged are the keys. Rows that raw doesn't know stay, and so do those that are newer than all that it has of them:
    /// raw may have a gap that nobody noted, and is no ground for taking anything away then.
    private mutating func remove(_ stored: [String: State], _ events: [RawEvent]) throws {
        var newest: [String: Version] = [:]
        for event in events {
            guard let key = event.key else { continue }
            newest[key] = max(newest[key] ?? .none, event.version)
        }
        let truncates = events.filter { $0.operation == .truncate }.map(\.version).max() ?? .none
        let batch = ChangeBatch(capacity: 256)
        let staged = try staged(batch)
        let rows = order.indices.filter { index in
            let name = order[index]
            guard let state = stored[name],
                let known = texts[name]?.compactMap({ newest[$0] }).max()
            else { return false }
            return state.version <= max(known, truncates)
        }
        remade = Set(rows.map { order[$0] })
        try transaction.removeRows(staged, rows)
    }

    private func apply(_ events: [RawEvent], _ state: TableState) throws {
        guard !events.isEmpty else { return }
        let raw = RawBatch(
            request.table, request.options.filter, transaction.keyEquality, request.options.excluded)
        let batch = try raw.make(whole: events)
        var applier = BatchApplier(
            layout: layout, batch: batch, advances: [], loadedAt_us: loadedAt_us, probeAll: false, refused: [:],
            isReplay: true)
        // Each event has its place in the ledger already.
        let entry = try applier.replay(0, batch.events.indices.map(Int32.init), state, transaction)
        guard entry.quarantined == 0 else {
            throw ReplicationError(
                .permanent, "\(entry.quarantined) events of raw can't be applied any more", table: request.table.source)
        }
        var record = CommitRecord()
        record.states = applier.record.states
        record.loadedAt_us = loadedAt_us
        try transaction.record(record)
    }
}

extension BatchWriter {
    /// Makes rows what raw says.
    ///
    /// - Throws: `.passing` while a source transaction comes in parts, which would have to come again.
    package mutating func refold(
        _ request: RefoldRequest, layout: WarehouseLayout, in transaction: some WarehouseTransaction,
        loadedAt_us: Int64
    ) throws -> Int {
        guard !isUnfinished else {
            throw ReplicationError(.passing, "a large source transaction is under way", remedy: "try again later")
        }
        return try Refolder.run(request, layout: layout, in: transaction, loadedAt_us: loadedAt_us)
    }
}
