import Replication

/// `_millrace.checkpoints`.
enum Checkpoints {
    static let columns = """
        topic, partition, position, token, last_offset, last_hash, decoder_state, marks, \
        \(SQLText.microseconds("source_time"))
        """

    static func selectAll(_ pipeline: String) throws -> String {
        """
        SELECT \(columns) FROM \(MetaTables.name("checkpoints")) WHERE pipeline = \(try quoteLiteral(pipeline)) \
        ORDER BY topic, partition
        """
    }

    static func read(_ rows: Rows) throws -> [Checkpoint] {
        try (0..<rows.count).map { row in
            Checkpoint(
                partition: TopicPartition(topic: rows.text(row, 0), partition: Int32(rows.integer(row, 1) ?? 0)),
                position: rows.integer(row, 2), token: rows.integer(row, 3) ?? 0, lastOffset: rows.integer(row, 4),
                lastHash: rows.string(row, 5), decoderState: rows.string(row, 6),
                marks: try MetaJSON.marks(rows.string(row, 7)), sourceTime_us: rows.integer(row, 8))
        }
    }

    /// `(topic, partition) IN (…)`.
    static func among(_ partitions: [TopicPartition]) throws -> String {
        guard !partitions.isEmpty else { return "false" }
        let list = try partitions.map { "(\(try quoteLiteral($0.topic)), \($0.partition))" }
        return "(topic, partition) IN (\(list.joined(separator: ", ")))"
    }

    /// Raises tokens and gives the rows as they are then. Waits for commits that are under way.
    static func claim(
        _ session: Session, _ pipeline: String, _ partitions: [TopicPartition], owner: String
    ) throws -> [Checkpoint] {
        guard !partitions.isEmpty else { return [] }
        let values = try Set(partitions).sorted().map {
            "(\(try quoteLiteral(pipeline)), \(try quoteLiteral($0.topic)), \($0.partition), 1, \(try quoteLiteral(owner)))"
        }
        return try read(
            session.query(
                """
                INSERT INTO \(MetaTables.name("checkpoints")) AS c (pipeline, topic, partition, token, owner) \
                VALUES \(values.joined(separator: ", ")) ON CONFLICT (pipeline, topic, partition) DO UPDATE \
                SET token = c.token + 1, owner = excluded.owner, updated_at = now() RETURNING \(columns)
                """, for: "claim partitions"))
    }

    static func set(_ session: Session, _ pipeline: String, _ positions: [TopicPartition: Int64?]) throws {
        guard !positions.isEmpty else { return }
        let values = try positions.sorted { $0.key < $1.key }.map { partition, position in
            """
            (\(try quoteLiteral(pipeline)), \(try quoteLiteral(partition.topic)), \(partition.partition), 1, \
            \(SQLText.literal(position))::bigint)
            """
        }
        try session.execute(
            """
            INSERT INTO \(MetaTables.name("checkpoints")) AS c (pipeline, topic, partition, token, position) \
            VALUES \(values.joined(separator: ", ")) ON CONFLICT (pipeline, topic, partition) DO UPDATE \
            SET token = c.token + 1, position = excluded.position, last_offset = NULL, last_hash = NULL, \
            decoder_state = CASE WHEN excluded.position IS NOT NULL THEN c.decoder_state END, updated_at = now()
            """, for: "set positions")
    }
}
