import JSON
import Replication
import ReplicationTestKit
import Testing

@testable import Debezium

/// One topic in which the form changes from record to record.
@Suite struct MixedFormatTests {
    private static let unwraps: [EventForms.Unwrap] = [
        .init(deletes: .rewrite, fields: ["op", "lsn", "sequence", "source.schema", "table", "txId", "source.ts_us"]),
        .init(deletes: .tombstone, headers: ["op", "source.lsn", "source.sequence", "source.table", "source.schema"]),
        .init(deletes: .deleteToTombstone, fields: ["op", "lsn"], headers: ["op", "lsn"]),
        .init(deletes: .rewriteWithTombstone, fields: ["op", "source.ts_ms"], headers: ["op"]),
        .init(deletes: .tombstone), .init(deletes: .deleteToTombstone, fields: ["op"]), .init(deletes: .rewrite),
    ]

    /// Each event in a form by chance, from one place of the source's log to the next: a tombstone goes with its delete.
    static func mixed(_ lines: [Corpus.Line], seed: UInt64, forms: Int) throws -> [Corpus.Line] {
        var random = SeededRandom(seed: seed)
        var all: [Corpus.Line] = []
        var form = 0
        for line in lines {
            if line.value != nil { form = random.below(forms) }
            switch form {
            case 0: all.append(line)
            case 1: all.append(try EventForms.cloudEvent(line))
            default: if let flat = try EventForms.flattened(line, unwraps[form - 2]) { all.append(flat) }
            }
        }
        return all
    }

    /// With positions in every record the events are the same, whatever form each has.
    @Test(arguments: ["basic_noschema", "pk_update"], 1...4)
    func theRowsAreTheSources(_ name: String, _ seed: Int) throws {
        // In the last forms rows and deletes show no position, and stand behind what does.
        for forms in [5, 9] {
            let lines = try Self.mixed(Corpus.lines(name), seed: UInt64(seed), forms: forms)
            let batch = try DebeziumDecoder(configuration: Corpus.configuration(name)).decode(Corpus.batch(lines))
            #expect(batch.reasons == [])
            let fold = Fold(batch.flat)
            let expected = try Corpus.expected(name)
            for (id, table) in try Corpus.tables(name) {
                CorpusTests.compare(
                    fold.rows(id), expected[id.description] ?? [], key: table.key, except: [], "\(name) \(id) \(forms)")
            }
        }
    }

    /// Doubled, and in another order, as far as every record shows its place.
    @Test(arguments: 1...3) func anyOrderGivesTheSameRows(_ seed: Int) throws {
        let name = "basic_noschema"
        let lines = try Self.mixed(Corpus.lines(name), seed: UInt64(seed), forms: 5)
        let configuration = try Corpus.configuration(name)
        let expected = try Corpus.expected(name)
        var random = SeededRandom(seed: UInt64(seed))
        for order in [lines + lines, lines.flatMap { [$0, $0] }, lines.shuffled(using: &random)] {
            let batch = try DebeziumDecoder(configuration: configuration).decode(Corpus.batch(order))
            let fold = Fold(batch.flat)
            for (id, table) in try Corpus.tables(name) {
                CorpusTests.compare(
                    fold.rows(id), expected[id.description] ?? [], key: table.key, except: [], "\(id) \(order.count)")
            }
        }
    }

    // MARK: - Where the pipeline file says which

    private static let envelope = FlattenedTests.line(
        #"{"before":null,"after":{"id":1},"op":"c","source":{"connector":"postgresql","schema":"public","table":"orders","lsn":10}}"#
    )
    private static let row = FlattenedTests.line(#"{"id":1,"__op":"c","__lsn":11}"#)
    private static let cloudEvent = FlattenedTests.line(
        #"{"id":"1","source":"/debezium/postgresql/shop","specversion":"1.0","type":"io.debezium.connector.postgresql.DataChangeEvent","iodebeziumop":"c","iodebeziumlsn":"12","iodebeziumschema":"public","iodebeziumtable":"orders","data":{"before":null,"after":{"id":1}}}"#
    )

    @Test(arguments: [EventFormat.envelope, .flattened, .cloudEvents])
    func anotherFormGoesToQuarantine(_ format: EventFormat) throws {
        var configuration = FlattenedTests.configuration
        configuration.format = format
        let all: [(EventFormat, Corpus.Line)] = [
            (.envelope, Self.envelope), (.flattened, Self.row), (.cloudEvents, Self.cloudEvent),
        ]
        let batch = try FlattenedTests.decode(configuration, all.map(\.1))
        #expect(batch.events.count == 1 && batch.quarantined.count == 2)
        for (index, (own, _)) in all.enumerated() {
            let entry = batch.quarantined.first { $0.offset == Int64(index) }
            #expect((entry == nil) == (own == format))
            if let entry {
                #expect(
                    entry.reason.hasSuffix("\(own.noun), where source.kafka.format is \(format.word)"),
                    "\(entry.reason)")
            }
        }
        #expect(try FlattenedTests.decode(FlattenedTests.configuration, all.map(\.1)).events.count == 3)
    }

    /// Whatever the format, what is of no table is none of its events.
    @Test(arguments: [EventFormat?.none, .envelope, .flattened, .cloudEvents])
    func controlRecordsAreControlInEveryFormat(_ format: EventFormat?) throws {
        var configuration = FlattenedTests.configuration
        configuration.format = format
        let key = #"{"id":"7:1"}"#
        let lines = [
            FlattenedTests.line(
                #"{"status":"BEGIN","id":"7:1","ts_ms":5,"event_count":null,"data_collections":null}"#, key: key,
                topic: "shop.transaction"),
            FlattenedTests.line(
                #"{"status":"END","id":"7:1","ts_ms":5,"event_count":2,"data_collections":[]}"#, key: key,
                topic: "shop.transaction"),
            FlattenedTests.line(#"{"ts_ms":5}"#, key: #"{"serverName":"shop"}"#, topic: "__debezium-heartbeat.shop"),
            FlattenedTests.line(
                #"{"source":{"db":"d"},"databaseName":"d","ddl":"create table x","tableChanges":[]}"#, key: nil,
                topic: "shop"),
            FlattenedTests.line(
                #"{"op":"m","source":{"schema":"","table":""},"message":{"prefix":"p"}}"#, topic: "shop.message"),
            FlattenedTests.line(
                #"{"id":"1","source":"/debezium/postgresql/shop","specversion":"1.0","type":"io.debezium.connector.postgresql.MessageEvent","iodebeziumop":"m","data":{"message":{}}}"#,
                topic: "shop.message"),
        ]
        let batch = try FlattenedTests.decode(
            configuration, format == .flattened || format == .envelope ? lines.dropLast() : lines)
        #expect(batch.control == (format == .flattened || format == .envelope ? 5 : 6) && batch.events.isEmpty)
        #expect(batch.reasons == [])
    }

    @Test func truncatesComeInEnvelopesAndCloudEvents() throws {
        let truncate =
            #"{"before":null,"after":null,"op":"t","source":{"connector":"postgresql","schema":"public","table":"orders","lsn":50}}"#
        let lines = [
            FlattenedTests.line(truncate, key: nil), try EventForms.cloudEvent(FlattenedTests.line(truncate, key: nil)),
        ]
        let batch = try FlattenedTests.decode(lines: lines)
        #expect(batch.flat.map(\.operation.letter) == ["t", "t"] && batch.flat[0].id == batch.flat[1].id)
    }

    /// The table is known without its connector first, and then with it.
    @Test func aConnectorIsLearnt() throws {
        let mysql =
            #"{"before":{"id":1,"v":1},"after":null,"op":"d","source":{"connector":"mysql","db":"public","table":"orders","file":"b.000002","pos":4,"row":0}}"#
        let batch = try FlattenedTests.decode(lines: [
            FlattenedTests.line(#"{"id":1,"v":1}"#), FlattenedTests.line(mysql),
        ])
        #expect(batch.reasons == [])
        // Its before-images are whole rows.
        #expect(batch.flat[1].before == ["id": "1", "v": "1"])
        #expect(batch.flat[1].version == Version(epoch: 0, commit: 2, seq: 2 * (4 << 20 | 1)))
        #expect(batch.flat[0].version < batch.flat[1].version)
    }
}
