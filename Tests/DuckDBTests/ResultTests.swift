import Foundation
import Testing

@testable import DuckDB

@Suite struct ResultTests {
    private func session() throws -> Session {
        let session = try Session(Database(options: .init(threads: 2)))
        try session.run("SET TimeZone = 'UTC'", purpose: "setup")
        return session
    }

    @Test func readsTypedValues() throws {
        let session = try session()
        var seen = 0
        for streaming in [false, true] {
            try session.forEachChunk(
                """
                SELECT true, -1::TINYINT, -2::SMALLINT, -3::INT, -4::BIGINT, (-5)::HUGEINT, 6::UTINYINT, 7::USMALLINT,
                    8::UINTEGER, 18446744073709551615::UBIGINT, 1.5::FLOAT, 2.5::DOUBLE, 'short', repeat('long', 10),
                    '\\x00\\xFF'::BLOB, DATE '1969-12-31', TIME '00:00:01', TIMESTAMP '1970-01-01 00:00:02',
                    TIMESTAMPTZ '1970-01-01 00:00:03+00', 'ffeeddcc-bbaa-9988-7766-554433221100'::UUID,
                    -1.5::DECIMAL(4,1), 12345.6::DECIMAL(9,1), 1.5::DECIMAL(18,1), -1.5::DECIMAL(38,1), NULL::INT,
                    '{"a":1}'::JSON, NULL
                """, purpose: "values", streaming: streaming
            ) { chunk in
                seen += chunk.rowCount
                // #expect can't take a call on the reader, which isn't copyable.
                let integers = (1...9).map { chunk.int128($0, 0) }
                #expect(integers == [-1, -2, -3, -4, -5, 6, 7, 8, Int128(UInt64.max)])
                let (small, big, truth) = (chunk.int32(3, 0), chunk.int64(4, 0), chunk.bool(0, 0))
                #expect(small == -3 && big == -4 && truth)
                let doubles = [chunk.double(10, 0), chunk.double(11, 0)]
                #expect(doubles == [1.5, 2.5])
                let strings = [chunk.string(12, 0), chunk.string(13, 0), chunk.string(25, 0)]
                #expect(strings == ["short", String(repeating: "long", count: 10), "{\"a\":1}"])
                let blob = Array(chunk.bytes(14, 0))
                #expect(blob == [0, 255])
                let times = (15...18).map { chunk.int64($0, 0) }
                #expect(times == [-1, 1_000_000, 2_000_000, 3_000_000])
                let uuid = chunk.uuid(19, 0)
                #expect(uuid == (0xffee_ddcc_bbaa_9988, 0x7766_5544_3322_1100))
                let decimals = (20...23).map { chunk.int128($0, 0) }
                #expect(decimals == [-15, 123456, 15, -15])
                let nulls = (0...26).filter { chunk.isNull($0, 0) }
                #expect(nulls == [24, 26])
                let types = [chunk.columns[22].typeName, chunk.columns[25].typeName]
                #expect(types == ["DECIMAL(18,1)", "JSON"])
            }
        }
        #expect(seen == 2)
    }

    @Test(arguments: [false, true]) func readsManyChunksInOrder(streaming: Bool) throws {
        let session = try session()
        var next: Int64 = 0
        try session.forEachChunk(
            "SELECT i, CASE WHEN i % 3 > 0 THEN 'row ' || i || ' with text' END FROM range(100000) r(i) ORDER BY i",
            purpose: "rows", streaming: streaming
        ) { chunk in
            #expect(chunk.rowCount <= 2048)
            for row in 0..<chunk.rowCount {
                guard chunk.int64(0, row) == next, chunk.isNull(1, row) == (next % 3 == 0),
                    next % 3 == 0 || chunk.string(1, row) == "row \(next) with text"
                else {
                    Issue.record("row \(next)")
                    return
                }
                next += 1
            }
        }
        #expect(next == 100_000)
    }

    @Test func anErrorInAStreamIsThrown() throws {
        let session = try session()
        #expect(
            errorKind {
                try session.forEachChunk(
                    "SELECT CASE WHEN i = 99999 THEN error('x') ELSE i END FROM range(100000) r(i)",
                    purpose: "rows", streaming: true
                ) { _ in }
            } == .value
        )
        #expect(try session.int64("SELECT 1", purpose: "after") == 1)
    }

    @Test func aBodyThatThrowsLeavesTheSessionUsable() throws {
        struct Stop: Error {}
        let session = try session()
        #expect(throws: Stop.self) {
            try session.forEachChunk("FROM range(100000)", purpose: "rows", streaming: true) { _ in throw Stop() }
        }
        #expect(try session.int64("SELECT 1", purpose: "after") == 1)
    }

    @Test func anyTypeIsShownAsText() throws {
        let session = try session()
        let result = try session.query(
            """
            SELECT 1 AS i, 1 AS i, 'x' AS "a b", [1, NULL, 3] AS l, {'a': 1, 'b': 'it''s'} AS s, MAP {'k': 2} AS m,
                INTERVAL 1 DAY AS v, 1.50::DECIMAL(6,2) AS d, '\\xAB'::BLOB AS b, NULL AS n,
                TIMESTAMPTZ '2024-01-01 00:00:00+00' AS t, '{"a": 1}'::JSON AS j,
                'happy'::ENUM('happy', 'sad') AS e; --;
            """, purpose: "types")
        #expect(result.columns.map(\.name) == ["i", "i", "a b", "l", "s", "m", "v", "d", "b", "n", "t", "j", "e"])
        #expect(
            result.columns.map(\.typeName) == [
                "INTEGER", "INTEGER", "VARCHAR", "INTEGER[]", "STRUCT(a INTEGER, b VARCHAR)",
                "MAP(VARCHAR, INTEGER)", "INTERVAL", "DECIMAL(6,2)", "BLOB", "NULL",
                "TIMESTAMP WITH TIME ZONE", "JSON", "ENUM",
            ]
        )
        #expect(
            result.rows == [
                [
                    "1", "1", "x", "[1, NULL, 3]", "{'a': 1, 'b': 'it\\'s'}", "{k=2}", "1 day", "1.50", "\\xAB", nil,
                    "2024-01-01 00:00:00+00", "{\"a\": 1}", "happy",
                ]
            ]
        )
    }

    @Test func parametersAndOrderAndNoRows() throws {
        let session = try session()
        let descending = try session.query(
            "SELECT i FROM range(5000) r(i) WHERE i >= $1 ORDER BY i DESC;", [10], purpose: "rows")
        #expect(descending.rows.map { $0[0] } == (10..<5000).reversed().map(String.init))
        let none = try session.query("SELECT 1 AS a WHERE false", purpose: "none")
        #expect(none.columns.map(\.name) == ["a"] && none.rows.isEmpty)
    }

    @Test(arguments: [
        "SHOW TABLES", "DESCRIBE t", "EXPLAIN SELECT 1", "FROM t", "VALUES (1)", "SUMMARIZE t",
        "WITH x AS (SELECT 1) FROM x", "FROM pragma_table_info('t')", "SHOW ALL TABLES", "PIVOT t ON i USING sum(i)",
    ])
    func otherQueriesAreShown(sql: String) throws {
        let session = try session()
        try session.run("CREATE TABLE t(i INT, l INT[]); INSERT INTO t VALUES (1, [1])", purpose: "setup")
        #expect(try session.query(sql, purpose: "query").rows.isEmpty == false)
    }

    @Test func whatIsNoQueryIsRefusedBeforeItRuns() throws {
        let session = try session()
        try session.run("CREATE TABLE t(i INT)", purpose: "setup")
        for sql in ["INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (1) RETURNING 'x'", "PRAGMA table_info('t')"] {
            #expect(errorKind { _ = try session.query(sql, purpose: "query") } == .other)
            #expect(errorKind { try session.forEachJSONRow(sql, purpose: "query") { _ in } } == .other)
        }
        #expect(errorKind { _ = try session.query("SELECT 1; SELECT 2", purpose: "query") } != nil)
        #expect(try session.int64("SELECT count(*) FROM t", purpose: "count") == 0)
    }

    @Test func rowsBecomeJSON() throws {
        let session = try session()
        var rows: [String] = []
        try session.forEachJSONRow(
            "SELECT i, [i] AS l, NULL AS n, 'q\"' AS s, {'x': 1.5} AS o FROM range(2) r(i) ORDER BY i;", purpose: "json"
        ) { rows.append(String(decoding: $0, as: UTF8.self)) }
        #expect(
            rows == [
                #"{"i":0,"l":[0],"n":null,"s":"q\"","o":{"x":1.5}}"#,
                #"{"i":1,"l":[1],"n":null,"s":"q\"","o":{"x":1.5}}"#,
            ]
        )
    }

    @Test func semicolonsOutsideStringsBecomeBlanks() {
        let cases = [
            ("SELECT 1;", "SELECT 1 "), ("SELECT ';' ; -- ;\n;", "SELECT ';'   -- ;\n "),
            ("SELECT 'it'';' /* ; */;", "SELECT 'it'';' /* ; */ "), ("SELECT \";\"\"\";", "SELECT \";\"\"\" "),
            ("SELECT $$;$$;", "SELECT $$;$$ "), ("SELECT $a$;$$;$a$;", "SELECT $a$;$$;$a$ "),
            ("SELECT $1;", "SELECT $1 "), ("SELECT E'\\';';", "SELECT E'\\';' "),
            ("SELECT date'2020-01-01';", "SELECT date'2020-01-01' "), ("SELECT 'ü;", "SELECT 'ü;"),
            ("SELECT 1 /*", "SELECT 1 /*"),
        ]
        for (sql, expected) in cases { #expect(SQLText.withoutSemicolons(sql) == expected) }
    }
}
