import ChildProcess
import Foundation
import Kafka
import ReplicationTestKit
import Testing
import ThrowawayPostgres

/// A warehouse that goes away under load, a disk that is full, and the time that a stop has.
@Suite(.serialized) struct OutageTests {
    @Test func aWarehouseThatRestartsUnderLoad() async throws {
        let folder = try temporaryFolder("outage")
        defer { try? FileManager.default.removeItem(at: folder) }
        let server = try await ThrowawayPostgres.start()
        let broker = try MockBroker(topics: ["shop.public.items": 4], logger: silent)
        let events = try ItemEvents(broker)
        try write(folder, broker, events, "warehouse: { postgres: { url: \"\(server.url())\" } }")
        let agent = try AgentProcess(["run"], in: folder)
        let read = "select coalesce(sum(read), 0) from _millrace.ledger"
        for turn in 0..<6 {
            let wanted = events.count + 500
            try await events.produce(2_000)
            try await until("it is in the middle of it", [agent]) { ((try? await server.number(read)) ?? 0) >= wanted }
            try await server.restart(turn % 2 == 0 ? .immediate : .fast)
        }
        try await until("all is applied", [agent]) { try await server.number(read) >= events.count }
        try await events.expectExact(server, "outage")
        agent.signal(SIGTERM)
        #expect(await agent.wait().status == 0)
        await events.close()
        broker.close()
        await server.remove()
    }

    /// Nothing has come since the agent started: it had found the source all the same.
    @Test func aSourceThatRestartsBeforeTheFirstBatch() async throws {
        let folder = try temporaryFolder("outage")
        defer { try? FileManager.default.removeItem(at: folder) }
        let source = try await ThrowawayPostgres.start()
        let server = try await ThrowawayPostgres.start()
        try await source.psql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
        try """
        pipeline: outage
        source: { postgres: { url: "\(source.url())" } }
        warehouse: { postgres: { url: "\(server.url())" } }
        agent: { listen: "127.0.0.1:0" }
        """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
        #expect(try await AgentProcess(["run", "--until-end"], in: folder).wait().status == 0)
        let agent = try AgentProcess(["run"], in: folder)
        try await until("it streams", [agent]) { agent.said().contains("streaming slot") }
        try await source.restart(.immediate)
        try await source.psql("INSERT INTO t VALUES (2)")
        try await until("it has gone on", [agent]) {
            try await server.value("SELECT count(*) FROM outage_live.t") == "2"
        }
        agent.signal(SIGTERM)
        #expect(await agent.wait().status == 0)
        await source.remove()
        await server.remove()
    }

    /// A source that goes away while the agent looks at it for the first time was there: its address is right.
    @Test func aSourceThatGoesAwayAtTheStart() async throws {
        let folder = try temporaryFolder("outage")
        defer { try? FileManager.default.removeItem(at: folder) }
        let source = try await ThrowawayPostgres.start()
        let server = try await ThrowawayPostgres.start()
        try await source.psql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
        let proxy = try TCPProxy(source.port, seed: 1)
        defer { proxy.close() }
        try """
        pipeline: outage
        source: { postgres: { url: "\(source.url().replacingOccurrences(of: ":\(source.port)/", with: ":\(proxy.port)/"))" } }
        warehouse: { postgres: { url: "\(server.url())" } }
        agent: { listen: "127.0.0.1:0" }
        """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
        // Enough to log in with, too little to begin with.
        proxy.set(.cutAfter(bytes: 2000))
        let agent = try AgentProcess(["run"], in: folder)
        try await until("a connection was cut", [agent]) { agent.said().contains("joining again") }
        proxy.set(.pass)
        try await until("it has gone on", [agent]) {
            (try? await server.value("SELECT count(*) FROM outage_live.t")) == "1"
        }
        agent.signal(SIGTERM)
        #expect(await agent.wait().status == 0)
        await source.remove()
        await server.remove()
    }

    /// Needs the right to mount a small disk.
    @Test func aFullDiskIsWaitedFor() async throws {
        let folder = try temporaryFolder("outage")
        let disk = folder.appending(path: "disk")
        try FileManager.default.createDirectory(at: disk, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        guard
            (try? await Command.runAside(["/bin/mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk.path]))
                != nil
        else {
            print("a full disk: not tested, as nothing can be mounted here")
            return
        }
        do {
            try await fillDisk(folder, disk)
        } catch {
            _ = try? await Command.runAside(["/bin/umount", "-l", disk.path])
            throw error
        }
        _ = try await Command.runAside(["/bin/umount", disk.path])
    }

    private func fillDisk(_ folder: URL, _ disk: URL) async throws {
        let broker = try MockBroker(topics: ["shop.public.items": 4], logger: silent)
        let events = try ItemEvents(broker)
        try write(folder, broker, events, "warehouse: { duckdb: { path: disk/outage_wh.duckdb } }")
        let agent = try AgentProcess(["run"], in: folder)
        func count() async throws -> Int {
            let sql = "select count(*) from outage_raw.items"
            let result = try await AgentProcess(["query", "--format", "csv", sql], in: folder).wait()
            return Int(result.output.split(whereSeparator: \.isNewline).last ?? "") ?? -1
        }
        try await events.produce(500)
        try await until("something is there", [agent]) { try await count() == 500 }
        // All that is left.
        let ballast = disk.appending(path: "ballast")
        _ = try? await Command.runAside(["/bin/dd", "if=/dev/zero", "of=\(ballast.path)", "bs=64k"])
        try await until("it says why it waits", [agent]) {
            if events.count < 12_000 { try await events.produce(500) }
            return agent.said().contains("trying again") && agent.said().contains("disk")
        }
        #expect(agent.isRunning)
        try FileManager.default.removeItem(at: ballast)
        try await until("it goes on", [agent]) { try await count() == events.count }
        agent.signal(SIGTERM)
        let end = await agent.wait()
        #expect(end.status == 0, "\(end.errors.suffix(3000))")
        let result = try await AgentProcess(
            [
                "query", "--format", "csv",
                "select concat(count(distinct event_id), ' ', (select sum(read) from _millrace.ledger)) as d from outage_raw.items",
            ], in: folder
        ).wait()
        #expect(result.output.contains("\(events.count) \(events.count)"), "\(result.output)")
        await events.close()
        broker.close()
    }

    // MARK: The time that a stop has

    @Test func aStopWaitsForTheWarehouseNoLongerThanAllowed() async throws {
        let folder = try temporaryFolder("outage")
        defer { try? FileManager.default.removeItem(at: folder) }
        let server = try await ThrowawayPostgres.start()
        let broker = try MockBroker(topics: ["shop.public.items": 2], logger: silent)
        let events = try ItemEvents(broker)
        try write(folder, broker, events, "warehouse: { postgres: { url: \"\(server.url())\" } }", drain: "5s")
        var agent = try AgentProcess(["run"], in: folder)
        try await events.produce(500)
        let read = "select coalesce(sum(read), 0) from _millrace.ledger"
        try await until("it has begun", [agent]) { ((try? await server.number(read)) ?? 0) >= 500 }

        // Away.
        try await server.stop(.immediate)
        try await events.produce(500)
        try await until("it waits", [agent]) { agent.said().contains("trying again") }
        agent.signal(SIGTERM)
        var end = await agent.wait()
        #expect(end.status == 1, "\(end.errors.suffix(1000))")
        #expect(end.errors.contains("stopped before the batch in hand was written") && end.errors.contains("Try: "))

        // There, and silent: nothing that could be retried, and nothing that could be asked.
        try await server.start()
        agent = try AgentProcess(["run"], in: folder)
        try await until("it goes on", [agent]) { try await server.number(read) >= events.count }
        await server.pause()
        try await events.produce(500)
        try await until("it hangs", [agent]) { try await hasUnread(server.port) }
        agent.signal(SIGTERM)
        end = await agent.wait()
        #expect(end.status == 1, "\(end.errors.suffix(1000))")
        #expect(end.errors.contains("agent.drain (5s)"), "\(end.errors.suffix(1000))")
        await server.resume()

        // A clean one; and nothing was lost.
        agent = try AgentProcess(["run"], in: folder)
        try await until("all is there", [agent]) { try await server.number(read) >= events.count }
        agent.signal(SIGTERM)
        #expect(await agent.wait().status == 0)
        try await events.expectExact(server, "outage")
        await events.close()
        broker.close()
        await server.remove()
    }

    /// Whether the frozen server has been sent something that it hasn't read.
    private func hasUnread(_ port: Int) async throws -> Bool {
        // Not by Foundation, which reads less of a file that says it has no bytes.
        let sockets = try await Command.runAside(["/bin/cat", "/proc/net/tcp"])
        return sockets.split(separator: "\n").dropFirst().contains { line in
            // `1: 0100007F:1538 0100007F:D2A4 01 00000000:0000012C …`: local, remote, state, sent:received.
            let fields = line.split(separator: " ")
            guard fields.count > 4, fields[3] == "01" else { return false }
            let isOurs = fields[1].split(separator: ":").last.flatMap { Int($0, radix: 16) } == port
            let received = fields[4].split(separator: ":").last.flatMap { Int($0, radix: 16) } ?? 0
            return isOurs && received > 0
        }
    }

    private func write(
        _ folder: URL, _ broker: MockBroker, _ events: ItemEvents, _ warehouse: String, drain: String = "30s"
    ) throws {
        try """
        pipeline: outage
        source:
          kafka:
            brokers: "\(broker.bootstrap)"
            topics: [\(events.topic)]
            properties: { fetch.wait.max.ms: 10, session.timeout.ms: 6000, heartbeat.interval.ms: 500 }
        \(warehouse)
        batch: { max_rows: 100 }
        agent: { listen: "127.0.0.1:0", drain: \(drain) }
        """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
    }
}
