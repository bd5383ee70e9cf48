import PipelineFile
import Postgres
import Replication

/// `millrace query --as-of`.
extension WarehouseControl {
    /// - Throws: `.configuration` where the moment isn't understood, isn't reached, or can't be looked at by this query.
    func asOfQuery(_ sql: String, _ text: String, _ warehouse: any Warehouse) async throws -> AsOfQuery {
        let moment = try asOf(text)
        let query = try AsOfQuery(
            sql, at: moment, known: try await warehouse.knownTables(), isDirect: hasLSNs,
            refusal: AsOfRefusal(layout, text: Self.text))
        try checkReached(query, try await warehouse.checkpoints())
        return query
    }

    private func asOf(_ text: String) throws -> AsOf {
        if let position = LSN.parse(text) {
            guard hasLSNs else {
                throw ReplicationError(
                    .configuration, "--as-of takes a position of a Postgres source alone; this source has other ones",
                    remedy: "--as-of with a time of the source, as 2026-05-01T10:00:00Z")
            }
            // Behind a page's header the log is where it was before it.
            return .position(LSN.settled(position))
        }
        guard let time_us = microseconds(ofMoment: text) else {
            throw ReplicationError(
                .configuration, "--as-of is neither a position of the source's log nor a time",
                remedy: hasLSNs ? "--as-of 0/16B3748, or --as-of 2026-05-01T10:00:00Z" : "--as-of 2026-05-01T10:00:00Z")
        }
        return .time(time_us)
    }

    static func text(_ moment: AsOf) -> String {
        switch moment {
        case .position(let position): LSN.text(position)
        case .time(let time_us): Moment.text(time_us) ?? ""
        }
    }

    /// What isn't here yet may be of before then.
    private func checkReached(_ query: AsOfQuery, _ checkpoints: [Checkpoint]) throws {
        for table in query.tables {
            let own = checkpoints.filter { $0.partition.topic == slot || $0.marks[table.source] != nil }
            let reached: AsOf?
            switch query.moment {
            // Of a backfill's slot and the pipeline's, the one that went further has told all that was before.
            case .position: reached = own.compactMap(\.position).max().map(AsOf.position)
            case .time:
                let times = own.map(\.sourceTime_us)
                reached =
                    (hasLSNs
                    ? times.compactMap { $0 }.max()
                        // More may come of the newest event's own millisecond.
                    : times.contains(nil) ? nil : times.compactMap { $0 }.min().map { $0 - 1 }).map(AsOf.time)
            }
            guard let reached else {
                throw ReplicationError(
                    .configuration, "nothing has come of \(table.source) that tells how far the warehouse is",
                    remedy: "millrace status", table: table.source)
            }
            guard !query.moment.isBehind(reached) else {
                let what = if case .position = reached { "it has read" } else { "the newest event that it has is of" }
                throw ReplicationError(
                    .configuration,
                    """
                    the warehouse hasn't reached \(Self.text(query.moment)) yet, or can't tell: \(what) \
                    \(Self.text(reached))
                    """, remedy: "try again later, or --as-of '\(Self.text(reached))'")
            }
        }
    }
}
