import Postgres
import Replication
import Synchronization

/// Sums of a table's rows in one snapshot of the source, read in ranges of blocks by several connections that share it.
struct SourceScan {
    /// 64 MiB of heap.
    private static let blocks_max: Int64 = 8192
    /// Of a scan with a rate: it pauses between ranges.
    private static let slowBlocks_max: Int64 = 512

    let url: String
    /// As the server exported it, for as long as the transaction that did stays open.
    let snapshot: String
    let parts: [SourceServer.Part]
    /// The server reads no more of a table than a range of blocks (14 and later).
    let hasRanges: Bool
    let pace: SweepPace
    /// Is told which share of the blocks was read.
    let tell: @Sendable (Double) -> Void

    private struct Range {
        var relation: String
        var filter: String?
        var blocks: Int64
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

    func buckets(_ digest: RowDigest, by way: RowBuckets, where filter: String?) async throws -> [String: SetDigest] {
        let ranges = ranges(filter)
        let progress = Progress(ranges)
        let throttle = SweepThrottle(pace.rows_per_s)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<min(pace.workers, ranges.count) {
                group.addTask {
                    let reader = SourceSnapshot(url: url)
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
        _ reader: SourceSnapshot
    ) async throws {
        try await reader.join(snapshot)
        while let range = progress.next() {
            try Task.checkCancellation()
            let found = try SetDigest.buckets(
                try await reader.rows(digest.buckets(of: range.relation, on: .source, by: way, where: range.filter)))
            tell(progress.add(found, of: range))
            try await throttle.wait(after: found.values.reduce(0) { $0 + $1.rows })
        }
    }

    private func ranges(_ filter: String?) -> [Range] {
        let step = hasRanges ? pace.rows_per_s == nil ? Self.blocks_max : Self.slowBlocks_max : .max / 2
        return parts.flatMap { part -> [Range] in
            let relation = "ONLY \(RowDigest.quoted(part.schema)).\(RowDigest.quoted(part.name))"
            return stride(from: Int64(0), through: max(0, part.blocks - 1), by: Int(step)).map { from in
                let isLast = from + step >= part.blocks
                var conditions = filter.map { ["(\($0))"] } ?? []
                if from > 0 { conditions.append("t.ctid >= '(\(from),0)'::tid") }
                // The last goes to the end, however long the relation has become.
                if !isLast { conditions.append("t.ctid < '(\(from + step),0)'::tid") }
                return Range(
                    relation: relation, filter: conditions.isEmpty ? nil : conditions.joined(separator: " AND "),
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
