import Foundation
import Replication
import Testing

@testable import EventFile

/// What a file gave, in plain values.
struct Contents {
    struct Event: Equatable {
        var topic: String
        var partition: Int32
        var offset: Int64
        var timestamp_ms: Int64
        var key: [UInt8]?
        var value: [UInt8]?
        var headers: [[String?]]
    }

    var events: [Event] = []
    var malformed: [MalformedLine] = []
    var reads: [EventFileReader.Read] = []
    var spans: [[RecordBatch.PartitionSpan]] = []

    init(_ reader: EventFileReader, maxRecords: Int = 1000, maxBytes: Int = 1 << 30) throws {
        repeat {
            let batch = RecordBatch()
            let read = try reader.read(into: batch, maxRecords: maxRecords, maxBytes: maxBytes)
            take(batch)
            malformed += read.malformed
            reads.append(read)
            spans.append(batch.spans)
        } while !reader.isAtEnd
    }

    init(_ lines: [String]) throws {
        let file = try TemporaryFile(lines: lines)
        try self.init(EventFileReader(path: file.path))
    }

    mutating func take(_ batch: RecordBatch) {
        func bytes(_ range: ByteRange) -> [UInt8]? { range.isNull ? nil : Array(batch.arena.bytes(range)) }
        func text(_ range: ByteRange) -> String? { range.isNull ? nil : batch.arena.string(range) }
        for record in batch.records {
            let partition = batch.spans[Int(record.span)].partition
            events.append(
                Event(
                    topic: partition.topic, partition: partition.partition, offset: record.offset,
                    timestamp_ms: record.timestamp_ms, key: bytes(record.key),
                    value: batch.optionalValue(of: record).map { Array($0) },
                    headers: record.headers.map {
                        [text(batch.headers[Int($0)].name), text(batch.headers[Int($0)].value)]
                    }
                )
            )
        }
    }
}

@Suite("Reading an event file")
struct ReadingTests {
    @Test func readsAllThatALineCanSay() throws {
        let contents = try Contents([
            #"{"topic":"dbz.public.t","partition":null,"key":"{\"id\":1}","value":"{\"a\":\"\\\"\\uD83D\\uDE00é\"}","headers":[["__debezium.context.taskId","0"],["op","c"],["none",null],["q\"","\n"]]}"#,
            #"{"topic":"t2","partition":3,"offset":42,"timestamp":1795340781192,"key":null,"value":null}"#,
            #"{"value":"","key":"","topic":"t\u00e9","other":{"a":[1]},"headers":null,"offset":null,"timestamp":null}"#,
            #" { "topic" : "t3" , "key_b64":"AAAA//4=","value_b64":"AQ==","key":null,"value":null } "#,
        ])
        #expect(contents.malformed.isEmpty)
        #expect(
            contents.events == [
                .init(
                    topic: "dbz.public.t", partition: 0, offset: 0, timestamp_ms: -1, key: Array(#"{"id":1}"#.utf8),
                    value: Array(#"{"a":"\"\uD83D\uDE00é"}"#.utf8),
                    headers: [["op", "c"], ["none", nil], ["q\"", "\n"]]
                ),
                .init(
                    topic: "t2", partition: 3, offset: 42, timestamp_ms: 1_795_340_781_192, key: nil, value: nil,
                    headers: []
                ),
                .init(topic: "té", partition: 0, offset: 2, timestamp_ms: -1, key: [], value: [], headers: []),
                .init(
                    topic: "t3", partition: 0, offset: 3, timestamp_ms: -1, key: [0, 0, 0, 255, 254], value: [1],
                    headers: []
                ),
            ]
        )
    }

    @Test func spansBeginAtTheFirstOffsetAndEndBehindTheHighest() throws {
        let contents = try Contents([
            #"{"topic":"a","offset":7}"#, #"{"topic":"a","offset":9}"#, #"{"topic":"b"}"#,
            #"{"topic":"a","partition":1,"offset":5}"#, #"{"topic":"a","offset":8}"#,
        ])
        #expect(
            contents.spans == [
                [
                    .init(partition: TopicPartition(topic: "a", partition: 0), start: 7, end: 10),
                    .init(partition: TopicPartition(topic: "b", partition: 0), start: 2, end: 3),
                    .init(partition: TopicPartition(topic: "a", partition: 1), start: 5, end: 6),
                ]
            ]
        )
    }

    @Test(arguments: [
        ("", 0), ("\n", 0), ("\r\n\n \t\n", 0), (#"{"topic":"a"}"#, 1),
        ("{\"topic\":\"a\"}\r\n{\"topic\":\"b\"}\r\n", 2),
        ("\u{FEFF}{\"topic\":\"a\"}\n", 1), ("{\"topic\":\"a\"}\n\n{\"topic\":\"b\"}", 2),
    ])
    func linesEndAsTheyMay(text: String, count: Int) throws {
        let file = try TemporaryFile(Data(text.utf8))
        let reader = try EventFileReader(path: file.path)
        let contents = try Contents(reader)
        #expect(contents.events.count == count && contents.malformed.isEmpty && reader.isAtEnd)
        let newlines = text.utf8.count { $0 == 0x0A } + (text.isEmpty || text.utf8.last == 0x0A ? 0 : 1)
        #expect(reader.line == newlines)
    }

    @Test func batchesAreBounded() throws {
        let lines = (0..<25).map { #"{"topic":"t","value":"\#(String(repeating: "x", count: 100))","offset":\#($0)}"# }
        let file = try TemporaryFile(lines: lines)
        let byCount = try Contents(EventFileReader(path: file.path), maxRecords: 10)
        #expect(byCount.reads.map(\.lines) == [0..<10, 10..<20, 20..<25])
        #expect(byCount.reads.map(\.isAtEnd) == [false, false, true])
        #expect(byCount.events.map(\.offset) == Array(0..<25))
        let byBytes = try Contents(EventFileReader(path: file.path), maxBytes: 250)
        #expect(byBytes.reads.map(\.lines.count).prefix(3) == [3, 3, 3] && byBytes.events.count == 25)
        let tiny = try Contents(EventFileReader(path: file.path), maxBytes: 0)
        #expect(tiny.reads.count == 26 && tiny.events == byCount.events)
    }

    @Test func continuesAtALine() throws {
        let lines = (0..<1000).map { $0 % 7 == 3 ? "" : #"{"topic":"t\#($0 % 3)","value":"\#($0)"}"# }
        for contents in [
            Data(lines.joined(separator: "\n").utf8), StoredGzip.member(Data(lines.joined(separator: "\n").utf8)),
        ] {
            let file = try TemporaryFile(contents)
            let whole = try Contents(EventFileReader(path: file.path))
            let reader = try EventFileReader(path: file.path)
            try reader.skip(toLine: 500)
            #expect(reader.line == 500)
            try reader.skip(toLine: 10)
            #expect(reader.line == 500)
            let rest = try Contents(reader)
            #expect(rest.events == whole.events.filter { $0.offset >= 500 })
            #expect(rest.reads.first?.lines.lowerBound == 500)
            let short = try EventFileReader(path: file.path)
            #expect { try short.skip(toLine: 1001) } throws: { ($0 as? EventFileError)?.kind == .tooFewLines }
            let end = try EventFileReader(path: file.path)
            try end.skip(toLine: 1000)
            #expect(try Contents(end).events.isEmpty)
        }
    }

    @Test func identityTellsFilesApart() throws {
        let line = #"{"topic":"t"}"# + "\n"
        let one = try TemporaryFile(Data(line.utf8))
        let same = try TemporaryFile(Data(line.utf8))
        let longer = try TemporaryFile(Data((line + line).utf8))
        let other = try TemporaryFile(Data(line.replacing("t\"}", with: "u\"}").utf8))
        func identity(_ file: TemporaryFile) throws -> EventFileIdentity {
            try EventFileReader(path: file.path).identity
        }
        #expect(try identity(one) == identity(same))
        #expect(try identity(one) != identity(longer))
        #expect(try identity(one) != identity(other))
        #expect(try identity(one).size_bytes == 14)
    }

    @Test func saysWhyAFileCannotBeOpened() throws {
        #expect { try EventFileReader(path: "/nonexistent/events.jsonl") } throws: {
            ($0 as? EventFileError)?.kind == .unreadable && "\($0)".contains("No such file")
        }
        #expect { try EventFileReader(path: "/tmp") } throws: { ($0 as? EventFileError)?.kind == .unreadable }
        #expect { try EventFileReader(path: "/dev/null") } throws: { ($0 as? EventFileError)?.kind == .unreadable }
    }
}
