import Replication

extension Sweeper {
    /// Writes the rows that differed as the source has them.
    ///
    /// - Returns: tables of which that wasn't done with all rows.
    func mend(_ tables: [TableID]) async throws -> [TableID: Unmended] {
        var wrong: [TableID: [[String]]] = [:]
        var unmended: [TableID: Unmended] = [:]
        for table in tables {
            guard let sweep = findings[table] else { continue }
            if sweep.isCut || sweep.differing.count > RowMender.rows_max {
                unmended[table] = Unmended("too many of its rows differ to be mended one by one", wantsCopy: true)
            } else if !sweep.hasReadableKey {
                unmended[table] = Unmended("the warehouse has only a hash of its key", wantsCopy: true)
            } else {
                wrong[table] = sweep.differing
            }
        }
        let mender = RowMender(setup: setup, warehouse: warehouse, route: route)
        try await withSource { source in
            for _ in 1...Self.rounds_max where !wrong.isEmpty {
                // An idle source's log may stand where it stood when a row was written last.
                if route is DirectRoute { try await source.moveLog() }
                let (moment, here) = try await take(source)
                do {
                    for (table, keys) in wrong.sorted(by: { $0.key < $1.key }) {
                        guard let sweep = findings[table] else { continue }
                        progress("mending \(keys.count) rows of \(table)")
                        var left: [[String]] = []
                        let reason = try await alone(source, here) {
                            if let reason = try await route.refusal(sweep, here) { return reason }
                            left = try await mender.mend(keys, of: sweep, at: moment, source, here)
                            return nil
                        }
                        unmended[table] = reason.map { Unmended($0) }
                        wrong[table] = left.isEmpty ? nil : left
                    }
                } catch {
                    await here.close()
                    throw error
                }
                await here.close()
            }
        }
        for (table, keys) in wrong {
            unmended[table] = Unmended("\(keys.count) rows had changed whenever they were read")
        }
        return unmended
    }
}

/// Why rows of a table weren't mended.
package struct Unmended: Sendable, Equatable {
    package var reason: String
    /// It should be copied anew.
    package var wantsCopy: Bool

    package init(_ reason: String, wantsCopy: Bool = false) {
        self.reason = reason
        self.wantsCopy = wantsCopy
    }
}
