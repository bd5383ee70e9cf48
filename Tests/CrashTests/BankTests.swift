import ChildProcess
import Foundation
import JSON
import ReplicationTestKit
import Synchronization
import Testing
import ThrowawayPostgres

/// Writers move money between accounts over two tables while the agent is killed and the source restarts: whoever reads
/// the warehouse finds the total constant from `consistent_since` on, and in the end every row is equal.
///
/// `MILLRACE_BANK_S` is how long they write, `MILLRACE_BANK_KILLS` and `MILLRACE_BANK_RESTARTS` how often what happens.
@Suite(.serialized) struct BankTests {
    private static func setting(_ name: String, _ value: Int) -> Int {
        ProcessInfo.processInfo.environment[name].flatMap { Int($0) } ?? value
    }

    static let seconds = setting("MILLRACE_BANK_S", 15)
    static let kills = setting("MILLRACE_BANK_KILLS", 3)
    static let restarts = setting("MILLRACE_BANK_RESTARTS", 1)
    static let accounts = 10_000
    static let writers = 8

    /// One transaction of a writer: money moves between rows of the two tables, 2 to 2,000 rows.
    private static func transfer(_ random: inout SeededRandom) -> String {
        let size = random.below(10) == 0 ? 2 + random.below(1000) : 1 + random.below(20)
        let from = 1 + random.below(accounts)
        let to = 1 + random.below(accounts)
        let amount = 1 + random.below(50)
        // Rows in one order, so that writers don't deadlock.
        return """
            BEGIN;
            UPDATE checking SET balance = balance - \(amount) WHERE id IN (SELECT 1 + (\(from) + i) % \(accounts) \
            FROM generate_series(1, \(size)) i);
            UPDATE savings SET balance = balance + \(amount) WHERE id IN (SELECT 1 + (\(to) + i) % \(accounts) \
            FROM generate_series(1, \(size)) i);
            COMMIT;
            """
    }

    private func work(_ source: ThrowawayPostgres, seed: UInt64, until deadline: ContinuousClock.Instant) async -> Int {
        var random = SeededRandom(seed: seed)
        var done = 0
        while ContinuousClock.now < deadline {
            let statements = (0..<5).map { _ in Self.transfer(&random) }.joined(separator: "\n")
            let command = [source.programs.path("psql"), "-XAtq", "-d", source.url()]
            // The source may be away for a moment, and a deadlock be resolved: whole transactions fail, or none.
            do {
                _ = try await Command.runAside(command, input: statements)
                done += 5
            } catch {
                try? await Task.sleep(for: .milliseconds(100))
            }
        }
        return done
    }

    @Test func theTotalIsConstantInPostgres() async throws {
        let warehouse = try await ThrowawayPostgres.start()
        try await bank(
            warehouse: "postgres: { url: \"\(warehouse.url())\" }",
            read: { sql, _ in try await warehouse.psql(sql).trimmingCharacters(in: .whitespacesAndNewlines) })
        await warehouse.remove()
    }

    @Test func theTotalIsConstantInDuckDB() async throws {
        try await bank(
            warehouse: "duckdb: { path: bank_wh.duckdb }",
            read: { sql, folder in
                // Through the running agent; while it is down nobody can read.
                let result = try await AgentProcess.run(["query", "--format", "csv", sql], in: folder)
                guard result.status == 0 else { throw CommandError(message: result.errors, exitCode: result.status) }
                let line = result.output.split(whereSeparator: \.isNewline).dropFirst().first ?? ""
                return String(line).replacing(",", with: "|")
            })
    }

    private func bank(
        warehouse: String, read: @escaping @Sendable (String, URL) async throws -> String
    ) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "millrace-bank-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let source = try await ThrowawayPostgres.start()
        try await source.psql(
            """
            CREATE TABLE checking (id int PRIMARY KEY, balance bigint NOT NULL, note text);
            CREATE TABLE savings (id int PRIMARY KEY, balance bigint NOT NULL, note text);
            INSERT INTO checking SELECT i, 1000, repeat('c', i % 50) FROM generate_series(1, \(Self.accounts)) i;
            INSERT INTO savings SELECT i, 1000, NULL FROM generate_series(1, \(Self.accounts)) i;
            """)
        try """
        pipeline: bank
        source:
          postgres: { url: "\(source.url())" }
        warehouse: { \(warehouse) }
        batch: { max_rows: 2000 }
        agent: { listen: "127.0.0.1:0" }
        """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)

        let total = "\(2 * Self.accounts * 1000)"
        let sums =
            "select (select sum(balance) from bank_live.checking) + (select sum(balance) from bank_live.savings) as total, (select count(*) from bank_live.checking) as n"
        let polls = Counter()
        let reader = Task {
            var isConsistent = false
            while !Task.isCancelled {
                if !isConsistent {
                    let status = try? await AgentProcess.run(["status", "--json"], in: folder)
                    let report = status.flatMap { try? JSONValue(parsing: $0.output) }
                    isConsistent = report?["consistent_since"]?.string != nil
                }
                if isConsistent, let found = try? await read(sums, folder) {
                    polls.add(found == "\(total)|\(Self.accounts)", found)
                }
                try? await Task.sleep(for: .milliseconds(50))
            }
        }
        defer { reader.cancel() }
        /// However slow the machine is.
        func look(_ what: String) async throws {
            let before = polls.right + polls.wrong.count
            let patience = ContinuousClock.now + .seconds(180)
            while polls.right + polls.wrong.count == before {
                try #require(ContinuousClock.now < patience, "nobody could look \(what)")
                try await Task.sleep(for: .milliseconds(50))
            }
        }
        var agent = try AgentProcess(["run"], in: folder)
        try await look("at what was copied")
        let deadline = ContinuousClock.now + .seconds(Self.seconds)
        let writers = (0..<Self.writers).map { number in
            Task { await work(source, seed: UInt64(number + 1), until: deadline) }
        }
        // Kills and restarts, evenly over the time.
        let trouble = Self.kills + Self.restarts
        var random = SeededRandom(seed: 4)
        var killed = 0
        var restarted = 0
        for index in 0..<trouble {
            let pause_ms = Self.seconds * 1000 / (trouble + 1)
            try await Task.sleep(for: .milliseconds(pause_ms / 2 + random.below(max(1, pause_ms / 2))))
            if (index + 1) * Self.restarts / trouble > index * Self.restarts / trouble {
                try await source.restart(restarted % 2 == 0 ? .fast : .immediate)
                restarted += 1
            } else {
                var end = await Self.killed(agent)
                // The reader had the DuckDB file open while no agent had: one process at a time.
                while end.status == 3, end.errors.contains("lets one at a time") {
                    agent = try AgentProcess(["run"], in: folder)
                    try await Task.sleep(for: .milliseconds(500))
                    end = await Self.killed(agent)
                }
                #expect(end.status == 128 + SIGKILL, "the agent had ended by itself: \(end.errors.suffix(2000))")
                killed += 1
                agent = try AgentProcess(["run"], in: folder)
            }
        }
        var transactions = 0
        for writer in writers { transactions += await writer.value }
        // Some more polls of a busy agent, then to the end.
        try await look("after all kills")
        while !agent.isRunning {
            // The reader had the file open when it came up.
            _ = await agent.wait()
            agent = try AgentProcess(["run"], in: folder)
            try await look("after all kills")
        }
        agent.signal(SIGTERM)
        let drained = await agent.wait()
        #expect(drained.status == 0, "SIGTERM drains: \(drained.errors.suffix(2000))")
        reader.cancel()
        await reader.value
        let last = try await AgentProcess.run(["run", "--until-end", "--json"], in: folder)
        try #require(last.status == 0, "\(last.errors.suffix(2000))")
        print(
            "killed \(killed) times, the source restarted \(restarted) times, \(transactions) transactions, \(polls.right) polls found the total"
        )
        #expect(polls.wrong.isEmpty, "polls that found another total: \(polls.wrong.prefix(5))")

        for table in ["checking", "savings"] {
            let rows =
                "select md5(string_agg(concat_ws('|', id, balance, coalesce(note, '-')), ',' order by id)) as d from"
            let wanted = try await source.psql("\(rows) \(table)").trimmingCharacters(in: .whitespacesAndNewlines)
            #expect(try await read("\(rows) bank_live.\(table)", folder) == wanted, "\(table)")
        }
        let ledger = try await read(
            "select cast(sum(read) as bigint) - cast(sum(applied + superseded + duplicate + compacted + filtered + quarantined + deferred) as bigint) as d from _millrace.ledger",
            folder)
        #expect(ledger == "0")
        await source.remove()
    }

    private static func killed(_ agent: AgentProcess) async -> AgentProcess.Result {
        agent.signal(SIGKILL)
        return await agent.wait()
    }

    private final class Counter: Sendable {
        private let state = Mutex<(right: Int, wrong: [String])>((0, []))
        var right: Int { state.withLock { $0.right } }
        var wrong: [String] { state.withLock { $0.wrong } }

        func add(_ isRight: Bool, _ found: String) {
            state.withLock { if isRight { $0.right += 1 } else { $0.wrong.append(found) } }
        }
    }
}
