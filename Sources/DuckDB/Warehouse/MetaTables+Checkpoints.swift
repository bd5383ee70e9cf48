import Replication

extension MetaTables {
    /// All checkpoints of a pipeline.
    static func checkpoints(_ runner: some StatementRunner, _ pipeline: String) throws -> [Checkpoint] {
        var checkpoints: [Checkpoint] = []
        try runner.forEachChunk(
            """
            SELECT topic, partition, position, token, last_offset, last_hash, decoder_state, marks, source_time \
            FROM \(name("checkpoints")) WHERE pipeline = ? ORDER BY topic, partition
            """, [.text(pipeline)], purpose: "reading checkpoints"
        ) { chunk in
            for row in 0..<chunk.rowCount {
                checkpoints.append(
                    Checkpoint(
                        partition: TopicPartition(topic: chunk.string(0, row), partition: chunk.int32(1, row)),
                        position: chunk.integer(2, row), token: chunk.integer(3, row) ?? 0,
                        lastOffset: chunk.integer(4, row), lastHash: chunk.text(5, row),
                        decoderState: chunk.text(6, row), marks: try MetaJSON.marks(chunk.text(7, row)),
                        sourceTime_us: chunk.integer(8, row)))
            }
        }
        return checkpoints
    }

    /// Writes the given checkpoints over the stored ones of the same partitions; the rows must be there.
    static func update(
        _ runner: some StatementRunner, _ pipeline: String, _ checkpoints: [Checkpoint], owner: String? = nil,
        updatedAt_us: Int64
    ) throws {
        // In pieces, so that a statement's parameters stay few.
        var rest = checkpoints[...]
        while !rest.isEmpty {
            let some = rest.prefix(64)
            rest = rest.dropFirst(64)
            let row = """
                (?::VARCHAR, ?::INTEGER, ?::BIGINT, ?::BIGINT, ?::BIGINT, ?::VARCHAR, ?::VARCHAR, ?::VARCHAR, ?::BIGINT)
                """
            var parameters: [Parameter] = []
            for checkpoint in some {
                parameters += [
                    .text(checkpoint.partition.topic), .int64(Int64(checkpoint.partition.partition)),
                    checkpoint.position.parameter, .int64(checkpoint.token), checkpoint.lastOffset.parameter,
                    checkpoint.lastHash.parameter, checkpoint.decoderState.parameter,
                    .text(MetaJSON.text(marks: checkpoint.marks)), checkpoint.sourceTime_us.parameter,
                ]
            }
            let setOwner = owner == nil ? "" : "owner = ?, "
            let changed = try runner.execute(
                """
                UPDATE \(name("checkpoints")) AS c SET \(setOwner)position = v.position, token = v.token, \
                last_offset = v.last_offset, last_hash = v.last_hash, decoder_state = v.decoder_state, \
                marks = v.marks, source_time = make_timestamptz(v.source_time), \
                updated_at = make_timestamptz(?::BIGINT) \
                FROM (VALUES \(some.map { _ in row }.joined(separator: ", "))) AS v(topic, partition, position, token, \
                last_offset, last_hash, decoder_state, marks, source_time) \
                WHERE c.pipeline = ? AND c.topic = v.topic AND c.partition = v.partition
                """, (owner.map { [.text($0)] } ?? []) + [.int64(updatedAt_us)] + parameters + [.text(pipeline)],
                purpose: "writing checkpoints")
            guard changed == some.count else {
                throw ReplicationError(
                    .invariant, "\(changed) checkpoints were written where \(some.count) should be")
            }
        }
    }

    /// Makes a row for each partition that has none.
    static func insert(
        _ session: Session, _ pipeline: String, _ partitions: [TopicPartition]
    ) throws {
        for partition in partitions {
            try session.execute(
                """
                INSERT INTO \(name("checkpoints")) (pipeline, topic, partition, token, marks) VALUES (?, ?, ?, 0, '{}')
                """, [.text(pipeline), .text(partition.topic), .int64(Int64(partition.partition))],
                purpose: "writing checkpoints")
        }
    }
}

extension Int64? {
    var parameter: Parameter { map(Parameter.int64) ?? .null }
}

extension String? {
    var parameter: Parameter { map(Parameter.text) ?? .null }
}
