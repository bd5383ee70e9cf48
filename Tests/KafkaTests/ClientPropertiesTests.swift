import Testing

@testable import Kafka

@Suite struct ClientPropertiesTests {
    private func make(_ user: [String: String]) throws -> Consumer {
        try Consumer(brokers: "127.0.0.1:1", group: "g", properties: user, logger: quiet)
    }

    @Test(arguments: [
        ("enable.auto.commit", "true"), ("auto.commit.enable", "true"), ("auto.offset.reset", "earliest"),
        ("partition.assignment.strategy", "range"), ("group.id", "other"), ("metadata.broker.list", "elsewhere:9092"),
    ])
    func contradictionNamesTheProperty(name: String, value: String) {
        let error = #expect(throws: KafkaError.self) { try make([name: value]) }
        #expect(error?.message.contains(name) == true)
        #expect(error?.message.contains(value) == false)
        #expect(error?.kind == .permanent)
    }

    @Test func sayingTheSameIsFine() async throws {
        let consumer = try make(["enable.auto.commit": "False", "group.id": "g", "linger.ms": "7"])
        await consumer.close()
    }

    @Test func unknownPropertyAndBadValueNeverShowTheValue() {
        let unknown = #expect(throws: KafkaError.self) { try make(["sasl.jaas.nonsense": "hunter2"]) }
        #expect(unknown?.message.contains("sasl.jaas.nonsense") == true)
        #expect(unknown?.description.contains("hunter2") == false)
        let bad = #expect(throws: KafkaError.self) { try make(["session.timeout.ms": "hunter2"]) }
        #expect(bad?.message.contains("session.timeout.ms") == true)
        #expect(bad?.description.contains("hunter2") == false)
    }

    /// What librdkafka finds only when the client starts may quote values too.
    @Test func secretsAreScrubbed() throws {
        let error = #expect(throws: KafkaError.self) {
            try make([
                "security.protocol": "ssl", "ssl.key.pem": "hunter2 is no key", "ssl.key.password": "swordfish",
            ])
        }
        #expect(error?.message.contains("hunter2") == false)
        let properties = try ClientProperties(user: ["sasl.password": "swordfish"], ours: [:])
        #expect(properties.scrubbed("no swordfish here, swordfish") == "no *** here, ***")
    }

    @Test func usersLimitsGoTogetherWithOurs() async throws {
        let consumer = try make(["message.max.bytes": "200000000", "fetch.message.max.bytes": "1000000"])
        await consumer.close()
    }

    /// Tokens are renewed in the background where librdkafka was built with libcurl; else the error says why.
    @Test func tokensOfAnIdentityProvider() async throws {
        do {
            let consumer = try make([
                "security.protocol": "sasl_plaintext", "sasl.mechanisms": "OAUTHBEARER",
                "sasl.oauthbearer.method": "oidc", "sasl.oauthbearer.client.id": "me",
                "sasl.oauthbearer.client.secret": "swordfish",
                "sasl.oauthbearer.token.endpoint.url": "http://127.0.0.1:1/token",
            ])
            await consumer.close()
        } catch let error as KafkaError {
            #expect(error.message.contains("build"))
        }
    }
}
