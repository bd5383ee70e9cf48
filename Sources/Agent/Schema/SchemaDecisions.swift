import Logging
import Replication

/// Carries approved plans out, step by step, each in one transaction: one that is killed goes on with what is left.
enum SchemaDecisions {
    /// Returns the numbers of those that can't be gone on with now.
    @discardableResult
    static func settle(
        _ warehouse: any Warehouse, logger: Logger?, now_us: Int64 = Moment.now_us()
    ) async throws -> Set<Int64> {
        var stuck: Set<Int64> = []
        for change in try await warehouse.schemaChanges() where change.state == .approved {
            var change = change
            // One may have several steps, and each may change the table.
            while change.state == .approved {
                let definition = try await warehouse.knownTables().first { $0.source == change.table }
                let step: SchemaStep?
                do throws(SchemaPlan.Refusal) {
                    step = try SchemaPlan.step(change, definition, now_us: now_us)
                } catch {
                    logger?.error("schema change \(change.id): \(error.message)", metadata: ["try": "\(error.remedy)"])
                    stuck.insert(change.id)
                    break
                }
                guard let step else { break }
                do {
                    try await warehouse.carryOut(step)
                } catch let error as ReplicationError where error.mayHoldTable || error.kind == .permanent {
                    // Somebody's view stands in the way, or a lock: it is tried again by the next start.
                    logger?.error("schema change \(change.id) waits: \(error.message)")
                    stuck.insert(change.id)
                    break
                }
                change = step.change
            }
        }
        return stuck
    }
}

extension SchemaChange {
    /// Something is to be done for it.
    func isDue(at now_us: Int64) -> Bool { state == .approved && now_us >= dueAt_us ?? 0 }
}
