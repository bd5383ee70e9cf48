import Logging
import Replication

/// Carries approved plans out, step by step, each in one transaction: one that is killed goes on with what is left.
enum SchemaDecisions {
    /// Returns the numbers of those that can't be gone on with now; their steps say why.
    ///
    /// - Parameter only: nil: all that are approved.
    @discardableResult
    static func settle(
        _ warehouse: any Warehouse, only: Set<Int64>? = nil, logger: Logger?, now_us: Int64 = Moment.now_us()
    ) async throws -> Set<Int64> {
        var stuck: Set<Int64> = []
        for change in try await warehouse.schemaChanges()
        where change.state == .approved && only?.contains(change.id) ?? true {
            var reason: String?
            do {
                // One may have several steps, and each may change the table.
                steps: while true {
                    switch try await warehouse.carryOut(.init(.goOn, change.id, now_us: now_us)) {
                    case .done(let next) where next.state == .approved: continue
                    case .refused(let refusal): reason = refusal.message
                    case .done, .nothing: break
                    }
                    break steps
                }
            } catch let error as ReplicationError where error.mayHoldTable || error.kind == .permanent {
                // Somebody's view stands in the way, or a lock.
                reason = error.message
            }
            guard let reason else { continue }
            logger?.error("schema change \(change.id) waits: \(reason)")
            stuck.insert(change.id)
            _ = try await warehouse.carryOut(.init(.wait(reason), change.id, now_us: now_us))
        }
        return stuck
    }
}

extension SchemaChange {
    /// Something is to be done for it.
    func isDue(at now_us: Int64) -> Bool { state == .approved && now_us >= dueAt_us ?? 0 }
}
