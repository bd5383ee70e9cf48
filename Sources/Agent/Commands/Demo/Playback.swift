import EventFile
import Foundation
import Kafka
import Logging
import Replication

/// Plays an event file into a broker, spread over so many partitions that its mock cluster keeps all of it.
struct Playback: Sendable {
    /// The mock cluster silently drops the oldest records of a partition beyond 5 MiB.
    private static let partition_bytes_max = 2 << 20
    private static let slices = 50

    let path: String
    /// By topic.
    let partitions: [String: Int]
    let records: Int

    /// Reads the file once, for its topics and their sizes.
    init(path: String) throws {
        self.path = path
        var bytes: [String: Int] = [:]
        var records = 0
        let reader = try EventFileReader(path: path)
        while !reader.isAtEnd {
            let batch = try Self.read(reader, maxRecords: 10_000)
            for record in batch.records {
                let size = record.key.length + record.valueLength + 100
                bytes[batch.spans[Int(record.span)].partition.topic, default: 0] += size
            }
            records += batch.records.count
        }
        self.records = records
        partitions = bytes.mapValues { $0 / Self.partition_bytes_max + 1 }
    }

    /// Sends all records within about `in_s` seconds. Returns the ends of the partitions that got any.
    func play(to broker: String, in_s: Double, logger: Logger) async throws -> [TopicPartition: Int64] {
        let producer = try Producer(brokers: broker, logger: logger)
        do {
            let ends = try await play(producer, in_s: in_s)
            await producer.close()
            return ends
        } catch {
            await producer.close()
            throw error
        }
    }

    private func play(_ producer: Producer, in_s: Double) async throws -> [TopicPartition: Int64] {
        var ends: [TopicPartition: Int64] = [:]
        let reader = try EventFileReader(path: path)
        let slice = max(1, records / Self.slices)
        let started = ContinuousClock.now
        var sent = 0
        while !reader.isAtEnd {
            let batch = try Self.read(reader, maxRecords: slice)
            let outgoing = batch.records.map { self.outgoing($0, batch) }
            for record in outgoing {
                ends[TopicPartition(topic: record.topic, partition: record.partition ?? 0), default: 0] += 1
            }
            try await producer.send(outgoing)
            try await producer.flush()
            sent += outgoing.count
            let due_s = in_s * Double(sent) / Double(max(records, 1))
            try await Task.sleep(until: started + .seconds(due_s), clock: .continuous)
        }
        return ends
    }

    private func outgoing(_ record: RecordBatch.Record, _ batch: RecordBatch) -> OutgoingRecord {
        let topic = batch.spans[Int(record.span)].partition.topic
        func bytes(_ range: ByteRange) -> [UInt8]? { range.isNull ? nil : Array(batch.arena.bytes(range)) }
        let key = bytes(record.key)
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in key ?? [] { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        let partition = key == nil ? 0 : Int32(hash % UInt64(partitions[topic] ?? 1))
        let headers = record.headers.map { index in
            let header = batch.headers[Int(index)]
            return (name: batch.arena.string(header.name), value: bytes(header.value))
        }
        return OutgoingRecord(
            topic: topic, partition: partition, key: key, value: batch.optionalValue(of: record).map { Array($0) },
            headers: headers)
    }

    /// - Throws: also where a line is no record.
    private static func read(_ reader: EventFileReader, maxRecords: Int) throws -> RecordBatch {
        let batch = RecordBatch()
        let read = try reader.read(into: batch, maxRecords: maxRecords, maxBytes: 8 << 20)
        if let line = read.malformed.first {
            throw CommandFailure(
                ExitStatus.usage, "line \(line.line) of the recorded events is no record: \(line.reason)")
        }
        return batch
    }
}
