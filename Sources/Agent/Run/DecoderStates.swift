import JSON
import Replication

/// A checkpoint's decoder state: the partition's own, or for a file, whose one checkpoint stands for all
/// partitions in it, a list `[[topic, partition, state]…]`.
enum DecoderStates {
    static func read(_ text: String?, of partition: TopicPartition, source: String) -> [TopicPartition: String?] {
        guard source == "file" else { return [partition: text] }
        guard let text, let list = try? JSONValue(parsing: text), let items = list.array else { return [:] }
        var states: [TopicPartition: String?] = [:]
        for item in items {
            guard let parts = item.array, parts.count == 3, let topic = parts[0].string, let index = parts[1].int64,
                let state = parts[2].string
            else { continue }
            states[TopicPartition(topic: topic, partition: Int32(truncatingIfNeeded: index))] = state
        }
        return states
    }

    static func write(_ states: [TopicPartition: String], of partition: TopicPartition, source: String) -> String? {
        guard source == "file" else { return states[partition] }
        guard !states.isEmpty else { return nil }
        let items = states.sorted { $0.key < $1.key }.map {
            JSONValue.array([.string($0.key.topic), .number(String($0.key.partition)), .string($0.value)])
        }
        return JSONValue.array(items).serialized
    }
}
