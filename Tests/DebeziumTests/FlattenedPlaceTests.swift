import Replication
import Testing

@testable import Debezium

/// Where flattened events stand in the order of their rows' states, and which table they are of.
@Suite struct FlattenedPlaceTests {
    private static func line(_ value: String?, key: String? = #"{"id":1}"#, topic: String = FlattenedTests.topic)
        -> Corpus.Line
    { FlattenedTests.line(value, key: key, topic: topic) }

    private static let weakest: Int64 = -(1 << 62)

    @Test func positionsAreTheSourcesWhereTheyShow() throws {
        let cases: [(String, Version)] = [
            (#""__source_lsn":100"#, Version(epoch: 0, commit: 100, seq: 200)),
            (#""__lsn":"100""#, Version(epoch: 0, commit: 100, seq: 200)),
            (#""__lsn":100,"__source_sequence":"[\"90\",\"100\"]""#, Version(epoch: 0, commit: 90, seq: 200)),
            (#""__file":"b.000007","__pos":9,"__row":1"#, Version(epoch: 0, commit: 7, seq: 2 * (9 << 20 | 2))),
            (
                #""__source_connector":"mongodb","__source_ts_ms":5,"__collection":"orders""#,
                Version(epoch: 0, commit: 5000, seq: 2)
            ),
            (#""__source_ts_ms":5"#, Version(epoch: 0, commit: Self.weakest + 5000, seq: 2)),
            // The connector's clock is none of the source's.
            (#""__ts_ms":5"#, Version(epoch: 0, commit: Self.weakest, seq: 2)),
            (#""__lsn":null"#, Version(epoch: 0, commit: Self.weakest, seq: 2)),
        ]
        for (added, version) in cases {
            let batch = try FlattenedTests.decode(lines: [Self.line(#"{"id":1,"__op":"c",\#(added)}"#)])
            #expect(batch.flat.map(\.version) == [version], "\(added) \(batch.reasons)")
        }
    }

    /// What shows no position stands behind the last record of its partition that did, and before the next.
    @Test func whatShowsNoPositionStandsBehindWhatDid() throws {
        let batch = try FlattenedTests.decode(lines: [
            Self.line(#"{"id":1,"__op":"c","__lsn":1000}"#), Self.line(#"{"id":1,"v":2}"#), Self.line(nil),
            Self.line(#"{"id":1,"__op":"c","__lsn":1024}"#), Self.line(nil),
            Self.line(#"{"id":1,"__op":"c","__source_ts_ms":5}"#), Self.line(#"{"id":1,"__op":"c","__lsn":1100}"#),
        ])
        #expect(batch.flat.count == 7 && batch.reasons == [])
        for (a, b) in zip(batch.flat, batch.flat.dropFirst()) { #expect(a.version < b.version) }
        // A redelivery of the older ones stays older.
        let again = try FlattenedTests.decode(lines: [
            Self.line(#"{"id":1,"__op":"c","__lsn":1000}"#), Self.line(nil),
            Self.line(#"{"id":1,"__op":"c","__lsn":1024}"#),
            Self.line(#"{"id":1,"__op":"c","__lsn":1000}"#), Self.line(nil),
        ]).flat
        #expect(again[4].version == again[1].version && again[4].version < again[2].version)
        #expect(again[4].id != again[1].id && again[3].id == again[0].id)
        // A time is a position as long as nobody shows a better one; tombstones stand behind it.
        let timed = try FlattenedTests.decode(lines: [
            Self.line(#"{"id":1,"v":0}"#), Self.line(#"{"id":1,"__source_ts_ms":7}"#), Self.line(nil),
            Self.line(#"{"id":1,"__source_ts_ms":6}"#), Self.line(#"{"id":1,"__lsn":3}"#),
        ]).flat.map(\.version)
        #expect(timed[0] < timed[3] && timed[3] < timed[1] && timed[1] < timed[2] && timed[2] < timed[4])
    }

    /// A transaction that was open across the snapshot writes below the snapshot's position and commits after it.
    @Test func aLonePositionBelowTheSnapshotsWins() throws {
        let batch = try FlattenedTests.decode(lines: [
            Self.line(#"{"id":1,"__op":"r","__lsn":500}"#), Self.line(#"{"id":1,"__op":"u","__lsn":400}"#),
            Self.line(#"{"id":1,"__op":"u","__lsn":600}"#),
        ])
        #expect(batch.flat.map(\.version.commit) == [500, 500, 600])
        #expect(batch.flat[0].version < batch.flat[1].version)
        #expect(batch.flat.map { $0.flags & ChangeEvent.Flags.alwaysProbe.rawValue != 0 } == [false, true, false])
    }

    @Test func eventsWithoutAPositionAreNamedByTheirOffset() throws {
        let twice = try FlattenedTests.decode(lines: [
            Self.line(#"{"id":1,"v":2}"#), Self.line(#"{"id":1,"v":2}"#), Self.line(nil), Self.line(nil),
        ])
        #expect(Set(twice.flat.map(\.id)).count == 4)
        let shown = try FlattenedTests.decode(lines: [
            Self.line(#"{"id":1,"__op":"u","__lsn":8}"#), Self.line(#"{"id":1,"__op":"u","__lsn":8}"#),
        ])
        #expect(Set(shown.flat.map(\.id)).count == 1)
    }

    @Test func twinsOfATableWithoutAKey() throws {
        // The connector's clock differs in each delivery, and is none of the row.
        func twin(_ clock: Int, _ op: String = "c") -> Corpus.Line {
            Self.line(#"{"a":4,"__op":"\#(op)","__lsn":9,"__ts_ms":\#(clock)}"#, key: nil)
        }
        let first = try FlattenedTests.decode(lines: [twin(1), twin(2), twin(3, "d")])
        let second = try FlattenedTests.decode(lines: [twin(4), twin(5), twin(6, "d")])
        #expect(first.flat.count == 3 && Set(first.flat.map(\.id)).count == 3)
        #expect(first.flat.map(\.id) == second.flat.map(\.id))
        #expect(
            first.flat[0].imageAfter == first.flat[1].imageAfter
                && first.flat[2].imageBefore == first.flat[0].imageAfter)
    }

    @Test func movesWithoutAPositionCarryNothing() throws {
        let lines = [
            Self.line(nil, key: #"{"id":1}"#),
            Self.line(#"{"id":2,"v":"__debezium_unavailable_value"}"#, key: #"{"id":2}"#),
        ]
        var plain = lines
        plain[0].headers = [("__op", Array("d".utf8)), ("__debezium.newkey", Array(#"{"id":2}"#.utf8))]
        plain[1].headers = [("__debezium.oldkey", Array(#"{"id":1}"#.utf8))]
        let batch = try FlattenedTests.decode(lines: plain)
        #expect(batch.flat.map(\.operation.letter) == ["d", "c"] && batch.flat.allSatisfy { $0.otherKey == nil })
        #expect(batch.flat[1].after?["v"] == "unchanged")
        var shown = plain
        for index in shown.indices { shown[index].headers.append(("__source_lsn", Array("70".utf8))) }
        let moved = try FlattenedTests.decode(lines: shown)
        #expect(moved.flat.map(\.otherKey) == [#"{"id":2}"#, #"{"id":1}"#])
        #expect(moved.flat[1].version.deleteHalf == moved.flat[0].version)
    }

    // MARK: - Of which table

    @Test func theTableIsFoundFromWhatIsTold() throws {
        var configuration = FlattenedTests.configuration
        configuration.topicTables = ["feed": TableID(schema: "app", table: "events")]
        configuration.namedTables = [
            TableID(schema: "app", table: "events"), TableID(schema: "public", table: "a.b"),
            TableID(schema: "x", table: "twice"), TableID(schema: "y", table: "twice"),
        ]
        let cases: [(topic: String, added: String, table: String?)] = [
            ("shop.public.orders", "", "public.orders"), ("eu.shop.public.orders", "", "public.orders"),
            ("shop.public.a.b", "", "public.a.b"), ("feed", "", "app.events"),
            // The topic's name is sanitised, so that the fields go first.
            ("shop.public.orders", #""__schema":"s","__table":"t""#, "s.t"),
            ("shop.public.orders", #""__source_schema":"s","__source_table":"t""#, "s.t"),
            ("shop.public.orders", #""__table":"orders""#, "public.orders"),
            ("shop.public.line.items", #""__table":"line.items""#, "public.line.items"),
            ("shop.public.a_b", #""__table":"a$b""#, nil),
            ("shop.public.a_b", #""__table":"a$b","__schema":"s""#, "s.a$b"),
            ("routed", #""__table":"events""#, "app.events"), ("routed", #""__table":"twice""#, nil),
            ("events", "", "app.events"), ("routed", "", nil), ("a.b", "", nil),
            // Of Postgres the database is no schema; of MySQL it is.
            ("shop.public.orders", #""__db":"shop","__table":"orders","__lsn":4"#, "public.orders"),
            ("routed", #""__db":"shop","__table":"orders","__file":"b.01","__pos":4"#, "shop.orders"),
            ("routed", #""__db":"shop","__table":"orders""#, "shop.orders"),
        ]
        for (topic, added, table) in cases {
            let value = #"{"id":1,"__op":"c"\#(added.isEmpty ? "" : "," + added)}"#
            let batch = try FlattenedTests.decode(configuration, [Self.line(value, topic: topic)])
            #expect(batch.flat.first?.table.description == table, "\(topic) \(added) \(batch.reasons)")
            if table == nil {
                #expect(batch.reasons.first?.contains("whose table can't be told") == true && batch.readUnknown == 1)
            }
        }
    }

    /// What nothing says to be Debezium's must at least have its key's columns.
    @Test func anyDocumentIsNoRow() throws {
        let batch = try FlattenedTests.decode(lines: [
            Self.line(#"{"note":"hello"}"#), Self.line(#"{"note":"hello"}"#, key: #""text""#),
            Self.line(#"{"note":"hello"}"#, key: nil),
            Self.line(#"{"status":"BEGIN","id":7,"event_count":1}"#, key: #"{"id":7}"#),
        ])
        #expect(batch.reasons.count == 3 && batch.flat.count == 1 && batch.control == 0)
        #expect(batch.reasons[0].contains("of none of the formats"))
        #expect(batch.flat[0].after == ["status": "\"BEGIN\"", "id": "7", "event_count": "1"])
    }

    @Test func aTimeAloneIsAHeartbeatUnlessRowsAreExpected() throws {
        let row = Self.line(#"{"ts_ms":5}"#, key: #"{"ts_ms":5}"#)
        let beat = Self.line(#"{"ts_ms":5}"#, key: #"{"serverName":"shop"}"#)
        let other = Self.line(#"{"ts_ms":5}"#, key: nil, topic: "__debezium-heartbeat.shop")
        #expect(try FlattenedTests.decode(lines: [row, beat, other]).control == 3)
        var configuration = FlattenedTests.configuration
        configuration.format = .flattened
        let batch = try FlattenedTests.decode(configuration, [row, beat, other])
        #expect(batch.control == 2 && batch.flat.map(\.key) == [#"{"ts_ms":5}"#])
    }

    /// The unit of `time(0)` to `time(3)` hangs on the connector, which a plain row doesn't name.
    @Test func aTimeOfDayNeedsItsConnector() throws {
        var configuration = DecoderConfiguration {
            TableChoice(target: $0.table, types: ["t": .other("time(3) without time zone")])
        }
        let lines = [Self.line(#"{"id":1,"t":47655123}"#)]
        let untold = try FlattenedTests.decode(configuration, lines)
        #expect(untold.reasons.first?.contains("source.debezium.connector doesn't say") == true)
        configuration.connector = .postgres
        #expect(try FlattenedTests.decode(configuration, lines).flat.first?.after?["t"] == "\"13:14:15.123\"")
        configuration.connector = .unknown
        let told = try FlattenedTests.decode(
            configuration, [Self.line(#"{"id":1,"t":47655123,"__lsn":8}"#), Self.line(#"{"id":1,"t":47655123}"#)])
        #expect(told.flat.map { $0.after?["t"] } == ["\"13:14:15.123\"", "\"13:14:15.123\""])
    }

    @Test func aReplicaIdentityThatIsKnownToLackTheKeyDeletesNothing() throws {
        var configuration = FlattenedTests.configuration
        let trap = [Self.line(#"{"id":1,"__op":"c"}"#), Self.line(nil, key: #"{"id":0}"#)]
        #expect(try FlattenedTests.decode(configuration, trap).flat.count == 2)
        configuration.replicaIdentity[FlattenedTests.orders] = .incomplete
        let batch = try FlattenedTests.decode(configuration, trap)
        #expect(
            batch.reasons == ["public.orders: a delete with an empty key: the replica identity doesn't cover the key"])
        let rewritten = Self.line(#"{"id":0,"v":"x","__deleted":"true","__op":"d","__lsn":4}"#, key: #"{"id":0}"#)
        #expect(try FlattenedTests.decode(lines: [rewritten]).flat.isEmpty)
        let honest = Self.line(#"{"id":0,"v":null,"__deleted":"true","__op":"d","__lsn":4}"#, key: #"{"id":0}"#)
        #expect(try FlattenedTests.decode(lines: [honest]).flat.count == 1)
    }
}

extension FlattenedTests {
    static func decode(lines: [Corpus.Line]) throws -> ChangeBatch { try decode(configuration, lines) }
}

/// Values whose schema part says less than whoever gave the column its type.
@Suite struct DescribedValueTests {
    private static func read(_ json: String, _ described: String, as type: ColumnType, _ modes: EncodingModes = .init())
        throws -> String?
    {
        var configuration = DecoderConfiguration { TableChoice(target: $0.table, types: ["v": type]) }
        configuration.modes = modes
        let schema =
            #"{"type":"struct","fields":[{"type":"int32","field":"id"},{"type":"\#(described)","optional":true,"field":"v"}],"name":"shop.public.orders.Value"}"#
        let line = FlattenedTests.line(#"{"schema":\#(schema),"payload":{"id":1,"v":\#(json)}}"#)
        let batch = try FlattenedTests.decode(configuration, [line])
        return batch.flat.first?.after?["v"] ?? batch.reasons.first
    }

    @Test func bytesThatTheSchemaCallsAString() throws {
        var modes = EncodingModes()
        modes.binary = .base64
        #expect(try Self.read(#""AP8Q""#, "string", as: .bytea, modes) == #""\\x00ff10""#)
        modes.binary = .hex
        #expect(try Self.read(#""00ff10""#, "string", as: .bytea, modes) == #""\\x00ff10""#)
        #expect(try Self.read(#""00ff10""#, "string", as: .bytea)?.contains("doesn't say which") == true)
    }

    @Test func bitsThatTheSchemaCallsABoolean() throws {
        #expect(try Self.read("true", "boolean", as: .other("bit(1)")) == #""1""#)
        #expect(try Self.read(#"["AQI="]"#, "string", as: .array(.bytea))?.contains("an array in JSON") == true)
    }

    /// `time(3)` and `time` have another unit each, and one type.
    @Test func theUnitOfAShortTime() throws {
        #expect(ColumnType.isShortTime(sql: "time(3) without time zone") && ColumnType.isShortTime(sql: "time(0)"))
        for name in ["time", "time(6)", "time(4) without time zone", "timetz(3)", "timestamp(3)", "varchar(3)"] {
            #expect(!ColumnType.isShortTime(sql: name))
        }
        var configuration = DecoderConfiguration {
            var choice = TableChoice(target: $0.table, types: ["t": .time, "u": .time])
            choice.shortTimes = ["t"]
            return choice
        }
        configuration.connector = .postgres
        let line = FlattenedTests.line(
            #"{"id":1,"t":47655123,"u":47655123000,"v":47655123,"w":47655123000,"__op":"c"}"#)
        let id = FlattenedTests.orders
        configuration.catalogTypes[id] = ["id": .integer, "t": .time, "v": .time, "w": .time]
        configuration.catalogShortTimes[id] = ["v"]
        let batch = try FlattenedTests.decode(configuration, [line])
        let time = "\"13:14:15.123\""
        #expect(batch.flat.first?.after == ["id": "1", "t": time, "u": time, "v": time, "w": time], "\(batch.reasons)")
    }

    @Test func digitsOfADouble() throws {
        #expect(try Self.read("-9.99E-4", "double", as: .numeric(precision: 3, scale: 6)) == "-0.000999")
        #expect(try Self.read("1.0E21", "double", as: .numeric(precision: 38, scale: 0)) == "1000000000000000000000")
        #expect(try Self.read("0.5", "double", as: .numeric(precision: 3, scale: 0))?.contains("more digits") == true)
    }
}
