import CRDKafka
import Dispatch
import Logging
import Synchronization

/// Owns a librdkafka client and the queue that its events come from.
///
/// `@unchecked Sendable`: librdkafka's clients and queues may be used from any thread; the pointers never
/// change, and `alive` keeps `wake` away from a queue that is being freed.
final class ClientHandle: @unchecked Sendable {
    enum Role {
        case consumer, producer
        /// A consumer outside any group's rebalancing, for single questions.
        case reader
    }

    let rk: OpaquePointer
    /// A consumer's records and events, a producer's delivery reports. A reader's is unused.
    let queue: OpaquePointer
    private let sink: Unmanaged<LogSink>
    private let alive = Mutex(true)
    private let woken = Atomic<Bool>(false)

    init(_ role: Role, properties: ClientProperties, logger: Logger) throws(KafkaError) {
        let conf = try properties.makeConfiguration()
        let sink = Unmanaged.passRetained(LogSink(logger))
        rd_kafka_conf_set_opaque(conf, sink.toOpaque())
        rd_kafka_conf_set_log_cb(conf) { rk, level, _, text in
            guard let rk, let text, let opaque = rd_kafka_opaque(rk) else { return }
            Unmanaged<LogSink>.fromOpaque(opaque).takeUnretainedValue().log(level, text)
        }
        switch role {
        case .consumer:
            rd_kafka_conf_set_events(
                conf, RD_KAFKA_EVENT_REBALANCE | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_OFFSET_COMMIT
            )
        case .producer: rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR)
        case .reader: break
        }
        // Tokens are renewed in the background, however rarely the client is polled.
        let renewsTokens = properties["sasl.oauthbearer.method"]?.lowercased() == "oidc"
        if renewsTokens { rd_kafka_conf_enable_sasl_queue(conf, 1) }

        var reason = [CChar](repeating: 0, count: 512)
        let type = role == .producer ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER
        guard let rk = rd_kafka_new(type, conf, &reason, reason.count) else {
            rd_kafka_conf_destroy(conf)
            sink.release()
            throw KafkaError(
                RD_KAFKA_RESP_ERR__INVALID_ARG, "starting the Kafka client",
                detail: properties.scrubbed(Self.string(reason))
            )
        }
        if role != .producer { rd_kafka_poll_set_consumer(rk) }
        let queue = role == .producer ? rd_kafka_queue_get_main(rk) : rd_kafka_queue_get_consumer(rk)
        guard let queue else {
            rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE)
            sink.release()
            throw KafkaError(RD_KAFKA_RESP_ERR__STATE, "starting the Kafka client")
        }
        if renewsTokens, let error = rd_kafka_sasl_background_callbacks_enable(rk) {
            logger.warning("\(KafkaError(consuming: error, "renewing OAuth tokens in the background"))")
        }
        self.rk = rk
        self.queue = queue
        self.sink = sink
    }

    /// Frees the client; joins its threads, which takes milliseconds. Doesn't leave the group: see `Consumer.close`.
    func destroy() {
        let first = alive.withLock { alive in
            defer { alive = false }
            return alive
        }
        if first { Self.free(rk, queue, sink) }
    }

    deinit {
        guard alive.withLock({ $0 }) else { return }
        // Joining threads would block whichever thread lets go of the last reference.
        nonisolated(unsafe) let rk = rk
        nonisolated(unsafe) let queue = queue
        let sink = sink
        DispatchQueue(label: "millrace.kafka.destroy").async { Self.free(rk, queue, sink) }
    }

    private static func free(_ rk: OpaquePointer, _ queue: OpaquePointer, _ sink: Unmanaged<LogSink>) {
        rd_kafka_queue_destroy(queue)
        rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE)
        sink.release()
    }

    /// Ends a wait on `queue` at once, or the next one where none is under way. From any thread.
    func wake() {
        alive.withLock { alive in
            guard alive else { return }
            woken.store(true, ordering: .releasing)
            rd_kafka_queue_yield(queue)
        }
    }

    /// Whether `wake` was called since this was last asked.
    func takeWake() -> Bool { woken.exchange(false, ordering: .acquiring) }

    /// What the client has been given for a property, as librdkafka says it; nil: nothing.
    func configured(_ name: String) -> String? {
        guard let conf = rd_kafka_conf(rk) else { return nil }
        var size = 0
        guard rd_kafka_conf_get(conf, name, nil, &size) == RD_KAFKA_CONF_OK, size > 0 else { return nil }
        var value = [CChar](repeating: 0, count: size)
        guard rd_kafka_conf_get(conf, name, &value, &size) == RD_KAFKA_CONF_OK else { return nil }
        return Self.string(value)
    }

    /// The error that ended the client, if one did.
    func fatalError() -> KafkaError? {
        var reason = [CChar](repeating: 0, count: 512)
        let code = rd_kafka_fatal_error(rk, &reason, reason.count)
        guard code != RD_KAFKA_RESP_ERR_NO_ERROR else { return nil }
        var error = KafkaError(code, "the Kafka client has failed", detail: Self.string(reason))
        error.kind = .fatal
        return error
    }

    static func string(_ buffer: [CChar]) -> String {
        String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// Where librdkafka's threads log to.
private final class LogSink: Sendable {
    private let logger: Logger

    init(_ logger: Logger) { self.logger = logger }

    /// librdkafka calls a refused connection an error (syslog 3) though it goes on trying: a warning here.
    func log(_ level: Int32, _ text: UnsafePointer<CChar>) {
        let level: Logger.Level =
            switch level {
            case ...2: .error
            case 3...4: .warning
            case 5: .notice
            case 6: .info
            default: .debug
            }
        logger.log(level: level, "librdkafka: \(String(cString: text))")
    }
}
