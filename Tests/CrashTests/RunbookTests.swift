import ChildProcess
import Foundation
import JSON
import Kafka
import Testing
import ThrowawayPostgres

/// docs/runbook.md, followed as somebody does who has never read it: the trouble is caused for real, the commands are
/// run as they stand there, and the table equals its source in the end.
///
/// Not here: a disk that is full (OutageTests), a copy that can't be ended (ResyncTests), a suspicion that a Kafka
/// source was restored (HoldTests), and when alerts are told (AlertTests).
@Suite(.serialized) struct RunbookTests {
    private static let page = "docs/runbook.md"

    private enum Engine { case duckdb, postgres }

    /// A table `public.orders`, replicated into a warehouse.
    private struct Shop {
        let runbook: CommandPage
        let folder: URL
        let source: ThrowawayPostgres
        /// Nil: a DuckDB file.
        let warehouse: ThrowawayPostgres?

        init(_ engine: Engine, _ more: String = "") async throws {
            runbook = try CommandPage(RunbookTests.page)
            folder = try temporaryFolder("runbook")
            source = try await ThrowawayPostgres.start()
            warehouse = engine == .postgres ? try await ThrowawayPostgres.start() : nil
            try await source.psql(
                """
                CREATE TABLE orders (id int PRIMARY KEY, status text, total numeric(12,2));
                INSERT INTO orders SELECT i, 'paid', i FROM generate_series(1, 1000) i
                """)
            try write(more)
        }

        func write(_ more: String = "", dir: String = ".millrace") throws {
            let engine =
                warehouse.map { "postgres: { url: \"\($0.url())\" }" } ?? "duckdb: { path: shop_warehouse.duckdb }"
            try """
            pipeline: shop
            source: { postgres: { url: "\(source.url())" } }
            warehouse: { \(engine) }
            agent: { listen: "127.0.0.1:0", dir: \(dir) }
            \(more)
            """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
        }

        /// A rule that no total above `max` passes.
        static func rule(_ onFail: String, max: Int = 5000) -> String {
            """
            tables:
              - source: public.orders
                quality: [{ expect: between, column: total, min: 0, max: \(max), on_fail: \(onFail) }]
            """
        }

        func remove() async {
            await source.remove()
            await warehouse?.remove()
            try? FileManager.default.removeItem(at: folder)
        }

        // MARK: The page

        /// Runs what an entry's block says, line by line.
        @discardableResult
        func follow(
            _ entry: String, _ number: Int, id: Int64? = nil, sourceLocation: SourceLocation = #_sourceLocation
        ) async throws -> String {
            var environment = [
                "SOURCE_URL": source.url(), "WAREHOUSE_URL": warehouse?.url() ?? "",
                "PATH": CommandPage.searchPath(source.programs.folder.path(percentEncoded: false)),
            ]
            if let id { environment["ID"] = "\(id)" }
            return try await runbook.follow(entry, number, in: folder, environment: environment, sourceLocation)
        }

        // MARK: The agent

        /// - Parameter news: what it says before it streams.
        func start(_ news: String? = nil) async throws -> AgentProcess {
            let agent = try AgentProcess(["run"], in: folder)
            // Whoever looks before that has the file.
            try await until("it listens", [agent]) { agent.said().contains("listening") }
            if let news { try await until("\(news) is told", [agent]) { agent.said().contains(news) } }
            try await until("it streams", [agent]) { try await isStreaming() }
            return agent
        }

        func stop(_ agent: AgentProcess) async {
            agent.signal(SIGTERM)
            let end = await agent.wait()
            #expect(end.status == 0, "\(end.errors.suffix(2000))")
        }

        func run(_ arguments: String...) async throws -> AgentProcess.Result {
            try await AgentProcess.run(arguments, in: folder)
        }

        private func report() async throws -> JSONValue? {
            try? JSONValue(parsing: try await run("status", "--json").output)
        }

        func state() async throws -> String? { try await report()?["tables"]?.array?.first?["state"]?.string }

        func isStreaming() async throws -> Bool {
            guard let told = try await report(), told["agent"]?.string == "running",
                told["consistent_since"]?.string != nil
            else { return false }
            return told["tables"]?.array?.first?["state"]?.string == "streaming"
        }

        func holds(_ agent: AgentProcess) async throws {
            try await until("the table is held", [agent]) { try await state() == "held" }
        }

        /// The number of the plan that waits.
        func plan(_ agent: AgentProcess) async throws -> Int64 {
            var id: Int64?
            try await until("a plan waits", [agent]) {
                let list = try? JSONValue(parsing: try await run("schema", "list", "--json").output)
                id = list?.array?.first { $0["state"]?.string == "waiting" }?["id"]?.int64
                return id != nil
            }
            return try #require(id)
        }

        /// Somebody drops the slot under a running agent.
        func loseSlot(_ agent: AgentProcess) async throws {
            try await source.dropSlot("millrace_shop", of: agent)
            let end = await agent.wait()
            #expect(end.status == 3 && end.errors.contains("is gone"), "\(end.errors.suffix(2000))")
        }

        /// By a way that has nothing of ours but the query.
        func isEqual() async throws -> Bool {
            let digest = """
                select count(*) || ' ' || md5(string_agg(concat_ws('|', id, status, total), ',' order by id)) as d from
                """
            let here = try await run("query", "--format", "csv", "\(digest) shop_live.orders").output
            let there = try await source.value("\(digest) public.orders")
            return here.split(whereSeparator: \.isNewline).last.map(String.init) == there
        }

        func expectEqual(_ agent: AgentProcess) async throws {
            try await until("the table equals its source", [agent]) { try await isEqual() }
        }
    }

    // MARK: The page itself

    @Test func eachAlertHasAnEntryAndEachLinkAnAim() throws {
        let runbook = try CommandPage(RunbookTests.page)
        let kinds = [
            "lag", "held", "quality", "quarantine", "lost", "error", "waiting", "sweep", "stale", "schema", "retention",
        ]
        for kind in kinds { #expect(runbook.headings.contains(kind), "\(kind)") }
        let anchors = runbook.headings.map(CommandPage.anchor)
        #expect(Set(anchors).count == anchors.count, "each is one place")
        let links = runbook.text.components(separatedBy: "](#").dropFirst().compactMap {
            $0.split(separator: ")").first.map(String.init)
        }
        #expect(!links.isEmpty)
        for link in links { #expect(anchors.contains(link), "#\(link)") }
    }

    @Test func eachCommandIsOne() async throws {
        let runbook = try CommandPage(RunbookTests.page)
        let folder = try temporaryFolder("runbook")
        defer { try? FileManager.default.removeItem(at: folder) }
        var helps: [[String]: String] = [:]
        for line in runbook.all.filter({ $0.language == "sh" }).flatMap(\.lines)
        where line.hasPrefix("millrace ") {
            let words = line.split(separator: " ").dropFirst().prefix { !$0.hasPrefix("#") }.map(String.init)
            // Of an argument such as public.orders, "$ID" or 7 it is told by its signs.
            let command = Array(words.prefix { word in word.allSatisfy { $0.isASCII && $0.isLowercase } })
            if helps[command] == nil {
                let help = try await AgentProcess.run(command + ["--help"], in: folder)
                #expect(help.status == 0, "\(line): \(help.errors)")
                helps[command] = help.output
            }
            let help = helps[command] ?? ""
            for option in words where option.hasPrefix("--") { #expect(help.contains(option), "\(line): \(option)") }
        }
        #expect(helps.count > 10, "they were found")
    }

    // MARK: Stops

    @Test func aLostSlot() async throws {
        let shop = try await Shop(.duckdb)
        var agent = try await shop.start()
        try await shop.loseSlot(agent)
        try await shop.source.psql(
            "DELETE FROM orders WHERE id = 5; UPDATE orders SET status = 'gap' WHERE id = 6; INSERT INTO orders VALUES (5000, 'gap', 1)"
        )
        try await shop.follow("Lost slot", 0)
        // In place.
        try await shop.follow("Lost slot", 1)
        agent = try await shop.start("rows resynced")
        try await shop.follow("Lost slot", 2)
        #expect(try await shop.isEqual())
        try await shop.source.psql("UPDATE orders SET status = 'later' WHERE id = 7")
        try await shop.expectEqual(agent)

        // From nothing.
        try await shop.loseSlot(agent)
        try await shop.source.psql("DELETE FROM orders WHERE id = 8")
        try await shop.follow("Lost slot", 3)
        agent = try await shop.start("rows copied")
        try await shop.follow("Lost slot", 2)
        #expect(try await shop.isEqual())
        await shop.stop(agent)
        await shop.remove()
    }

    /// The pipeline file of a topic.
    private static func write(_ broker: MockBroker, _ topic: String, in folder: URL) throws {
        try """
        pipeline: shop
        source:
          kafka:
            brokers: "\(broker.bootstrap)"
            topics: [\(topic)]
            properties: { fetch.wait.max.ms: 10, session.timeout.ms: 6000, heartbeat.interval.ms: 500 }
        warehouse: { duckdb: { path: shop_warehouse.duckdb } }
        agent: { listen: "127.0.0.1:0" }
        """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
    }

    /// The broker keeps 5 MiB of a partition. What it has dropped was written over later.
    @Test func retentionThatHasPassed() async throws {
        let runbook = try CommandPage(RunbookTests.page)
        let folder = try temporaryFolder("runbook")
        defer { try? FileManager.default.removeItem(at: folder) }
        let topic = "shop.public.orders"
        let broker = try MockBroker(topics: [topic: 1], logger: silent)
        let producer = try Producer(brokers: broker.bootstrap, logger: silent)
        func produce(_ events: Range<Int>, note_bytes: Int) async throws {
            let note = "\"\(String(repeating: "x", count: note_bytes))\""
            let records = events.map { event in
                DebeziumRecord.change(
                    topic, table: "orders", op: "u", key: event % 10,
                    columns: [("n", "int64", "\(event)"), ("note", "string", note)], lsn: event + 1)
            }
            try await producer.send(records)
            _ = try await producer.flush()
        }
        func follow(_ number: Int) async throws {
            try await runbook.follow(
                "Retention passed", number, in: folder, environment: ["PATH": CommandPage.searchPath()])
        }
        try Self.write(broker, topic, in: folder)
        try await produce(0..<20, note_bytes: 10)
        let first = try await AgentProcess.run(["run", "--until-end"], in: folder)
        try #require(first.status == 0, "\(first.errors)")
        try await produce(20..<60, note_bytes: 200_000)

        let lost = try await AgentProcess.run(["run"], in: folder)
        #expect(lost.status == 3 && lost.errors.contains("retention has passed it"), "\(lost.errors.suffix(2000))")
        let check = try await AgentProcess.run(["check"], in: folder)
        #expect(check.status == 3 && check.output.contains("retention has passed it"), "\(check)")
        #expect(check.output.contains("Try: read the topic from its beginning"), "\(check)")
        try await follow(0)
        try await follow(1)
        let agent = try AgentProcess(["run"], in: folder)
        try await until("it listens", [agent]) { agent.said().contains("listening") }
        try await until("every row is its newest event", [agent]) {
            let sql =
                "select concat(count(*), ' ', min(n), ' ', max(n), ' ', count(distinct n)) as d from shop_live.orders"
            let rows = try await AgentProcess.run(["query", "--format", "csv", sql], in: folder)
            return rows.output.split(whereSeparator: \.isNewline).last == "10 50 59 10"
        }
        try await follow(2)
        agent.signal(SIGTERM)
        let end = await agent.wait()
        #expect(end.status == 0, "\(end.errors.suffix(2000))")
        await producer.close()
        broker.close()
    }

    /// With fewer records than were read, and with others at their offsets.
    @Test(arguments: [(20, "the log ends at 20"), (60, "isn't the one that was read before")])
    func aTopicThatWasMadeAnew(records: Int, says: String) async throws {
        let runbook = try CommandPage(Self.page)
        let folder = try temporaryFolder("anew")
        defer { try? FileManager.default.removeItem(at: folder) }
        let topic = "shop.public.orders"
        func begin(_ what: String, _ count: Int) async throws -> MockBroker {
            let broker = try MockBroker(topics: [topic: 1], logger: silent)
            let producer = try Producer(brokers: broker.bootstrap, logger: silent)
            try await producer.send(
                (0..<count).map { event in
                    DebeziumRecord.change(
                        topic, table: "orders", op: "u", key: event % 10,
                        columns: [("n", "int64", "\(event)"), ("note", "string", "\"\(what)\"")], lsn: event + 1)
                })
            _ = try await producer.flush()
            await producer.close()
            try Self.write(broker, topic, in: folder)
            return broker
        }
        let first = try await begin("first", 40)
        let run = try await AgentProcess.run(["run", "--until-end"], in: folder)
        #expect(run.status == 0, "\(run.errors)")
        #expect(try await AgentProcess.run(["check"], in: folder).status == 0)
        first.close()
        let second = try await begin("second", records)
        let check = try await AgentProcess.run(["check"], in: folder)
        #expect(check.status == 3 && check.output.contains(says), "\(check)")
        #expect(check.output.contains("Try: read the topic from its beginning"), "\(check)")
        let lost = try await AgentProcess.run(["run"], in: folder)
        #expect(lost.status == 3 && lost.errors.contains(says), "\(lost.errors.suffix(2000))")
        try await runbook.follow(
            "Retention passed", 1, in: folder, environment: ["PATH": CommandPage.searchPath()])
        #expect(try await AgentProcess.run(["check"], in: folder).status == 0)
        second.close()
    }

    @Test func anotherAgent() async throws {
        let shop = try await Shop(.postgres)
        let first = try await shop.start()
        try await shop.follow("Another agent", 0)
        let refused = try await shop.run("run")
        #expect(refused.status == 3 && refused.errors.contains("another agent streams it"), "\(refused.errors)")
        // Its machine is gone, as far as anybody sees.
        first.signal(SIGSTOP)
        try await until("it is frozen", [first]) { first.isFrozen }
        try await shop.source.psql("UPDATE orders SET status = 'later' WHERE id <= 5")
        try await shop.follow("Another agent", 1)
        try shop.write(dir: ".millrace-second")
        let second = try await shop.start()
        try await shop.expectEqual(second)
        // It has been fenced.
        first.signal(SIGCONT)
        let end = await first.wait()
        #expect(end.status == 3 && end.errors.contains("Try: "), "\(end.errors.suffix(2000))")
        try await shop.source.psql("UPDATE orders SET status = 'last' WHERE id <= 7")
        try await shop.expectEqual(second)
        await shop.stop(second)
        await shop.remove()
    }

    @Test func aTableThatCannotBeWritten() async throws {
        let shop = try await Shop(.postgres)
        let warehouse = try #require(shop.warehouse)
        let agent = try await shop.start()
        try await warehouse.psql("ALTER TABLE shop.orders RENAME COLUMN status TO state")
        try await shop.source.psql("UPDATE orders SET status = 'new' WHERE id <= 5")
        try await shop.holds(agent)
        try await shop.follow("Table that cannot be written", 0)
        try await warehouse.psql("ALTER TABLE shop.orders RENAME COLUMN state TO status")
        try await shop.follow("Table that cannot be written", 1)
        try await shop.expectEqual(agent)

        // Rows are refused in masses: they are put aside, mended, and read again.
        try await warehouse.psql("ALTER TABLE shop.orders ADD CONSTRAINT small CHECK (total < 5000)")
        try await shop.source.psql(
            "UPDATE orders SET total = 9999 WHERE id <= 200; UPDATE orders SET status = 'x' WHERE id = 300")
        try await shop.holds(agent)
        try await shop.follow("Table that cannot be written", 2)
        try await warehouse.psql("ALTER TABLE shop.orders DROP CONSTRAINT small")
        let list = try JSONValue(parsing: try await shop.run("quarantine", "list", "--json").output).array ?? []
        #expect(list.count == 200)
        try await shop.follow("quarantine", 0, id: list.first?["id"]?.int64 ?? 0)
        #expect(try await !shop.isEqual())
        try await shop.follow("quarantine", 2)
        #expect(try await shop.isEqual())

        // Somebody writes into the table.
        try await warehouse.psql(
            "UPDATE shop.orders SET status = 'wrong' WHERE id = 7; DELETE FROM shop.orders WHERE id = 8")
        try await shop.follow("sweep", 0)
        try await shop.follow("sweep", 1)
        #expect(try await shop.isEqual())
        await shop.stop(agent)
        await shop.remove()
    }

    @Test func aTableHeldByARule() async throws {
        let shop = try await Shop(.duckdb, Shop.rule("hold"))
        let agent = try await shop.start()
        // The rule is wrong.
        try await shop.source.psql("UPDATE orders SET total = 9999 WHERE id = 7")
        try await shop.holds(agent)
        try await shop.follow("Table held by a rule", 0)
        try shop.write(Shop.rule("hold", max: 10_000))
        try await shop.follow("Table held by a rule", 1)
        try await shop.follow("Table held by a rule", 4)
        #expect(try await shop.isEqual())

        // The data is wrong.
        try await shop.source.psql("UPDATE orders SET total = 19999 WHERE id = 8")
        try await shop.holds(agent)
        try await shop.source.psql(
            "UPDATE orders SET total = 8 WHERE id = 8; UPDATE orders SET status = 'x' WHERE id = 9")
        try await until("what mends it has come", [agent]) {
            let rows = try await shop.run(
                "query", "--format", "csv", "select count(*) as n from shop_raw.orders where op = 'u'")
            return rows.output.split(whereSeparator: \.isNewline).last == "4"
        }
        try await shop.follow("Table held by a rule", 2)
        try await shop.follow("Table held by a rule", 4)
        #expect(try await shop.isEqual())

        // It stays wrong, until somebody mends it behind the release.
        try await shop.source.psql("UPDATE orders SET total = 29999 WHERE id = 10")
        try await shop.holds(agent)
        #expect(try await shop.run("release", "public.orders").status == 6)
        try await shop.follow("Table held by a rule", 3)
        #expect(try await !shop.isEqual())
        try await shop.source.psql("UPDATE orders SET total = 10 WHERE id = 10")
        try await until("the next change has brought it", [agent]) { try await shop.isEqual() }
        try await shop.follow("Table held by a rule", 4)
        await shop.stop(agent)
        await shop.remove()
    }

    @Test func aPipelineStoppedByARule() async throws {
        let shop = try await Shop(.duckdb, Shop.rule("stop"))
        var agent = try await shop.start()
        try await shop.source.psql("UPDATE orders SET total = 7777 WHERE id = 9")
        let end = await agent.wait()
        #expect(end.status == 6 && end.errors.contains("on_fail says to stop there"), "\(end.errors.suffix(2000))")
        try await shop.follow("Pipeline stopped by a rule", 0)
        try shop.write(Shop.rule("quarantine_row"))
        agent = try await shop.start("put into quarantine")
        let list = try JSONValue(parsing: try await shop.run("quarantine", "list", "--json").output).array ?? []
        #expect(list.count == 1)
        try await shop.follow("quarantine", 0, id: list.first?["id"]?.int64 ?? 0)
        #expect(try await !shop.isEqual())
        try shop.write(Shop.rule("warn"))
        #expect(try await shop.run("reload").status == 0)
        try await shop.follow("quarantine", 1)
        #expect(try await shop.isEqual())
        await shop.stop(agent)
        await shop.remove()
    }

    @Test func aSchemaPlan() async throws {
        let shop = try await Shop(.duckdb)
        let agent = try await shop.start()
        try await shop.source.psql(
            "ALTER TABLE orders ALTER COLUMN total TYPE text USING 'EUR ' || total; UPDATE orders SET total = 'EUR 3' WHERE id = 3"
        )
        var id = try await shop.plan(agent)
        try await shop.holds(agent)
        try await shop.follow("Schema plan", 0, id: id)
        try await shop.follow("Schema plan", 1, id: id)
        try await shop.expectEqual(agent)
        try await until("it streams", [agent]) { try await shop.isStreaming() }
        try await shop.follow("Schema plan", 3)

        // Given up: the column stays, and what the source has is right.
        try await shop.source.psql("ALTER TABLE orders ADD COLUMN note text; UPDATE orders SET note = 'a' WHERE id = 4")
        try await until("the new column is there", [agent]) {
            let rows = try await shop.run("query", "--format", "csv", "select count(note) as n from shop_live.orders")
            return rows.output.split(whereSeparator: \.isNewline).last == "1"
        }
        try await shop.source.psql("ALTER TABLE orders DROP COLUMN note; UPDATE orders SET status = 'b' WHERE id = 4")
        id = try await shop.plan(agent)
        try await shop.follow("Schema plan", 0, id: id)
        try await shop.follow("Schema plan", 2, id: id)
        try await shop.expectEqual(agent)
        try await until("it streams", [agent]) { try await shop.isStreaming() }
        try await shop.follow("Schema plan", 3)
        await shop.stop(agent)
        await shop.remove()
    }

    @Test func aPausedTableThatIsStale() async throws {
        let shop = try await Shop(
            .duckdb, "tables: [{ source: public.orders, freshness: { max_staleness: 5s } }]")
        let agent = try await shop.start()
        #expect(try await shop.run("pause", "public.orders").status == 0)
        try await shop.source.psql("UPDATE orders SET total = 1 WHERE id = 2")
        try await until("it is stale", [agent]) { try await shop.run("freshness").status == 5 }
        try await shop.follow("stale", 0)
        try await shop.follow("Paused table", 0)
        try await until("it is fresh", [agent]) { try await shop.run("freshness").status == 0 }
        try await shop.expectEqual(agent)
        try await shop.follow("lag", 0)
        try await shop.follow("retention", 0)
        await shop.stop(agent)
        await shop.remove()
    }

    @Test func aCorruptedWarehouseFile() async throws {
        let shop = try await Shop(.duckdb)
        let file = shop.folder.appending(path: "shop_warehouse.duckdb")
        let backup = shop.folder.appending(path: "backup")
        var agent = try await shop.start()
        try await shop.expectEqual(agent)
        await shop.stop(agent)
        try FileManager.default.createDirectory(at: backup, withIntermediateDirectories: true)
        try FileManager.default.copyItem(at: file, to: backup.appending(path: "shop_warehouse.duckdb"))
        agent = try await shop.start()
        try await shop.source.psql(
            "UPDATE orders SET status = 'later' WHERE id <= 10; DELETE FROM orders WHERE id = 20")
        try await shop.expectEqual(agent)
        await shop.stop(agent)

        // Without a backup.
        try corrupt(file)
        let refused = try await shop.run("run", "--until-end")
        #expect([1, 3].contains(refused.status), "\(refused)")
        try await shop.follow("Corrupted warehouse file", 0)
        try await shop.follow("Corrupted warehouse file", 1)
        agent = try await shop.start("rows copied")
        try await shop.follow("Corrupted warehouse file", 3)
        #expect(try await shop.isEqual())
        try await shop.source.psql("UPDATE orders SET status = 'last' WHERE id = 11; DELETE FROM orders WHERE id = 21")
        try await shop.expectEqual(agent)
        await shop.stop(agent)

        // With one, which is older than what the source still has.
        try FileManager.default.removeItem(at: shop.folder.appending(path: "broken"))
        try corrupt(file)
        try await shop.follow("Corrupted warehouse file", 0)
        try await shop.follow("Corrupted warehouse file", 1)
        try await shop.follow("Corrupted warehouse file", 2)
        let older = try await shop.run("run")
        #expect(
            older.status == 3 && older.errors.contains("the warehouse was restored"), "\(older.errors.suffix(2000))")
        try await shop.follow("Restored warehouse", 0)
        agent = try await shop.start("rows resynced")
        try await shop.follow("Restored warehouse", 1)
        #expect(try await shop.isEqual())
        await shop.stop(agent)
        await shop.remove()
    }

    /// In each block of it.
    private func corrupt(_ file: URL) throws {
        let handle = try FileHandle(forUpdating: file)
        defer { try? handle.close() }
        let size = try handle.seekToEnd()
        // Behind the file's headers.
        var place: UInt64 = 3 * 4096
        while place < size {
            try handle.seek(toOffset: place)
            try handle.write(contentsOf: Data(repeating: 0xDE, count: 128))
            place += 32 << 10
        }
    }

    @Test func aRestoredSource() async throws {
        let shop = try await Shop(.postgres)
        var agent = try await shop.start()
        await shop.stop(agent)
        let data = shop.source.dataFolder.path
        try await shop.source.stop()
        _ = try await Command.runAside(["/bin/cp", "-a", data, data + "-backup"])
        try await shop.source.start()
        agent = try await shop.start()
        // More than the restored server's own start writes to its log.
        for _ in 0..<5 { try await shop.source.psql("UPDATE orders SET status = 'undone'") }
        try await shop.source.psql("INSERT INTO orders VALUES (2000, 'undone', 1)")
        try await shop.expectEqual(agent)
        await shop.stop(agent)
        try await shop.source.stop()
        _ = try await Command.runAside(["/bin/rm", "-r", data])
        _ = try await Command.runAside(["/bin/mv", data + "-backup", data])
        try await shop.source.start()
        try await shop.source.psql("UPDATE orders SET status = 'after' WHERE id <= 3")

        let lost = try await shop.run("run")
        #expect(lost.status == 3 && lost.errors.contains("before the checkpoint"), "\(lost.errors.suffix(2000))")
        let check = try await shop.run("check")
        #expect(check.output.contains("before the checkpoint"), "\(check)")
        #expect(check.output.contains("Try: copy everything anew"), "\(check)")
        try await shop.follow("Restored source", 0)
        try await shop.follow("Restored source", 1)
        agent = try await shop.start("rows copied")
        try await shop.follow("Restored source", 2)
        #expect(try await shop.isEqual())
        await shop.stop(agent)
        await shop.remove()
    }

    /// Both come back while the agent waits; what they missed is there then.
    @Test func databasesThatAreAway() async throws {
        let shop = try await Shop(.postgres)
        let warehouse = try #require(shop.warehouse)
        let agent = try await shop.start()
        try await warehouse.stop()
        try await shop.source.psql("UPDATE orders SET status = 'a' WHERE id = 1")
        try await until("it waits for the warehouse", [agent]) { agent.said().contains("trying again") }
        try await shop.follow("Warehouse away", 0)
        try await warehouse.start()
        try await shop.expectEqual(agent)
        try await shop.source.stop()
        try await until("it waits for the source", [agent]) { agent.said().contains("joining again") }
        try await shop.follow("Source away", 0)
        try await shop.source.start()
        try await shop.source.psql("UPDATE orders SET status = 'b' WHERE id = 2")
        try await shop.expectEqual(agent)
        await shop.stop(agent)
        await shop.remove()
    }
}
