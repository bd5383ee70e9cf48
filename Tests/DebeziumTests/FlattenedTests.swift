import Foundation
import JSON
import Replication
import Testing

@testable import Debezium

/// Rows without their envelope (ExtractNewRecordState): what they are, where they stand, and of which table.
@Suite struct FlattenedTests {
    static let topic = "shop.public.orders"

    static func line(
        _ value: String?, key: String? = #"{"id":1}"#, topic: String = topic, headers: [(String, String)] = []
    ) -> Corpus.Line {
        Corpus.Line(
            topic: topic, key: key.map { Array($0.utf8) }, value: value.map { Array($0.utf8) },
            headers: headers.map { ($0, Array($1.utf8)) })
    }

    /// All of a configuration that only says that tables are replicated.
    static var configuration: DecoderConfiguration { DecoderConfiguration { TableChoice(target: $0.table) } }

    static func decode(_ configuration: DecoderConfiguration = configuration, _ lines: [Corpus.Line]) throws
        -> ChangeBatch
    {
        try DebeziumDecoder(configuration: configuration).decode(Corpus.batch(lines))
    }

    static let orders = TableID(schema: "public", table: "orders")

    // MARK: - As Debezium writes them

    private static let unwrapped = ["plain", "drop", "tombstone", "rewrite", "delete_to_tombstone"]

    @Test(arguments: unwrapped) func everyRecordIsCountedOnce(_ mode: String) throws {
        let batch = try Corpus.decode("unwrap_\(mode)")
        let letters = Dictionary(grouping: batch.flat("orders"), by: \.operation.letter).mapValues(\.count)
        switch mode {
        // Nothing says what a row is but the header of a key change.
        case "plain": #expect(letters == ["u": 10, "c": 1, "d": 3])
        case "drop": #expect(letters == ["r": 5, "c": 4, "u": 2])
        default: #expect(letters == ["r": 5, "c": 4, "u": 2, "d": 3])
        }
        // Logical messages keep their envelope.
        #expect(batch.control == 1)
        let reasons = batch.reasons
        #expect(batch.quarantined.allSatisfy { $0.table == TableID(schema: "public", table: "nopk") })
        switch mode {
        case "plain":
            #expect(reasons.count == 5)
            #expect(reasons.count { $0.contains("doesn't say whether it inserts or updates") } == 4)
        case "drop": #expect(reasons.count == 1)
        case "rewrite":
            #expect(reasons.count == 1)
            #expect(batch.flat("nopk").map(\.operation.letter) == ["r", "c", "d", "c"])
        default: #expect(reasons.count == 2 && reasons[1].contains("a delete without key and before-image"))
        }
        if mode != "plain" { #expect(reasons[0].contains("an update without a before-image")) }
        #expect(batch.read.reduce(0, +) + batch.control == (try Corpus.lines("unwrap_\(mode)").count))
        #expect(batch.tables.allSatisfy { !$0.columns.contains { $0.name.hasPrefix("__") } })
    }

    @Test(arguments: unwrapped.filter { $0 != "drop" }) func rowsAreTheSources(_ mode: String) throws {
        let batch = try Corpus.decode("unwrap_\(mode)")
        let expected = try Corpus.expected("unwrap_\(mode)")["public.orders"] ?? []
        CorpusTests.compare(Fold(batch.flat).rows(Self.orders), expected, key: ["id"], except: [], mode)
    }

    /// Without the header the key is the only trace of a delete; the positions come from the headers.
    @Test func headersTellWhereADeleteStands() throws {
        for mode in ["tombstone", "delete_to_tombstone"] {
            let batch = try Corpus.decode("unwrap_\(mode)")
            let events = batch.flat("orders")
            #expect(events.allSatisfy { $0.version.commit > 100_000_000 && $0.time_us > 1_700_000_000_000_000 })
            let streamed = events.filter { $0.operation != .read }
            for (a, b) in zip(streamed, streamed.dropFirst()) { #expect(a.version < b.version) }
            let move = try #require(events.first { $0.flags & ChangeEvent.Flags.moveDelete.rawValue != 0 })
            #expect(move.key == #"{"id":3}"# && move.otherKey == #"{"id":33}"# && move.before == ["id": "3"])
            let create = try #require(events.first { $0.otherKey == #"{"id":3}"# })
            #expect(create.version.deleteHalf == move.version && create.version > move.version)
        }
    }

    @Test(arguments: unwrapped) func anyCutGivesTheSameEvents(_ mode: String) throws {
        let lines = try Corpus.lines("unwrap_\(mode)")
        let configuration = try Corpus.configuration("unwrap_\(mode)")
        let whole = try DebeziumDecoder(configuration: configuration).decode(Corpus.batch(lines))
        for cut in 1..<lines.count {
            let head = try DebeziumDecoder(configuration: configuration).decode(Corpus.batch(lines[..<cut]))
            var later = configuration
            later.knownTables = head.tables
            let second = try DebeziumDecoder(configuration: later)
            var states: [TopicPartition: String?] = [:]
            for (index, span) in head.spans.enumerated() { states[span.partition] = head.decoderState[index] }
            #expect(second.restore(states).isEmpty)
            let tail = second.decode(Corpus.batch(lines[cut...]))
            #expect(head.flat + tail.flat == whole.flat, "cut at \(cut)")
            #expect(head.reasons + tail.reasons == whole.reasons && head.control + tail.control == whole.control)
        }
    }

    // MARK: - What it is

    @Test func fieldsAndHeadersSayWhatARowIs() throws {
        let cases: [(String?, [(String, String)], String)] = [
            (#"{"id":1,"__op":"c"}"#, [], "c"), (#"{"id":1,"__op":"r","__deleted":"false"}"#, [], "r"),
            (#"{"id":1,"__deleted":"true"}"#, [], "d"), (#"{"id":1,"__op":"d"}"#, [], "d"),
            (#"{"id":1}"#, [("__op", "c")], "c"), (#"{"id":1}"#, [("__op", #""c""#)], "c"),
            (#"{"id":1}"#, [("__op", #"{"schema":{"type":"string"},"payload":"c"}"#)], "c"),
            // A field is nearer to its row than a header.
            (#"{"id":1,"__op":"u"}"#, [("__op", "c")], "u"), (#"{"id":1,"__op":null}"#, [("__op", "c")], "c"),
            (#"{"id":1}"#, [("__debezium.oldkey", #"{"id":2}"#)], "c"), (#"{"id":1}"#, [], "u"),
            (nil, [("__op", "d")], "d"), ("null", [("__op", "d")], "d"), ("null", [], "d"),
            (#"{"schema":{"type":"struct","fields":[],"name":"shop.public.orders.Value"},"payload":null}"#, [], "d"),
        ]
        for (value, headers, letter) in cases {
            let batch = try Self.decode(Self.configuration, [Self.line(value, headers: headers)])
            #expect(batch.flat.map(\.operation.letter) == [letter], "\(value ?? "nil") \(headers) \(batch.reasons)")
            #expect(batch.flat.first?.key == #"{"id":1}"# && batch.flat.first?.table == Self.orders)
        }
        // Nobody said yet that this topic's tombstones are deletes.
        #expect(try Self.decode(Self.configuration, [Self.line(nil)]).control == 1)
        for op in ["x", "t", "delete"] {
            let wrong = try Self.decode(Self.configuration, [Self.line(#"{"id":1,"__op":"\#(op)"}"#)])
            #expect(wrong.reasons == ["public.orders: op is none of c, u, d, t and r"])
        }
    }

    @Test func namesOfTheConnectorsOwnChoice() throws {
        var configuration = Self.configuration
        configuration.added.fieldsPrefix = "meta."
        configuration.added.headersPrefix = ""
        configuration.added.headers = ["source.lsn:place"]
        let batch = try Self.decode(
            configuration,
            [
                Self.line(
                    #"{"id":1,"__op":"x","meta.op":"c","meta.table":"items","meta.schema":"public"}"#,
                    headers: [("place", "77")]),
                Self.line(#"{"id":1,"meta.source_lsn":78,"__deleted":"true"}"#),
            ])
        #expect(batch.flat.map(\.table.table) == ["items", "orders"] && batch.reasons == [])
        // What isn't behind the prefix is a column.
        #expect(batch.flat[0].after == ["id": "1", "__op": "\"x\""])
        #expect(batch.flat.map(\.version.commit) == [77, 78])

        configuration.added = AddedNames()
        configuration.added.fields = ["op:OP", "lsn", "source.ts_ms:at", "transaction.total_order"]
        let named = try Self.decode(
            configuration,
            [Self.line(#"{"id":1,"__OP":"c","__lsn":5,"__at":9,"__op":"z","__transaction_total_order":3}"#)])
        #expect(named.flat.first?.after == ["id": "1", "__op": "\"z\""])
        #expect(named.flat.first?.version == Version(epoch: 0, commit: 5, seq: 10))
        #expect(named.flat.first?.time_us == 9000 && named.flat.first?.operation == .create)
    }

    @Test func aColumnThatTheSourceHasIsOne() throws {
        var configuration = Self.configuration
        let lines = [Self.line(#"{"id":1,"__op":"c","__table":"orders","__lsn":9}"#)]
        #expect(try Self.decode(configuration, lines).flat[0].after == ["id": "1"])
        configuration.catalogTypes[Self.orders] = ["id": .integer, "__table": .text]
        #expect(try Self.decode(configuration, lines).flat[0].after == ["id": "1", "__table": "\"orders\""])
        // In an envelope there is nothing added.
        let envelope =
            #"{"before":null,"after":{"id":2,"__lsn":4},"op":"c","source":{"connector":"postgresql","schema":"public","table":"orders","lsn":10}}"#
        let both = try Self.decode(Self.configuration, lines + [Self.line(envelope, key: #"{"id":2}"#)])
        #expect(both.flat.map(\.after) == [["id": "1"], ["id": "2", "__lsn": "4"]])
    }

    @Test func unchangedColumnsAreToldWithoutAnOp() throws {
        let value = #"{"id":1,"v":"__debezium_unavailable_value"}"#
        let batch = try Self.decode(
            Self.configuration,
            [Self.line(value), Self.line(value.replacing("}", with: #","__op":"c"}"#))])
        #expect(batch.flat[0].after?["v"] == "unchanged")
        #expect(batch.flat[1].after?["v"] == "\"__debezium_unavailable_value\"")
    }

    @Test func aColumnCalledSchemaIsNone() throws {
        let batch = try Self.decode(
            Self.configuration,
            [Self.line(#"{"schema":{"a":"1"},"id":1,"__op":"c"}"#), Self.line(#"{"id":1,"payload":2}"#)])
        #expect(batch.flat.map(\.after) == [["schema": #"{"a":"1"}"#, "id": "1"], ["id": "1", "payload": "2"]])
    }

    @Test func theSchemaPartTellsTypesAndTable() throws {
        func wrapped(_ payload: String) -> String {
            let fields =
                #"[{"type":"int32","optional":false,"field":"id"},{"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"12"},"field":"amount"},{"type":"string","optional":true,"field":"__op"},{"type":"int64","optional":true,"field":"__lsn"}]"#
            return
                #"{"schema":{"type":"struct","fields":\#(fields),"optional":false,"name":"shop.public.orders.Value"},"payload":\#(payload)}"#
        }
        let key =
            #"{"schema":{"type":"struct","fields":[{"type":"int32","optional":false,"field":"id"}],"name":"shop.public.orders.Key"},"payload":{"id":1}}"#
        let batch = try Self.decode(
            Self.configuration,
            [
                Self.line(wrapped(#"{"id":1,"amount":"AJY=","__op":"c","__lsn":7}"#), key: key, topic: "routed"),
                Self.line(nil, key: key, topic: "routed"),
                Self.line(wrapped("null"), key: key, topic: "routed"),
            ])
        #expect(batch.reasons == [] && batch.flat.map(\.operation.letter) == ["c", "d", "d"])
        #expect(Set(batch.flat.map(\.table)) == [Self.orders])
        #expect(batch.flat[0].after == ["id": "1", "amount": "1.50"])
        #expect(batch.tables[0].columns.map(\.type) == [.integer, .numeric(precision: 12, scale: 2)])
        // Alone in a batch, the key's schema part still says whose tombstone it is.
        var configuration = Self.configuration
        configuration.format = .flattened
        let alone = try Self.decode(configuration, [Self.line(nil, key: key, topic: "routed")])
        #expect(alone.flat.map(\.table) == [Self.orders])
    }

    // MARK: - Tombstones

    @Test func aTombstoneBehindItsDeleteIsControl() throws {
        let source = #""source":{"connector":"postgresql","schema":"public","table":"orders","lsn":10}"#
        let envelope = #"{"before":{"id":1},"after":null,"op":"d",\#(source)}"#
        for value in [nil, "null", #"{"schema":{"type":"struct"},"payload":null}"#] {
            // Rewritten with tombstone, where the header says `d` too; and an envelope's, in a mixed topic.
            let batch = try Self.decode(
                Self.configuration,
                [
                    Self.line(#"{"id":1,"__op":"c","__lsn":4}"#),
                    Self.line(#"{"id":1,"__op":"d","__deleted":"true","__lsn":5}"#),
                    Self.line(value, headers: [("__op", "d")]), Self.line(value),
                    Self.line(#"{"id":1,"__op":"c","__lsn":6}"#),
                    Self.line(envelope), Self.line(value),
                    // No delete of its key stands before this one.
                    Self.line(value, key: #"{"id":2}"#),
                ])
            #expect(batch.flat.map(\.operation.letter) == ["c", "d", "c", "d", "d"], "\(value ?? "nil")")
            #expect(batch.flat.last?.key == #"{"id":2}"# && batch.control == 3)
        }
        // An envelope's tombstones stay what they are, in whatever form.
        let plain = try Self.decode(
            Self.configuration,
            [
                Self.line(envelope), Self.line("null"), Self.line(envelope), Self.line(nil),
                Self.line(nil, key: #"{"id":9}"#),
            ])
        #expect(plain.flat.count == 2 && plain.control == 3)
    }

    @Test func whatATombstoneBelongsToIsRemembered() throws {
        let lines = [
            Self.line(#"{"id":1,"__deleted":"true","__lsn":5}"#), Self.line(nil), Self.line(nil, key: #"{"id":2}"#),
        ]
        let first = try DebeziumDecoder(configuration: Self.configuration).decode(Corpus.batch(lines[..<1]))
        let second = try DebeziumDecoder(configuration: Self.configuration)
        #expect(second.restore([TopicPartition(topic: Self.topic, partition: 0): first.decoderState[0]]).isEmpty)
        let rest = second.decode(Corpus.batch(lines[1...]))
        #expect(rest.control == 1 && rest.flat.map(\.key) == [#"{"id":2}"#])
    }

    @Test func aTombstoneOfNoKnownTable() throws {
        var configuration = Self.configuration
        let lines = [Self.line(nil, topic: "routed")]
        #expect(try Self.decode(configuration, lines).control == 1)
        configuration.format = .flattened
        let sure = try Self.decode(configuration, lines)
        #expect(sure.reasons.first?.contains("whose table can't be told") == true && sure.readUnknown == 1)
        configuration.topicTables = ["routed": Self.orders]
        #expect(try Self.decode(configuration, lines).flat.map(\.table) == [Self.orders])
    }
}
