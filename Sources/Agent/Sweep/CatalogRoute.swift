import Kafka
import Logging
import PipelineFile
import Postgres
import Replication

/// Debezium's way: the connector's slot, the topics, and the agents of the pipeline. What a snapshot shows has come once the
/// slot has confirmed its position and all that the topics held then is durable. A version's commit is that of the
/// transaction before, so what the snapshot doesn't show is told by transaction ids, which raw has.
actor CatalogRoute: SweepRoute {
    nonisolated let publication: String? = nil
    /// How far clocks of agents may be apart.
    private static let clocks_us: Int64 = 600_000_000

    private let warehouse: any Warehouse
    private let layout: WarehouseLayout
    private let kafka: Pipeline.Kafka
    private let control: SourceControl
    let consumer: Consumer

    /// - Parameter url: of the catalog database.
    init(_ setup: PipelineSetup, _ kafka: Pipeline.Kafka, url: String, warehouse: any Warehouse) throws {
        self.warehouse = warehouse
        layout = setup.layout
        self.kafka = kafka
        control = SourceControl(url: url)
        consumer = try Consumer(kafka, logger: setup.logger)
    }

    func close() async {
        await control.close()
        await consumer.close()
    }

    // MARK: Coming there

    func arrive(at moment: SourceSnapshot.Moment) async throws -> SourceSnapshot.Moment {
        try await waitForConnector(moment.position)
        let ends = try await ends()
        try await wait("the warehouse hasn't come to the topics' ends", "see what holds it up: millrace status") {
            var positions: [TopicPartition: Int64] = [:]
            for checkpoint in try await warehouse.checkpoints() {
                positions[checkpoint.partition] = checkpoint.position
            }
            return (
                ends.allSatisfy { (positions[$0.key] ?? 0) >= $0.value }, positions.values.reduce(0, +)
            )
        }
        return moment
    }

    private func waitForConnector(_ position: Int64) async throws {
        let remedy = """
            see that the connector runs, and that an idle source's slot moves: heartbeat.interval.ms, and \
            heartbeat.action.query where other databases write; then sweep again
            """
        try await wait("not proven: the connector hasn't confirmed \(LSN.text(position))", remedy) {
            let confirmed = try await connectorPosition()
            return (confirmed >= position, confirmed)
        }
    }

    /// What the connector's slot has confirmed.
    private func connectorPosition() async throws -> Int64 {
        let named = kafka.connectorSlot
        let slots = try await control.with { server in
            let rows = try server.session.query(
                """
                SELECT slot_name, (confirmed_flush_lsn - '0/0')::bigint FROM pg_replication_slots \
                WHERE slot_type = 'logical' AND NOT temporary AND database = current_database() ORDER BY 1
                """, for: "look for the connector's slot")
            return (0..<rows.count).map { row -> (name: String, confirmed: Int64?) in
                (rows.string(row, 0) ?? "", rows.integer(row, 1))
            }
        }
        let name = named ?? (slots.count == 1 ? slots[0].name : "debezium")
        let found = slots.filter { $0.name == name }
        guard let slot = found.first, let confirmed = slot.confirmed else {
            throw ReplicationError(
                .environment,
                named.map { "not proven: the catalog's database has no slot \($0)" }
                    ?? "not proven: which of \(slots.count) slots of the catalog's database is the connector's isn't known",
                remedy: "name it: source: { kafka: { connector_slot: debezium } }")
        }
        return confirmed
    }

    /// Of all partitions that the pipeline reads, those that it hasn't seen yet too.
    private func ends() async throws -> [TopicPartition: Int64] {
        let topics = Set(
            try await warehouse.checkpoints().map(\.partition.topic).filter { !$0.contains(":") })
        let counts = try await consumer.topics()
        let partitions = topics.sorted().flatMap { topic in
            (0..<(counts[topic] ?? 0)).map { TopicPartition(topic: topic, partition: Int32($0)) }
        }
        return try await consumer.watermarks(of: partitions).mapValues(\.high)
    }

    /// - Parameter look: whether it is there, and a number that rises while it comes nearer.
    private func wait(
        _ what: String, _ remedy: String, until look: () async throws -> (isThere: Bool, progress: Int64)
    ) async throws {
        let deadline = ContinuousClock.now + SweepPatience.arrival
        var last: (progress: Int64, at: ContinuousClock.Instant)?
        while true {
            let (isThere, progress) = try await look()
            if isThere { return }
            if last?.progress != progress { last = (progress, .now) }
            let still = ContinuousClock.now - (last?.at ?? .now)
            guard ContinuousClock.now < deadline, still < SweepPatience.stillness else {
                throw ReplicationError(
                    .environment, "\(what), and nothing has moved for \(still.pipelineText)", remedy: remedy)
            }
            try await Task.sleep(for: .milliseconds(100))
        }
    }

    // MARK: What the snapshot doesn't show

    /// By the versions of raw's events: a row has that of its newest. What a snapshot or a copy read, and what tells no
    /// transaction, isn't judged by that: it is looked at again in a snapshot that is newer for certain.
    nonisolated func touched(since moment: SourceSnapshot.Moment, _ table: TableDefinition) throws -> String {
        let extent = try Self.extent(moment)
        let cycle: Int64 = 1 << 32
        let end = extent.xmax % cycle
        let isLater = "((r.source_tx % \(cycle)) - \(end) + \(2 * cycle)) % \(cycle) < \(cycle / 2)"
        let running = extent.running.map { String($0 % cycle) }.sorted()
        let wasRunning =
            running.isEmpty ? "" : " OR (r.source_tx % \(cycle)) IN (\(running.joined(separator: ", ")))"
        let (commit, seq) = ("\"\(MetadataNames.commit)\"", "\"\(MetadataNames.seq)\"")
        return """
            (t.\(commit), t.\(seq)) IN (SELECT r.\(commit), r.\(seq) FROM \(layout.raw(of: table)) AS r \
            WHERE r.loaded_at >= \(RowDigest.moment(moment.takenAt_us - Self.clocks_us)) AND CASE \
            WHEN r.op = 'r' OR r.source_tx IS NULL THEN r.loaded_at >= \(RowDigest.moment(moment.takenAt_us)) \
            ELSE \(isLater)\(wasRunning) END)
            """
    }

    nonisolated func unseen(since moment: SourceSnapshot.Moment) throws -> RowMend.Unseen {
        .outside(
            try Self.extent(moment), from_us: moment.takenAt_us - Self.clocks_us, taken_us: moment.takenAt_us)
    }

    private static func extent(_ moment: SourceSnapshot.Moment) throws -> SnapshotExtent {
        guard let extent = SnapshotExtent(moment.snapshot) else {
            throw ReplicationError(.invariant, "the catalog named a snapshot in a way that isn't known")
        }
        return extent
    }

    /// Of a row of which nothing is known whatever may come is newer.
    nonisolated func version(at moment: SourceSnapshot.Moment) -> (commit: Int64, isAboveStored: Bool) { (0, true) }

    /// Rows that were meant to differ, and those whose next event can't be told from what is written now.
    nonisolated func refusal(_ sweep: TableSweep, _ here: any WarehouseSnapshot) async throws -> String? {
        let differing = sweep.record.different
        if differing >= Self.masked_min, Int64(differing) * 2 > sweep.record.rows {
            return """
                more than half of its rows differ, as where the connector masks or changes a column: leave such columns out \
                (tables: columns: exclude), or fill the table by millrace backfill
                """
        }
        let unnamed = """
            SELECT 1 FROM \(layout.raw(of: sweep.definition)) AS r WHERE r.source_tx IS NULL \
            AND (r.op IN ('c', 'u') OR (r.op = 'd' AND r.before IS NULL)) LIMIT 1
            """
        guard try await here.rows(unnamed).isEmpty else {
            return
                "its events don't tell their transactions (source.txId), so the next one could be taken for an older one"
        }
        return nil
    }

    private static let masked_min = 20
}
