import Foundation
import JSON
import Testing
import ThrowawayPostgres

/// `release` of what a rule held, killed at every stage of every step: what is there in between are whole source
/// transactions, and in the end the table is as one that no rule was about.
@Suite(.serialized) struct GateReleaseTests {
    /// Steps of a release: 5,000 events at first, the rest after.
    private static let rows = 1000
    private static let transactions = 9
    private static let points = ["staging", "staged", "commit", "committed"]

    private struct Shop {
        let folder: URL
        let source: ThrowawayPostgres
        let warehouse: String

        func write(onFail: String) throws {
            try """
            pipeline: gates
            source: { postgres: { url: "\(source.url())" } }
            warehouse: { \(warehouse) }
            agent: { listen: "127.0.0.1:0" }
            tables:
              - { source: public.held, quality: [{ expect: not_null, column: v, on_fail: \(onFail) }] }
            """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
        }

        func run(_ arguments: [String], crash: String? = nil) async throws -> AgentProcess.Result {
            try await AgentProcess.run(
                arguments, in: folder, environment: crash.map { ["MILLRACE_CRASH_AT": $0] } ?? [:])
        }

        func rows(_ sql: String) async throws -> [String] {
            let result = try await run(["query", "--format", "csv", sql])
            try #require(result.status == 0, "\(result)")
            return result.output.split(whereSeparator: \.isNewline).dropFirst().map(String.init)
        }

        /// The same in both tables, in one transaction each.
        func change(_ statements: (String) -> String) async throws {
            try await source.psql("BEGIN; \(statements("held")); \(statements("free")); COMMIT")
        }

        /// Brings what was changed to the warehouse, where the table is held.
        func follow() async throws {
            let run = try await run(["run", "--until-end"])
            #expect(run.status == 6 && run.errors.contains("not_null(v)"), "\(run)")
        }

        /// Each event is in one place of the ledger, and raw has it once.
        func expectAccounted(_ sourceLocation: SourceLocation = #_sourceLocation) async throws {
            let sums = try await rows(
                """
                select source_table from _millrace.ledger group by source_table having sum(read) <> \
                sum(applied + superseded + duplicate + compacted + filtered + quarantined + deferred)
                """)
            #expect(sums.isEmpty, "\(sums)", sourceLocation: sourceLocation)
            let twice = try await rows("select event_id from gates_raw.held group by event_id having count(*) > 1")
            #expect(twice.isEmpty, sourceLocation: sourceLocation)
        }
    }

    @Test(arguments: GateAgentTests.Engine.allCases)
    func aReleaseThatIsKilledGoesOn(engine: GateAgentTests.Engine) async throws {
        let source = try await ThrowawayPostgres.start()
        let target = engine == .postgres ? try await ThrowawayPostgres.start() : nil
        let folder = try temporaryFolder("release-\(engine)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let shop = Shop(
            folder: folder, source: source,
            warehouse: target.map { "postgres: { url: \"\($0.url())\" }" } ?? "duckdb: { path: gates_wh.duckdb }")
        try await shop.change { table in
            """
            CREATE TABLE \(table) (id int PRIMARY KEY, v text, n int); \
            INSERT INTO \(table) SELECT i, 'a', 0 FROM generate_series(1, \(Self.rows)) i
            """
        }
        try shop.write(onFail: "hold")
        let copied = try await shop.run(["run", "--until-end"])
        try #require(copied.status == 0, "\(copied)")

        // Killed at each stage of both steps: with the rule become a warning, as failing rows are put aside, and as the source
        // has set them right by itself, which takes one step of all that is between.
        let turns = [["release", "held"], ["release", "held", "--quarantine-failing"], ["release", "held"]]
        for (turn, arguments) in turns.enumerated() {
            let held = turn * 100
            try await shop.change { "UPDATE \($0) SET v = NULL WHERE id = 3" }
            try await shop.follow()
            if turn < 2 { try await shop.change { "UPDATE \($0) SET v = 'b' WHERE id = 3" } }
            for n in 1...Self.transactions { try await shop.change { "UPDATE \($0) SET n = \(held + n)" } }
            if turn == 2 { try await shop.change { "UPDATE \($0) SET v = 'b' WHERE id = 3" } }
            try await shop.change { "DELETE FROM \($0) WHERE id = \(10 + turn)" }
            try await shop.follow()
            let last = turn == 0 ? 0 : held - 100 + Self.transactions
            #expect(try await shop.rows("select distinct n from gates_live.held") == ["\(last)"])
            #expect(try await shop.rows("select v from gates_live.held where id = 3") == [turn == 0 ? "a" : "b"])
            if turn == 0 { try shop.write(onFail: "warn") }

            var seen: [String] = []
            for step in 1...(turn < 2 ? 2 : 1) {
                for point in Self.points {
                    let killed = try await shop.run(arguments, crash: "\(point):1")
                    #expect(killed.status == 128 + SIGKILL, "step \(step), \(point): \(killed)")
                    // Whole transactions, whatever of them is there.
                    let now = try await shop.rows("select distinct n from gates_live.held")
                    #expect(now.count == 1, "step \(step), \(point): \(now)")
                    seen += now
                    try await shop.expectAccounted()
                }
            }
            #expect(Set(seen).count == (turn < 2 ? 3 : 2), "before, between and behind the steps: \(seen)")
            let end = try await shop.run(arguments)
            #expect(end.status == 0, "\(end)")
            try await shop.expectAccounted()
            let difference = """
                select count(*) from (select id, v, n from gates_live.held except select id, v, n from gates_live.free) x
                """
            #expect(try await shop.rows(difference) == ["0"])
            #expect(try await shop.rows("select count(*) from gates_live.held") == ["\(Self.rows - 1 - turn)"])
            #expect(try await shop.rows("select count(*) from _millrace.holds") == ["0"])
            let aside = try JSONValue(parsing: try await shop.run(["quarantine", "list", "--json"]).output).array
            #expect(aside?.count == min(turn, 1), "put aside once: \(aside ?? [])")
            try shop.write(onFail: "hold")
        }
        // Replication goes on behind it.
        try await shop.change { "UPDATE \($0) SET n = 4711" }
        let run = try await shop.run(["run", "--until-end"])
        #expect(run.status == 0, "\(run)")
        #expect(try await shop.rows("select distinct n from gates_live.held") == ["4711"])
        await source.remove()
        await target?.remove()
    }
}
