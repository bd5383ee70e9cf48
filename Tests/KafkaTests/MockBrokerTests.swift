import Glibc
import Testing

@testable import Kafka

@Suite(.timeLimit(.minutes(2))) struct MockBrokerTests {
    private func port(of bootstrap: String) throws -> UInt16 {
        try #require(bootstrap.split(separator: ":").last.flatMap { UInt16($0) })
    }

    /// A port that was free a moment ago.
    private func freePort() throws -> UInt16 {
        let broker = try MockBroker()
        defer { broker.close() }
        return try port(of: broker.bootstrap)
    }

    @Test func twoBrokersOnTwoPinnedPorts() async throws {
        let (first, second) = (try freePort(), try freePort())
        let a = try MockBroker(port: first, topics: ["t": 1])
        let b = try MockBroker(port: second, topics: ["t": 1])
        #expect(try port(of: a.bootstrap) == first)
        #expect(try port(of: b.bootstrap) == second)
        try await produce(a, numbered("t", 0..<3))
        try await produce(b, numbered("t", 0..<5))
        let consumer = try consumer(b)
        #expect(try await consumer.watermarks(of: .init(topic: "t", partition: 0)).high == 5)
        await consumer.close()
        // Again at once on the same port, though connections linger.
        b.close()
        let again = try MockBroker(port: second)
        #expect(try port(of: again.bootstrap) == second)
    }

    @Test func aTakenPortIsSaid() throws {
        let broker = try MockBroker()
        let taken = try port(of: broker.bootstrap)
        let error = #expect(throws: KafkaError.self) { try MockBroker(port: taken) }
        #expect(error?.message.contains("\(taken)") == true)
        #expect(error?.remedy != nil)
        // The failed one left no pin behind.
        let other = try MockBroker()
        #expect(try port(of: other.bootstrap) != taken)
    }

    @Test func severalBrokersFollowEachOther() throws {
        let first = try freePort()
        guard let broker = try? MockBroker(port: first, brokers: 2) else { return }  // the next port was taken
        #expect(broker.bootstrap.split(separator: ",").count == 2)
        #expect(broker.bootstrap.contains(":\(first)") && broker.bootstrap.contains(":\(first + 1)"))
    }

    @Test func otherSocketsBindAsEver() throws {
        let broker = try MockBroker(port: freePort())
        let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(socket) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutableBytes(of: &address) { bytes in
            guard let pointer = bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self) else { return }
            #expect(bind(socket, pointer, size) == 0)
            #expect(getsockname(socket, pointer, &size) == 0)
        }
        #expect(UInt16(bigEndian: address.sin_port) != (try port(of: broker.bootstrap)))
        #expect(address.sin_port != 0)
    }
}
