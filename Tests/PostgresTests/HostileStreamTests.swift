import Replication
import Testing

@testable import Postgres

/// Messages whose numbers are no server's: put aside or taken as they are, and never the end of the process.
@Suite struct HostileStreamTests {
    private func decode(_ messages: [[UInt8]]) -> ChangeBatch {
        let batch = RecordBatch()
        let span = batch.span(of: TopicPartition(topic: "test", partition: 0), startingAt: 0)
        for message in messages {
            message.withUnsafeBytes { batch.append(span: span, offset: 1, key: nil, value: $0) }
        }
        return PgOutputDecoder(PgOutputConfiguration { TableChoice(target: $0.table) }).decode(batch)
    }

    private static func big<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
        withUnsafeBytes(of: value.bigEndian) { Array($0) }
    }

    private static func relation(columns: Int16) -> [UInt8] {
        Array("R".utf8) + big(UInt32(1)) + Array("public\0t\0f".utf8) + big(columns)
    }

    private static let begin = Array("B".utf8) + big(Int64(100)) + big(Int64(0)) + big(Int32(7))
    private static let insert = Array("I".utf8) + big(UInt32(1)) + Array("N".utf8) + big(Int16(0))

    @Test func aTimeBeyondAllTimes() {
        let last = Array("B".utf8) + Self.big(Int64.max) + Self.big(Int64.max) + Self.big(UInt32.max)
        #expect(decode([last]).events.isEmpty)
    }

    @Test(arguments: [Int16.min, -1]) func aRelationOfFewerThanNoColumns(count: Int16) {
        let batch = decode([Self.begin, Self.relation(columns: count), Self.insert])
        #expect(batch.read.reduce(0, +) == 1 && batch.events.count + batch.quarantined.count == 1)
    }

    @Test func aTruncateOfFewerThanNoRelations() {
        let batch = decode([Self.begin, Array("T".utf8) + Self.big(Int32.min) + [0]])
        #expect(batch.events.isEmpty && batch.quarantined.isEmpty)
    }
}
