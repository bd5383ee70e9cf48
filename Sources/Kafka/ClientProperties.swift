import CRDKafka

/// librdkafka's properties of one client, from three hands: the user's, the defaults that the user may
/// replace, and those that are ours because correctness hangs on them.
struct ClientProperties: Sendable {
    /// In the order they are set.
    private(set) var values: [(name: String, value: String)] = []

    /// Throws where `user` contradicts `ours`; saying the same twice is no contradiction.
    init(user: [String: String], defaults: [String: String] = [:], ours: [String: String]) throws(KafkaError) {
        var merged = defaults
        for (given, value) in user {
            let name = Self.canonical(given)
            if let fixed = ours[name] {
                guard Self.same(fixed, value) else {
                    throw .invalid(
                        "Kafka property \(given) is set by millrace and can't be changed",
                        remedy: "take \(given) out of source.kafka.properties"
                    )
                }
            } else {
                merged[name] = value
            }
        }
        merged.merge(ours) { _, fixed in fixed }
        // librdkafka before 2.0 takes any name that the authority has signed.
        if merged["security.protocol"]?.lowercased().hasSuffix("ssl") == true, merged[Self.nameCheck] == nil {
            merged[Self.nameCheck] = "https"
        }
        values = merged.sorted { $0.key < $1.key }.map { (name: $0.key, value: $0.value) }
    }

    subscript(name: String) -> String? {
        get { values.first { $0.name == name }?.value }
        set {
            values.removeAll { $0.name == name }
            if let newValue { values.append((name, newValue)) }
        }
    }

    /// A configuration that the caller owns: `rd_kafka_new` takes it over, or `rd_kafka_conf_destroy` frees it.
    ///
    /// librdkafka's own messages quote the value, which may be a password: ours name the property only.
    func makeConfiguration() throws(KafkaError) -> OpaquePointer {
        guard let conf = rd_kafka_conf_new() else {
            throw KafkaError(RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE, "making a Kafka configuration")
        }
        var reason = [CChar](repeating: 0, count: 512)
        for (name, value) in values {
            let result = rd_kafka_conf_set(conf, name, value, &reason, reason.count)
            if result == RD_KAFKA_CONF_OK { continue }
            rd_kafka_conf_destroy(conf)
            throw Self.refusal(of: name, unknown: result == RD_KAFKA_CONF_UNKNOWN, ClientHandle.string(reason))
        }
        return conf
    }

    private static func refusal(of name: String, unknown: Bool, _ reason: String) -> KafkaError {
        let librdkafka = "librdkafka \(String(cString: rd_kafka_version_str()))"
        if unknown {
            return .invalid(
                "Kafka property \(name) isn't known to \(librdkafka)",
                remedy: "see librdkafka's CONFIGURATION.md; properties of the Java client often differ"
            )
        }
        if reason.contains("not supported in this build") {
            return .invalid(
                "Kafka property \(name) isn't supported by this machine's build of \(librdkafka)",
                remedy: "install a librdkafka built with what the property needs"
            )
        }
        return .invalid(
            "Kafka property \(name) has a value that \(librdkafka) doesn't accept",
            remedy: "see librdkafka's CONFIGURATION.md for the values it takes"
        )
    }

    /// `text` without any value of a property that may be secret.
    func scrubbed(_ text: String) -> String {
        var text = text
        for (name, value) in values where Self.isSecret(name) && value.utf8.count > 2 {
            text = text.split(separator: value, omittingEmptySubsequences: false).joined(separator: "***")
        }
        return text
    }

    private static func isSecret(_ name: String) -> Bool {
        ["password", "secret", "token", ".pem", "jaas", "oauthbearer.config"].contains { name.contains($0) }
    }

    private static let nameCheck = "ssl.endpoint.identification.algorithm"

    /// Two spellings of one property must not slip past each other.
    private static func canonical(_ name: String) -> String {
        switch name {
        case "metadata.broker.list": "bootstrap.servers"
        case "auto.commit.enable": "enable.auto.commit"
        case "max.partition.fetch.bytes": "fetch.message.max.bytes"
        default: name
        }
    }

    private static func same(_ a: String, _ b: String) -> Bool {
        func normal(_ value: String) -> String {
            switch value.lowercased() {
            case "true", "t", "1": "true"
            case "false", "f", "0": "false"
            default: value
            }
        }
        return normal(a) == normal(b)
    }
}

extension ClientProperties {
    /// For a consumer of `group`. A batch is committed in the warehouse, so nothing is stored or committed
    /// by librdkafka itself, and no offset is ever made up by `auto.offset.reset`.
    ///
    /// - Parameter ahead_bytes: what is fetched ahead, over all partitions; the bound of one response comes on top of it.
    static func consumer(
        brokers: String, group: String, ahead_bytes: Int, user: [String: String]
    ) throws(KafkaError) -> ClientProperties {
        try ClientProperties(
            user: user,
            defaults: [
                // A larger record than a fetch's limit is still delivered, as the broker sends one at least.
                "queued.max.messages.kbytes": "\(max(1, ahead_bytes >> 10))",
                "fetch.message.max.bytes": "\(min(1 << 20, max(64 << 10, ahead_bytes >> 3)))",
                "topic.metadata.refresh.interval.ms": "30000",
                "socket.keepalive.enable": "true",
            ].merging(FetchNudge.isNeeded ? [:] : ["fetch.queue.backoff.ms": "10"]) { $1 },
            ours: [
                "bootstrap.servers": brokers,
                "group.id": group,
                "client.id": "millrace",
                "enable.auto.commit": "false",
                "enable.auto.offset.store": "false",
                "auto.offset.reset": "error",
                "partition.assignment.strategy": "cooperative-sticky",
                "enable.partition.eof": "true",
            ]
        )
    }

    /// For an idempotent producer; the partitioner is the Java client's.
    static func producer(brokers: String, user: [String: String]) throws(KafkaError) -> ClientProperties {
        try ClientProperties(
            user: user,
            defaults: [
                "message.max.bytes": "67108864",
                "queue.buffering.max.kbytes": "262144",
                "linger.ms": "5",
                "partitioner": "murmur2_random",
                "socket.keepalive.enable": "true",
            ],
            ours: [
                "bootstrap.servers": brokers,
                "client.id": "millrace",
                "enable.idempotence": "true",
            ]
        )
    }
}
