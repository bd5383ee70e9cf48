import Postgres
import Replication

/// A row that isn't the same on both sides. Keys are for the one who asked: they aren't logged or stored.
package struct SweepDifference: Sendable, Hashable {
    package enum Kind: String, Sendable, CaseIterable {
        /// The source has it, and the warehouse has no live row of its key.
        case missing
        /// It is one that the warehouse has as deleted.
        case wronglyDeleted = "wrongly_deleted"
        /// The warehouse shows it, and the source hasn't got it.
        case extra
        /// It is one whose delete is in raw.
        case undeleted
        case different
    }

    package var kind: Kind
    /// Canonical texts of the key's columns.
    package var key: [String]
    /// Of a different row: which of its columns differ.
    package var columns: [String] = []
}

/// The comparison of one table, over as many snapshots as it takes until its rows were looked at in quiet.
struct TableSweep {
    /// Differences that are told with their keys; more are counted.
    static let told_max = 1000
    /// Rows that one query looks up by their keys.
    static let keys_max = 2000
    /// Rows that are listed at a time where buckets differ.
    private static let listed_max: Int64 = 200_000
    /// Rows changed while a snapshot was taken, at most; each is kept by its key.
    private static let touched_max = 500_000
    /// Rows that differ, at most: with more the table is wrong, not rows of it.
    private static let open_max = 200_000

    let definition: TableDefinition
    let digest: RowDigest
    /// What current is compared with, and in whose words.
    let relation: String
    let side: SweepSide
    let filter: String?
    let current: String
    let isLive: String
    let isDeleted: String
    private let loadedAt: String
    private(set) var record: SweepRecord
    var differences: [SweepDifference] = []
    /// Of all of them.
    private(set) var differing: [[String]] = []

    /// So many rows differ that not all were listed.
    private(set) var isCut = false
    /// Keys whose rows are to be looked at again, with what was seen last: true where they differed.
    private(set) var open: [[String]: Bool] = [:]
    /// Sums over what both sides had in quiet.
    private var source = SetDigest.empty
    private var warehouse = SetDigest.empty

    /// - Parameters:
    ///   - source: the source's columns by name.
    ///   - excluded: columns of the source that the warehouse hasn't got on purpose.
    ///   - filter: the publication's, as SQL.
    init(
        _ definition: TableDefinition, source: (types: [String: ColumnType], isPlain: Bool), hashed: Set<String>,
        excluded: Set<String>, filter: String?,
        layout: WarehouseLayout, engine: String, hashing: RowHash, moment: SourceSnapshot.Moment, startedAt_us: Int64
    ) {
        self.definition = definition
        self.filter = filter
        side = .source
        let types = source.types
        digest = RowDigest(
            definition, source: types, hashed: hashed, engine: engine, isSourceUTF8: moment.isUTF8, hashing: hashing)
        let quoted = RowDigest.quoted
        relation =
            (source.isPlain ? "ONLY " : "") + "\(quoted(definition.source.schema)).\(quoted(definition.source.table))"
        current = "\(quoted(layout.current)).\(quoted(definition.target))"
        isLive = "t.\(quoted(definition.metadata.isDeleted)) IS NOT TRUE"
        isDeleted = "t.\(quoted(definition.metadata.isDeleted)) IS TRUE"
        loadedAt = quoted(definition.metadata.loadedAt)
        let extra = types.keys.filter { name in
            !excluded.contains(name) && !definition.columns.contains { $0.nameAtSource == name }
        }.sorted()
        record = SweepRecord(
            table: definition.source, startedAt_us: startedAt_us, finishedAt_us: startedAt_us,
            snapshot: moment.snapshot, position: moment.position, rows: 0, columns: digest.columns.map(\.name),
            uncovered: digest.uncovered.map(\.name) + extra, digestSource: "", digestWarehouse: "", missing: 0,
            extra: 0, different: 0, moved: 0)
    }

    /// Of a fold of the table's raw, which stands in a second warehouse of the same engine.
    ///
    /// - Parameter relation: its current.
    init(
        fold definition: TableDefinition, _ relation: String, layout: WarehouseLayout, engine: String,
        startedAt_us: Int64
    ) {
        self.definition = definition
        side = .warehouse
        digest = RowDigest(folded: definition, engine: engine)
        let quoted = RowDigest.quoted
        self.relation = relation
        let deleted = "t.\(quoted(definition.metadata.isDeleted))"
        isDeleted = "\(deleted) IS TRUE"
        filter = "\(deleted) IS NOT TRUE"
        current = "\(quoted(layout.current)).\(quoted(definition.target))"
        loadedAt = quoted(definition.metadata.loadedAt)
        // What stood there before its table was replicated is in nobody's raw.
        isLive = "\(deleted) IS NOT TRUE AND t.\(quoted(MetadataNames.commit)) IS NOT NULL"
        record = SweepRecord(
            table: definition.source, startedAt_us: startedAt_us, finishedAt_us: startedAt_us,
            snapshot: SweepRecord.fold, position: 0, rows: 0, columns: digest.columns.map(\.name),
            uncovered: digest.uncovered.map(\.name), digestSource: "", digestWarehouse: "", missing: 0, extra: 0,
            different: 0, moved: 0)
    }

    /// The key's values are the source's own.
    var hasReadableKey: Bool { !digest.columns.contains { $0.isKey && $0.isHashed } }

    /// Only rows of the last so many seconds are compared.
    mutating func limit(to_s recent_s: Int) { record.snapshot = SweepRecord.recent(recent_s, record.snapshot) }

    /// All of the key can be told on both sides.
    var hasKey: Bool { digest.columns.count(where: \.isKey) == definition.key.count && !definition.isKeyless }

    // MARK: The whole table

    /// Sums of both sides without the rows that were changed meanwhile; where they differ, the rows are listed.
    ///
    /// - Parameters:
    ///   - touched: SQL, true of rows of current (`t`) that were changed meanwhile.
    ///   - scan: reads the source by several connections.
    mutating func begin(
        touched isTouched: String, _ source: any SweepReader, _ here: any WarehouseSnapshot, scan: BlockScan? = nil
    ) async throws {
        let way = try await ranges(source, here)
        if try await !sum(by: way, isTouched, source, here, scan) {
            // Keys that lie together in a few of the ranges.
            _ = try await sum(by: .hash, isTouched, source, here, scan)
        }
    }

    /// Over the keys of both sides: neither has more buckets than there are to be.
    private func ranges(_ source: any SweepReader, _ here: any SweepReader) async throws -> RowBuckets {
        guard let theirs = digest.bounds(of: relation, on: side), let mine = digest.bounds(of: current, on: .warehouse)
        else { return .hash }
        let cells = try await source.rows(theirs) + here.rows(mine)
        let keys = cells.joined().compactMap { $0.flatMap { Int64($0) } }
        guard let low = keys.min(), let high = keys.max() else { return .hash }
        return .ranges(from: low, to: high)
    }

    /// False: a bucket that differs has too many rows to list.
    private mutating func sum(
        by way: RowBuckets, _ isTouched: String, _ source: any SweepReader, _ here: any WarehouseSnapshot,
        _ scan: BlockScan?
    ) async throws -> Bool {
        let quiet = "\(isLive) AND (\(isTouched)) IS NOT TRUE"
        // Beside each other: neither waits for the other's processor.
        async let theirSums = sums(of: source, way, scan)
        var mine = try await mySums(way, here, workers: scan?.pace.workers ?? 1, where: quiet)
        let touchedRows = try await here.rows(
            digest.rows(of: current, on: .warehouse, where: isTouched) + " LIMIT \(Self.touched_max + 1)")
        guard touchedRows.count <= Self.touched_max else {
            throw ReplicationError(
                .passing,
                "\(definition.source): more than \(Self.touched_max) rows changed while its snapshot was taken",
                remedy: "sweep again when fewer change", table: definition.source)
        }
        let touched = Set(try touchedRows.map(key))
        var theirs = try await theirSums
        record.rows = theirs.values.reduce(0) { $0 + $1.rows }
        for (key, hash) in try await lookUp(
            Array(touched), of: relation, on: side, filter, { try await source.rows($0) })
        {
            guard let bucket = way.name(ofKey: key, hash: hash) else { throw Self.noHash }
            theirs[bucket] = (theirs[bucket] ?? .empty) - (try Self.one(hash))
        }
        for key in touched { open[key] = false }

        var unequal: [(name: String, rows: Int64)] = []
        var equal = SetDigest.empty
        for name in Set(mine.keys).union(theirs.keys).sorted() {
            let (a, b) = (theirs[name] ?? .empty, mine[name] ?? .empty)
            if a == b {
                equal = equal + a
            } else {
                unequal.append((name, max(a.rows, 0) + b.rows))
            }
        }
        guard way == .hash || unequal.allSatisfy({ $0.rows <= Self.listed_max }) else { return false }
        self.source = self.source + equal
        warehouse = warehouse + equal
        mine = [:]
        theirs = [:]
        while !unequal.isEmpty {
            guard open.count - touched.count < Self.open_max else {
                // As they are, without another look: so many aren't the doing of a moment.
                record.different = open.count { $0.value }
                open = [:]
                isCut = true
                return true
            }
            var names: [String] = []
            var rows: Int64 = 0
            while let next = unequal.last, names.isEmpty || rows + next.rows <= Self.listed_max {
                names.append(next.name)
                rows += next.rows
                unequal.removeLast()
            }
            try await list(names, way, quiet, touched, source, here)
        }
        return true
    }

    /// Of the rows that the other side has, deleted ones too, and of no others.
    mutating func begin(allOf source: any SweepReader) async throws {
        let found = try await source.rows(digest.rows(of: relation, on: side) + " LIMIT \(Self.touched_max + 1)")
        guard found.count <= Self.touched_max else { throw tooMany }
        for row in found { open[try key(row)] = false }
        record.rows = Int64(open.count)
    }

    private var tooMany: ReplicationError {
        ReplicationError(
            .environment, "\(definition.source): more than \(Self.touched_max) rows changed in that time",
            remedy: "millrace sweep, of whole tables, or a shorter time", table: definition.source)
    }

    private func sums(
        of source: any SweepReader, _ way: RowBuckets, _ scan: BlockScan?
    ) async throws -> [String: SetDigest] {
        if let scan { return try await scan.buckets(digest, by: way, where: filter) }
        return try SetDigest.buckets(
            try await source.rows(digest.buckets(of: relation, on: side, by: way, where: filter)))
    }

    private func mySums(
        _ way: RowBuckets, _ here: any WarehouseSnapshot, workers: Int, where filter: String
    ) async throws -> [String: SetDigest] {
        if let scan = try await BlockScan(of: current, here, workers: workers) {
            return try await scan.buckets(digest, by: way, where: filter, elseBy: here)
        }
        return try SetDigest.buckets(
            try await here.rows(digest.buckets(of: current, on: .warehouse, by: way, where: filter)))
    }

    /// Of rows about which something came since then alone: those of current, and where raw is at hand those that it has
    /// events of.
    ///
    /// - Parameters:
    ///   - since_us: the agent's time.
    ///   - raw: the table's raw.
    mutating func begin(recent since_us: Int64, raw: String?, _ here: any WarehouseSnapshot) async throws {
        var found = Set(
            try await here.rows(
                digest.rows(of: current, on: .warehouse, where: "t.\(loadedAt) >= \(RowDigest.moment(since_us))")
                    + " LIMIT \(Self.touched_max + 1)"
            ).map(key))
        if let raw, let sql = digest.keys(inRaw: raw, since_us: since_us) {
            found.formUnion(
                try await here.rows(sql + " LIMIT \(Self.touched_max + 1)").map { try key($0 + [nil]) })
        }
        guard found.count <= Self.touched_max else { throw tooMany }
        for key in found { open[key] = false }
        record.rows = Int64(found.count)
    }

    /// Rows of the buckets, on both sides; those whose hashes aren't the same stay open.
    private mutating func list(
        _ buckets: [String], _ way: RowBuckets, _ quiet: String, _ touched: Set<[String]>, _ source: any SweepReader,
        _ here: any WarehouseSnapshot
    ) async throws {
        var theirs: [[String]: String] = [:]
        async let theirRows = source.rows(
            digest.rows(of: relation, on: side, buckets: buckets, by: way, where: filter))
        let myRows = try await here.rows(
            digest.rows(of: current, on: .warehouse, buckets: buckets, by: way, where: quiet))
        for row in try await theirRows {
            let key = try key(row)
            if !touched.contains(key) { theirs[key] = row.last ?? nil }
        }
        for row in myRows {
            let key = try key(row)
            if let hash = theirs[key], hash == row.last ?? nil {
                self.source = self.source + (try Self.one(hash))
                warehouse = warehouse + (try Self.one(hash))
                theirs[key] = nil
            } else {
                // Of two rows of one key in the warehouse, too.
                open[key] = true
            }
        }
        for key in theirs.keys { open[key] = true }
    }

    // MARK: Single rows

    /// Looks at the open rows again, in newer snapshots.
    ///
    /// - Parameter isLast: what differed and wasn't seen in quiet since is told as moved.
    mutating func look(
        touched isTouched: String, _ source: any SweepReader, _ here: any WarehouseSnapshot, isLast: Bool
    ) async throws {
        let keys = open.keys.sorted { $0.lexicographicallyPrecedes($1) }
        for start in stride(from: 0, to: keys.count, by: Self.keys_max) {
            let part = Array(keys[start..<min(start + Self.keys_max, keys.count)])
            let chosen = digest.filter(keys: part, on: .warehouse)
            let touched = Set(
                try await here.rows(
                    digest.rows(
                        of: current, on: .warehouse, where: "(\(chosen)) AND (\(isTouched))")
                ).map(key))
            let mine = Dictionary(
                grouping: try await lookUp(part, of: current, on: .warehouse, isLive, { try await here.rows($0) }),
                by: \.key
            ).mapValues { $0.map(\.hash) }
            let theirs = Dictionary(
                grouping: try await lookUp(part, of: relation, on: side, filter, { try await source.rows($0) }),
                by: \.key
            ).mapValues { $0.map(\.hash) }
            for key in part where !touched.contains(key) {
                let (a, b) = (theirs[key] ?? [], mine[key] ?? [])
                // Once isn't enough: it is looked at again.
                guard a == b || open[key] == true else {
                    open[key] = true
                    continue
                }
                self.source = try a.reduce(self.source) { $0 + (try Self.one($1)) }
                warehouse = try b.reduce(warehouse) { $0 + (try Self.one($1)) }
                if a != b { note(key, a, b) }
                open[key] = nil
            }
        }
        guard isLast else { return }
        record.moved = open.count
        open = [:]
    }

    private mutating func note(_ key: [String], _ theirs: [String], _ mine: [String]) {
        let kind: SweepDifference.Kind =
            mine.isEmpty ? .missing : theirs.isEmpty || mine.count > theirs.count ? .extra : .different
        switch kind {
        case .missing, .wronglyDeleted: record.missing += 1
        case .extra, .undeleted: record.extra += 1
        case .different: record.different += 1
        }
        differing.append(key)
        if differences.count < Self.told_max { differences.append(SweepDifference(kind: kind, key: key)) }
    }

    /// - Parameter repaired: differences that were mended before; those that are left aren't.
    mutating func finish(at now_us: Int64, repaired: Int) {
        record.repaired = max(0, repaired - record.differences)
        record.finishedAt_us = now_us
        record.digestSource = Self.text(source)
        record.digestWarehouse = Self.text(warehouse)
    }

    private static func text(_ digest: SetDigest) -> String { "\(digest.rows):\(digest.high):\(digest.low)" }

    // MARK: Rows

    func key(_ row: [String?]) throws -> [String] {
        let texts = row.dropLast().compactMap { $0 }
        guard texts.count == definition.key.count else {
            throw ReplicationError(
                .permanent, "\(definition.source): a row has no key, so it can't be compared", table: definition.source)
        }
        return texts
    }

    /// The rows of these keys and no others, some thousands at a time.
    private func lookUp(
        _ keys: [[String]], of relation: String, on side: SweepSide, _ filter: String?,
        _ read: (String) async throws -> [[String?]]
    ) async throws -> [(key: [String], hash: String)] {
        var found: [(key: [String], hash: String)] = []
        for start in stride(from: 0, to: keys.count, by: Self.keys_max) {
            let part = Array(keys[start..<min(start + Self.keys_max, keys.count)])
            let wanted = Set(part)
            let chosen = digest.filter(keys: part, on: side)
            let all = filter.map { "(\(chosen)) AND (\($0))" } ?? chosen
            for row in try await read(digest.rows(of: relation, on: side, where: all)) {
                let key = try key(row)
                if wanted.contains(key), let hash = row.last ?? nil { found.append((key, hash)) }
            }
        }
        return found
    }

    private static func one(_ hash: String) throws -> SetDigest {
        guard let digest = SetDigest(hash: hash) else { throw noHash }
        return digest
    }

    private static let noHash = ReplicationError(.invariant, "a database gave something else than a hash of a row")
}
