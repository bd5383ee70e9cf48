import CRDKafka

/// What librdkafka or a broker refused, with what to do about it. Holds no record and no secret.
package struct KafkaError: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Kind: Sendable, Equatable {
        /// Goes away by itself or by being tried again: connection, leader change, rebalance, a topic yet to come.
        case passing
        /// Stays until somebody changes something: permission, authentication, configuration, lost offsets.
        case permanent
        /// The client is of no more use: close it and make a new one.
        case fatal
    }

    /// librdkafka's code: the protocol's where positive, its own where negative.
    package var code: Int32
    /// The code's name without prefix, `_TRANSPORT` for example.
    package var name: String
    package var message: String
    package var kind: Kind
    package var remedy: String?

    package init(code: Int32, name: String, message: String, kind: Kind, remedy: String? = nil) {
        self.code = code
        self.name = name
        self.message = message
        self.kind = kind
        self.remedy = remedy
    }

    package var description: String { message }
}

extension KafkaError {
    /// `context` says what was tried and at what (topic, partition); `detail` replaces librdkafka's own words.
    init(_ code: rd_kafka_resp_err_t, _ context: String, detail: String? = nil) {
        let words = detail ?? String(cString: rd_kafka_err2str(code))
        self.init(
            code: code.rawValue, name: String(cString: rd_kafka_err2name(code)),
            message: context.isEmpty ? words : "\(context): \(words)",
            kind: Self.kind(of: code), remedy: Self.remedy(for: code)
        )
    }

    /// Takes over and frees librdkafka's error object.
    init(consuming error: OpaquePointer, _ context: String) {
        self.init(rd_kafka_error_code(error), context, detail: String(cString: rd_kafka_error_string(error)))
        if rd_kafka_error_is_fatal(error) != 0 { kind = .fatal }
        rd_kafka_error_destroy(error)
    }

    static func closed(_ what: String) -> KafkaError {
        KafkaError(RD_KAFKA_RESP_ERR__DESTROY, "", detail: "the \(what) is closed")
    }

    static func invalid(_ message: String, remedy: String? = nil) -> KafkaError {
        var error = KafkaError(RD_KAFKA_RESP_ERR__INVALID_ARG, "", detail: message)
        error.remedy = remedy
        return error
    }

    /// Whether the offset asked for, or the partition itself, is no longer in the log.
    var meansLost: Bool { Self.lost.contains(code) }

    /// Whether librdkafka mends it by itself: counted and logged, not handed on.
    var isConnection: Bool { Self.connection.contains(code) }

    /// Whether TLS or the login failed. Mostly somebody must change something, but a broker that goes away in the middle of
    /// either is told so, too.
    package var meansRefused: Bool {
        [
            RD_KAFKA_RESP_ERR__SSL, RD_KAFKA_RESP_ERR__AUTHENTICATION, RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED,
        ].contains { $0.rawValue == code }
    }

    private static func kind(of code: rd_kafka_resp_err_t) -> Kind {
        if fatal.contains(code.rawValue) { return .fatal }
        return connection.contains(code.rawValue) || passing.contains(code.rawValue) ? .passing : .permanent
    }

    private static func remedy(for code: rd_kafka_resp_err_t) -> String? {
        switch code {
        case RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, RD_KAFKA_RESP_ERR__RESOLVE:
            "see that source.kafka.brokers names brokers which this machine reaches"
        case RD_KAFKA_RESP_ERR__SSL:
            "let ssl.ca.location in source.kafka.properties name the authority that signed the brokers' certificates; they "
                + "must have the names of source.kafka.brokers, and those by which brokers call themselves"
        case RD_KAFKA_RESP_ERR__AUTHENTICATION, RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
            "see to security.protocol, sasl.mechanism, sasl.username and sasl.password in source.kafka.properties"
        case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
            "kafka-acls --add --allow-principal User:<user> --operation Read --operation Describe --topic <topic>"
        case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
            "kafka-acls --add --allow-principal User:<user> --operation Read --group <group>"
        case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
            "compare source.kafka.topics with the broker's topics; "
                + "a connector makes a table's topic with its first event"
        case RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED:
            "raise max.poll.interval.ms in source.kafka.properties, or make batches smaller"
        case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
            "raise message.max.bytes in source.kafka.properties, and the broker's and topic's limits"
        default: nil
        }
    }

    private static func codes(_ list: [rd_kafka_resp_err_t]) -> Set<Int32> { Set(list.map(\.rawValue)) }

    private static let fatal = codes([
        RD_KAFKA_RESP_ERR__FATAL, RD_KAFKA_RESP_ERR__FENCED, RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE,
        RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID,
    ])

    private static let connection = codes([
        RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, RD_KAFKA_RESP_ERR__RESOLVE,
        RD_KAFKA_RESP_ERR__TIMED_OUT, RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE, RD_KAFKA_RESP_ERR__WAIT_COORD,
        RD_KAFKA_RESP_ERR__NODE_UPDATE, RD_KAFKA_RESP_ERR__RETRY, RD_KAFKA_RESP_ERR__WAIT_CACHE,
        RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE, RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
        RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
        RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE, RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
        RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH, RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH,
        RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE,
    ])

    private static let passing = codes([
        RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, RD_KAFKA_RESP_ERR__QUEUE_FULL, RD_KAFKA_RESP_ERR__IN_PROGRESS,
        RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED, RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST, RD_KAFKA_RESP_ERR__STATE,
        RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
        RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, RD_KAFKA_RESP_ERR_NOT_CONTROLLER,
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT, RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED,
        RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
        RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, RD_KAFKA_RESP_ERR__PARTIAL,
    ])

    private static let lost = codes([
        RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET, RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE,
        RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
        RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
    ])
}
