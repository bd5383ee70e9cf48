import Foundation
import JSON
import Replication
import Testing

@testable import EventFile

@Suite("Lines that are no records")
struct MalformedLineTests {
    static let wrongPartition = MalformedLine.Reason.wrongType(
        key: "partition", wanted: "a number from 0 to 2147483647, or null"
    )
    static let wrongOffset = MalformedLine.Reason.wrongType(
        key: "offset", wanted: "a number from 0 on, or null"
    )
    static let wrongTimestamp = MalformedLine.Reason.wrongType(
        key: "timestamp", wanted: "milliseconds since 1970, or null"
    )
    static let wrongHeaders = MalformedLine.Reason.wrongType(
        key: "headers", wanted: "a list of [name, value] pairs of text"
    )

    static let cases: [(String, MalformedLine.Reason)] = [
        ("x", .notJSON(JSONError(reason: .badLiteral, offset: 0))),
        (#"{"topic":"t","value":"{\"a"#, .notJSON(JSONError(reason: .truncated, offset: 26))),
        (#"{"topic":"t"}{}"#, .notJSON(JSONError(reason: .trailingContent, offset: 13))),
        ("[]", .notAnObject), ("1", .notAnObject), ("{}", .noTopic), (#"{"topic":null}"#, .noTopic),
        (#"{"topic":""}"#, .noTopic), (#"{"topic":1}"#, .wrongType(key: "topic", wanted: "a string")),
        (#"{"topic":"t","value":{"a":1}}"#, .wrongType(key: "value", wanted: "a string or null")),
        (#"{"topic":"t","key":1}"#, .wrongType(key: "key", wanted: "a string or null")),
        (#"{"topic":"t","key_b64":1}"#, .wrongType(key: "key_b64", wanted: "a string or null")),
        (#"{"topic":"t","partition":-1}"#, wrongPartition),
        (#"{"topic":"t","partition":2147483648}"#, wrongPartition),
        (#"{"topic":"t","partition":"0"}"#, wrongPartition),
        (#"{"topic":"t","offset":1.0}"#, wrongOffset),
        (#"{"topic":"t","offset":9223372036854775807}"#, wrongOffset),
        (#"{"topic":"t","timestamp":"now"}"#, wrongTimestamp),
        (#"{"topic":"t","value_b64":"AQ="}"#, .badBase64(key: "value_b64")),
        (#"{"topic":"t","key_b64":"A*=="}"#, .badBase64(key: "key_b64")),
        (#"{"topic":"t","key_b64":"AR=="}"#, .badBase64(key: "key_b64")),
        (#"{"topic":"t","key_b64":"===="}"#, .badBase64(key: "key_b64")),
        (#"{"topic":"t","key_b64":"AA==AAAA"}"#, .badBase64(key: "key_b64")),
        (#"{"topic":"t","value":"\uD83D"}"#, .loneSurrogate(key: "value")),
        (#"{"topic":"\uDE00"}"#, .loneSurrogate(key: "topic")),
        (#"{"topic":"t","value":"\x"}"#, .notJSON(JSONError(reason: .badString, offset: 22))),
        (#"{"topic":"t","other":["\x"]}"#, .notJSON(JSONError(reason: .badString, offset: 21))),
        (
            #"{"topic":"t","headers":[["__debezium.context.x","\x"]]}"#,
            .notJSON(JSONError(reason: .badString, offset: 24))
        ),
        (#"{"topic":"t","k\y":null}"#, .notJSON(JSONError(reason: .badString, offset: 19))),
        (#"{"topic":"t","value":"a","value_b64":"AQ=="}"#, .ambiguous(key: "value")),
        (#"{"topic":"t","key_b64":"AQ==","key":"a"}"#, .ambiguous(key: "key")),
        (#"{"topic":"t","headers":{"a":"b"}}"#, wrongHeaders),
        (#"{"topic":"t","headers":[["a"]]}"#, wrongHeaders),
        (#"{"topic":"t","headers":[["a",1]]}"#, wrongHeaders),
        (#"{"topic":"t","headers":[[1,"a"]]}"#, wrongHeaders),
        (#"{"topic":"t","headers":[{"a":1,"b":2}]}"#, wrongHeaders),
    ]

    @Test(arguments: cases)
    func areToldAndPassedOver(line: String, reason: MalformedLine.Reason) throws {
        let good = #"{"topic":"t","value":"good"}"#
        let contents = try Contents([good, line, good])
        #expect(contents.events.map(\.offset) == [0, 2])
        let malformed = try #require(contents.malformed.first)
        #expect(contents.malformed.count == 1)
        #expect(malformed.reason == reason)
        #expect(malformed.line == 2 && malformed.offset_bytes == Int64(good.utf8.count) + 1)
        #expect(malformed.raw == Array(line.utf8))
        #expect(!"\(reason)".isEmpty)
    }

    @Test func bytesThatAreNoTextAreMalformed() throws {
        var data = Data(#"{"topic":"t","value":""#.utf8)
        data.append(contentsOf: [0xFF, 0x22, 0x7D, 0x0A])
        data.append(Data(#"{"topic":"t"}"#.utf8))
        let file = try TemporaryFile(data)
        let contents = try Contents(EventFileReader(path: file.path))
        #expect(contents.malformed.map(\.reason) == [.notJSON(JSONError(reason: .badUTF8, offset: 0))])
        #expect(contents.events.map(\.offset) == [1])
    }

    /// Around the bound, within one chunk of the reader and over many, in the middle and at the end.
    @Test(arguments: [100, 1000, 300_000, 2_000_000])
    func tooLongLinesArePassedOver(limit: Int) throws {
        func line(_ length: Int) -> String {
            let frame = #"{"topic":"t","value":""}"#
            return #"{"topic":"t","value":"\#(String(repeating: "x", count: length - frame.utf8.count))"}"#
        }
        let lengths = [30, limit, limit + 1, 30, limit * 3 + 777_777, limit - 1, 30, limit + 1]
        for newline in ["", "\n"] {
            let file = try TemporaryFile(Data((lengths.map(line).joined(separator: "\n") + newline).utf8))
            let reader = try EventFileReader(path: file.path, line_bytes_max: limit)
            let contents = try Contents(reader)
            #expect(contents.malformed.map(\.line) == [3, 5, 8])
            #expect(contents.malformed.allSatisfy { $0.reason == .tooLong(limit_bytes: limit) })
            let kept = min(limit, MalformedLine.raw_bytes_max)
            #expect(
                contents.malformed.allSatisfy { $0.raw.count == kept && $0.raw.starts(with: line(60).utf8.prefix(30)) })
            let starts = lengths.indices.map { Int64(lengths[..<$0].reduce(0, +) + $0) }
            #expect(contents.malformed.map(\.offset_bytes) == [starts[2], starts[4], starts[7]])
            #expect(contents.events.map(\.offset) == [0, 1, 3, 5, 6])
            #expect(reader.line == 8)
        }
    }

    @Test func damagedFilesAreReadToTheirEnd() throws {
        let line = Array(
            #"{"topic":"t","partition":1,"offset":5,"key":"{\"id\":1}","value":"{\"a\":\"\\u00e9\"}","value_b64":null,"headers":[["a","b"]]}"#
                .utf8
        )
        var seed: UInt64 = 42
        func random(_ bound: Int) -> Int {
            seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(seed >> 33) % bound
        }
        var data = Data()
        let count = 10_000
        for _ in 0..<count {
            var bytes = line
            for _ in 0...random(3) {
                bytes[random(bytes.count)] = [0x22, 0x5C, 0x7B, 0x7D, 0x2C, 0x00, 0xFF, 0x31][random(8)]
            }
            if random(4) == 0 { bytes.removeLast(random(bytes.count)) }
            data.append(contentsOf: bytes + [0x0A])
        }
        let file = try TemporaryFile(data)
        let reader = try EventFileReader(path: file.path)
        let contents = try Contents(reader)
        #expect(contents.events.count + contents.malformed.count == count && reader.line == count)
        #expect(contents.events.count > 100 && contents.malformed.count > 100)
        for event in contents.events { #expect(!event.topic.isEmpty && event.partition >= 0) }
    }
}
