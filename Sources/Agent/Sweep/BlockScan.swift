import Replication
import Synchronization

/// Sums of a table's rows in one snapshot, read in ranges of blocks by several connections that share it.
struct BlockScan {
    /// 64 MiB of heap.
    static let blocks_max: Int64 = 8192
    /// Of a scan with a rate: it pauses between ranges.
    private static let slowBlocks_max: Int64 = 512

    /// As it stands in SQL: the table, or a leaf of it.
    struct Part {
        let relation: String
        let blocks: Int64
    }

    let side: SweepSide
    let parts: [Part]
    /// A connection with the snapshot.
    let open: @Sendable () async throws -> any SweepReader
    /// Blocks of a range.
    private let step: Int64
    let pace: SweepPace
    /// Is told which share of the blocks was read.
    let tell: @Sendable (Double) -> Void

    private struct Range {
        var relation: String
        var filter: String?
        var blocks: Int64
    }

    /// Of a warehouse's table; nil where one connection is to read it, it is no more than one range, or its engine shares the
    /// work out itself.
    ///
    /// - Parameter step: blocks of a range.
    init?(
        of relation: String, _ here: any WarehouseSnapshot, workers: Int, step: Int64 = Self.blocks_max
    ) async throws {
        guard workers > 1, let shared = try await here.shares(of: relation), shared.blocks > step else { return nil }
        side = .warehouse
        parts = [Part(relation: relation, blocks: shared.blocks)]
        open = shared.open
        pace = SweepPace(workers: workers)
        self.step = step
        tell = { _ in }
    }

    /// Of a source's.
    ///
    /// - Parameter hasRanges: the server reads no more of a table than a range of blocks (14 and later).
    init(
        _ parts: [Part], hasRanges: Bool, pace: SweepPace, tell: @escaping @Sendable (Double) -> Void,
        open: @escaping @Sendable () async throws -> any SweepReader
    ) {
        side = .source
        self.parts = parts
        self.pace = pace
        step = hasRanges ? pace.rows_per_s == nil ? Self.blocks_max : Self.slowBlocks_max : .max / 2
        self.tell = tell
        self.open = open
    }

    /// What its readers share.
    private final class Progress: Sendable {
        private let state: Mutex<(left: ArraySlice<Range>, done: Int64, sums: [String: SetDigest])>
        private let total: Int64

        init(_ ranges: [Range]) {
            total = max(1, ranges.reduce(0) { $0 + $1.blocks })
            state = Mutex((ranges[...], 0, [:]))
        }

        var sums: [String: SetDigest] { state.withLock { $0.sums } }

        func next() -> Range? { state.withLock { $0.left.popFirst() } }

        /// Gives the share that is done.
        func add(_ found: [String: SetDigest], of range: Range) -> Double {
            state.withLock { state in
                for (name, sum) in found { state.sums[name] = (state.sums[name] ?? .empty) + sum }
                state.done += range.blocks
                return Double(state.done) / Double(total)
            }
        }
    }

    /// As `buckets`; where others can't read it (no connection is left, somebody waits for the table), `reader` reads all.
    func buckets(
        _ digest: RowDigest, by way: RowBuckets, where filter: String?, elseBy reader: any SweepReader
    ) async throws -> [String: SetDigest] {
        do {
            return try await buckets(digest, by: way, where: filter)
        } catch is ReplicationError {
            try Task.checkCancellation()
            var all: [String: SetDigest] = [:]
            for part in parts {
                let sql = digest.buckets(of: part.relation, on: side, by: way, where: filter)
                for (name, sum) in try SetDigest.buckets(try await reader.rows(sql)) {
                    all[name] = (all[name] ?? .empty) + sum
                }
            }
            return all
        }
    }

    func buckets(_ digest: RowDigest, by way: RowBuckets, where filter: String?) async throws -> [String: SetDigest] {
        let ranges = ranges(filter)
        let progress = Progress(ranges)
        let throttle = SweepThrottle(pace.rows_per_s)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<min(pace.workers, ranges.count) {
                group.addTask {
                    let reader = try await open()
                    do {
                        try await read(progress, throttle, digest, way, reader)
                    } catch {
                        await reader.close()
                        throw error
                    }
                    await reader.close()
                }
            }
            try await group.waitForAll()
        }
        return progress.sums
    }

    private func read(
        _ progress: Progress, _ throttle: SweepThrottle, _ digest: RowDigest, _ way: RowBuckets,
        _ reader: any SweepReader
    ) async throws {
        while let range = progress.next() {
            try Task.checkCancellation()
            let found = try SetDigest.buckets(
                try await reader.rows(digest.buckets(of: range.relation, on: side, by: way, where: range.filter)))
            tell(progress.add(found, of: range))
            try await throttle.wait(after: found.values.reduce(0) { $0 + $1.rows })
        }
    }

    private func ranges(_ filter: String?) -> [Range] {
        parts.flatMap { part in
            stride(from: Int64(0), through: max(0, part.blocks - 1), by: Int(step)).map { from in
                let isLast = from + step >= part.blocks
                var conditions = filter.map { ["(\($0))"] } ?? []
                if from > 0 { conditions.append("t.ctid >= '(\(from),0)'::tid") }
                // The last goes to the end, however long the relation has become.
                if !isLast { conditions.append("t.ctid < '(\(from + step),0)'::tid") }
                return Range(
                    relation: part.relation, filter: conditions.isEmpty ? nil : conditions.joined(separator: " AND "),
                    blocks: isLast ? max(1, part.blocks - from) : step)
            }
        }
    }
}

extension SetDigest {
    /// By the buckets' names, of what `RowDigest.buckets` gives.
    static func buckets(_ rows: [[String?]]) throws -> [String: SetDigest] {
        var buckets: [String: SetDigest] = [:]
        for row in rows {
            guard let name = row.first ?? nil, let digest = SetDigest(row: Array(row.dropFirst())) else {
                throw ReplicationError(.invariant, "a database gave something else than a hash of a row")
            }
            buckets[name] = digest
        }
        return buckets
    }
}
