import Replication

/// Which topics a table's events come out of, for whoever tells of it.
extension Replicator {
    /// Of a batch; nothing where nobody asks.
    func topics(of batch: ChangeBatch) -> [TableID: Set<String>] {
        guard settings.notesTopics else { return [:] }
        var pairs = Set<UInt64>()
        var last = UInt64.max
        for event in batch.events {
            let pair = UInt64(UInt32(bitPattern: event.table)) << 32 | UInt64(UInt32(bitPattern: event.span))
            // They come in runs.
            guard pair != last else { continue }
            last = pair
            pairs.insert(pair)
        }
        return pairs.reduce(into: [:]) { topics, pair in
            let (table, span) = (Int(pair >> 32), Int(pair & 0xFFFF_FFFF))
            guard batch.tables.indices.contains(table), batch.spans.indices.contains(span) else { return }
            topics[batch.tables[table].source, default: []].insert(batch.spans[span].partition.topic)
        }
    }

    /// Of what was durable before.
    func noteTopics(of checkpoints: [Checkpoint]) {
        guard settings.notesTopics else { return }
        status.update { all in
            for checkpoint in checkpoints {
                for table in checkpoint.marks.keys { all.tables[table]?.topics.insert(checkpoint.partition.topic) }
            }
        }
    }
}
