import Replication
import Testing

@testable import Agent

/// Which records of the quarantine are about one row: its own, and nobody else's.
@Suite struct QuarantinedKeyTests {
    private static let orders = TableDefinition(
        source: TableID(schema: "public", table: "orders"), target: "orders",
        columns: [
            Column(name: "id", type: .bigint, isKey: true), Column(name: "quantity", type: .integer),
            Column(name: "extra", type: .jsonb),
        ], key: [0])

    private func verdict(
        _ value: [UInt8]?, key: [UInt8]? = nil, decoded: [(table: TableID, key: String)]? = nil,
        table: TableID? = orders.source
    ) throws -> QuarantinedKey.Verdict {
        try QuarantinedKey(Self.orders, key: "{\"id\":7}", equality: .postgres).verdict(
            QuarantineEntry(
                table: table, partition: TopicPartition(topic: "t", partition: 0), offset: 1, reason: "", key: key,
                value: value), decoded: decoded)
    }

    private func verdict(_ json: String) throws -> QuarantinedKey.Verdict { try verdict(Array(json.utf8)) }

    @Test func documents() throws {
        #expect(try verdict(#"{"before":null,"after":{"id":7,"quantity":1}}"#) == .isOfIt)
        #expect(try verdict(#"{"schema":{},"payload":{"before":{"id":"7"},"after":null}}"#) == .isOfIt)
        #expect(try verdict(#"{"id":7,"quantity":2}"#) == .isOfIt)
        #expect(try verdict(#"{"before":null,"after":{"id":12,"quantity":7}}"#) == .isNot)
        #expect(try verdict(#"{"after":{"id":12,"extra":{"id":7}}}"#) == .isNot)
        #expect(try verdict(#"{"after":{"id":77}}"#) == .isNot)
        #expect(try verdict(#"{"before":null,"after":{"id":7,"qua"#) == .isOfIt)
        #expect(try verdict(#"{"before":null,"after":{"id":71,"qua"#) == .isNot)
        #expect(try verdict(nil) == .isNot)
    }

    @Test func whatCouldBeReadDecides() throws {
        let value = Array(#"{"after":{"id":7}}"#.utf8)
        #expect(try verdict(value, decoded: [(Self.orders.source, #"{"id":8}"#)]) == .isNot)
        #expect(try verdict(value, decoded: [(Self.orders.source, #"{"id":7}"#)]) == .isOfIt)
        let other = TableID(schema: "public", table: "others")
        #expect(try verdict(value, decoded: [(other, #"{"id":7}"#)], table: nil) == .isNot)
        #expect(try verdict(value, table: other) == .isNot)
    }

    @Test func pgoutput() throws {
        func text(_ text: String) -> [UInt8] { [0x74, 0, 0, 0, UInt8(text.utf8.count)] + Array(text.utf8) }
        func insert(_ cells: [[UInt8]]) -> [UInt8] {
            [0x49, 0, 0, 0x40, 1, 0x4E, 0, UInt8(cells.count)] + cells.flatMap { $0 }
        }
        #expect(try verdict(insert([text("7"), text("1"), [0x6E]])) == .isOfIt)
        #expect(try verdict(insert([text("12"), text("7"), [0x75]])) == .isNot)
        #expect(try verdict(insert([text("12"), text("7"), text("7")])) == .isNot)
        let update = [0x55, 0, 0, 0x40, 1, 0x4F, 0, 1] + text("7") + [0x4E, 0, 1] + text("9")
        #expect(try verdict(update) == .isOfIt)
        #expect(try verdict([0, 0, 0, 0, 5, 14]) == .unread, "of a registry's schema")
    }
}
