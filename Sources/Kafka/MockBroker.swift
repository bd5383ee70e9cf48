import CBrokerPort
import CRDKafka
import Foundation
import Logging
import Synchronization

/// A Kafka cluster inside this process: librdkafka's mock cluster, on loopback.
///
/// Good for: producing, fetching, groups with rebalancing (the first join takes 3 s), commits, headers, null
/// values, all codecs, idempotence, faults on demand. It isn't Kafka:
/// - it keeps **5 MiB and 100,000 record batches per partition and silently drops the oldest**, which can't be
///   changed: use many partitions or small loads; a single record may be larger than that;
/// - no lookup by time, no topic administration, no TLS or SASL, no compaction, no retention by time; records
///   of aborted transactions are visible; only clients made of librdkafka;
/// - a client that asks for a topic which isn't there gets it, with 4 partitions;
/// - a fetch at the end of a partition waits the whole `fetch.wait.max.ms` (500), also where a record comes
///   meanwhile: let clients set 10.
///
/// `@unchecked Sendable`: the mock cluster's functions may be called from any thread; the pointers never change.
package final class MockBroker: @unchecked Sendable {
    /// `host:port` of each broker, comma-separated.
    package let bootstrap: String
    private let handle: ClientHandle
    private let cluster: OpaquePointer
    private let isOpen = Mutex(true)
    /// Ports of brokers that are down.
    private let reserved = Mutex<[Int32]>([])

    /// - Parameters:
    ///   - port: of the first broker, the others on the ports that follow; nil: whatever is free.
    ///   - topics: each with its number of partitions.
    /// - Throws: where a port is taken.
    package init(
        port: UInt16? = nil, topics: [String: Int] = [:], brokers: Int = 1,
        logger: Logger = Logger(label: "millrace.broker")
    ) throws(KafkaError) {
        let ports = try Self.ports(from: port, count: brokers)
        handle = try ClientHandle(
            .producer,
            properties: ClientProperties(user: [:], ours: ["client.id": "millrace-broker", "log_level": "4"]),
            logger: logger
        )
        cluster = try Self.makeCluster(handle.rk, ports: ports, brokers: brokers)
        bootstrap = String(cString: rd_kafka_mock_cluster_bootstraps(cluster))
        for (topic, partitions) in topics.sorted(by: { $0.key < $1.key }) {
            try createTopic(topic, partitions: partitions)
        }
    }

    private static func makeCluster(
        _ rk: OpaquePointer, ports: [UInt16], brokers: Int
    ) throws(KafkaError) -> OpaquePointer {
        // Pins belong to this thread, and the listeners are made within this call.
        defer { cbrokerport_unpin() }
        for port in ports {
            let reason = cbrokerport_pin(port)
            guard reason == 0 else {
                throw .invalid(
                    "a Kafka broker can't listen on port \(port): \(String(cString: strerror(reason)))",
                    remedy: "choose a free port, or stop what listens there: ss -ltnp 'sport = :\(port)'"
                )
            }
        }
        // The cluster's thread inherits our signal mask, and ends at the first signal that interrupts it.
        var all = sigset_t(), before = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_SETMASK, &all, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        guard let cluster = rd_kafka_mock_cluster_new(rk, Int32(brokers)) else {
            throw KafkaError(RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE, "starting a mock Kafka cluster")
        }
        return cluster
    }

    private static func ports(from port: UInt16?, count: Int) throws(KafkaError) -> [UInt16] {
        guard (1...Int(CBROKERPORT_PINS_MAX)).contains(count) else {
            throw .invalid("a mock cluster has 1 to \(CBROKERPORT_PINS_MAX) brokers, not \(count)")
        }
        guard let port else { return [] }
        guard port > 0, Int(port) + count - 1 <= Int(UInt16.max) else {
            throw .invalid("port \(port) isn't one to listen on")
        }
        return (0..<count).map { port + UInt16($0) }
    }

    /// Stops listening and frees everything held; blocks for milliseconds.
    package func close() {
        let first = isOpen.withLock { open in
            defer { open = false }
            return open
        }
        guard first else { return }
        releasePorts()
        rd_kafka_mock_cluster_destroy(cluster)
        handle.destroy()
    }

    deinit { close() }

    package func createTopic(_ name: String, partitions: Int) throws(KafkaError) {
        try check(rd_kafka_mock_topic_create(cluster, name, Int32(partitions), 1), "creating topic \(name)")
    }

    // MARK: Faults

    /// A kind of request, by the protocol's number.
    package struct Request: RawRepresentable, Sendable {
        package var rawValue: Int16
        package init(rawValue: Int16) { self.rawValue = rawValue }

        package static let produce = Request(rawValue: 0)
        package static let fetch = Request(rawValue: 1)
        package static let listOffsets = Request(rawValue: 2)
        package static let metadata = Request(rawValue: 3)
        package static let offsetCommit = Request(rawValue: 8)
        package static let offsetFetch = Request(rawValue: 9)
        package static let findCoordinator = Request(rawValue: 10)
        package static let joinGroup = Request(rawValue: 11)
        package static let heartbeat = Request(rawValue: 12)
        package static let leaveGroup = Request(rawValue: 13)
        package static let syncGroup = Request(rawValue: 14)
    }

    /// An error that a broker answers with, by the protocol's number.
    package struct Fault: RawRepresentable, Sendable {
        package var rawValue: Int32
        package init(rawValue: Int32) { self.rawValue = rawValue }

        package static let none = Fault(rawValue: 0)
        /// Hangs up instead of answering.
        package static let disconnect = Fault(rawValue: RD_KAFKA_RESP_ERR__TRANSPORT.rawValue)
        package static let offsetOutOfRange = Fault(rawValue: 1)
        package static let unknownTopic = Fault(rawValue: 3)
        package static let notLeader = Fault(rawValue: 6)
        package static let coordinatorNotAvailable = Fault(rawValue: 15)
        package static let notCoordinator = Fault(rawValue: 16)
        package static let illegalGeneration = Fault(rawValue: 22)
        package static let unknownMember = Fault(rawValue: 25)
        package static let rebalanceInProgress = Fault(rawValue: 27)
        package static let topicAuthorizationFailed = Fault(rawValue: 29)
        package static let groupAuthorizationFailed = Fault(rawValue: 30)
    }

    /// The next requests of this kind fail so, one after the other; later ones succeed.
    package func failNext(_ request: Request, with faults: [Fault]) {
        let codes = faults.map { rd_kafka_resp_err_t(rawValue: $0.rawValue) }
        rd_kafka_mock_push_request_errors_array(cluster, request.rawValue, codes.count, codes)
    }

    package func clearFaults(of request: Request) {
        rd_kafka_mock_clear_request_errors(cluster, request.rawValue)
    }

    /// What asking for the topic's metadata answers from now on; `.none` ends it.
    package func setTopicFault(_ topic: String, _ fault: Fault) {
        rd_kafka_mock_topic_set_error(cluster, topic, rd_kafka_resp_err_t(rawValue: fault.rawValue))
    }

    /// Hangs up and refuses connections. Brokers are numbered from 1; nil: all.
    package func setDown(broker: Int32? = nil) throws(KafkaError) {
        try check(rd_kafka_mock_broker_set_down(cluster, broker ?? -1), "taking a broker down")
        let ports = bootstrap.split(separator: ",").compactMap { $0.split(separator: ":").last.flatMap { UInt16($0) } }
        let down =
            broker.map { number in ports.indices.contains(Int(number) - 1) ? [ports[Int(number) - 1]] : [] } ?? ports
        reserved.withLock { $0 += down.compactMap(Self.reserve) }
    }

    /// Keeps a port from being given to a connection, as the system does with free ones: librdkafka ends the process where
    /// it can't listen on it again.
    private static func reserve(_ port: UInt16) -> Int32? {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        var on: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let isBound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        if !isBound { Foundation.close(descriptor) }
        return isBound ? descriptor : nil
    }

    private func releasePorts() {
        reserved.withLock { descriptors in
            for descriptor in descriptors { Foundation.close(descriptor) }
            descriptors = []
        }
    }

    package func setUp(broker: Int32? = nil) throws(KafkaError) {
        releasePorts()
        try check(rd_kafka_mock_broker_set_up(cluster, broker ?? -1), "bringing a broker up")
    }

    /// How long every answer takes.
    package func setRoundTrip(_ delay_ms: Int, broker: Int32? = nil) throws(KafkaError) {
        try check(rd_kafka_mock_broker_set_rtt(cluster, broker ?? -1, Int32(delay_ms)), "delaying a broker")
    }

    /// nil: the partition has no leader.
    package func setLeader(topic: String, partition: Int32, broker: Int32?) throws(KafkaError) {
        try check(
            rd_kafka_mock_partition_set_leader(cluster, topic, partition, broker ?? -1),
            "moving \(topic):\(partition)"
        )
    }

    private func check(_ code: rd_kafka_resp_err_t, _ context: String) throws(KafkaError) {
        guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaError(code, context) }
    }
}
