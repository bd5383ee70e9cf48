import Foundation
import Kafka
import Testing
import ThrowawayPostgres

/// Agents that stand still (SIGSTOP) for longer than others wait for them, and are woken.
///
/// `MILLRACE_FREEZES=all` freezes at every place, not at one.
@Suite(.serialized) struct FreezeTests {
    /// Where the agent is frozen: at a named point (inside of the warehouse transaction), or from outside.
    static let places: [String?] =
        ProcessInfo.processInfo.environment["MILLRACE_FREEZES"] == "all"
        ? ["staging:12", "commit:6", "read:6", "committed:6", nil] : ["staging:12"]

    @Test(arguments: places) func aFrozenMemberOfAGroupIsFenced(at place: String?) async throws {
        let folder = try temporaryFolder("freeze")
        defer { try? FileManager.default.removeItem(at: folder) }
        let server = try await ThrowawayPostgres.start()
        let broker = try MockBroker(topics: ["shop.public.items": 8], logger: silent)
        let events = try ItemEvents(broker)
        for agent in ["a", "b"] {
            try """
            pipeline: frozen
            source:
              kafka:
                brokers: "\(broker.bootstrap)"
                topics: [\(events.topic)]
                properties: { fetch.wait.max.ms: 10, session.timeout.ms: 6000, heartbeat.interval.ms: 500 }
            warehouse: { postgres: { url: "\(server.url())" } }
            batch: { max_rows: 50 }
            agent: { listen: "127.0.0.1:0", dir: .millrace-\(agent) }
            """.write(to: folder.appending(path: "\(agent).yaml"), atomically: true, encoding: .utf8)
        }
        let read = "select coalesce(sum(read), 0) from _millrace.ledger where pipeline = 'frozen'"
        let owners = "select count(distinct owner) from _millrace.checkpoints where pipeline = 'frozen'"
        try await events.produce(400)
        let steady = try AgentProcess(["run", "-c", "b.yaml"], in: folder)
        try await until("the first has applied something", [steady]) {
            ((try? await server.number(read)) ?? 0) >= events.count
        }
        let frozen = try AgentProcess(
            ["run", "-c", "a.yaml"], in: folder,
            environment: place.map { ["MILLRACE_CRASH_AT": $0, "MILLRACE_CRASH_SIGNAL": "STOP"] } ?? [:])
        try await until("both own partitions", [steady, frozen]) { try await server.number(owners) == 2 }
        // Records flow all the time.
        try await until("it is frozen", [steady, frozen]) {
            try await events.produce(100)
            if place == nil, try await server.number(read) > 2_000 { frozen.signal(SIGSTOP) }
            return frozen.isFrozen
        }
        let before = events.count
        try await until("the group has given its partitions to the other, which has applied them", [steady, frozen]) {
            if events.count < before + 3_000 { try await events.produce(100) }
            guard try await server.number(owners) == 1 else { return false }
            return try await server.number(read) >= events.count
        }
        let tokens = try await server.number("select sum(token) from _millrace.checkpoints where pipeline = 'frozen'")
        #expect(frozen.isFrozen)
        frozen.signal(SIGCONT)
        try await events.produce(200)
        // It comes back as a member that begins anew: what it held is nobody's.
        try await until("it takes its part again", [steady, frozen]) { try await server.number(owners) == 2 }
        try await events.produce(1_000)
        try await until("all is applied", [steady, frozen]) { try await server.number(read) >= events.count }
        #expect(
            try await server.number("select sum(token) from _millrace.checkpoints where pipeline = 'frozen'") > tokens)
        try await events.expectExact(server, "frozen")
        for agent in [frozen, steady] {
            agent.signal(SIGTERM)
            let end = await agent.wait()
            #expect(end.status == 0, "\(end.errors.suffix(3000))")
        }
        try await events.expectExact(server, "frozen")
        await events.close()
        broker.close()
        await server.remove()
    }

    @Test func anAgentOfASlotThatWasFrozenGoesOn() async throws {
        let folder = try temporaryFolder("freeze")
        defer { try? FileManager.default.removeItem(at: folder) }
        var options = ThrowawayPostgres.Options()
        options.settings = ["wal_sender_timeout": "1s"]
        let source = try await ThrowawayPostgres.start(options)
        let server = try await ThrowawayPostgres.start()
        try await source.psql("CREATE TABLE t (id int PRIMARY KEY, v int)")
        try """
        pipeline: woken
        source: { postgres: { url: "\(source.url())" } }
        warehouse: { postgres: { url: "\(server.url())" } }
        agent: { listen: "127.0.0.1:0" }
        """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
        let agent = try AgentProcess(["run"], in: folder)
        try await until("it streams", [agent]) { agent.said().contains("consistent since") }
        for round in 1...2 {
            try await source.psql(
                "INSERT INTO t SELECT i, \(round) FROM generate_series(\(round * 1000), \(round * 1000 + 499)) i")
            agent.signal(SIGSTOP)
            try await until("the source gives it up", [agent]) {
                try await source.number("SELECT count(*) FROM pg_replication_slots WHERE active") == 0
            }
            try await source.psql("UPDATE t SET v = v + 1; INSERT INTO t VALUES (\(round), 0)")
            agent.signal(SIGCONT)
            try await until("it goes on", [agent]) {
                try await server.value("SELECT concat(count(*), ' ', sum(v)) FROM woken_live.t")
                    == source.value("SELECT concat(count(*), ' ', sum(v)) FROM t")
            }
        }
        agent.signal(SIGTERM)
        #expect(await agent.wait().status == 0)
        #expect(try await server.number("SELECT count(*) - count(distinct event_id) FROM woken_raw.t") == 0)
        #expect(try await server.number("SELECT count(*) FROM woken_raw.t WHERE op = 'c'") == 1_002)
        await source.remove()
        await server.remove()
    }

    // MARK: Clocks

    /// Lies about the time of day, where it is installed (Debian's libfaketime).
    private static let fakeTime = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"

    @Test(.enabled(if: FileManager.default.fileExists(atPath: fakeTime), "libfaketime isn't installed"))
    func aClockThatJumpsChangesNothing() async throws {
        let folder = try temporaryFolder("clock")
        defer { try? FileManager.default.removeItem(at: folder) }
        let server = try await ThrowawayPostgres.start()
        let broker = try MockBroker(topics: ["shop.public.items": 4], logger: silent)
        let events = try ItemEvents(broker)
        try """
        pipeline: clock
        source:
          kafka: { brokers: "\(broker.bootstrap)", topics: [\(events.topic)], properties: { fetch.wait.max.ms: 10 } }
        warehouse: { postgres: { url: "\(server.url())" } }
        batch: { max_rows: 50 }
        agent: { listen: "127.0.0.1:0" }
        """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
        let clock = folder.appending(path: "clock")
        func jump(_ offset: String) throws { try "\(offset)\n".write(to: clock, atomically: true, encoding: .utf8) }
        try jump("+0")
        // The library changes the environment of the first program that it is loaded into, and Swift finds the arguments
        // by where the environment is.
        let agent = try AgentProcess(
            ["run"], in: folder,
            environment: [
                "LD_PRELOAD": Self.fakeTime, "FAKETIME_TIMESTAMP_FILE": clock.path, "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            ], wrapper: "/usr/bin/env")
        let read = "select coalesce(sum(read), 0) from _millrace.ledger"
        for offset in ["+0", "+3600", "-7200", "+86400", "+0"] {
            try jump(offset)
            for _ in 0..<5 { try await events.produce(100) }
            try await until("all is read at \(offset)", [agent]) {
                ((try? await server.number(read)) ?? 0) >= events.count
            }
        }
        let spread = "select extract(epoch from max(loaded_at) - min(loaded_at))::int from clock_raw.items"
        #expect(try await server.number(spread) > 80_000, "the agent's clock did jump")
        agent.signal(SIGTERM)
        #expect(await agent.wait().status == 0)
        try await events.expectExact(server, "clock")
        await events.close()
        broker.close()
        await server.remove()
    }
}
