import Testing
import ThrowawayPostgres

@testable import Postgres

@Suite struct CopyTests {
    static let nasty: [String?] = [
        "", nil, "\t", "\n", "\r\n", "\\", "\\.", "\\N", "\\.\n", "NULL", "a\tb\\tc\nd", "é漢\u{1F600}\u{301}",
        "\u{1}\u{7F}", "\"'",
        String(repeating: "0123456789abcde\t", count: 65536), String(repeating: "\\", count: 5000),
    ]

    @Test func nastyTextComesBackEqual() async throws {
        try await withSession(try await SharedCluster.url) { session in
            try session.execute("CREATE TEMP TABLE c(id bigint, a text, b text, n bigint, raw bytea)")
            let copied = try session.copyIn("COPY pg_temp.c FROM STDIN") { writer in
                for (index, text) in Self.nasty.enumerated() {
                    writer.field(index)
                    for _ in 0..<2 { if let text { writer.field(text) } else { writer.null() } }
                    writer.field(Int64.min + Int64(index))
                    (0..<UInt8(index)).map { $0 }.withUnsafeBytes { writer.bytea($0) }
                    try writer.endLine()
                }
            }
            #expect(copied == Self.nasty.count)
            let rows = try session.query("SELECT a, b, n, raw FROM pg_temp.c ORDER BY id")
            for (index, text) in Self.nasty.enumerated() {
                #expect(rows.string(index, 0) == text && rows.string(index, 1) == text)
                #expect(rows.integer(index, 2) == Int64.min + Int64(index))
                #expect(rows.bytes(index, 3)?.count == 2 + 2 * index)
            }

            // Out and in again, byte for byte.
            try session.execute("CREATE TEMP TABLE d(LIKE pg_temp.c)")
            var lines: [[UInt8]] = []
            #expect(
                try session.copyOut("COPY (SELECT * FROM pg_temp.c ORDER BY id) TO STDOUT") { lines.append(Array($0)) }
                    == Self.nasty.count)
            try session.copyIn("COPY pg_temp.d FROM STDIN") { writer in
                for line in lines {
                    line.withUnsafeBytes { writer.append($0) }
                    try writer.flushIfFull()
                }
            }
            #expect(
                try session.scalar(
                    """
                    SELECT count(*) FROM ((TABLE pg_temp.c EXCEPT ALL TABLE pg_temp.d)
                        UNION ALL (TABLE pg_temp.d EXCEPT ALL TABLE pg_temp.c)) x
                    """
                ) == "0")
        }
    }

    @Test func manyRows() async throws {
        try await withSession(try await SharedCluster.url) { session in
            try session.execute("CREATE TEMP TABLE m(a bigint, b text)")
            for _ in 0..<2 {
                let copied = try session.copyIn("COPY pg_temp.m FROM STDIN") { writer in
                    for number in 0..<100_000 {
                        writer.field(number)
                        writer.field("some text of a usual length")
                        try writer.endLine()
                    }
                }
                #expect(copied == 100_000)
            }
            var bytes = 0
            #expect(try session.copyOut("COPY pg_temp.m TO STDOUT") { bytes += $0.count } == 200_000)
            #expect(bytes > 200_000 * 28)
            #expect(try session.copyIn("COPY pg_temp.m FROM STDIN") { _ in } == 0)
        }
    }

    @Test func anAbortedCopyStoresNothing() async throws {
        struct Own: Error {}
        try await withSession(try await SharedCluster.url) { session in
            try session.execute("CREATE TEMP TABLE a(a bigint)")
            #expect(throws: Own.self) {
                try session.copyIn("COPY pg_temp.a FROM STDIN") { writer in
                    for number in 0..<200_000 {
                        if number == 150_000 { throw Own() }
                        writer.field(number)
                        try writer.endLine()
                    }
                }
            }
            #expect(session.isUsable)
            #expect(try session.scalar("SELECT count(*) FROM pg_temp.a") == "0")

            try session.execute("INSERT INTO pg_temp.a SELECT generate_series(1, 100000)")
            var seen = 0
            #expect(throws: Own.self) {
                try session.copyOut("COPY pg_temp.a TO STDOUT") { _ in
                    seen += 1
                    if seen == 10 { throw Own() }
                }
            }
            #expect(seen == 10)
            #expect(try session.scalar("SELECT 1") == "1")
        }
    }

    @Test func refusedRowsTellTheirPlace() async throws {
        try await withSession(try await SharedCluster.url) { session in
            try session.execute("CREATE TEMP TABLE r(id int PRIMARY KEY, amount numeric)")
            let error = #expect(throws: PostgresError.self) {
                try session.copyIn("COPY pg_temp.r FROM STDIN", for: "load r") { writer in
                    for line in ["1\t2\n", "2\tsecret\n"] { Array(line.utf8).withUnsafeBytes { writer.append($0) } }
                }
            }
            #expect(error?.kind == .data && error?.copyLine == 2 && error?.column == "amount")
            #expect(error?.purpose == "load r" && !"\(String(describing: error))".contains("secret"))
            let duplicate = #expect(throws: PostgresError.self) {
                try session.copyIn("COPY pg_temp.r FROM STDIN") { writer in
                    for _ in 0..<2 {
                        writer.field(7770)
                        writer.null()
                        try writer.endLine()
                    }
                }
            }
            #expect(duplicate?.constraint == "r_pkey" && !"\(String(describing: duplicate))".contains("7770"))
            #expect(try session.scalar("SELECT count(*) FROM pg_temp.r") == "0")
        }
    }

    @Test func closingInsideACopy() async throws {
        let url = try await SharedCluster.url
        try await withSession(url) { session in
            try session.execute("CREATE TEMP TABLE x(a int)")
            let error = #expect(throws: PostgresError.self) {
                try session.copyIn("COPY pg_temp.x FROM STDIN") { _ in session.close() }
            }
            #expect(error?.isConnectionLost == true)
        }
        try await withSession(url) { session in
            let error = #expect(throws: PostgresError.self) {
                try session.copyOut("COPY (SELECT generate_series(1, 1000)) TO STDOUT") { _ in session.close() }
            }
            #expect(error?.isConnectionLost == true)
        }
        try await withSession(url) { session in
            let error = #expect(throws: PostgresError.self) {
                try session.copyOut("COPY (SELECT 1) TO STDOUT") { _ in try session.execute("SELECT 1") }
            }
            let answer = try session.scalar("SELECT 1")
            #expect(error?.isConnectionLost == false && answer == "1")
        }
    }

    @Test func copiesWhereTheyDoNotBelong() async throws {
        try await withSession(try await SharedCluster.url) { session in
            try session.execute("CREATE TEMP TABLE w(a int)")
            #expect(throws: PostgresError.self) { try session.execute("COPY pg_temp.w FROM STDIN") }
            #expect(try session.scalar("SELECT 1") == "1")
            #expect(throws: PostgresError.self) { try session.copyIn("SELECT 1") { _ in } }
            #expect(try session.scalar("SELECT 1") == "1")
            let missing = #expect(throws: PostgresError.self) { try session.copyIn("COPY nowhere FROM STDIN") { _ in } }
            #expect(missing?.sqlstate == "42P01")
            let wrongWay = #expect(throws: PostgresError.self) {
                try session.copyIn("COPY pg_temp.w TO STDOUT") { _ in }
            }
            #expect(wrongWay?.isConnectionLost == true)
        }
    }
}
