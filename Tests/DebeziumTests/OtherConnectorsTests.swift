import JSON
import Replication
import ReplicationTestKit
import Testing

@testable import Debezium

/// Connectors of which no event was recorded: as their documentation has them.
@Suite struct OtherConnectorsTests {
    private func changed(_ name: String, line: Int, _ pairs: (String, String)...) throws -> Corpus.Line {
        var record = try Corpus.lines(name)[line]
        var text = String(decoding: record.value ?? [], as: UTF8.self)
        for (from, to) in pairs {
            #expect(text.contains(from), "\(from)")
            text = text.replacing(from, with: to)
        }
        record.value = Array(text.utf8)
        return record
    }

    private func decode(_ name: String, _ lines: [Corpus.Line]) throws -> ChangeBatch {
        let types = try Corpus.tables(name).mapValues(\.types)
        let configuration = DecoderConfiguration { TableChoice(target: $0.table, types: types[$0] ?? [:]) }
        return try DebeziumDecoder(configuration: configuration).decode(Corpus.batch(lines))
    }

    /// Positions alone tell the order, whatever the clock and the arrival.
    @Test(arguments: ["documented_sqlserver", "documented_oracle"], 1...5)
    func anyOrderGivesTheSameVersions(_ name: String, _ seed: Int) throws {
        let lines = try Corpus.lines(name)
        func newest(_ lines: [Corpus.Line]) throws -> [String: Version] {
            let batch = try decode(name, lines)
            #expect(batch.reasons == [])
            return Dictionary(batch.flat.map { ("\($0.table) \($0.key ?? "")", $0.version) }, uniquingKeysWith: max)
        }
        let inOrder = try newest(lines)
        var random = SeededRandom(seed: UInt64(seed))
        // Oracle's first transaction leans on the reads before it.
        let start = name.hasSuffix("oracle") ? 5 : 0
        let shuffled = lines[..<start] + lines[start...].shuffled(using: &random)
        #expect(try newest(Array(shuffled)) == inOrder)
        let ids = try decode(name, lines + lines).flat.map(\.id)
        #expect(Set(ids).count == ids.count / 2, "a second delivery has the same names")
    }

    @Test func logPositionsBeyondTheirBitsAreRefused() throws {
        let name = "documented_sqlserver"
        for (position, reason) in [
            ("02000000:00000758:0005", "range"), ("00000027:10000000:0005", "range"),
            ("00000027:00000758:0400", "range"),
            ("00000027:00000758", "position in SQL Server's log"),
            ("00000027-00000758-0005", "position in SQL Server's log"),
            ("0000002g:00000758:0005", "position in SQL Server's log"),
        ] {
            let record = try changed(
                name, line: 5, (#""commit_lsn":"00000027:00000758:0005""#, "\"commit_lsn\":\"\(position)\""))
            let batch = try decode(name, [record])
            #expect(batch.reasons.count == 1 && batch.reasons[0].contains(reason), "\(position): \(batch.reasons)")
        }
        // A change behind its commit.
        let behind = try changed(
            name, line: 5, (#""change_lsn":"00000027:00000758:0003""#, #""change_lsn":"00000027:00000758:0006""#))
        #expect(try decode(name, [behind]).reasons.count == 1)
        // Older versions write the number as a text.
        let text = try changed(name, line: 5, (#""event_serial_no":1"#, #""event_serial_no":"1""#))
        #expect(
            try decode(name, [text]).flat.map(\.version) == decode(name, [Corpus.lines(name)[5]]).flat.map(\.version))
    }

    @Test func aSnapshotBeforeAnyChangeRanksBelowAll() throws {
        let name = "documented_sqlserver"
        let read = try changed(name, line: 0, (#""commit_lsn":"00000026:00000738:0001""#, #""commit_lsn":null"#))
        let batch = try decode(name, [read, Corpus.lines(name)[5]])
        #expect(batch.reasons == [])
        #expect(batch.flat[0].version < batch.flat[1].version && batch.flat[0].version.commit < 0)
    }

    @Test func anUpdateWithoutItsDocumentIsPutAside() throws {
        let name = "documented_mongodb"
        let update = try changed(
            name, line: 2,
            (#""after":"{\"_id\":1004,\"first_name\":\"Anne Marie\",\"last_name\":\"Kretchmar\"}""#, #""after":null"#))
        let batch = try decode(name, [try Corpus.lines(name)[0], update])
        #expect(batch.reasons.count == 1 && batch.reasons[0].contains("capture.mode=change_streams_update_full"))
        #expect(batch.flat.count == 1)
    }

    @Test func twoDatabasesAreNotOneTable() throws {
        let name = "documented_sqlserver"
        let good = try Corpus.lines(name)[5]
        let other = try changed(name, line: 6, (#""db":"testDB""#, #""db":"otherDB""#))
        let batch = try decode(name, [good, other, try Corpus.lines(name)[7]])
        #expect(batch.flat.count == 2)
        #expect(batch.reasons.count == 1 && batch.reasons[0].contains("another database"))
        // Of Postgres likewise.
        var lines = Array(try Corpus.lines("basic_noschema").filter { $0.value != nil }.prefix(5))
        lines[3].value = Array(
            String(decoding: lines[3].value ?? [], as: UTF8.self).replacing(#""db":""#, with: #""db":"other_"#).utf8)
        #expect(try decode("basic_noschema", lines).reasons.count == 1)
    }

    /// MySQL's databases are schemas: the only one isn't named, and what was made once keeps its name.
    @Test func theOnlyDatabaseIsNotNamed() throws {
        let lines = try Corpus.lines("mysql_basic").filter { $0.topic.hasSuffix(".orders") && $0.value != nil }
        var other = lines[0]
        other.topic = "dbz.crm.orders"
        other.value = Array(
            String(decoding: other.value ?? [], as: UTF8.self).replacing(#""db":"mbasic""#, with: #""db":"crm""#).utf8)
        func targets(_ lines: [Corpus.Line], known: [TableDefinition] = []) throws -> [String: String] {
            var configuration = DecoderConfiguration { TableChoice(target: "\($0.schema)__\($0.table)") }
            configuration.knownTables = known
            let batch = try DebeziumDecoder(configuration: configuration).decode(Corpus.batch(lines))
            return Dictionary(uniqueKeysWithValues: batch.tables.map { ($0.source.schema, $0.target) })
        }
        #expect(try targets([lines[0], other]) == ["mbasic": "orders", "crm": "crm__orders"])
        var known = try Corpus.decode("mysql_basic", typed: false).tables.filter { $0.source.table == "orders" }
        known[0].target = "mbasic__orders"
        #expect(try targets([lines[0]], known: known) == ["mbasic": "mbasic__orders"])
        #expect(try targets([other], known: known) == ["crm": "crm__orders"])
        var chosen = DecoderConfiguration { _ in TableChoice(target: "mine") }
        let select = chosen.select
        chosen.select = { table in
            var choice = select(table)
            choice?.isTargetGiven = true
            return choice
        }
        #expect(try DebeziumDecoder(configuration: chosen).decode(Corpus.batch([lines[0]])).tables[0].target == "mine")
    }

    @Test(arguments: [
        ("1559729468470123400", "2019-06-05 10:11:08.4701234"), ("-1", "1969-12-31 23:59:59.999999999"),
        ("1559729468470123000", "2019-06-05 10:11:08.470123"), ("1559729468000000001", "2019-06-05 10:11:08.000000001"),
    ])
    func nanosecondsStayInText(_ value: String, _ text: String) throws {
        let name = "documented_sqlserver"
        let record = try changed(name, line: 3, ("1559729468470123400", value))
        let batch = try decode(name, [record])
        #expect(batch.reasons == [])
        #expect(batch.flat[0].after?["placed"] == "\"\(text)\"", "\(batch.flat[0].after ?? [:])")
    }

    /// No engine refuses such a time, and no sum leads out of 64 bits.
    @Test(arguments: ["-9223000000000000000", "9223372036854775807", "-62135596800000001", "253402300800000000"])
    func timesThatNobodyCanMeanAreNotTold(_ time: String) throws {
        let name = "basic_noschema"
        var lines = Array(try Corpus.lines(name).filter { $0.value != nil }.prefix(1))
        let text = String(decoding: lines[0].value ?? [], as: UTF8.self)
        let changed = text.replacing(#/"ts_us":\d+/#, with: "\"ts_us\":\(time)")
        #expect(changed != text)
        lines[0].value = Array(changed.utf8)
        let batch = try DebeziumDecoder(configuration: Corpus.configuration(name)).decode(Corpus.batch(lines))
        #expect(batch.events.map(\.sourceTime_us) == [.min])
    }
}
