import Foundation
import Postgres
import Replication
import SerialQueue
import Synchronization

/// The source server beside its stream, on a connection and a thread of its own.
actor SourceControl {
    private let executor = SerialQueueExecutor(label: "postgres-source")
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    private let url: String
    private var server: SourceServer?
    /// A connection stood once: the address is right.
    nonisolated let hasAnswered = Atomic<Bool>(false)

    init(url: String) { self.url = url }

    /// Runs `body` with a session that is open; the server's errors become replication's.
    func with<R: Sendable>(_ body: @Sendable (SourceServer) throws -> R) throws -> R {
        do {
            if let server, server.isUsable { return try body(server) }
            let server = try SourceServer(url: url)
            self.server = server
            hasAnswered.store(true, ordering: .releasing)
            return try body(server)
        } catch let error as PostgresError {
            throw ReplicationError(source: error)
        }
    }

    func close() {
        server?.close()
        server = nil
    }
}

/// Makes slots, and keeps an exported snapshot open, on a connection and a thread of its own: making either waits for
/// the transactions that are open at the source.
actor SnapshotHolder {
    private let executor = SerialQueueExecutor(label: "postgres-snapshot")
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    private let url: String
    private let interrupter = Interrupter()
    private var stream: ReplicationStream?

    init(url: String) { self.url = url }

    func export(slot: String) throws -> (snapshot: String, position: Int64) {
        do {
            stream?.close()
            let stream = try ReplicationStream(url: url, interrupter: interrupter)
            self.stream = stream
            return try stream.exportSnapshot(slot)
        } catch let error as PostgresError {
            throw ReplicationError(source: error)
        }
    }

    /// A slot that stays; gives where its stream begins.
    func createSlot(_ name: String) throws -> Int64 {
        do {
            let stream = try ReplicationStream(url: url, interrupter: interrupter)
            self.stream = stream
            return try stream.createSlot(name, failover: true)
        } catch let error as PostgresError {
            throw ReplicationError(source: error)
        }
    }

    nonisolated func interrupt() { interrupter.interrupt() }

    func close() {
        stream?.close()
        stream = nil
    }
}
