import Foundation
import Replication
import Testing

@testable import EventFile

@Suite("Memory of the reader")
struct MemoryTests {
    /// 24 MB of lines through a reader, plain and gzip: what it holds doesn't grow with the file.
    @Test(arguments: [false, true])
    func isFlat(gzip: Bool) throws {
        let block = Data(
            (0..<1000).map { #"{"topic":"t","offset":\#($0),"value":"\#(String(repeating: "v", count: 950))"}"# + "\n" }
                .joined().utf8
        )
        let part = gzip ? StoredGzip.member(block) : block
        var data = Data()
        for _ in 0..<24 { data.append(part) }
        let file = try TemporaryFile(data)
        data = Data()
        let reader = try EventFileReader(path: file.path)
        let batch = RecordBatch()
        var records = 0
        while !reader.isAtEnd {
            batch.removeAll()
            _ = try reader.read(into: batch, maxRecords: 100_000, maxBytes: 1 << 20)
            records += batch.records.count
            #expect(batch.arena.allocated <= 4 << 20)
            #expect(reader.buffered_bytes <= 1 << 20)
        }
        #expect(records == 24_000)
    }

    @Test func isGivenBackAfterALongLine() throws {
        let short = #"{"topic":"t"}"# + "\n"
        let long = #"{"topic":"t","value":"\#(String(repeating: "v", count: 6 << 20))"}"# + "\n"
        let file = try TemporaryFile(Data((short + long + String(repeating: short, count: 50_000)).utf8))
        let reader = try EventFileReader(path: file.path)
        let batch = RecordBatch()
        _ = try reader.read(into: batch, maxRecords: 2, maxBytes: 1 << 30)
        #expect(reader.buffered_bytes > 4 << 20)
        let rest = try reader.read(into: batch, maxRecords: 100_000, maxBytes: 1 << 30)
        #expect(rest.isAtEnd && batch.records.count == 50_002)
        #expect(reader.buffered_bytes <= 1 << 20)
    }
}
