import EventSchemas
import JSON
import Replication
import Testing

@testable import Debezium

/// Records in Confluent's wire format, through the decoder that reads JSON.
@Suite struct FramedTests {
    private func configuration(_ name: String) throws -> DecoderConfiguration {
        var configuration = DecoderConfiguration { TableChoice(target: $0.table) }
        configuration.schemas = try Corpus.registry(name)
        return configuration
    }

    @Test func recordedEvents() throws {
        let batch = try DebeziumDecoder(configuration: configuration("basic_avro")).decode(
            Corpus.batch(try Corpus.lines("basic_avro")))
        #expect(batch.quarantined.isEmpty, "\(batch.reasons)")
        #expect(batch.readUnknown == 0)
        #expect(
            batch.counts == [
                "public.customers:r": 3, "public.orders:r": 6, "public.customers:c": 2, "public.orders:c": 7,
                "public.orders:u": 6, "public.orders:d": 4, "public.customers:u": 1, "public.customers:d": 1,
            ])
        let fold = Fold(batch.flat)
        let expected = try Corpus.expected("basic_avro")
        for (table, key) in [("customers", "id"), ("orders", "order_id")] {
            CorpusTests.compare(
                fold.rows(TableID(schema: "public", table: table)), expected["public.\(table)"] ?? [], key: [key],
                except: [], table)
        }
        let orders = try #require(batch.tables.first { $0.source.table == "orders" })
        #expect(
            orders.columns.map(\.type) == [
                .bigint, .integer, .numeric(precision: 12, scale: 2), .text, .text, .timestamp(digits: 3),
            ])
        #expect(orders.key == [0])
    }

    @Test func everyTypeAndTwoSchemasInOneTopic() throws {
        let batch = try DebeziumDecoder(configuration: configuration("types_avro")).decode(
            Corpus.batch(try Corpus.lines("types_avro")))
        // What a snapshot of infinity or BC gives is no date: as in JSON.
        let inJSON = try Corpus.decode("types_a_schema", typed: false)
        #expect(batch.reasons.sorted() == inJSON.reasons.sorted())
        #expect(batch.counts == ["public.types:r": 8, "public.types:c": 11, "public.types:u": 6, "public.types:d": 5])
        let move = batch.flat.filter { $0.otherKey != nil }
        #expect(move.count == 2, "the headers of a key change are text beside Avro")
    }

    /// What a record's bytes are doesn't hang on its neighbours.
    @Test func oneByOneIsTheSame() throws {
        let lines = try Corpus.lines("types_avro")
        let whole = try DebeziumDecoder(configuration: configuration("types_avro")).decode(Corpus.batch(lines))
        let decoder = try DebeziumDecoder(configuration: configuration("types_avro"))
        var single: [FlatEvent] = []
        for index in lines.indices { single += decoder.decode(Corpus.batch(lines[index...index])).flat }
        #expect(single == whole.flat)
    }

    @Test func reasons() throws {
        let line = try #require(try Corpus.lines("basic_avro").first)
        func reason(_ line: Corpus.Line, _ configuration: DecoderConfiguration) throws -> String? {
            try DebeziumDecoder(configuration: configuration).decode(Corpus.batch([line])).quarantined.first?.reason
        }
        var none = try configuration("basic_avro")
        none.schemas = nil
        #expect(
            try reason(line, none)
                == "the value: it is in Confluent's wire format (schema id 2), for which the pipeline file names no schema_registry"
        )
        var unknown = try configuration("basic_avro")
        unknown.schemas = SchemaStore()
        #expect(try reason(line, unknown) == "the value: its schema (id 2) is not at hand")
        var other = try configuration("basic_avro")
        other.schemas = SchemaStore(expected: .protobuf)
        let schema = try #require(try Corpus.registry("basic_avro")[2])
        other.schemas?.put(schema, for: 2)
        #expect(
            try reason(line, other)
                == "the value: its schema (id 2) is of Avro, and the pipeline file's format of Protobuf")
        let plain = Corpus.Line(topic: "t", key: nil, value: Array("{}".utf8))
        #expect(try reason(plain, other)?.contains("isn't in Confluent's wire format") == true)
        // The key's trouble is told as the key's.
        var half = line
        half.key = [0, 0, 0, 0, 77, 2]
        let halfConfiguration = try configuration("basic_avro")
        #expect(
            try reason(half, halfConfiguration)
                == "public.customers: the record's key: its schema (id 77) is not at hand")
        var short = line
        short.value = line.value?.dropLast()
        #expect(
            try reason(short, halfConfiguration)
                == "the value: it doesn't fit its Avro schema (id 2): it ends before what its schema describes")
        let named = Corpus.Line(
            topic: "t", key: nil, value: [8, 1], headers: [("apicurio.value.globalId", [0, 0, 0, 0, 0, 0, 0, 7])])
        #expect(try reason(named, halfConfiguration)?.contains("header apicurio.value.globalId") == true)
    }

    /// Rows without their envelope: their keys are framed, too.
    @Test func flattenedRows() throws {
        let store = SchemaStore()
        func put(_ id: UInt32, _ name: String, _ fields: String) {
            let text = "{\"type\":\"record\",\"name\":\"\(name)\",\"namespace\":\"p.s.t\",\"fields\":[\(fields)]}"
            store.put(.schema(RegisteredSchema(id: id, format: .avro, text: text)), for: id)
        }
        let id = #"{"name":"id","type":"long"}"#
        put(1, "Key", id)
        let beside = ["__op", "__schema", "__table"].map { #"{"name":"\#($0)","type":"string"}"# }
        let fields = [id, #"{"name":"v","type":["null","string"]}"#] + beside
        put(2, "Value", (fields + [#"{"name":"__source_lsn","type":"long"}"#]).joined(separator: ","))
        func text(_ text: String) -> [UInt8] { [UInt8(2 * text.utf8.count)] + Array(text.utf8) }
        let value: [UInt8] =
            [0, 0, 0, 0, 2, 14, 2] + text("Ann") + text("c") + text("s") + text("t") + [40]
        var configuration = DecoderConfiguration { TableChoice(target: $0.table) }
        configuration.schemas = store
        let batch = try DebeziumDecoder(configuration: configuration).decode(
            Corpus.batch([Corpus.Line(topic: "p.s.t", key: [0, 0, 0, 0, 1, 14], value: value)]))
        #expect(batch.quarantined.isEmpty, "\(batch.reasons)")
        let event = try #require(batch.flat.first)
        #expect(event.table == TableID(schema: "s", table: "t"))
        #expect(event.key == #"{"id":7}"#)
        #expect(event.after == ["id": "7", "v": "\"Ann\""])
        #expect(batch.tables[0].columns.map(\.type) == [.bigint, .text])
    }

    /// Protobuf says `int64` of a bigint and of a timestamp alike: what a catalog says counts, then the guess.
    @Test func assumedTypes() throws {
        let store = SchemaStore()
        store.put(
            .schema(
                RegisteredSchema(
                    id: 5, format: .protobuf,
                    text: """
                        syntax = "proto3";
                        message Envelope {
                          Value before = 1; Value after = 2; Source source = 3; string op = 4;
                          message Value { int64 id = 1; optional int64 at = 2; optional string name = 3; optional string token = 4; }
                          message Source { string connector = 1; string schema = 2; string table = 3; int64 lsn = 4; int64 ts_ms = 5; }
                        }
                        message Key { int64 id = 1; }
                        """)), for: 5)
        func field(_ number: UInt8, _ bytes: [UInt8]) -> [UInt8] { [number << 3 | 2, UInt8(bytes.count)] + bytes }
        func text(_ number: UInt8, _ text: String) -> [UInt8] { field(number, Array(text.utf8)) }
        let row: [UInt8] = [8, 7] + [16, 0xC0, 0x84, 0x3D] + text(3, "Ann")
        let source = text(1, "postgresql") + text(2, "s") + text(3, "t") + [32, 9, 40, 1]
        let value: [UInt8] = [0, 0, 0, 0, 5, 0] + field(2, row) + field(3, source) + text(4, "c")
        let key: [UInt8] = [0, 0, 0, 0, 5, 2, 2, 8, 7]
        func read(_ types: [String: ColumnType]) throws -> (ChangeBatch, FlatEvent?) {
            var configuration = DecoderConfiguration { TableChoice(target: $0.table) }
            configuration.schemas = store
            configuration.catalogTypes = [TableID(schema: "s", table: "t"): types]
            let batch = try DebeziumDecoder(configuration: configuration).decode(
                Corpus.batch([Corpus.Line(topic: "t", key: key, value: value)]))
            return (batch, batch.flat.first)
        }
        let (guessed, first) = try read([:])
        #expect(guessed.quarantined.isEmpty, "\(guessed.reasons)")
        #expect(guessed.tables.first?.columns.map(\.type) == [.bigint, .bigint, .text, .text])
        #expect(first?.after == ["id": "7", "at": "1000000", "name": "\"Ann\"", "token": "null"])
        let (told, second) = try read([
            "id": .bigint, "at": .timestamp(digits: 6), "name": .other("character varying(20)"), "token": .uuid,
        ])
        #expect(told.quarantined.isEmpty, "\(told.reasons)")
        #expect(
            second?.after == [
                "id": "7", "at": "\"1970-01-01T00:00:01\"", "name": "\"Ann\"", "token": "null",
            ])
    }
}
