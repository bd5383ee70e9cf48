import PipelineFile
import Postgres
import Replication

/// A Postgres source for `checkpoint` and `drop`, without streaming it.
struct PostgresLook: SourceLook {
    private let server: Pipeline.PostgresServer
    private let control: SourceControl

    init(_ server: Pipeline.PostgresServer) {
        self.server = server
        control = SourceControl(url: server.url.text)
    }

    func partitions() async throws -> [TopicPartition] { [TopicPartition(topic: server.slot, partition: 0)] }

    /// The slot's own position is the earliest that can be had. The latest is that of a slot made anew: none yet.
    func position(_ wanted: SoughtPosition, of partition: TopicPartition) async throws -> Int64? {
        let slot = server.slot
        let found = try await control.with { try $0.slot(slot) }
        switch wanted {
        case .latest: return nil
        case .earliest:
            guard let confirmed = found?.confirmed else { throw Self.gone(slot) }
            return confirmed
        case .offset(let lsn):
            guard let confirmed = found?.confirmed else { throw Self.gone(slot) }
            guard lsn >= confirmed else {
                throw CommandFailure(
                    ExitStatus.usage,
                    "the replication slot \(slot) holds changes from \(LSN.text(confirmed)) on, not from \(LSN.text(lsn))",
                    try: "millrace checkpoint set --to-lsn \(LSN.text(confirmed))")
            }
            return lsn
        }
    }

    private static func gone(_ slot: String) -> CommandFailure {
        CommandFailure(
            ExitStatus.environment, "the replication slot \(slot) is gone, or can't be used any more",
            try: "millrace drop --tables, then millrace run, which copies everything anew")
    }

    func sample() async throws -> [RecordBatch] { [] }
    func close() async { await control.close() }

    /// Takes away what the pipeline made at the source: its slot and that of a backfill which didn't end, and the
    /// publication if it has our name and owner.
    func dropObjects(pipeline: String) async throws -> [String] {
        let server = server
        return try await control.with { source in
            var dropped: [String] = []
            for name in [server.slot, BackfillCommand.slot(beside: server.slot)] {
                guard let slot = try source.slot(name) else { continue }
                if let pid = slot.activePID {
                    throw ReplicationError(
                        .environment, "the replication slot \(name) is in use by process \(pid) of the source",
                        remedy: "stop the agent that streams it, then drop the pipeline")
                }
                try source.dropSlot(name)
                dropped.append("slot \(name)")
            }
            if server.publication == "millrace_\(pipeline)", try source.publication(server.publication)?.isOwn == true {
                try source.dropPublication(server.publication)
                dropped.append("publication \(server.publication)")
            }
            return dropped
        }
    }
}
