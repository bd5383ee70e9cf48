import Replication

/// Partitions come and go, and are told where they can't be read on.
extension Replicator {
    func take(_ partitions: [TopicPartition]) async throws {
        try await drain()
        let checkpoints = try await retrying("claiming partitions") { [warehouse, settings] in
            try await warehouse.claim(partitions, owner: settings.owner)
        }
        // Whoever begins an epoch later on fences this claim.
        let epochs = try await retrying("reading the epochs") { [warehouse] in try await warehouse.epochs() }
        decoder?.take(epochs)
        noteTopics(of: checkpoints)
        for checkpoint in checkpoints {
            claims[checkpoint.partition] = checkpoint.token
            positions[checkpoint.partition] = .some(checkpoint.position)
            let states = DecoderStates.read(checkpoint.decoderState, of: checkpoint.partition, source: source.kind)
            let unreadable = decoder?.restore(states) ?? []
            guard unreadable.isEmpty else {
                throw ReplicationError(
                    .permanent, "\(checkpoint.partition): the checkpoint's decoder state can't be read",
                    remedy:
                        "the checkpoint was written by another version, or changed by hand: millrace checkpoint show")
            }
            for (partition, state) in states { decoderStates[partition] = state }
        }
        guard let lost = try await asking({ try await source.begin(checkpoints) }) else { return }
        status.update { $0.hasBegun = true }
        logger.info("reading \(partitions.count - lost.count) partitions")
        try report(lost)
        try await keepStarts(of: checkpoints)
    }

    /// Where a first start begins (the end, a time, another group's offset) is decided once: what comes until a first
    /// batch is durable would be skipped by deciding it again.
    func keepStarts(of checkpoints: [Checkpoint]) async throws {
        let reading = await source.readPositions()
        let advances = checkpoints.compactMap { checkpoint in
            checkpoint.position == nil
                ? reading[checkpoint.partition].map {
                    CheckpointAdvance(
                        partition: checkpoint.partition, from: nil, to: $0, token: checkpoint.token, spans: [])
                } : nil
        }
        guard !advances.isEmpty else { return }
        try await commit(ChangeBatch(), advances, .whole)
        for advance in advances { positions[advance.partition] = .some(advance.to) }
    }

    func giveBack(_ partitions: [TopicPartition], lost: Bool) async throws {
        do {
            try await drain()
        } catch let error as ReplicationError where error.kind == .fenced && lost {
            logger.warning("partitions were lost before their last batch was committed; their new owner reads it again")
        }
        for partition in partitions {
            claims[partition] = nil
            positions[partition] = nil
            decoderStates[partition] = nil
            decoder?.restore([partition: nil])
        }
        try await source.release(partitions)
        logger.info("gave back \(partitions.count) partitions")
    }

    /// A lost slot is told at once; with `--until-end` it ends the run, since the end can't be reached.
    func report(_ lost: [LostPartition]) throws {
        guard let first = lost.first else { return }
        status.update {
            $0.lost += lost
            $0.state = .degraded
        }
        for partition in lost { logger.error("\(partition.partition): \(partition.reason). Try: \(partition.remedy)") }
        if settings.untilEnd
            || claims.keys.allSatisfy({ partition in status.current.lost.contains { $0.partition == partition } })
        {
            throw ReplicationError(.environment, "\(first.partition): \(first.reason)", remedy: first.remedy)
        }
    }

    /// Takes off `remaining` what is durable: our own positions, and those of other agents.
    func look() async throws {
        guard let wanted = remaining, !wanted.isEmpty, await !source.isCopying() else { return }
        let reading = await source.readPositions()
        let stored = try await warehouse.checkpoints()
        for (partition, end) in wanted {
            let durable = stored.first { $0.partition == partition }?.position ?? nil
            if (durable ?? -1) >= end || (claims[partition] != nil && (reading[partition] ?? -1) >= end) {
                remaining?[partition] = nil
            }
        }
    }
}
