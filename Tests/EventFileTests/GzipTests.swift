import Foundation
import Replication
import Testing

@testable import EventFile

@Suite("Gzip event files")
struct GzipTests {
    static let lines = (0..<5000).map { #"{"topic":"t\#($0 % 5)","value":"row number \#($0)"}"# + "\n" }.joined()

    @Test func areToldByTheirFirstBytes() throws {
        let file = try TemporaryFile(StoredGzip.member(Data(Self.lines.utf8)), name: "events.jsonl")
        let plain = try TemporaryFile(Data(Self.lines.utf8), name: "events.jsonl.gz")
        let contents = try Contents(EventFileReader(path: file.path))
        #expect(contents.events.count == 5000)
        #expect(try Contents(EventFileReader(path: plain.path)).events == contents.events)
    }

    /// `printf '{"topic":"a"}\n{"topic":"b"}\n' | gzip -9`, as gzip itself writes it.
    @Test func readsWhatGzipWrites() throws {
        let written = Data(base64Encoded: "H4sIAAAAAAACA6tWKskvyExWslJKVKrlqobzkoA8ALNhfV8cAAAA")
        let file = try TemporaryFile(try #require(written))
        #expect(try Contents(EventFileReader(path: file.path)).events.map(\.topic) == ["a", "b"])
    }

    @Test func membersFollowEachOther() throws {
        let data = Data(Self.lines.utf8)
        // Cut in the middle of a line, with an empty member between and zeros behind.
        let members =
            StoredGzip.member(data[..<1000]) + StoredGzip.member(Data()) + StoredGzip.member(Data(data[1000...]))
        for padding in [0, 1, 700] {
            let file = try TemporaryFile(members + Data(count: padding))
            #expect(try Contents(EventFileReader(path: file.path)).events.count == 5000)
        }
    }

    @Test(arguments: [1, 8, 9, 20, 5000, 150_000])
    func aTruncatedFileGivesItsLinesAndThenSaysSo(missing: Int) throws {
        let whole = StoredGzip.member(Data(Self.lines.utf8))
        let file = try TemporaryFile(whole.dropLast(missing))
        let reader = try EventFileReader(path: file.path)
        var got = Contents.empty
        let thrown = #expect(throws: EventFileError.self) {
            while !reader.isAtEnd {
                let batch = RecordBatch()
                let read = try reader.read(into: batch, maxRecords: 1000, maxBytes: 1 << 30)
                got.malformed += read.malformed
                got.take(batch)
            }
        }
        #expect(thrown?.kind == .truncated && thrown?.message.contains("truncated") == true)
        let readable = Self.lines.utf8.prefix(max(0, whole.count - missing - 10))
        // All lines that are whole in what there is, give or take the last block.
        #expect(got.malformed.isEmpty && got.events.count == reader.line)
        #expect(got.events.count >= max(0, readable.count { $0 == 0x0A } - 2500) && got.events.count <= 5000)
        #expect(got.events.map(\.offset) == (0..<Int64(got.events.count)).map { $0 })
        #expect(throws: EventFileError.self) {
            try reader.read(into: RecordBatch(), maxRecords: 1, maxBytes: 1)
        }
    }

    @Test func headersCutOffAreTruncatedToo() throws {
        for length in 2..<10 {
            let file = try TemporaryFile(StoredGzip.member(Data(Self.lines.utf8)).prefix(length))
            let reader = try EventFileReader(path: file.path)
            #expect { try reader.read(into: RecordBatch(), maxRecords: 1, maxBytes: 1) } throws: {
                ($0 as? EventFileError)?.kind == .truncated
            }
        }
    }

    @Test func damageIsCorruption() throws {
        var checksum = StoredGzip.member(Data(Self.lines.utf8))
        checksum[checksum.count - 6] ^= 1
        var block = StoredGzip.member(Data(Self.lines.utf8))
        block[13] ^= 1
        let trailing = StoredGzip.member(Data(Self.lines.utf8)) + Data("trailing bytes that are no gzip".utf8)
        for data in [checksum, block, trailing] {
            let file = try TemporaryFile(data)
            #expect { try Contents(EventFileReader(path: file.path)) } throws: {
                ($0 as? EventFileError)?.kind == .corrupt
            }
        }
    }
}

extension Contents {
    static var empty: Contents { Contents() }
    private init() {}
}
