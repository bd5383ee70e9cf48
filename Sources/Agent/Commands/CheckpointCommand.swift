import JSON
import Postgres
import Replication

/// `millrace checkpoint`.
package struct CheckpointCommand: Sendable {
    package enum Action: Sendable, Equatable {
        case show
        /// - Parameter partitions: none: all that the source has, and all that have a checkpoint.
        case set(SoughtPosition, partitions: [TopicPartition])
    }

    package var action: Action
    /// The position was given as one of a Postgres server's log.
    package private(set) var isLSN = false

    package init(_ action: Action) { self.action = action }

    /// From the command line's words.
    /// - Throws: `CommandFailure` where they don't make sense.
    package init(setToOffset offset: String?, lsn: String?, time: String?, partitions: [String]) throws {
        if time != nil {
            throw CommandFailure(
                ExitStatus.usage, "checkpoint set --to-time is not built yet (not yet)",
                try: "millrace checkpoint set --to-offset earliest: what was read before is recognised")
        }
        if let lsn {
            guard offset == nil, let sought = Self.position(ofLSN: lsn) else {
                throw CommandFailure(
                    ExitStatus.usage, "checkpoint set --to-lsn wants latest or a position of the source's log",
                    try: "millrace checkpoint set --to-lsn 16/B374D848")
            }
            action = .set(sought, partitions: [])
            isLSN = true
            return
        }
        guard let offset, let sought = SoughtPosition(offset) else {
            throw CommandFailure(
                ExitStatus.usage, "checkpoint set wants --to-offset earliest, latest or a number",
                try: "millrace checkpoint set --to-offset earliest")
        }
        let named = try partitions.map { text in
            guard let partition = TopicPartition(text: text) else {
                throw CommandFailure(
                    ExitStatus.usage, "--partition \(text) names no topic and partition",
                    try: "--partition shop.public.orders:0")
            }
            return partition
        }
        if case .offset = sought, named.isEmpty {
            throw CommandFailure(
                ExitStatus.usage, "one offset for all partitions makes no sense", try: "--partition TOPIC:N")
        }
        action = .set(sought, partitions: named)
    }

    private static func position(ofLSN text: String) -> SoughtPosition? {
        switch text {
        case "latest": .latest
        case "earliest": .earliest
        default: LSN.parse(text).map(SoughtPosition.offset)
        }
    }

    package func run(_ context: CommandContext) async throws {
        let setup = try context.loadSetup()
        let isPostgres = if case .postgres = setup.pipeline.source.input { true } else { false }
        if case .set(let sought, _) = action {
            if isLSN, !isPostgres {
                throw CommandFailure(
                    ExitStatus.usage, "--to-lsn is for source.postgres",
                    try: "millrace checkpoint set --to-offset earliest")
            }
            if !isLSN, isPostgres, case .offset = sought {
                throw CommandFailure(
                    ExitStatus.usage, "a Postgres source has no offsets",
                    try: "millrace checkpoint set --to-lsn 16/B374D848")
            }
        }
        let readOnly = action == .show
        let checkpoints = try await context.withControl(setup, readOnly: readOnly) { control in
            if case .set(let sought, let partitions) = action {
                let positions = try await positions(sought, partitions, setup, control)
                try await control.set(positions: positions)
            }
            return try await control.checkpoints()
        }
        if context.json {
            context.console.result(JSONValue.array(checkpoints.map { $0.json(asLSN: isPostgres) }).serialized)
        } else {
            context.console.result(Self.table(checkpoints, asLSN: isPostgres))
        }
    }

    private func positions(
        _ sought: SoughtPosition, _ named: [TopicPartition], _ setup: PipelineSetup, _ control: any AgentControl
    ) async throws -> [TopicPartition: Int64?] {
        let look = try setup.makeLook()
        do {
            let there = try await look.partitions()
            if let unknown = named.first(where: { !there.contains($0) }) {
                throw CommandFailure(
                    ExitStatus.usage, "the source has no partition \(unknown)", try: "millrace checkpoint show")
            }
            var positions: [TopicPartition: Int64?] = [:]
            for partition in named.isEmpty ? there : named {
                positions[partition] = try await look.position(sought, of: partition)
            }
            // Those of topics that are gone are as if nothing had been read.
            if named.isEmpty {
                for checkpoint in try await control.checkpoints() where positions[checkpoint.partition] == nil {
                    positions[checkpoint.partition] = .some(nil)
                }
            }
            await look.close()
            return positions
        } catch {
            await look.close()
            throw error
        }
    }

    private static func table(_ checkpoints: [Checkpoint], asLSN: Bool) -> String {
        guard !checkpoints.isEmpty else { return "there is no checkpoint yet\n" }
        var table = TextTable(["topic", "partition", "position", "newest event", "owner's token"], right: [1, 2, 4])
        table.rows = checkpoints.sorted { $0.partition < $1.partition }.map { checkpoint in
            [
                checkpoint.partition.topic, String(checkpoint.partition.partition),
                checkpoint.position.map { asLSN ? LSN.text($0) : String($0) } ?? "-",
                checkpoint.sourceTime_us.flatMap(Moment.text) ?? "-", String(checkpoint.token),
            ]
        }
        return table.text
    }
}
