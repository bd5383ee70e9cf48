import Replication
import Testing

@testable import Agent

@Suite("What is kept of records that wait")
struct HeldRecordsTests {
    private func batch(_ count: Int) -> RecordBatch {
        let batch = RecordBatch()
        let span = batch.span(of: TopicPartition(topic: "t", partition: 0), startingAt: 0)
        for offset in 0..<count {
            Array("key \(offset)".utf8).withUnsafeBytes { key in
                batch.append(span: span, offset: Int64(offset), key: key, value: nil)
            }
        }
        return batch
    }

    @Test("A batch of which little is left isn't kept whole for it")
    func compacts() {
        var held = HeldRecords()
        weak var whole: RecordBatch?
        do {
            let all = batch(100)
            whole = all
            held.append(all, (0..<100).map { $0 })
        }
        var keys: [String] = []
        func take(_ count: Int) {
            held.take(count) { record, batch in keys.append(batch.arena.string(record.key)) }
            held.compact()
        }
        take(50)
        #expect(whole != nil)
        take(1)
        #expect(whole == nil, "49 of 100 are in a batch of their own")
        #expect(held.firstOffset == 51)
        take(30)
        take(19)
        #expect(keys == (0..<100).map { "key \($0)" } && held.isEmpty)
    }

    @Test("A membership of an older checkpoint is that of the publication's row alone")
    func memberships() {
        #expect(PostgresSource.isSame(16_500, 16_500 << 32 | 16_400))
        #expect(!PostgresSource.isSame(16_500, 16_501 << 32 | 16_400))
        #expect(PostgresSource.isSame(16_500 << 32 | 16_400, 16_500 << 32 | 16_400))
        #expect(!PostgresSource.isSame(16_500 << 32 | 16_400, 16_500 << 32 | 16_401))
        // An oid beyond 2^31 makes it negative.
        let high = Int64(bitPattern: UInt64(3_000_000_000) << 32 | 16_400)
        #expect(PostgresSource.isSame(3_000_000_000, high) && PostgresSource.isSame(high, high))
    }
}
