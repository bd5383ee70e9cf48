import Foundation
import Kafka
import Logging

/// `millrace broker`: a local Kafka broker, until a signal comes.
package struct BrokerCommand: Sendable {
    package var port: UInt16?
    package var topics: [String: Int]

    /// - Parameter topics: `NAME:PARTITIONS`, or `NAME` for one partition.
    package init(port: UInt16?, topics: [String]) throws {
        self.port = port
        self.topics = [:]
        for text in topics {
            let colon = text.lastIndex(of: ":")
            let name = colon.map { String(text[..<$0]) } ?? text
            let count = colon.map { Int(text[text.index(after: $0)...]) ?? 0 } ?? 1
            guard !name.isEmpty, (1...10_000).contains(count) else {
                throw CommandFailure(
                    ExitStatus.usage, "--topic \(text) names no topic with its partitions", try: "--topic orders:4")
            }
            self.topics[name] = count
        }
    }

    package func run(_ context: CommandContext) async throws {
        let broker: MockBroker
        do {
            broker = try MockBroker(port: port, topics: topics, logger: context.logger)
        } catch {
            throw CommandFailure(ExitStatus.environment, error.message, try: error.remedy)
        }
        defer { broker.close() }
        await SignalWatch.wait {
            context.console.result(
                context.json ? "{\"bootstrap\":\"\(broker.bootstrap)\"}" : "listening on \(broker.bootstrap)")
        }
    }
}
