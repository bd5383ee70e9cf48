import Replication
import Testing

@testable import Postgres

/// Composites of a source, whose types change without a message of their own.
@Suite struct PgOutputDecoderTests {
    /// pgoutput's messages, as a server sends them.
    private struct Messages {
        let batch = RecordBatch()
        private let span: Int32

        init() { span = batch.span(of: TopicPartition(topic: "test", partition: 0), startingAt: 0) }

        private func append(_ bytes: [UInt8]) {
            bytes.withUnsafeBytes { batch.append(span: span, offset: 1, key: nil, value: $0) }
        }

        private static func big<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
            withUnsafeBytes(of: value.bigEndian) { Array($0) }
        }

        func begin() { append(Array("B".utf8) + Self.big(Int64(100)) + Self.big(Int64(0)) + Self.big(Int32(7))) }

        /// A relation of `id` and `p`, described by the catalog first.
        func relation(_ oid: UInt32 = 1, type: String, isCopy: Bool = false) {
            let facts = RelationFacts(
                oid: oid, table: TableID(schema: "public", table: "t"), key: ["id"], identity: ["id"], isFull: false,
                columns: [("id", "integer"), ("p", type)])
            append([isCopy ? SourceRecord.copying : SourceRecord.facts] + Array(facts.json.utf8))
            guard !isCopy else { return }
            var bytes = Array("R".utf8) + Self.big(oid) + Array("public\0t\0d".utf8) + Self.big(Int16(2))
            for (name, flags, type) in [("id", UInt8(1), Int32(23)), ("p", 0, 90_000)] {
                bytes += [flags] + Array("\(name)\0".utf8) + Self.big(type) + Self.big(Int32(-1))
            }
            append(bytes)
        }

        func insert(_ id: Int, _ text: String, of oid: UInt32 = 1) {
            var bytes = Array("I".utf8) + Self.big(oid) + Array("N".utf8) + Self.big(Int16(2))
            for value in [String(id), text] {
                bytes += Array("t".utf8) + Self.big(Int32(value.utf8.count)) + Array(value.utf8)
            }
            append(bytes)
        }

        func copied(_ row: String) { append([SourceRecord.row] + Array("\(row)\n".utf8)) }
    }

    private func decode(key: [String]? = nil, _ messages: (Messages) -> Void) -> ChangeBatch {
        let decoder = PgOutputDecoder(PgOutputConfiguration { _ in TableChoice(target: "t", key: key) })
        let written = Messages()
        written.begin()
        messages(written)
        return decoder.decode(written.batch)
    }

    /// The JSON of `p` in each row, as raw would have it.
    private func values(_ batch: ChangeBatch) -> [String] {
        batch.events.map { event in
            let field = batch.fields[Int(event.after) + 1]
            let sink = ByteArena()
            return sink.string(
                FieldText.appendJSON(field, batch.tables[0].columns[1].type, from: batch.arena, to: sink))
        }
    }

    private static let before = #"public.pair{"a" integer,"b" text}"#
    private static let after = #"public.pair{"a" integer,"b" text,"c" integer}"#
    private static let dropped = #"public.pair{"a" integer,"c" integer}"#

    @Test func fieldsAreThoseOfTheRowsOwnTime() {
        let batch = decode { messages in
            messages.relation(type: Self.before)
            messages.insert(1, "(1,x)")
            messages.relation(type: Self.after)
            messages.insert(2, "(2,y,3)")
            messages.relation(type: Self.dropped)
            messages.insert(3, "(4,5)")
        }
        #expect(batch.quarantined.isEmpty)
        #expect(batch.tables[0].columns[1].type == ColumnType(stored: Self.after))
        #expect(
            values(batch) == [#"{"a":1,"b":"x"}"#, #"{"a":2,"b":"y","c":3}"#, #"{"a":4,"c":5}"#])
    }

    /// Another relation, or a copy, may tell of the new fields first.
    @Test func relationsOfOneTableKnowTheirOwnFields() {
        let batch = decode { messages in
            messages.relation(1, type: Self.before)
            messages.relation(2, type: Self.before)
            messages.insert(1, "(1,x)", of: 1)
            messages.relation(3, type: Self.after, isCopy: true)
            messages.copied("2\t(2,y,3)")
            messages.insert(3, "(3,z)", of: 2)
            messages.insert(4, "(4,z)", of: 1)
            messages.relation(2, type: Self.after)
            messages.insert(5, "(5,z,6)", of: 2)
            messages.copied("6\t(6,y,)")
        }
        #expect(batch.quarantined.isEmpty)
        #expect(
            values(batch) == [
                #"{"a":1,"b":"x"}"#, #"{"a":2,"b":"y","c":3}"#, #"{"a":3,"b":"z"}"#, #"{"a":4,"b":"z"}"#,
                #"{"a":5,"b":"z","c":6}"#, #"{"a":6,"b":"y","c":null}"#,
            ])
    }

    @Test func aKeyKeepsTheText() {
        let batch = decode(key: ["p"]) { messages in
            messages.relation(type: Self.before)
            messages.insert(1, "(1,x)")
            messages.relation(type: Self.after)
            messages.insert(2, "(2,y,3)")
        }
        #expect(batch.tables[0].columns[1].type == .other("public.pair"))
        #expect(values(batch) == [#""(1,x)""#, #""(2,y,3)""#])
    }
}
