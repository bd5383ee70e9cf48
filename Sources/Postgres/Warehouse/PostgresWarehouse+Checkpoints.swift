import Replication

extension PostgresWarehouse {
    package func claim(_ partitions: [TopicPartition], owner: String) async throws -> [Checkpoint] {
        try work { session in
            try session.transaction(for: "claim partitions") {
                try Checkpoints.claim(session, layout.pipeline, partitions, owner: owner)
            }
        }
    }

    package func checkpoints() async throws -> [Checkpoint] {
        try read(orNothing: []) { session in
            try Checkpoints.read(
                session.query(try Checkpoints.selectAll(layout.pipeline), for: "read the checkpoints"))
        }
    }

    package func set(positions: [TopicPartition: Int64?]) async throws {
        try work { session in
            try session.transaction(for: "set positions") {
                try Checkpoints.set(session, layout.pipeline, positions)
            }
        }
    }
}
