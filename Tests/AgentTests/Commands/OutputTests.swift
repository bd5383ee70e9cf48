import JSON
import Logging
import Replication
import Synchronization
import Testing

@testable import Agent

/// Keeps what a command writes.
final class Written: Sendable {
    private let texts = Mutex((out: "", error: ""))

    var out: String { texts.withLock { $0.out } }
    var error: String { texts.withLock { $0.error } }

    func console(isTerminal: Bool = false) -> Console {
        Console(isTerminal: isTerminal, isErrorTerminal: isTerminal) { text, isError in
            self.texts.withLock { texts in
                if isError { texts.error += text } else { texts.out += text }
            }
        }
    }
}

@Suite("Output")
struct OutputTests {
    private let result = QueryResult(
        columns: [("id", .literal), ("a,b", .text), ("doc", .literal)],
        rows: [
            ["1", "plain", "{\"x\": 1.50}"], ["12345678901234567890.10", "say \"hi\",\r\nthen", nil],
            ["NaN", "", "[1, 2]"],
        ])

    @Test("CSV as of RFC 4180")
    func csv() {
        #expect(
            QueryFormat.csv.text(result)
                == "id,\"a,b\",doc\r\n1,plain,\"{\"\"x\"\": 1.50}\"\r\n"
                + "12345678901234567890.10,\"say \"\"hi\"\",\r\nthen\",\r\nNaN,\"\",\"[1, 2]\"\r\n")
    }

    @Test("JSON keeps literals as they are, digits and all")
    func json() throws {
        let lines = QueryFormat.jsonl.text(result).split(separator: "\n")
        #expect(lines.count == 3)
        #expect(lines[0] == #"{"id":1,"a,b":"plain","doc":{"x":1.50}}"#)
        #expect(lines[1] == #"{"id":12345678901234567890.10,"a,b":"say \"hi\",\r\nthen","doc":null}"#)
        #expect(lines[2] == #"{"id":"NaN","a,b":"","doc":[1,2]}"#)
        #expect(try JSONValue(parsing: QueryFormat.json.text(result)).array?.count == 3)
        #expect(QueryFormat.jsonl.text(QueryResult(columns: [], rows: [])) == "")
    }

    @Test("Tables align, cut long cells and don't let cells steer the terminal")
    func table() {
        let rows = QueryResult(
            columns: [("n", .literal), ("t", .text)],
            rows: [["1", "\u{1B}[31mred\n"], ["100", String(repeating: "x", count: 100)], [nil, "z"]])
        let lines = QueryFormat.table.text(rows).split(separator: "\n").map(String.init)
        #expect(lines[0] == "   n  t")
        #expect(lines[2] == #"   1  \u{1b}[31mred\n"#)
        #expect(lines[3].hasSuffix("x…"))
        #expect(lines[4] == "NULL  z")
        #expect(lines[5] == "(3 rows)")
        #expect(!lines.joined().contains("\u{1B}"))
    }

    @Test("A query result survives the API")
    func roundTrip() throws {
        let again = try #require(QueryResult(json: result.json))
        #expect(again.rows == result.rows)
        #expect(again.columns.map(\.name) == result.columns.map(\.name))
        #expect(again.columns.map(\.kind) == result.columns.map(\.kind))
    }

    @Test("A quarantined record survives the API, bytes and all")
    func quarantined() throws {
        let entry = QuarantineEntry(
            table: TableID(schema: "public", table: "a.b"), partition: TopicPartition(topic: "t", partition: 3),
            offset: 9,
            reason: "why", key: Array("{}".utf8), value: [0xFF, 0], headers: "[]", operation: .update)
        let record = QuarantinedRecord(id: 5, entry: entry, state: .waiting, loadedAt_us: 1_234_567)
        let again = try #require(QuarantinedRecord(json: record.json(whole: true)))
        #expect(again.entry.table == entry.table)
        #expect(again.entry.partition == entry.partition)
        #expect(again.entry.key == entry.key)
        #expect(again.entry.value == entry.value)
        #expect(again.entry.operation == .update)
        #expect(again.loadedAt_us == 1_234_567)
        #expect(record.json(whole: false)["value"] == nil)
    }

    @Test("Logs are lines of JSON when asked for")
    func logs() throws {
        let written = Written()
        var logger = Logger(label: "millrace") { _ in LogOutput(written.console(), format: .json, level: .info) }
        logger[metadataKey: "pipeline"] = "shop"
        logger.info("two\nlines", metadata: ["table": "a\"b"])
        logger.debug("not this")
        let lines = written.error.split(separator: "\n")
        #expect(lines.count == 1)
        let line = try JSONValue(parsing: String(lines[0]))
        #expect(line["level"]?.string == "info")
        #expect(line["message"]?.string == "two\nlines")
        #expect(line["metadata"]?["table"]?.string == "a\"b")
        #expect(line["metadata"]?["pipeline"]?.string == "shop")
        #expect(line["time"]?.string?.hasSuffix("Z") == true)
        #expect(written.out.isEmpty)
    }

    @Test("Text logs keep to one line each")
    func textLogs() {
        let written = Written()
        let logger = Logger(label: "millrace") { _ in LogOutput(written.console(), format: .text, level: .info) }
        logger.warning("two\nlines", metadata: ["a": "\u{1B}[2J"])
        #expect(written.error.split(separator: "\n").count == 1)
        #expect(!written.error.contains("\u{1B}"))
    }

    @Test("Errors go to stderr with their remedy")
    func failures() {
        let written = Written()
        written.console().report(CommandFailure(3, "it's gone", try: "look for it"))
        #expect(written.error == "Error: it's gone\nTry: look for it\n")
        #expect(written.out.isEmpty)
    }

    @Test("The progress line gives way to what is written")
    func progress() {
        let written = Written()
        let console = written.console(isTerminal: true)
        console.progress("10 events")
        console.note("news")
        console.progress("")
        #expect(written.error == "\r\u{1B}[K10 events\r\u{1B}[Knews\n10 events\r\u{1B}[K")
    }

    @Test(
        "Times",
        arguments: [
            (0, "1970-01-01T00:00:00.000000Z"), (-1, "1969-12-31T23:59:59.999999Z"),
            (951_782_400_000_001, "2000-02-29T00:00:00.000001Z"),
        ])
    func moments(_ time_us: Int64, _ text: String) { #expect(Moment.text(time_us) == text) }
}
