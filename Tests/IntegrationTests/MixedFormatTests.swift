import Agent
import Foundation
import Kafka
import Logging
import ReplicationTestKit
import Testing

/// One topic whose records are envelopes, CloudEvents and flattened events by turns, through a broker into both
/// warehouses: the source's rows, and no event twice.
@Suite struct MixedFormatTests {
    private static let facts = ["op", "source.lsn", "source.sequence", "source.schema", "source.table", "source.ts_us"]
    private static let unwraps: [EventForms.Unwrap] = [
        .init(deletes: .rewrite, fields: facts), .init(deletes: .tombstone, headers: facts),
        .init(deletes: .deleteToTombstone, fields: ["op", "source.lsn"], headers: facts),
        .init(deletes: .rewriteWithTombstone, fields: facts, headers: ["op"]),
    ]

    private static func mixed(_ records: [OutgoingRecord], seed: UInt64) throws -> [OutgoingRecord] {
        var random = SeededRandom(seed: seed)
        var form = 0
        return try records.compactMap { record in
            // A tombstone goes with its delete.
            if record.value != nil { form = random.below(2 + unwraps.count) }
            let plain = EventForms.Record(
                value: record.value, headers: record.headers.map { ($0.name, $0.value ?? []) })
            let made =
                switch form {
                case 0: plain
                case 1: try EventForms.cloudEvent(plain)
                default: try EventForms.flattened(plain, unwraps[form - 2])
                }
            return made.map { made in
                OutgoingRecord(
                    topic: record.topic, key: record.key, value: made.value,
                    headers: made.headers.map { (name: $0.0, value: $0.1) })
            }
        }
    }

    @Test(arguments: ["basic_noschema", "pk_update"], Engine.allCases)
    func theRowsAreTheSources(name: String, engine: Engine) async throws {
        let file = try #require(CorpusFile.all.first { $0.name == name })
        try await Turns.shared.one {
            var logger = Logger(label: "test")
            logger.logLevel = .critical
            let records = try Self.mixed(Corpus.records(name), seed: 7)
            let topics = Set(records.map(\.topic))
            let broker = try MockBroker(
                topics: Dictionary(uniqueKeysWithValues: topics.map { ($0, file.partitions) }), logger: logger)
            defer { broker.close() }
            let producer = try Producer(brokers: broker.bootstrap, logger: logger)
            try await producer.send(records)
            _ = try await producer.flush()
            let run = try await file.run("mixed_\(name)", engine, brokers: broker.bootstrap)
            let first = try await run.untilEnd()
            try await file.expectEqual(run, "mixed")
            try await file.expectRawOnce(run, "mixed")
            #expect(first.events > 0)
            // The connector sends all of it again, in other forms: those that show a position are known by it.
            try await producer.send(Self.mixed(Corpus.records(name), seed: 8))
            _ = try await producer.flush()
            await producer.close()
            try await run.untilEnd()
            try await file.expectEqual(run, "redelivered in other forms")
        }
    }
}
