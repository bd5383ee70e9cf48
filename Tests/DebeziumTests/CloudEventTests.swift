import JSON
import Replication
import ReplicationTestKit
import Testing

@testable import Debezium

/// CloudEvents in JSON: the same events as their envelopes, down to ids and versions.
@Suite struct CloudEventTests {
    @Test func everyRecordOfACaptureIsCountedOnce() throws {
        let batch = try Corpus.decode("basic_cloudevents")
        #expect(batch.reasons == [] && batch.readUnknown == 0)
        #expect(
            batch.counts == [
                "public.customers:r": 3, "public.orders:r": 6, "public.customers:c": 2, "public.orders:c": 7,
                "public.orders:u": 6, "public.orders:d": 4, "public.customers:u": 1, "public.customers:d": 1,
            ])
        // Tombstones, and the transactions' records, which are null in this form.
        #expect(batch.control == 5 + 28)
        let expected = try Corpus.expected("basic_cloudevents")
        let fold = Fold(batch.flat)
        for (table, key) in [("customers", "id"), ("orders", "order_id")] {
            CorpusTests.compare(
                fold.rows(TableID(schema: "public", table: table)), expected["public.\(table)"] ?? [], key: [key],
                except: [], table)
        }
        let streamed = batch.flat("orders").filter { $0.operation != .read }
        for (a, b) in zip(streamed, streamed.dropFirst()) { #expect(a.version < b.version) }
        #expect(batch.flat.allSatisfy { $0.transaction > 0 && $0.time_us > 1_700_000_000_000_000 })
    }

    @Test(arguments: ["basic_noschema", "pk_update", "mysql_basic", "toast", "snapshot", "truncate_msg_heartbeat_tx"])
    func theSameEventsAsTheirEnvelopes(_ name: String) throws {
        let lines = try Corpus.lines(name)
        let configuration = try Corpus.configuration(name)
        let envelopes = try DebeziumDecoder(configuration: configuration).decode(Corpus.batch(lines))
        let events = try DebeziumDecoder(configuration: configuration).decode(
            Corpus.batch(lines.map { try EventForms.cloudEvent($0) }))
        // Without a key an event is named by its image's text, which the test writes in its own way.
        func named(_ batch: ChangeBatch) -> [FlatEvent] {
            batch.flat.map { event in
                var event = event
                if event.key == nil, event.operation != .truncate { event.id = .zero }
                return event
            }
        }
        for (event, envelope) in zip(named(events), named(envelopes)) where event != envelope {
            Issue.record("\(name) \(event.offset) \(event.table) \(event.operation.letter)")
        }
        #expect(events.events.count == envelopes.events.count)
        #expect(events.reasons == envelopes.reasons && events.read == envelopes.read)
        #expect(events.control == envelopes.control)
    }

    @Test func aSchemaInTheDataIsRead() throws {
        let source = try Corpus.lines("basic")
        let lines = try source.map { line in
            guard let value = line.value, value.count != 4 else { return line }
            let document = try JSONValue(parsing: value)
            var plain = line
            plain.value = Array((document["payload"] ?? .null).serialized.utf8)
            // As the converter has it: the images alone.
            let images = document["schema"]?["fields"]?.array?.filter {
                ["before", "after"].contains($0["field"]?.string ?? "")
            }
            let schema = JSONValue.object([
                ("type", "struct"), ("fields", .array(images ?? [])), ("name", "dbz.public.x.Data"),
            ])
            return try EventForms.cloudEvent(plain, schema: schema)
        }
        let plain = DecoderConfiguration { TableChoice(target: $0.table) }
        let events = try DebeziumDecoder(configuration: plain).decode(Corpus.batch(lines))
        let envelopes = try DebeziumDecoder(configuration: plain).decode(Corpus.batch(source))
        #expect(events.reasons == [])
        #expect(events.flat == envelopes.flat && events.flat.count == 30)
        #expect(events.tables == envelopes.tables && events.tables[0].columns.allSatisfy { $0.type != .unknown })
    }

    private static func line(_ members: String) -> Corpus.Line {
        FlattenedTests.line(
            #"{"specversion":"1.0","source":"/debezium/postgresql/shop","type":"io.debezium.connector.postgresql.DataChangeEvent",\#(members)}"#
        )
    }

    /// `extension.attributes.enable=false`: the id and the type have what is needed, but for the table and the op.
    @Test func withoutExtensionAttributes() throws {
        let id = #""id":"name:shop;lsn:120;txId:7;sequence:[\"110\",\"120\"]""#
        let batch = try FlattenedTests.decode(lines: [
            Self.line(#"\#(id),"data":{"before":null,"after":{"id":1,"v":2}}"#),
            Self.line(#"\#(id),"data":{"before":{"id":1,"v":null},"after":null}"#),
        ])
        #expect(batch.reasons == [] && batch.flat.map(\.operation.letter) == ["u", "d"])
        #expect(
            batch.flat.map(\.version) == [
                Version(epoch: 0, commit: 110, seq: 240), Version(epoch: 0, commit: 110, seq: 240),
            ])
        #expect(batch.flat.allSatisfy { $0.table == FlattenedTests.orders && $0.transaction == 7 })
    }

    /// Behind ExtractNewRecordState the data is the row itself.
    @Test func theDataMayBeARow() throws {
        let attributes =
            #""id":"1","iodebeziumlsn":"9","iodebeziumschema":"public","iodebeziumtable":"orders","iodebeziumconnector":"postgresql""#
        let batch = try FlattenedTests.decode(lines: [
            Self.line(#"\#(attributes),"iodebeziumop":"c","data":{"id":1,"v":2,"__op":"c","__deleted":"false"}"#),
            Self.line(#"\#(attributes),"iodebeziumop":"d","data":{"id":1,"v":null,"__deleted":"true"}"#),
        ])
        #expect(batch.reasons == [])
        #expect(batch.flat.map(\.after) == [["id": "1", "v": "2"], nil])
        #expect(batch.flat[1].before == ["id": "1", "v": "unchanged"])
    }

    @Test func whatIsNotReadIsSaid() throws {
        let attributes =
            #""id":"1","iodebeziumop":"c","iodebeziumlsn":"9","iodebeziumschema":"public","iodebeziumtable":"orders""#
        let cases = [
            (
                #"\#(attributes),"datacontenttype":"application/avro","dataschema":"http://r/schemas/ids/1","data":"AAAAAAE=""#,
                "data is Avro"
            ),
            (#"\#(attributes),"datacontenttype":"application/avro","data_base64":"AAAAAAE=""#, "data is Avro"),
            (#"\#(attributes),"datacontenttype":"application/x-protobuf","data":"AA==""#, "data is Protobuf"),
            (#"\#(attributes),"data":"text""#, "no JSON object"), (attributes, "without data"),
            (#"\#(attributes),"data":{"schema":{},"payload":null}"#, "no payload"),
            (#"\#(attributes),"data":{"schema":{},"payload":{"before":null,"after":{"id":1}}}"#, "schema block"),
            (#"\#(attributes),"data":{"before":null,"after":null}"#, "no after-image"),
            (#"\#(attributes),"data":{"before":null,"after":[1]}"#, "no after-image"),
        ]
        for (members, reason) in cases {
            let line = Self.line(members)
            let batch = try FlattenedTests.decode(lines: [line])
            #expect(batch.reasons.first?.contains(reason) == true, "\(batch.reasons)")
            #expect(batch.quarantined.first?.value == line.value && batch.events.isEmpty && batch.control == 0)
        }
        let foreign = FlattenedTests.line(
            #"{"specversion":"1.0","id":"7","source":"/shop","type":"order.placed","data":{"id":1}}"#)
        #expect(try FlattenedTests.decode(lines: [foreign]).reasons.first?.contains("isn't Debezium's") == true)
        let message = Self.line(#""id":"1","iodebeziumop":"m","data":{"message":{"prefix":"p","content":"YQ=="}}"#)
        #expect(try FlattenedTests.decode(lines: [message]).control == 1)
    }
}
