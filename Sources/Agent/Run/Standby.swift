import Logging
import PipelineFile
import Postgres
import Replication

/// Waits until the agent that is at work is gone.
///
/// What only one agent can have tells it: the lock on the DuckDB file, which the kernel lets go with its process, and the
/// replication slot, which the source lets go with its connection, or `wal_sender_timeout` after the last word of an
/// agent that is frozen or cut off. Whoever is woken after that is fenced.
struct Standby: Sendable {
    /// How often it looks.
    static let pause: Duration = .seconds(1)

    let status: AgentStatus
    let logger: Logger
    let isStopping: @Sendable () -> Bool

    enum Outcome { case free, freeAtLast, stopped }

    /// Until the file can be opened; then it is.
    func open(_ warehouse: any Warehouse) async throws -> Outcome {
        try await wait {
            do {
                try await warehouse.open(readOnly: false)
                return nil
            } catch let error as ReplicationError where error.kind == .taken {
                return error.message
            }
        }
    }

    /// Until nobody streams the slot.
    func waitForSlot(of server: Pipeline.PostgresServer) async throws -> Outcome {
        let control = SourceControl(url: server.url.text)
        do {
            let outcome = try await wait {
                let slot = server.slot
                let found = try await control.with { try $0.slot(slot) }
                return found?.activePID.map { "process \($0) of the source streams the slot \(slot)" }
            }
            await control.close()
            return outcome
        } catch {
            await control.close()
            throw error
        }
    }

    /// - Parameter look: says what is in the way.
    private func wait(_ look: () async throws -> String?) async throws -> Outcome {
        var hasWaited = false
        while !isStopping() {
            do {
                guard let reason = try await look() else {
                    if hasWaited { logger.notice("the other agent is gone: taking over") }
                    return hasWaited ? .freeAtLast : .free
                }
                if !hasWaited { logger.notice("standing by: \(reason)") }
                hasWaited = true
                status.update {
                    $0.state = .standby
                    $0.waiting = "another agent is at work: \(reason)"
                }
            } catch let error as ReplicationError where error.kind == .passing && hasWaited {
                status.update { $0.waiting = error.message }
            }
            try await Task.sleep(for: Self.pause)
        }
        return .stopped
    }
}
