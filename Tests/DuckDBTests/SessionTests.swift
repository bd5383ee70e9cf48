import Foundation
import Testing

@testable import DuckDB

/// The kind of the error that `body` throws; nil if it throws none.
func errorKind(_ body: () throws -> Void) -> DuckDBError.Kind? {
    do {
        try body()
        return nil
    } catch {
        return (error as? DuckDBError)?.kind
    }
}

@Suite struct SessionTests {
    private func session() throws -> Session { try Session(Database(options: .init(threads: 1))) }

    @Test func runsScriptsAndCountsRows() throws {
        let session = try session()
        try session.run("CREATE TABLE t(i INT); INSERT INTO t VALUES (1), (2), (3);", purpose: "setup")
        #expect(try session.execute("UPDATE t SET i = i + $1 WHERE i > 1", [10], purpose: "update") == 2)
        #expect(try session.int64("SELECT sum(i) FROM t", purpose: "sum") == 26)
        #expect(try session.int64("SELECT i FROM t WHERE i = 99", purpose: "none") == nil)
        #expect(try session.string("SELECT NULL::VARCHAR", purpose: "null") == nil)
        #expect(errorKind { _ = try session.string("SELECT 1", purpose: "type") } == .other)
        #expect(errorKind { _ = try session.int64("SELECT 'a'", purpose: "type") } == .other)
    }

    @Test func bindsEveryKindOfParameter() throws {
        let session = try session()
        let high: UInt64 = 0x8123_4567_89ab_cdef
        let low: UInt64 = 0x0fed_cba9_8765_4321
        let rows = try session.query(
            """
            SELECT $1::INT IS NULL, $2::BOOLEAN, $3::BIGINT, $4::DOUBLE, $5::VARCHAR, $6::BLOB, $7::UUID, $8::VARCHAR,
                $9::BLOB, $10::DATE
            """,
            [
                .null, true, .int64(.min), .double(1.5), "it's a \0 'text' ü", .bytes([0, 1, 255]),
                .uuid(high: high, low: low), "", .bytes([]), "2024-02-29",
            ],
            purpose: "parameters"
        ).rows
        #expect(
            rows == [
                [
                    "true", "true", "-9223372036854775808", "1.5", "it's a \0 'text' ü", "\\x00\\x01\\xFF",
                    "81234567-89ab-cdef-0fed-cba987654321", "", "", "2024-02-29",
                ]
            ]
        )
    }

    @Test func aStatementIsExecutedRepeatedly() throws {
        let session = try session()
        try session.run("CREATE TABLE t(i INT, s VARCHAR)", purpose: "setup")
        let insert = try session.prepare("INSERT INTO t VALUES (?, ?)", purpose: "insert")
        for i in 0..<10 { #expect(try insert.execute([.int64(Int64(i)), .text("row \(i)")]) == 1) }
        #expect(try session.string("SELECT max(s) FROM t", purpose: "read") == "row 9")
        #expect(errorKind { try insert.execute([1]) } == .other)
    }

    @Test func aTransactionRollsBackWhenItsBodyThrows() throws {
        struct Stop: Error {}
        let session = try session()
        try session.run("CREATE TABLE t(i INT PRIMARY KEY)", purpose: "setup")
        try session.transaction(purpose: "good") { try session.run("INSERT INTO t VALUES (1)", purpose: "insert") }
        #expect(throws: Stop.self) {
            try session.transaction(purpose: "bad") {
                try session.run("INSERT INTO t VALUES (2)", purpose: "insert")
                throw Stop()
            }
        }
        #expect(
            errorKind {
                try session.transaction(purpose: "failing") {
                    try session.run("INSERT INTO t VALUES (3); INSERT INTO t VALUES (1)", purpose: "insert")
                }
            } == .constraint
        )
        #expect(try session.int64("SELECT count(*) FROM t", purpose: "count") == 1)
        try session.transaction(purpose: "after") { try session.run("INSERT INTO t VALUES (4)", purpose: "insert") }
        #expect(try session.int64("SELECT count(*) FROM t", purpose: "count") == 2)
    }

    @Test func aConflictBetweenTransactionsIsTold() throws {
        let database = try Database()
        let (one, two) = (try Session(database), try Session(database))
        try one.run("CREATE TABLE t(i INT); INSERT INTO t VALUES (1)", purpose: "setup")
        try one.run("BEGIN; UPDATE t SET i = 2", purpose: "one")
        #expect(
            errorKind {
                try two.transaction(purpose: "two") { try two.run("UPDATE t SET i = 3", purpose: "two") }
            } == .conflict
        )
        try one.run("COMMIT", purpose: "one")
    }

    @Test func anInterruptStopsARunningStatement() async throws {
        let connection = try await Connection.open()
        let counter = "SELECT count(*) FROM range(1000000000) a, range(1000000000) b"
        let statement = Task { try await connection.query(counter, purpose: "counting") }
        // An interrupt that comes before the statement runs has no effect, so it is repeated until one does.
        let interrupting = Task.detached {
            while !Task.isCancelled {
                connection.interrupt()
                await Task.yield()
            }
        }
        let result = await statement.result
        interrupting.cancel()
        await interrupting.value
        #expect(errorKind { _ = try result.get() } == .interrupted)
        #expect(try await connection.query("SELECT 1", purpose: "after").rows == [["1"]])
        await connection.close()
        await #expect(throws: DuckDBError.self) { try await connection.run("SELECT 1", purpose: "closed") }
        connection.interrupt()
    }

    @Test func whatIsClosedSaysSo() throws {
        let database = try Database()
        let session = try Session(database)
        let statement = try session.prepare("SELECT 1", purpose: "one")
        database.close()
        #expect(try session.int64("SELECT 1", purpose: "still open") == 1)
        #expect(errorKind { _ = try Session(database) } == .closed)
        session.close()
        session.close()
        #expect(!session.isOpen)
        #expect(errorKind { try session.run("SELECT 1", purpose: "closed") } == .closed)
        #expect(errorKind { try statement.execute() } == .closed)
    }
}
