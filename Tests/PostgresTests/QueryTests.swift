import Testing
import ThrowawayPostgres

@testable import Postgres

@Suite struct QueryTests {
    @Test func valuesNamesAndTypes() async throws {
        try await withSession(try await SharedCluster.url) { session in
            let rows = try session.query(
                """
                SELECT 1::int AS a, NULL::text AS b, 'x'::text AS c, true AS d
                UNION ALL SELECT 2, 'é', '', false ORDER BY 1
                """
            )
            #expect(rows.count == 2 && rows.columnCount == 4)
            #expect(rows.columnNames == ["a", "b", "c", "d"] && rows.column(named: "c") == 2)
            #expect((0..<4).map { rows.typeOID($0) } == [23, 25, 25, 16])
            #expect(rows.integer(0, 0) == 1 && rows.string(0, 1) == nil && rows.bytes(0, 1) == nil)
            #expect(rows.string(1, 1) == "é" && rows.bytes(1, 1)?.count == 2 && rows.bytes(1, 2)?.count == 0)
            #expect(rows.bool(0, 3) && !rows.bool(1, 3))
            #expect(rows.affected == 2)
        }
    }

    @Test func oneStatementAlone() async throws {
        try await withSession(try await SharedCluster.url) { session in
            let one = try session.queryAlone("SELECT 1")
            #expect(one.string(0, 0) == "1")
            let refused = #expect(throws: PostgresError.self) { try session.queryAlone("SELECT 1; SELECT 2") }
            #expect(refused?.sqlstate == "42601")
            #expect(try session.scalar("SELECT 1") == "1")
        }
    }

    @Test func parametersAreTakenAsTheyAre() async throws {
        try await withSession(try await SharedCluster.url) { session in
            let nasty = "'; DROP TABLE x; -- \\ \" \t\n é 漢 \u{1F600}"
            #expect(try session.scalar("SELECT $1::text", [nasty]) == nasty)
            #expect(try session.scalar("SELECT $1::text", [nil]) == nil)
            #expect(try session.scalar("SELECT $1::int + $2::int", ["40", "2"]) == "42")
            #expect(try session.scalar("SELECT 1 WHERE false") == nil)
            let literal = try quoteLiteral(nasty)
            #expect(try session.scalar("SELECT \(literal)") == nasty)
            #expect(try session.scalar("SET standard_conforming_strings = off; SELECT \(literal)") == nasty)
            let array = try arrayText([nasty, nil, "{,}"])
            #expect(try session.scalar("SELECT ($1::text[])[1]", [array]) == nasty)
            let refused = #expect(throws: PostgresError.self) { try session.scalar("SELECT $1::text", ["a\0b"]) }
            #expect(refused?.kind == .data)
            #expect(throws: PostgresError.self) { try session.execute("SELECT 1\0") }
            #expect(try session.scalar("SELECT 1") == "1")
        }
    }

    @Test func preparedStatements() async throws {
        try await withSession(try await SharedCluster.url) { session in
            let statement = try session.prepare("twice", "SELECT $1::int * 2")
            for number in 1...3 {
                #expect(try session.query(statement, ["\(number)"]).integer(0, 0) == Int64(2 * number))
            }
            let again = #expect(throws: PostgresError.self) { try session.prepare("twice", "SELECT 1") }
            #expect(again?.sqlstate == "42P05")
        }
    }

    @Test func scripts() async throws {
        try await withSession(try await SharedCluster.url) { session in
            let answers = try session.script(
                "CREATE TEMP TABLE s(a int); INSERT INTO s VALUES (1), (2); SELECT * FROM s")
            #expect(answers.map(\.commandTag) == ["CREATE TABLE", "INSERT 0 2", "SELECT 2"])
            #expect(try session.execute("UPDATE s SET a = a + 1") == 2)
            // One implicit transaction: the insert before the failure is gone.
            #expect(throws: PostgresError.self) { try session.execute("INSERT INTO s VALUES (3); SELECT 1/0") }
            #expect(try session.scalar("SELECT count(*) FROM s") == "2")
            #expect(try session.execute("") == 0)
        }
    }

    @Test func transactions() async throws {
        struct Own: Error {}
        try await withSession(try await SharedCluster.url) { session in
            try session.execute("CREATE TEMP TABLE t(a int)")
            try session.transaction { try session.execute("INSERT INTO t VALUES (1)") }
            #expect(throws: Own.self) {
                try session.transaction {
                    try session.execute("INSERT INTO t VALUES (2)")
                    #expect(session.isInTransaction)
                    throw Own()
                }
            }
            #expect(!session.isInTransaction)
            // A failure that the body swallows is not committed silently.
            let swallowed = #expect(throws: PostgresError.self) {
                try session.transaction {
                    try session.execute("INSERT INTO t VALUES (3)")
                    _ = try? session.execute("SELECT 1/0")
                }
            }
            #expect(swallowed?.sqlstate == "25P02")
            #expect(try session.scalar("SELECT string_agg(a::text, ',') FROM t") == "1")
        }
    }

    @Test func errorsTellNamesAndNoValues() async throws {
        try await withSession(try await SharedCluster.url) { session in
            try session.execute("CREATE TEMP TABLE e(id int PRIMARY KEY, amount numeric(4,2) CHECK (amount > 0))")
            try session.execute("INSERT INTO e VALUES (5550123, 1)")
            func fails(_ sql: String, _ parameters: [String?] = []) -> PostgresError? {
                #expect(throws: PostgresError.self) { try session.query(sql, parameters, for: "test errors") }
            }
            let duplicate = fails("INSERT INTO e VALUES (5550123, 1)")
            #expect(duplicate?.kind == .data && duplicate?.constraint == "e_pkey" && duplicate?.table == "e")
            let check = fails("INSERT INTO e VALUES (1, -5550123 / 100000)")
            #expect(check?.sqlstate == "23514" && check?.constraint == "e_amount_check")
            let null = fails("INSERT INTO e VALUES (NULL, 5.55)")
            #expect(null?.column == "id")
            let syntax = fails("SELECT $1::int", ["5550123x"])
            #expect(syntax?.message == "invalid input syntax for type integer: …" && syntax?.purpose == "test errors")
            let range = fails("SELECT $1::int", ["55501235550123"])
            #expect(range?.message == #"value "…" is out of range for type integer"#)
            for error in [duplicate, check, null, syntax, range] {
                #expect(error?.kind == .data && error?.isConnectionLost == false)
                #expect(!"\(String(describing: error))".contains("555"))
            }
            #expect(fails("SELECT * FROM nowhere")?.kind == .permanent)
            #expect(fails("SELEC 1")?.sqlstate == "42601")
        }
    }

    @Test func lockTimeoutIsPassing() async throws {
        let url = try await SharedCluster.url
        try await withSession(url) { holder in
            try holder.execute("CREATE TABLE public.locked(a int)")
            try holder.execute("BEGIN; LOCK TABLE public.locked")
            let waiter = try Session(url: url)
            let error = #expect(throws: PostgresError.self) {
                try waiter.execute("SET lock_timeout = '10ms'; SELECT * FROM public.locked")
            }
            #expect(error?.kind == .passing && error?.sqlstate == "55P03")
        }
    }

    @Test(arguments: [
        #"a"b"#, "a b", "select", "ÄÖ", "x'; --", "$1", "a.b", "\\", "tab\tnewline\n", "CamelCase", "e\u{301}",
        "\"\u{301}",
    ])
    func hostileNames(name: String) async throws {
        try await withSession(try await SharedCluster.url) { session in
            let quoted = try quoteIdentifier(schema: "pg_temp", name)
            let column = try quoteIdentifier(name)
            try session.execute(
                "CREATE TEMP TABLE \(column) (\(column) int); INSERT INTO \(quoted) (\(column)) VALUES (1)"
            )
            let rows = try session.query("SELECT \(column) FROM \(quoted)")
            #expect(Array(rows.columnNames[0].utf8) == Array(name.utf8) && rows.integer(0, 0) == 1)
        }
    }

    @Test func closedSessionsSaySo() async throws {
        try await withSession(try await SharedCluster.url) { session in
            session.close()
            let error = #expect(throws: PostgresError.self) { try session.execute("SELECT 1") }
            #expect(error?.sqlstate == "08003" && error?.isConnectionLost == true && !session.isUsable)
            session.rollback()
        }
    }
}
