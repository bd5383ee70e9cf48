import JSON
import Replication
import Testing

@testable import Debezium

/// What the pipeline file wants of a table, and what a record that can't be decoded becomes.
@Suite struct ConfigurationTests {
    static func line(
        _ operation: String, key: String? = #"{"id":1}"#, before: String = "null", after: String = "null",
        table: String = "t", lsn: Int = 100, headers: [(String, String)] = []
    ) -> Corpus.Line {
        let source =
            #"{"connector":"postgresql","schema":"s","table":"\#(table)","txId":5,"lsn":\#(lsn),"ts_ms":7,"sequence":"[\"90\",\"\#(lsn)\"]"}"#
        let value = #"{"before":\#(before),"after":\#(after),"source":\#(source),"op":"\#(operation)","ts_ms":1}"#
        return Corpus.Line(
            topic: "x", key: key.map { Array($0.utf8) }, value: Array(value.utf8),
            headers: headers.map { ($0, Array($1.utf8)) })
    }

    static func decode(_ configuration: DecoderConfiguration, _ lines: Corpus.Line...) throws -> ChangeBatch {
        try DebeziumDecoder(configuration: configuration).decode(Corpus.batch(lines))
    }

    static func configuration(_ choice: TableChoice = TableChoice(target: "t")) -> DecoderConfiguration {
        DecoderConfiguration(
            select: { $0.table == "other" ? nil : choice },
            hash: { bytes, arena in arena.append("hash of \(bytes.count) bytes") })
    }

    @Test func excludedColumnsAreNowhere() throws {
        let choice = TableChoice(target: "t", excluded: ["secret"])
        var configuration = Self.configuration(choice)
        configuration.withholdsBytes = { _ in true }
        let batch = try Self.decode(
            configuration, Self.line("c", after: #"{"id":1,"secret":"geheim","v":"x"}"#),
            Self.line("z", after: #"{"id":1,"secret":"geheim"}"#))
        #expect(batch.tables[0].columns.map(\.name) == ["id", "v"])
        #expect(batch.flat[0].after == ["id": "1", "v": "\"x\""])
        #expect(batch.quarantined.count == 1 && batch.quarantined[0].value == nil && batch.quarantined[0].key == nil)
        #expect(batch.quarantined[0].reason == "s.t: op is none of c, u, d, t and r")
        #expect(batch.read == [2])
    }

    @Test func aColumnExcludedLaterIsGone() throws {
        var configuration = Self.configuration(TableChoice(target: "t", excluded: ["a", "secret"]))
        configuration.knownTables = [
            TableDefinition(
                source: TableID(schema: "s", table: "t"), target: "t",
                columns: [
                    Column(name: "a", type: .text), Column(name: "secret", type: .text),
                    Column(name: "id", type: .integer), Column(name: "v", type: .text),
                ], key: [2])
        ]
        let batch = try Self.decode(configuration, Self.line("c", after: #"{"a":"1","secret":"2","id":1,"v":"x"}"#))
        #expect(batch.tables[0].columns.map(\.name) == ["id", "v"] && batch.tables[0].key == [0])
        #expect(batch.flat[0].after == ["id": "1", "v": "\"x\""] && batch.events[0].flags == [])
    }

    @Test func hashedColumnsBecomeText() throws {
        var configuration = Self.configuration(
            TableChoice(target: "t", hashed: ["v", "w"], types: ["v": .timestamptz]))
        configuration.catalogTypes[TableID(schema: "s", table: "t")] = ["id": .integer, "v": .timestamptz]
        let batch = try Self.decode(
            configuration, Self.line("c", after: #"{"id":1,"v":"2024-01-01T00:00:00Z","w":"né"}"#),
            Self.line("u", after: #"{"id":1,"v":null,"w":"__debezium_unavailable_value"}"#))
        #expect(batch.quarantined.isEmpty, "\(batch.reasons)")
        #expect(batch.tables[0].columns.map(\.type) == [.integer, .text, .text])
        #expect(
            batch.flat[0].after?["v"] == "\"hash of 22 bytes\"" && batch.flat[0].after?["w"] == "\"hash of 3 bytes\"")
        #expect(batch.flat[1].after?["v"] == "null" && batch.flat[1].after?["w"] == "unchanged")
        #expect(!batch.arena.string(ByteRange(offset: 0, length: batch.arena.count)).contains("2024"))
    }

    struct Positive: RowFilter {
        let columns = ["n", "kind"]
        func judge(_ value: (Int) -> FilterValue) -> FilterVerdict {
            switch (value(0), value(1)) {
            case (.number(let n), .text(let kind)):
                String(decoding: n, as: UTF8.self) > "0" && String(decoding: kind, as: UTF8.self) == "ok"
                    ? .pass : .reject
            case (.unknown, _), (_, .unknown): .undecided
            default: .reject
            }
        }
    }

    @Test func filtersJudgeTheAfterImage() throws {
        let choice = TableChoice(target: "t", types: ["n": .integer, "kind": .text], filter: Positive())
        let batch = try Self.decode(
            Self.configuration(choice), Self.line("r", after: #"{"id":1,"n":5,"kind":"ok"}"#),
            Self.line("c", after: #"{"id":1,"n":5,"kind":"no"}"#),
            Self.line("u", after: #"{"id":1,"n":5,"kind":"__debezium_unavailable_value"}"#),
            Self.line("u", after: #"{"id":1,"n":null,"kind":"ok"}"#),
            Self.line("d", before: #"{"id":1,"n":null,"kind":null}"#), Self.line("t", key: nil))
        #expect(batch.events.map(\.flags) == [[], .filtered, [.undecided, .partial], .filtered, [], []])
        #expect(batch.tables[0].isFiltered)
    }

    @Test func aChosenKeyComesFromTheImage() throws {
        let choice = TableChoice(target: "t", key: ["b", "a"])
        let batch = try Self.decode(
            Self.configuration(choice), Self.line("c", after: #"{"id":1,"a":2,"b":3}"#),
            Self.line("d", before: #"{"id":1,"a":2,"b":3}"#),
            Self.line("c", key: nil, after: #"{"id":1,"a":2}"#),
            Self.line("c", after: #"{"id":1,"a":null,"b":1}"#),
            Self.line("u", before: #"{"id":1,"a":2,"b":3}"#, after: #"{"id":1,"a":2,"b":4}"#),
            Self.line("u", before: #"{"id":1,"a":2,"b":3}"#, after: #"{"id":1,"a":2,"b":3,"v":1}"#))
        #expect(batch.flat.map(\.key) == [#"{"b":3,"a":2}"#, #"{"b":3,"a":2}"#, #"{"b":3,"a":2}"#])
        #expect(batch.tables[0].key.map { batch.tables[0].columns[$0].name } == ["b", "a"])
        #expect(
            batch.reasons == [
                "s.t: the event lacks the key column \"b\"", "s.t: key column \"a\" is null",
                "s.t: a key column changed under a key that the pipeline file chose",
            ])
        #expect(batch.read == [6])
    }

    @Test func deletesKnowOnlyTheirKey() throws {
        let before = #"{"id":1,"v":null,"w":""}"#
        var configuration = Self.configuration()
        let plain = try Self.decode(configuration, Self.line("d", before: before))
        #expect(plain.flat[0].before == ["id": "1", "v": "unchanged", "w": "unchanged"])
        configuration.replicaIdentity[TableID(schema: "s", table: "t")] = .full
        let full = try Self.decode(configuration, Self.line("d", before: before))
        #expect(full.flat[0].before == ["id": "1", "v": "null", "w": "\"\""])
        let nothing = try Self.decode(configuration, Self.line("d"))
        #expect(nothing.flat[0].before == ["id": "1"])
    }

    @Test func anEmptyKeyDeletesNothing() throws {
        let trap = Self.line("d", key: #"{"id":0}"#, before: #"{"id":0,"code":"c1","v":null}"#)
        let honest = Self.line("d", key: #"{"id":0}"#, before: #"{"id":0,"code":null,"v":""}"#)
        var configuration = Self.configuration()
        let batch = try Self.decode(configuration, trap, honest)
        #expect(batch.reasons == ["s.t: a delete with an empty key: the replica identity doesn't cover the key"])
        #expect(batch.flat.count == 1)
        configuration.replicaIdentity[TableID(schema: "s", table: "t")] = .coversKey
        #expect(try Self.decode(configuration, trap, honest).events.count == 2)
        configuration.replicaIdentity[TableID(schema: "s", table: "t")] = .incomplete
        #expect(try Self.decode(configuration, trap, honest).events.count == 0)
        // As they are in a capture: an index, and message.key.columns, that don't cover the key.
        let toast = try Corpus.decode("toast")
        #expect(toast.quarantined.map(\.offset) == [37, 42, 64, 68])
        #expect(toast.quarantined.allSatisfy { $0.operation == .delete && $0.key != nil && $0.value != nil })
        // The create's old key is no row's either: nothing may be carried over from it.
        let create = try #require(toast.flat.first { $0.offset == 39 })
        #expect(create.flags & ChangeEvent.Flags.moveCreate.rawValue != 0 && create.otherKey == nil)
    }

    @Test func unchangedColumnsOfACapture() throws {
        let batch = try Corpus.decode("toast")
        let events = Dictionary(batch.flat.map { ($0.offset, $0) }, uniquingKeysWith: { a, _ in a })
        func unchanged(_ offset: Int64) -> Set<String> {
            Set((events[offset]?.after ?? [:]).filter { $0.value == "unchanged" }.keys)
        }
        func isPartial(_ offset: Int64) -> Bool {
            (events[offset]?.flags ?? 0) & ChangeEvent.Flags.partial.rawValue != 0
        }
        #expect(unchanged(18) == ["big", "bigj", "bigb", "biga", "bigh"] && isPartial(18))
        #expect(unchanged(19) == ["big"] && unchanged(20) == ["big"] && isPartial(20))
        #expect(unchanged(23) == [] && !isPartial(23))
        #expect(unchanged(24) == ["big"] && unchanged(36) == ["big"])
        #expect(unchanged(28) == [] && unchanged(31) == [])
        for offset in 0..<12 as Range<Int64> { #expect(!isPartial(offset)) }
    }

    @Test func aFullBeforeImageGivesWhatTheAfterImageLacks() throws {
        var configuration = Self.configuration()
        configuration.replicaIdentity[TableID(schema: "s", table: "t")] = .full
        let line = Self.line(
            "u", before: #"{"id":1,"v":"long","w":null}"#,
            after: #"{"id":1,"v":"__debezium_unavailable_value","w":"__debezium_unavailable_value"}"#)
        let batch = try Self.decode(configuration, line)
        #expect(batch.flat[0].after?["v"] == "\"long\"" && batch.flat[0].after?["w"] == "unchanged")
        #expect(batch.flat[0].before?["v"] == "\"long\"")
        #expect(batch.events[0].flags == .partial)
    }

    @Test func newColumnsAreAddedAndLateOnesAreAbsent() throws {
        let batch = try Self.decode(
            Self.configuration(), Self.line("c", after: #"{"id":1,"v":1}"#),
            Self.line("c", key: #"{"id":2}"#, after: #"{"id":2,"new":true,"v":1}"#),
            Self.line("c", key: #"{"id":3}"#, after: #"{"id":3}"#))
        #expect(batch.tables[0].columns.map(\.name) == ["id", "v", "new"])
        #expect(batch.events.map(\.width) == [2, 3, 3])
        #expect(batch.flat[1].after == ["id": "2", "v": "1", "new": "true"])
        #expect(batch.flat[2].after == ["id": "3"] && batch.events[2].flags == .partial)
    }

    @Test func whatAnEventInQuarantineBroughtIsForgotten() throws {
        var configuration = Self.configuration(TableChoice(target: "t", types: ["bad": .integer]))
        configuration.catalogTypes[TableID(schema: "s", table: "t")] = ["id": .integer]
        let batch = try Self.decode(
            configuration, Self.line("c", after: #"{"id":1,"v":1}"#),
            Self.line("c", after: #"{"x":1,"bad":"no","id":1}"#),
            Self.line("c", after: #"{"id":4,"v":2,"bad":7}"#))
        #expect(batch.tables[0].columns.map(\.name) == ["id", "v", "bad"])
        #expect(batch.flat.map { $0.after?["bad"] } == [nil, "7"])
        #expect(batch.reasons == ["s.t: column \"bad\" (integer) is a string in JSON"])
    }

    @Test func knownTypesHoldAndConversionsLoseNothing() throws {
        var configuration = Self.configuration()
        let id = TableID(schema: "s", table: "t")
        configuration.knownTables = [
            TableDefinition(
                source: id, target: "old",
                columns: [
                    Column(name: "id", type: .integer, isKey: true), Column(name: "n", type: .bigint),
                    Column(name: "d", type: .text), Column(name: "j", type: .unknown),
                ], key: [0])
        ]
        func schema(_ n: String, _ d: String) -> String {
            #"{"type":"struct","fields":[{"type":"struct","optional":true,"field":"after","fields":[{"type":"int32","optional":false,"field":"id"},{"type":"\#(n)","optional":true,"field":"n"},{"type":"int32","name":"\#(d)","optional":true,"field":"d"},{"type":"int16","optional":true,"field":"j"}]}]}"#
        }
        func wrapped(_ schema: String, _ after: String) -> Corpus.Line {
            var line = Self.line("c", after: after)
            line.value = Array(#"{"schema":\#(schema),"payload":"#.utf8) + (line.value ?? []) + Array("}".utf8)
            return line
        }
        let batch = try Self.decode(
            configuration, wrapped(schema("int64", "io.debezium.time.Date"), #"{"id":1,"n":5,"d":19782,"j":3}"#),
            wrapped(schema("string", "io.debezium.time.Date"), #"{"id":1,"n":"50","d":0,"j":3}"#),
            wrapped(schema("string", "io.debezium.time.Date"), #"{"id":1,"n":"fifty","d":0,"j":3}"#))
        #expect(batch.tables[0].columns.map(\.type) == [.integer, .bigint, .text, .unknown])
        #expect(batch.flat.map { $0.after?["n"] } == ["5", "50"])
        #expect(batch.flat[0].after?["d"] == "\"2024-02-29\"" && batch.flat[0].after?["j"] == "3")
        #expect(batch.reasons == ["s.t: column \"n\" (bigint) was written as another type and doesn't fit"])
    }

    @Test func aTableWhoseKeyChangedWaits() throws {
        let batch = try Self.decode(
            Self.configuration(), Self.line("c", after: #"{"id":1,"k":2}"#),
            Self.line("c", key: #"{"id":1,"k":2}"#, after: #"{"id":1,"k":2}"#),
            Self.line("c", key: #"{"id":null}"#, after: #"{"id":null}"#),
            Self.line("u", key: nil, after: #"{"id":9,"k":2}"#))
        #expect(
            batch.reasons == [
                "s.t: the record's key is (id, k), and the table's key is (id)", "s.t: key column \"id\" is null",
            ])
        // Without a key of its own a record of a table with a key has it in its image.
        #expect(batch.flat.map(\.key) == [#"{"id":1}"#, #"{"id":9}"#])
    }

    @Test func badRecordsStopNothing() throws {
        func bad(_ value: [UInt8], key: String? = #"{"id":1}"#) -> Corpus.Line {
            Corpus.Line(topic: "x", key: key.map { Array($0.utf8) }, value: value, headers: [("h", Array("1".utf8))])
        }
        func text(_ value: String) -> Corpus.Line { bad(Array(value.utf8)) }
        let good = Self.line("c", after: #"{"id":1}"#)
        let lines: [(Corpus.Line, String)] = [
            (text(#"{"before":null"#), "the JSON ends too early"), (text(""), "there is no JSON"),
            (bad([0x7B, 0x22, 0xFF, 0x22, 0x3A, 0x31, 0x7D]), "the text is not UTF-8"),
            (text("[1]"), "no JSON object"), (text("17"), "no JSON object"),
            (bad([0, 0, 0, 0, 1, 2, 4]), "wire format"),
            (text(#"{"id":1,"v":2}"#), "a flattened event (ExtractNewRecordState) whose table can't be told"),
            (text(#"{"specversion":"1.0","id":"x","source":"/d","data":{}}"#), "a CloudEvent that isn't Debezium's"),
            (text(#"{"op":"c","source":{"connector":"postgresql"},"after":{}}"#), "source names no table"),
            (Self.line("x", after: "{}"), "op is none of"), (Self.line("c"), "no after-image"),
            (Self.line("c", after: "[]"), "no after-image"),
            (Self.line("c", key: "{", after: #"{"id":1}"#), "the record's key is not JSON"),
            (Self.line("c", key: "7", after: #"{"id":1}"#), "the record's key is no JSON object"),
            (Self.line("c", key: "{}", after: #"{"id":1}"#), "the record's key has no columns"),
            (Self.line("c", after: #"{"id":1,"":2}"#), "a column's name is empty"),
            (Self.line("c", after: "{\"id\":1,\"\(String(repeating: "x", count: 64))\":2}"), "more than 63 bytes"),
        ]
        for (line, reason) in lines {
            let batch = try Self.decode(Self.configuration(), line, good)
            #expect(batch.quarantined.count == 1 && batch.events.count == 1, "\(reason)")
            #expect(batch.quarantined.first?.reason.contains(reason) == true, "\(batch.reasons)")
            #expect(batch.read.reduce(0, +) + batch.readUnknown == 2 && batch.control == 0)
            #expect(batch.quarantined.first?.value == line.value)
            #expect(batch.quarantined.first?.headers == (line.headers.isEmpty ? nil : #"[["h","1"]]"#))
        }
        // Behind a topic's only table, what can't be read is taken for one of its records.
        let batch = try Self.decode(Self.configuration(), good, text("{"))
        #expect(batch.quarantined[0].table == TableID(schema: "s", table: "t") && batch.read == [2])
    }

    @Test func positionsThatAreNone() throws {
        let good = String(decoding: Self.line("c", after: #"{"id":1}"#).value ?? [], as: UTF8.self)
        let sequence = #"[\"90\",\"100\"]"#
        for (changed, reason) in [
            (good.replacing(sequence, with: "nonsense"), "source.sequence"),
            (
                good.replacing(sequence, with: "[]").replacing(#""lsn":100"#, with: #""lsn":null"#),
                "source.lsn is missing"
            ),
            (good.replacing("postgresql", with: "mysql"), "binlog position"),
            (
                good.replacing("postgresql", with: "sqlite").replacing(#""ts_ms":7,"#, with: ""),
                "no time to order events"
            ),
        ] {
            let batch = try Self.decode(
                Self.configuration(), Corpus.Line(topic: "x", key: Array("{\"id\":1}".utf8), value: Array(changed.utf8))
            )
            #expect(batch.reasons.first?.contains(reason) == true, "\(batch.reasons)")
            #expect(batch.read == [1])
        }
        // An old connector without sequence, and a source that has nothing but its time.
        let old = good.replacing("\"\(sequence)\"", with: "null")
        let other = good.replacing("postgresql", with: "sqlite")
        let batch = try Self.decode(
            Self.configuration(), Corpus.Line(topic: "x", key: Array("{\"id\":1}".utf8), value: Array(old.utf8)))
        #expect(batch.flat[0].version == Version(epoch: 0, commit: 100, seq: 200))
        let timed = try Self.decode(
            Self.configuration(), Corpus.Line(topic: "x", key: Array("{\"id\":1}".utf8), value: Array(other.utf8)))
        #expect(timed.flat[0].version == Version(epoch: 0, commit: 7000, seq: 2))
    }

    @Test func controlRecordsAreCounted() throws {
        func line(_ value: String?, key: String? = #"{"id":1}"#) -> Corpus.Line {
            Corpus.Line(topic: "x", key: key.map { Array($0.utf8) }, value: value.map { Array($0.utf8) })
        }
        let batch = try Self.decode(
            Self.configuration(), line(nil), line(nil, key: nil), line("null"), line(#"{"ts_ms":1}"#),
            line(#"{"schema":{"type":"struct"},"payload":null}"#),
            line(#"{"schema":{"type":"struct"},"payload":{"ts_ms":1}}"#),
            line(#"{"status":"END","id":"1","event_count":3,"data_collections":[]}"#),
            line(#"{"op":"m","source":{"schema":"","table":""},"message":{"prefix":"p"}}"#),
            line(#"{"source":{"db":"d"},"databaseName":"d","ddl":"create table x","tableChanges":[]}"#),
            Self.line("c", after: "{}", table: "other"), Self.line("?", table: "other"))
        #expect(batch.control == 11 && batch.events.isEmpty && batch.quarantined.isEmpty && batch.read.isEmpty)
    }

    @Test func aLargeValueIsJustLarge() throws {
        let text = String(repeating: "é\\n", count: 5_000_000)
        let batch = try Self.decode(Self.configuration(), Self.line("c", after: #"{"id":1,"v":"\#(text)"}"#))
        #expect(batch.quarantined.isEmpty && batch.events.count == 1)
        #expect(batch.fields[1].length == 20_000_002)
    }

    @Test func aStateOfTheCheckpointThatIsNoneIsSaid() throws {
        let decoder = try DebeziumDecoder(configuration: Self.configuration())
        let a = TopicPartition(topic: "a", partition: 0)
        let b = TopicPartition(topic: "b", partition: 1)
        #expect(decoder.restore([a: "{", b: nil]) == [a])
        #expect(decoder.restore([a: #"{"reads":[[1,2]]}"#, b: #"{"reads":[],"run":{"at":"x"}}"#]) == [b])
        let memory = try #require(PartitionMemory(state: #"{"reads":[[5,100],[9,200]]}"#))
        #expect(memory.lastReadLSN(from: .min, before: 5) == nil)
        #expect(memory.lastReadLSN(from: .min, before: 9) == 100 && memory.lastReadLSN(from: .min, before: 10) == 200)
        #expect(memory.takeState() == nil)
        memory.noteRead(200, at: 11)
        memory.noteRead(300, at: 12)
        #expect(memory.takeState() == #"{"reads":[[5,100],[9,200],[12,300]]}"#)
        memory.notePlace(Version(epoch: 4, commit: 7, seq: 9), at: 13)
        memory.note(.postgres)
        memory.noteFlattened(TableID(schema: "s", table: "t"))
        memory.noteDelete(of: nil)
        let state = try #require(memory.takeState())
        let again = try #require(PartitionMemory(state: state))
        #expect(again.connector == .postgres && again.hasFlattened && again.hasJustDeleted(nil))
        #expect(
            again.flattenedTable == TableID(schema: "s", table: "t") && again.lastPlace(from: .min, before: 13) == nil)
        // Without the mark of a key change's create.
        let place = try #require(again.lastPlace(from: .min, before: 14))
        #expect(place == (13, 7, 8))
        again.noteFlattened(TableID(schema: "s", table: "u"))
        again.noteNoDelete()
        #expect(
            try #require(again.takeState()).hasSuffix(#""place":[13,7,8],"connector":"postgresql","flattened":[]}"#))
        for broken in ["\"place\":[1]", "\"deleted\":1", "\"connector\":\"x\"", "\"flattened\":[\"a\"]"] {
            #expect(PartitionMemory(state: "{\"reads\":[],\(broken)}") == nil)
        }
    }
}
