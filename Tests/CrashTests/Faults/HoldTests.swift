import Foundation
import JSON
import Kafka
import Testing
import ThrowawayPostgres

/// `pause`, `resume` and `release` of the real program beside a running agent.
@Suite(.serialized) struct HoldTests {
    /// Two tables in two topics, of some partitions each.
    private struct Shop {
        let broker: MockBroker
        let producer: Producer
        let folder: URL

        init(_ warehouse: String) throws {
            folder = try temporaryFolder("hold")
            broker = try MockBroker(topics: ["shop.public.items": 3, "shop.public.notes": 1], logger: silent)
            producer = try Producer(brokers: broker.bootstrap, logger: silent)
            try """
            pipeline: hold
            source:
              kafka:
                brokers: "\(broker.bootstrap)"
                topics: [shop.public.items, shop.public.notes]
                properties: { fetch.wait.max.ms: 10, session.timeout.ms: 6000, heartbeat.interval.ms: 500 }
            warehouse: { \(warehouse) }
            batch: { max_rows: 100 }
            agent: { listen: "127.0.0.1:0" }
            """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
        }

        /// Changes of `table`: event `i` sets row `i % keys` to `i` at position `lsn(i)`.
        func produce(
            _ table: String, _ events: Range<Int>, keys: Int, time_ms: Int? = nil, lsn: (Int) -> Int
        ) async throws {
            let records = events.map { i in
                DebeziumRecord.change(
                    "shop.public.\(table)", table: table, op: "u", key: i % keys, columns: [("n", "int64", "\(i)")],
                    lsn: lsn(i), time_ms: time_ms.map { $0 + i })
            }
            try await producer.send(records)
            _ = try await producer.flush()
        }

        func run(_ arguments: String...) async throws -> AgentProcess.Result {
            try await AgentProcess(arguments, in: folder).wait()
        }

        func value(_ sql: String) async throws -> String {
            let result = try await AgentProcess(["query", "--format", "csv", sql], in: folder).wait()
            return String(result.output.split(whereSeparator: \.isNewline).last ?? "")
        }

        func table(_ name: String) async throws -> JSONValue? {
            // Between two agents the file may be nobody's to read.
            let status = try? JSONValue(parsing: try await run("status", "--json").output)
            return status?["tables"]?.array?.first { $0["source"]?.string == "public.\(name)" }
        }

        func close() async {
            await producer.close()
            broker.close()
            try? FileManager.default.removeItem(at: folder)
        }
    }

    @Test func aPausedTableStandsStillAndTheOthersGoOn() async throws {
        let shop = try Shop("duckdb: { path: hold_wh.duckdb }")
        try await shop.produce("items", 0..<700, keys: 97) { 2 * $0 }
        try await shop.produce("notes", 0..<300, keys: 50) { 2 * $0 }
        let agent = try AgentProcess(["run"], in: shop.folder)
        let sum = "select concat(count(*), ' ', sum(n))"
        func sums(_ events: Int, _ keys: Int) -> String {
            let newest = (0..<keys).map { key in (events - 1 - key) / keys * keys + key }
            return "\(keys) \(newest.reduce(0, +))"
        }
        try await until("all is applied", [agent]) {
            let items = try await shop.value("\(sum) from hold_live.items")
            let notes = try await shop.value("\(sum) from hold_live.notes")
            return items == sums(700, 97) && notes == sums(300, 50)
        }
        var result = try await shop.run("pause", "items", "--json")
        #expect(result.status == 0, "\(result.errors)")
        #expect(try JSONValue(parsing: result.output).array?.first?["source"]?.string == "public.items")
        #expect(try await shop.run("pause", "nothing").status == 2)
        #expect(try await shop.run("pause").status == 2)

        // More than one step of a release takes.
        try await shop.produce("items", 700..<8700, keys: 97) { 2 * $0 }
        try await shop.produce("notes", 300..<900, keys: 50) { 2 * $0 }
        try await until("the other table goes on, and the paused one is kept", [agent]) {
            let kept = try await shop.table("items")?["deferred"]?.int64
            let notes = try await shop.value("\(sum) from hold_live.notes")
            return kept == 8000 && notes == sums(900, 50)
        }
        #expect(try await shop.table("items")?["state"]?.string == "paused")
        #expect(try await shop.table("notes")?["state"]?.string == "streaming")
        #expect(try await shop.value("\(sum) from hold_live.items") == sums(700, 97))
        #expect(try await shop.value("select count(*) from hold_raw.items") == "8700")

        // A pause outlives its agent. A release that is killed inside of its second step goes on behind the first.
        agent.signal(SIGKILL)
        #expect(await agent.wait().status == 128 + SIGKILL)
        #expect(try await shop.table("items")?["state"]?.string == "paused")
        let dying = try AgentProcess(["run"], in: shop.folder, environment: ["MILLRACE_CRASH_AT": "commit:2"])
        try await until("it answers", [dying]) { try await shop.table("items")?["state"]?.string == "paused" }
        #expect(try await shop.run("resume", "--all").status == 3, "the agent broke off")
        #expect(await dying.wait().status == 128 + SIGKILL)
        #expect(try await shop.table("items")?["state"]?.string == "paused")
        #expect(try await shop.table("items")?["deferred"]?.int64 == 3000)

        let again = try AgentProcess(["run"], in: shop.folder)
        try await until("it answers", [again]) { try await shop.table("items")?["state"]?.string == "paused" }
        result = try await shop.run("resume", "--all", "--json")
        #expect(result.status == 0, "\(result.errors)")
        let released = try JSONValue(parsing: result.output).array?.first
        #expect(released?["source"]?.string == "public.items" && released?["events"]?.int64 == 3000, "\(result.output)")
        #expect(try await shop.value("\(sum) from hold_live.items") == sums(8700, 97))
        let table = try #require(try await shop.table("items"))
        #expect(table["state"]?.string == "streaming" && table["deferred"]?.int64 == 0)
        let places = ["applied", "superseded", "duplicate", "compacted", "filtered", "quarantined"]
        #expect(places.reduce(0) { $0 + (table[$1]?.int64 ?? 0) } == 8700 && table["read"]?.int64 == 8700)
        result = try await shop.run("resume", "--all")
        #expect(result.status == 0 && result.output.contains("nothing was held"))
        again.signal(SIGTERM)
        let end = await again.wait()
        #expect(end.status == 0, "\(end.errors.suffix(2000))")
        await shop.close()
    }

    /// Two agents share the partitions when the source begins again at lower positions.
    @Test func aRestoredSourceIsHeldUntilSomebodyDecides() async throws {
        let server = try await ThrowawayPostgres.start()
        let shop = try Shop("postgres: { url: \"\(server.url())\" }")
        let before_ms = 1_700_000_000_000
        let after_ms = 1_700_100_000_000
        try await shop.produce("items", 0..<3000, keys: 97, time_ms: before_ms) { 2 * $0 + 10_000 }
        try await shop.produce("notes", 0..<50, keys: 50, time_ms: before_ms) { 2 * $0 + 10_000 }
        let agents = try [AgentProcess(["run"], in: shop.folder), AgentProcess(["run"], in: shop.folder)]
        func isApplied(_ table: String, _ events: Int, _ keys: Int) async throws -> Bool {
            let wrong = """
                select count(*) from hold_live.\(table) where n <> \
                (\(events) - 1 - id) / \(keys) * \(keys) + id
                """
            let count = try await server.number("select count(*) from hold_live.\(table)")
            let wrongs = try await server.number(wrong)
            return wrongs == 0 && count == keys
        }
        try await until("all is applied", agents) {
            let items = (try? await isApplied("items", 3000, 97)) ?? false
            let notes = (try? await isApplied("notes", 50, 50)) ?? false
            return items && notes
        }
        #expect(try await shop.run("release", "--as", "new-epoch").status == 2, "nothing is held")

        // Restored to a state before event 2000 was written; nothing of it is told twice.
        try await shop.produce("items", 3000..<3600, keys: 97, time_ms: after_ms) { 2 * ($0 - 1000) + 10_001 }
        try await until("the tables are held", agents) { try await shop.table("items")?["state"]?.string == "held" }
        #expect(try await shop.table("notes")?["state"]?.string == "held", "all tables of the connector")
        let status = try await shop.run("status").output
        #expect(status.contains("held: at least") && status.contains("release --as new-epoch"), "\(status)")
        // Told within a second or so of the commit that status reads.
        try await until("an agent says so", agents) {
            agents.contains { $0.said().contains("is held") && $0.said().contains("release --as new-epoch") }
        }
        try await shop.produce("items", 3600..<4000, keys: 97, time_ms: after_ms) { 2 * ($0 - 1000) + 10_001 }
        // One partition that gives no sign of it.
        try await shop.produce("notes", 50..<60, keys: 50, time_ms: after_ms) { 2 * $0 + 12_001 }
        try await until("all is kept", agents) {
            let raw = "select (select count(*) from hold_raw.items) + (select count(*) from hold_raw.notes)"
            return try await server.number(raw) == 4060
        }
        #expect(try await !isApplied("items", 4000, 97))
        let ended = try await shop.run("run", "--until-end")
        #expect(ended.status == 6 && ended.errors.contains("is held"), "\(ended.status) \(ended.errors.suffix(500))")

        let decided = try await shop.run("release", "--as", "new-epoch")
        #expect(decided.status == 0, "\(decided.errors)")
        #expect(try await isApplied("items", 4000, 97), "what the restored source said wins")
        #expect(try await isApplied("notes", 60, 50))
        #expect(try await shop.table("items")?["state"]?.string == "streaming")

        try await shop.produce("items", 4000..<4500, keys: 97, time_ms: after_ms) { 2 * ($0 - 1000) + 10_001 }
        try await until("it goes on", agents) { try await isApplied("items", 4500, 97) }
        for table in ["items", "notes"] {
            let ids = "select count(*) - count(distinct event_id) from hold_raw.\(table)"
            #expect(try await server.number(ids) == 0, "raw has each event of \(table) once")
            let lost =
                "select count(*) from hold_raw.\(table) where _version_epoch <> (source_ts > '2023-11-15 12:00Z')::int"
            #expect(try await server.number(lost) == 0, "raw's epochs of \(table)")
        }
        let ledger = """
            select sum(read) - sum(applied + superseded + duplicate + compacted + filtered + quarantined) \
            from _millrace.ledger
            """
        #expect(try await server.number(ledger) == 0)
        for agent in agents {
            agent.signal(SIGTERM)
            let end = await agent.wait()
            #expect(end.status == 0, "\(end.errors.suffix(2000))")
        }
        await shop.close()
        await server.remove()
    }
}
