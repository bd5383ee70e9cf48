import Foundation
import Testing

@testable import DuckDB

@Suite struct AppenderTests {
    private func session() throws -> Session {
        let session = try Session(Database(options: .init(threads: 2)))
        try session.run("SET TimeZone = 'UTC'", purpose: "setup")
        return session
    }

    /// A value as it is set, and the text that the engine shows of it.
    private struct Case {
        let kind: ColumnKind
        let text: String
        let set: (Appender) throws -> Void
    }

    private var cases: [Case] {
        func text(_ value: String) -> (Appender) throws -> Void {
            { appender in try Array(value.utf8).withUnsafeBytes { try appender.set(0, utf8: $0) } }
        }
        func decimal(_ width: UInt8, _ scale: UInt8, _ value: Int128, _ text: String) -> Case {
            Case(kind: .decimal(width: width, scale: scale), text: text) { try $0.set(0, decimal: value) }
        }
        let long = String(repeating: "größer als zwölf Zeichen, ", count: 2000)
        let nines = Int128("99999999999999999999999999999999999999") ?? 0
        var cases: [Case] = [
            Case(kind: .bool, text: "true") { $0.set(0, bool: true) },
            Case(kind: .bool, text: "false") { $0.set(0, bool: false) },
            Case(kind: .int8, text: "-128") { $0.set(0, int8: .min) },
            Case(kind: .int16, text: "-32768") { $0.set(0, int16: .min) },
            Case(kind: .int32, text: "-2147483648") { $0.set(0, int32: .min) },
            Case(kind: .int64, text: "-9223372036854775808") { $0.set(0, int64: .min) },
            Case(kind: .int64, text: "9223372036854775807") { $0.set(0, int64: .max) },
            Case(kind: .int128, text: String(Int128.max)) { $0.set(0, int128: .max) },
            Case(kind: .int128, text: "-1") { $0.set(0, int128: -1) },
            Case(kind: .uint8, text: "255") { $0.set(0, uint8: .max) },
            Case(kind: .uint16, text: "65535") { $0.set(0, uint16: .max) },
            Case(kind: .uint32, text: "4294967295") { $0.set(0, uint32: .max) },
            Case(kind: .uint64, text: "18446744073709551615") { $0.set(0, uint64: .max) },
            Case(kind: .float, text: "-1.5") { $0.set(0, float: -1.5) },
            Case(kind: .double, text: "1e+300") { $0.set(0, double: 1e300) },
            Case(kind: .double, text: "nan") { $0.set(0, double: .nan) },
            Case(kind: .double, text: "-inf") { $0.set(0, double: -.infinity) },
            Case(kind: .date, text: "1969-12-31") { $0.set(0, int32: -1) },
            Case(kind: .date, text: "infinity") { $0.set(0, int32: .max) },
            Case(kind: .time, text: "23:59:59.999999") { $0.set(0, int64: 86_399_999_999) },
            Case(kind: .timestamp, text: "1969-12-31 23:59:59.999999") { $0.set(0, int64: -1) },
            Case(kind: .timestamp, text: "infinity") { $0.set(0, int64: .max) },
            Case(kind: .timestamptz, text: "1970-01-01 00:00:00.000001+00") { $0.set(0, int64: 1) },
            Case(kind: .uuid, text: "00000000-0000-0000-0000-000000000001") { $0.set(0, uuidHigh: 0, low: 1) },
            Case(kind: .uuid, text: "ffffffff-ffff-ffff-8000-000000000000") {
                $0.set(0, uuidHigh: .max, low: 1 << 63)
            },
            Case(kind: .blob, text: "\\x00\\xFFa") { appender in
                try [UInt8](arrayLiteral: 0, 255, 97).withUnsafeBytes { try appender.set(0, blob: $0) }
            },
            Case(kind: .varchar, text: "") { try $0.set(0, utf8: UnsafeRawBufferPointer(start: nil, count: 0)) },
            Case(kind: .varchar, text: "Zeichenkette") { try $0.set(0, string: "Zeichenkette") },
            decimal(4, 2, 9999, "99.99"), decimal(4, 2, -1, "-0.01"), decimal(1, 0, 9, "9"),
            decimal(9, 0, -999_999_999, "-999999999"), decimal(18, 18, 1, ".000000000000000001"),
            decimal(19, 0, 9_999_999_999_999_999_999, "9999999999999999999"),
            decimal(38, 0, -nines, "-99999999999999999999999999999999999999"),
            decimal(38, 10, 12_345, "0.0000012345"),
        ]
        for value in ["a", "zwölf Byte ", "123456789012", "1234567890123", "🦆", "nul \0 within", long] {
            cases.append(Case(kind: .varchar, text: value, set: text(value)))
        }
        return cases
    }

    @Test func everyKindMakesTheRoundTrip() throws {
        let session = try session()
        for (index, one) in cases.enumerated() {
            let table = "t\(index)"
            try session.run("CREATE TABLE \(table)(c \(one.kind.sqlName))", purpose: "setup")
            let appender = try Appender(session, into: .init(table: table), [.init("c", one.kind)], purpose: "append")
            for _ in 0..<3 {
                try one.set(appender)
                try appender.endRow()
                appender.setNull(0)
                try appender.endRow()
            }
            try appender.close()
            let rows = try session.query("SELECT c FROM \(table)", purpose: "read").rows.map { $0[0] }
            #expect(rows == [one.text, nil, one.text, nil, one.text, nil], "\(one.kind)")
        }
    }

    @Test(arguments: [
        AppenderTarget(table: "t"), AppenderTarget(catalog: "memory", schema: "main", table: "t"),
        .temporary("stage"), AppenderTarget(schema: "shop", table: "orders"),
    ])
    func fillsManyChunks(target: AppenderTarget) throws {
        let session = try session()
        try session.run(
            """
            CREATE SCHEMA shop; CREATE TABLE t(id BIGINT, s VARCHAR, n INT, x INT DEFAULT 7);
            CREATE TABLE shop.orders(id BIGINT, s VARCHAR, n INT, x INT DEFAULT 7);
            CREATE TEMP TABLE stage(id BIGINT, s VARCHAR, n INT, x INT DEFAULT 7)
            """, purpose: "setup")
        let columns = [AppenderColumn("n", .int32), AppenderColumn("s", .varchar), AppenderColumn("id", .int64)]
        let appender = try Appender(session, into: target, columns, purpose: "append")
        let count = 300_001
        for id in 0..<count {
            appender.set(2, int64: Int64(id))
            // Every third is left unset, which is NULL; every seventh is so explicitly.
            if id % 3 != 0 { try appender.set(1, string: "text \(id)") }
            if id % 7 == 0 { appender.setNull(0) } else { appender.set(0, int32: Int32(id)) }
            try appender.endRow()
            if id == 5000 { try appender.flush() }
        }
        try appender.close()
        let name = [target.schema, target.table].compactMap { $0 }.joined(separator: ".")
        let table = target.catalog == "temp" ? "temp.\(name)" : name
        let wrong = try session.int64(
            """
            SELECT count(*) FROM \(table) WHERE x <> 7 OR (id % 3 = 0) <> (s IS NULL) OR s <> 'text ' || id
                OR (id % 7 = 0) <> (n IS NULL) OR n <> id
            """, purpose: "check")
        #expect(wrong == 0)
        #expect(try session.int64("SELECT count(DISTINCT id) FROM \(table)", purpose: "count") == Int64(count))
    }

    @Test func valuesThatDoNotFitAreRefusedAndTheRowGoesOn() throws {
        let session = try session()
        try session.run("CREATE TABLE t(d DECIMAL(4,2), s VARCHAR)", purpose: "setup")
        let appender = try Appender(
            session, into: .init(table: "t"), [.init("d", .decimal(width: 4, scale: 2)), .init("s", .varchar)],
            purpose: "append")
        let tooWide = #expect(throws: DuckDBError.self) { try appender.set(0, decimal: 10_000) }
        #expect(tooWide?.kind == .value)
        #expect(tooWide?.message.contains("DECIMAL(4,2)") == true && tooWide?.message.contains("10") == false)
        let invalid: [[UInt8]] = [
            [0xff], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82], [0x80],
            Array("twelve bytes and ".utf8) + [0xc3],
        ]
        for bytes in invalid {
            bytes.withUnsafeBytes { bytes in
                #expect(errorKind { try appender.set(1, utf8: bytes) } == .value)
            }
        }
        try appender.set(0, decimal: 1)
        try appender.endRow()
        // A row that is abandoned leaves nothing, not even its NULL.
        appender.setNull(0)
        try appender.set(1, string: "abandoned")
        appender.abandonRow()
        try appender.set(0, decimal: 2)
        try appender.endRow()
        try appender.close()
        #expect(try session.query("FROM t", purpose: "read").rows == [["0.01", nil], ["0.02", nil]])
    }

    @Test func aTableThatRefusesARowEndsTheAppender() throws {
        let session = try session()
        try session.run("CREATE TABLE t(id INT PRIMARY KEY, s VARCHAR NOT NULL)", purpose: "setup")
        let columns = [AppenderColumn("id", .int32), AppenderColumn("s", .varchar)]
        for isNull in [true, false] {
            let appender = try Appender(session, into: .init(table: "t"), columns, purpose: "append")
            for _ in 0..<2 {
                appender.set(0, int32: 5012)
                if !isNull { try appender.set(1, string: "secret") }
                try appender.endRow()
            }
            let error = #expect(throws: DuckDBError.self) { try appender.close() }
            #expect(error?.kind == .constraint, "\(error?.description ?? "")")
            #expect(error?.description.contains("5012") == false)
            #expect(errorKind { try appender.flush() } == .closed)
            try appender.close()
        }
        #expect(try session.int64("SELECT count(*) FROM t", purpose: "count") == 0)
    }

    @Test func whatIsNotClosedIsDropped() throws {
        let session = try session()
        try session.run("CREATE TABLE t(id INT)", purpose: "setup")
        do {
            let appender = try Appender(session, into: .init(table: "t"), [.init("id", .int32)], purpose: "append")
            for id in 0..<5000 {
                appender.set(0, int32: Int32(id))
                try appender.endRow()
            }
        }
        #expect(try session.int64("SELECT count(*) FROM t", purpose: "count") == 0)
        try session.run("BEGIN", purpose: "begin")
        let appender = try Appender(session, into: .init(table: "t"), [.init("id", .int32)], purpose: "append")
        appender.set(0, int32: 1)
        try appender.endRow()
        try appender.close()
        #expect(try session.int64("SELECT count(*) FROM t", purpose: "count") == 1)
        try session.run("ROLLBACK", purpose: "roll back")
        #expect(try session.int64("SELECT count(*) FROM t", purpose: "count") == 0)
    }

    @Test func missingTablesAndColumnsAreTold() throws {
        let session = try session()
        try session.run("CREATE TABLE t(id INT)", purpose: "setup")
        #expect(
            errorKind {
                _ = try Appender(session, into: .init(table: "nope"), [.init("id", .int32)], purpose: "append")
            } == .catalog
        )
        #expect(errorKind { _ = try Appender(session, into: .init(table: "t"), [], purpose: "append") } == .other)
        let missing = #expect(throws: DuckDBError.self) {
            _ = try Appender(session, into: .init(table: "t"), [.init("nope", .int32)], purpose: "append")
        }
        #expect(missing?.kind == .catalog)
        session.close()
        #expect(
            errorKind {
                _ = try Appender(session, into: .init(table: "t"), [.init("id", .int32)], purpose: "append")
            } == .closed
        )
    }

    @Test func aKindThatIsNotTheColumnsTypeIsCast() throws {
        let session = try session()
        try session.run("CREATE TABLE t(n BIGINT, d DATE, j JSON, l INT[], v INTERVAL)", purpose: "setup")
        let appender = try Appender(
            session, into: .init(table: "t"),
            [
                .init("n", .int32), .init("d", .varchar), .init("j", .varchar), .init("l", .varchar),
                .init("v", .varchar),
            ], purpose: "append")
        appender.set(0, int32: 5)
        try appender.set(1, string: "2024-02-29")
        try appender.set(2, string: "{\"a\": [1]}")
        try appender.set(3, string: "[1, NULL, 3]")
        try appender.set(4, string: "1 day 02:00:00")
        try appender.endRow()
        try appender.close()
        #expect(
            try session.query("FROM t", purpose: "read").rows == [
                ["5", "2024-02-29", "{\"a\": [1]}", "[1, NULL, 3]", "1 day 02:00:00"]
            ]
        )
        // The engine doesn't look into text that becomes JSON.
        let json = try Appender(session, into: .init(table: "t"), [.init("j", .varchar)], purpose: "append")
        try json.set(0, string: "{bad")
        try json.endRow()
        try json.close()
        #expect(try session.int64("SELECT count(*) FROM t WHERE NOT json_valid(j)", purpose: "count") == 1)
        let wrong = try Appender(session, into: .init(table: "t"), [.init("d", .varchar)], purpose: "append")
        try wrong.set(0, string: "5012-13-45")
        try wrong.endRow()
        let error = #expect(throws: DuckDBError.self) { try wrong.close() }
        #expect(error?.kind == .value && error?.description.contains("5012") == false)
    }
}
