import CRDKafka
import Logging
import SerialQueue

/// A record to be sent. A null key or value is nil, which differs from an empty one.
package struct OutgoingRecord: Sendable {
    package var topic: String
    /// nil: chosen by the key as the Java client does (murmur2), at random where there is none.
    package var partition: Int32?
    package var key: [UInt8]?
    package var value: [UInt8]?
    package var headers: [(name: String, value: [UInt8]?)]
    /// In ms since 1970; nil: now.
    package var timestamp_ms: Int64?

    package init(
        topic: String, partition: Int32? = nil, key: [UInt8]? = nil, value: [UInt8]?,
        headers: [(name: String, value: [UInt8]?)] = [], timestamp_ms: Int64? = nil
    ) {
        self.topic = topic
        self.partition = partition
        self.key = key
        self.value = value
        self.headers = headers
        self.timestamp_ms = timestamp_ms
    }
}

/// An idempotent producer on librdkafka: for the demo and tests.
package actor Producer {
    private let executor = SerialQueueExecutor(label: "kafka.producer")
    nonisolated package var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    private nonisolated let handle: ClientHandle
    private let logger: Logger
    private var isClosed = false
    private var delivered = 0
    private var failure: KafkaError?

    package init(brokers: String, properties: [String: String] = [:], logger: Logger) throws(KafkaError) {
        self.logger = logger
        handle = try ClientHandle(
            .producer, properties: .producer(brokers: brokers, user: properties), logger: logger
        )
    }

    /// Queues `records` in order; waits while librdkafka's queue is full. They are on the broker only after `flush`.
    /// - Throws: where a record can't be queued (too large for `message.max.bytes`, no such partition).
    package func send(_ records: [OutgoingRecord]) throws(KafkaError) {
        guard !isClosed else { throw .closed("producer") }
        for record in records {
            while let error = queue(record) {
                guard error.code == RD_KAFKA_RESP_ERR__QUEUE_FULL.rawValue else { throw error }
                serve(wait_ms: 50)
            }
        }
        serve(wait_ms: 0)
    }

    /// Waits until all that was sent is on the broker. Returns how many records are, since the last `flush`.
    /// - Throws: the first failed delivery since then, or `_TIMED_OUT`.
    @discardableResult
    package func flush(timeout_ms: Int = 30_000) throws(KafkaError) -> Int {
        guard !isClosed else { throw .closed("producer") }
        let deadline = ContinuousClock.now + .milliseconds(timeout_ms)
        while rd_kafka_outq_len(handle.rk) > 0 {
            guard ContinuousClock.now < deadline else {
                throw KafkaError(RD_KAFKA_RESP_ERR__TIMED_OUT, "sending the last records")
            }
            serve(wait_ms: 50)
        }
        defer {
            delivered = 0
            failure = nil
        }
        if let failure { throw failure }
        return delivered
    }

    /// Frees the client; what wasn't flushed may be lost.
    package func close() {
        guard !isClosed else { return }
        isClosed = true
        handle.destroy()
    }

    /// Takes in delivery reports: all there are, waiting for the first up to `wait_ms`.
    private func serve(wait_ms: Int32) {
        var wait_ms = wait_ms
        while let event = rd_kafka_queue_poll(handle.queue, wait_ms) {
            wait_ms = 0
            if rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR {
                while let message = rd_kafka_event_message_next(event) { takeReport(message.pointee) }
            } else if rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR {
                let error = KafkaError(rd_kafka_event_error(event), "producing")
                logger.debug("kafka: \(error.name): \(error.message)")
            }
            rd_kafka_event_destroy(event)
        }
    }

    private func takeReport(_ message: rd_kafka_message_t) {
        if message.err == RD_KAFKA_RESP_ERR_NO_ERROR {
            delivered += 1
        } else if failure == nil {
            let topic = message.rkt.map { String(cString: rd_kafka_topic_name($0)) } ?? ""
            failure = KafkaError(message.err, "sending to \(topic)")
        }
    }

    /// nil: queued, with a copy of everything.
    private func queue(_ record: OutgoingRecord) -> KafkaError? {
        let headers = makeHeaders(record.headers)
        let error = record.topic.withCString { topic in
            Self.withBytes(record.key) { key in
                Self.withBytes(record.value) { value in
                    var arguments = [
                        argument(RD_KAFKA_VTYPE_TOPIC) { $0.cstr = topic },
                        argument(RD_KAFKA_VTYPE_MSGFLAGS) { $0.i = RD_KAFKA_MSG_F_COPY },
                    ]
                    if let partition = record.partition {
                        arguments.append(argument(RD_KAFKA_VTYPE_PARTITION) { $0.i32 = partition })
                    }
                    if let key { arguments.append(memory(RD_KAFKA_VTYPE_KEY, key)) }
                    if let value { arguments.append(memory(RD_KAFKA_VTYPE_VALUE, value)) }
                    if let time = record.timestamp_ms {
                        arguments.append(argument(RD_KAFKA_VTYPE_TIMESTAMP) { $0.i64 = time })
                    }
                    if let headers { arguments.append(argument(RD_KAFKA_VTYPE_HEADERS) { $0.headers = headers }) }
                    return rd_kafka_produceva(handle.rk, arguments, arguments.count)
                }
            }
        }
        guard let error else { return nil }
        if let headers { rd_kafka_headers_destroy(headers) }  // the record owns them only once it is queued
        return KafkaError(consuming: error, "sending to \(record.topic)")
    }

    private func makeHeaders(_ list: [(name: String, value: [UInt8]?)]) -> OpaquePointer? {
        guard !list.isEmpty, let headers = rd_kafka_headers_new(list.count) else { return nil }
        for (name, value) in list {
            Self.withBytes(value) { bytes in
                _ = rd_kafka_header_add(headers, name, -1, bytes?.baseAddress, bytes?.count ?? 0)
            }
        }
        return headers
    }

    private typealias Union = rd_kafka_vu_s.__Unnamed_union_u

    private func argument(_ type: rd_kafka_vtype_t, _ set: (inout Union) -> Void) -> rd_kafka_vu_t {
        var argument = rd_kafka_vu_t()
        argument.vtype = type
        set(&argument.u)
        return argument
    }

    private func memory(_ type: rd_kafka_vtype_t, _ bytes: UnsafeRawBufferPointer) -> rd_kafka_vu_t {
        argument(type) { union in
            union.mem.ptr = UnsafeMutableRawPointer(mutating: bytes.baseAddress)
            union.mem.size = bytes.count
        }
    }

    /// An empty array has no address, and no address would be a Kafka null.
    private static func withBytes<Result>(
        _ bytes: [UInt8]?, _ body: (UnsafeRawBufferPointer?) -> Result
    ) -> Result {
        guard let bytes else { return body(nil) }
        guard !bytes.isEmpty else {
            return [UInt8(0)].withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[..<0])) }
        }
        return bytes.withUnsafeBytes { body($0) }
    }
}
