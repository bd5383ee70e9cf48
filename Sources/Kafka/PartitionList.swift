import CRDKafka
import Foundation
import Replication

/// Owns librdkafka's list of partitions with offsets.
final class PartitionList {
    let pointer: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>

    struct Entry {
        var partition: TopicPartition
        var offset: Int64
        var error: rd_kafka_resp_err_t
    }

    init(_ partitions: some Collection<TopicPartition> = []) {
        pointer = rd_kafka_topic_partition_list_new(Int32(partitions.count))
        for partition in partitions { add(partition) }
    }

    convenience init(_ offsets: [TopicPartition: Int64], metadata: String? = nil) {
        self.init()
        for (partition, offset) in offsets.sorted(by: { $0.key < $1.key }) {
            let entry = add(partition)
            entry.pointee.offset = offset
            if let metadata, let copy = strdup(metadata) {
                // Freed with the list.
                entry.pointee.metadata = UnsafeMutableRawPointer(copy)
                entry.pointee.metadata_size = metadata.utf8.count
            }
        }
    }

    /// Takes over a list that librdkafka made.
    init(adopting pointer: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>) {
        self.pointer = pointer
    }

    deinit { rd_kafka_topic_partition_list_destroy(pointer) }

    @discardableResult
    private func add(_ partition: TopicPartition) -> UnsafeMutablePointer<rd_kafka_topic_partition_t> {
        rd_kafka_topic_partition_list_add(pointer, partition.topic, partition.partition)
    }

    var entries: [Entry] { Self.entries(of: pointer) }
    var isEmpty: Bool { pointer.pointee.cnt == 0 }

    /// The first partition whose own error is set.
    func firstError(_ context: String) -> KafkaError? {
        entries.first { $0.error != RD_KAFKA_RESP_ERR_NO_ERROR }
            .map { KafkaError($0.error, "\(context) \($0.partition)") }
    }

    static func entries(of list: UnsafePointer<rd_kafka_topic_partition_list_t>) -> [Entry] {
        (0..<Int(list.pointee.cnt)).map { index in
            let entry = list.pointee.elems[index]
            return Entry(partition: TopicPartition(entry), offset: entry.offset, error: entry.err)
        }
    }
}

extension TopicPartition {
    init(_ entry: rd_kafka_topic_partition_t) {
        self.init(topic: entry.topic.map { String(cString: $0) } ?? "", partition: entry.partition)
    }
}
