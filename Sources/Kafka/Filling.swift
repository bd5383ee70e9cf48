import CRDKafka
import Foundation
import Replication

/// A batch being filled from librdkafka's messages.
struct Filling {
    let number: Int
    let batch: RecordBatch
    /// There is something to hand on: a record, or a position that moved.
    private(set) var hasBegun = false

    /// - Parameters:
    ///   - latest_bytes: what the batch before had; as much is likely to come.
    ///   - bytes_max: where the batch ends. Not grown into: a block that grows is there twice meanwhile, and then too large.
    init(number: Int = 1, latest_bytes: Int = 0, bytes_max: Int = 0) {
        self.number = number
        let expected_bytes = latest_bytes > bytes_max / 2 ? bytes_max : latest_bytes
        batch = RecordBatch(capacity: max(expected_bytes + expected_bytes / 8, 1 << 16))
    }

    /// The span of the partition in this batch, which begins at the position so far.
    private func span(of state: Assignment.State) -> Int32 {
        if state.batch != number {
            state.batch = number
            state.span = batch.span(of: state.partition, startingAt: state.position)
        }
        return state.span
    }

    mutating func advance(_ state: Assignment.State, to position: Int64) {
        batch.advance(span: span(of: state), to: position)
        hasBegun = true
    }

    mutating func append(_ message: UnsafePointer<rd_kafka_message_t>, of state: Assignment.State) {
        let span = span(of: state)
        append(message, span: span)
        advance(state, to: message.pointee.offset + 1)
    }

    func append(_ message: UnsafePointer<rd_kafka_message_t>, span: Int32) {
        let record = message.pointee
        var kind = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE
        let timestamp_ms = rd_kafka_message_timestamp(message, &kind)
        batch.appendFolded(
            span: span, offset: record.offset,
            timestamp_ms: kind == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? -1 : timestamp_ms,
            key: Self.bytes(record.key, record.key_len), value: Self.bytes(record.payload, record.len)
        )
        var headers: OpaquePointer?
        if rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR, let headers {
            append(headers)
        }
    }

    private func append(_ headers: OpaquePointer) {
        var index = 0
        var name: UnsafePointer<CChar>?
        var value: UnsafeRawPointer?
        var length = 0
        while rd_kafka_header_get_all(headers, index, &name, &value, &length) == RD_KAFKA_RESP_ERR_NO_ERROR {
            index += 1
            guard let name, !Self.isConnectContext(name) else { continue }
            batch.appendHeader(
                name: UnsafeRawBufferPointer(start: name, count: strlen(name)), value: Self.bytes(value, length)
            )
        }
    }

    /// A null pointer is a Kafka null; an empty value has a pointer.
    private static func bytes(_ start: UnsafeRawPointer?, _ count: Int) -> UnsafeRawBufferPointer? {
        start.map { UnsafeRawBufferPointer(start: $0, count: count) }
    }

    private static let connectContext: StaticString = "__debezium.context."

    private static func isConnectContext(_ name: UnsafePointer<CChar>) -> Bool {
        strncmp(name, connectContext.utf8Start, connectContext.utf8CodeUnitCount) == 0
    }
}
