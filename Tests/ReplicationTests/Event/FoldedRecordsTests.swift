import ReplicationTestKit
import Testing

@testable import Replication

/// Values that begin as an earlier one of their partition.
@Suite struct FoldedRecordsTests {
    private static func append(_ values: [[UInt8]?], to batch: RecordBatch, span: (Int) -> Int32 = { _ in 0 }) {
        for (offset, value) in values.enumerated() {
            let key = offset % 3 == 0 ? nil : Array("k\(offset)".utf8)
            withBytes(key) { key in
                withBytes(value) { batch.appendFolded(span: span(offset), offset: Int64(offset), key: key, value: $0) }
            }
        }
    }

    private static func withBytes(_ bytes: [UInt8]?, _ body: (UnsafeRawBufferPointer?) -> Void) {
        guard let bytes else { return body(nil) }
        // An empty array may have no address, which would be no value.
        (bytes + [0]).withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0.dropLast())) }
    }

    private static func values(of batch: RecordBatch) -> [[UInt8]?] {
        batch.records.map { batch.optionalValue(of: $0).map { Array($0) } }
    }

    @Test func aSchemaIsKeptOnce() {
        let schema = Array(#"{"schema":{"type":"struct","fields":["#.utf8) + [UInt8](repeating: 0x61, count: 3000)
        let events = (0..<100).map { schema + Array(#"]},"payload":{"id":\#($0)}}"#.utf8) }
        let batch = RecordBatch()
        Self.append(events, to: batch)
        #expect(Self.values(of: batch) == events)
        let keys = batch.records.reduce(0) { $0 + $1.key.length }
        #expect(batch.bytes == events.reduce(0) { $0 + $1.count } + keys)
        #expect(batch.held_bytes < 2 * schema.count + 100 * 50)
        #expect(batch.records.map(\.valueLength) == events.map(\.count))
        let copy = RecordBatch()
        for record in batch.records { copy.append(record, of: batch, span: 0) }
        #expect(Self.values(of: copy) == events)
        #expect(copy.records.map { copy.fingerprint($0) } == batch.records.map { batch.fingerprint($0) })
        #expect(copy.held_bytes == batch.held_bytes)
    }

    /// Behind a change of the schema values fold as they did before.
    @Test func aPatternIsReplacedByABetterOne() {
        func event(_ version: UInt8, _ id: UInt8) -> [UInt8] {
            [UInt8](repeating: 0x61, count: 600) + [UInt8](repeating: version, count: 3000) + [id]
        }
        let events = (0..<50).map { event(1, $0) } + (0..<50).map { event(2, $0) }
        let batch = RecordBatch()
        Self.append(events, to: batch)
        #expect(Self.values(of: batch) == events)
        #expect(batch.held_bytes < 2 * 3601 + 100 * 20)
    }

    /// All of them may be copied once more when they are decoded.
    @Test func whatIsNotHeldCountsForSomething() {
        let batch = RecordBatch()
        Self.append((0..<100).map { [UInt8](repeating: 0x61, count: 100_000) + [UInt8($0)] }, to: batch)
        #expect(batch.held_bytes < 200_000)
        #expect(batch.weight_bytes == batch.bytes / 8)
        #expect(batch.records.reduce(0) { $0 + $1.weight_bytes } > 1_200_000)
    }

    @Test func valuesComeBackAsTheyWere() {
        for seed in 0..<200 as Range<UInt64> {
            var random = SeededRandom(seed: seed)
            let bases = (0..<3).map { _ in (0..<4000).map { _ in UInt8(random.below(256)) } }
            let spans = (0..<60).map { _ in Int32(random.below(3)) }
            let values: [[UInt8]?] = spans.map { span in
                switch random.below(10) {
                case 0: return nil
                case 1: return []
                case 2: return (0..<random.below(3000)).map { _ in UInt8(random.below(256)) }
                case 3: return bases[Int(span)]
                case 4: return Array(bases[random.below(3)].prefix(random.below(4001)))
                default:
                    return bases[Int(span)].prefix(random.below(4001))
                        + (0..<random.below(200)).map { _ in UInt8(random.below(4)) }
                }
            }
            let batch = RecordBatch(capacity: 64)
            Self.append(values, to: batch) { spans[$0] }
            #expect(Self.values(of: batch) == values, "seed \(seed)")
            // In any order; and what was asked for last stays where it is when it is asked for again.
            for _ in 0..<60 {
                let index = random.below(60)
                let value = batch.value(of: batch.records[index])
                #expect(value.elementsEqual(values[index] ?? []), "seed \(seed)")
                #expect(batch.value(of: batch.records[index]).baseAddress == value.baseAddress)
            }
            #expect(batch.bytes >= batch.held_bytes)
        }
    }

    /// An emptied batch doesn't remember what stood there.
    @Test func anEmptiedBatchBeginsAnew() {
        let batch = RecordBatch()
        for round in 0..<3 as Range<UInt8> {
            // Alike from round to round, so that what stood there would pass for the beginning.
            let values: [[UInt8]?] = (0..<4).map { [UInt8](repeating: 0x61, count: 2000) + [$0, round] }
            Self.append(values, to: batch)
            #expect(Self.values(of: batch) == values)
            batch.removeAll()
            #expect(batch.bytes == 0)
        }
    }
}
