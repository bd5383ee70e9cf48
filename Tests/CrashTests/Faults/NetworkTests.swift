import Foundation
import ReplicationTestKit
import Testing
import ThrowawayPostgres

/// Connections to Postgres, as source and as warehouse, that are cut at any byte, slow, half closed, or lead nowhere.
///
/// `MILLRACE_NETWORK_ROUNDS` makes the long form.
@Suite(.serialized) struct NetworkTests {
    static let rounds = setting("MILLRACE_NETWORK_ROUNDS", 0)
    private static let faults: [(sides: [String], mode: TCPProxy.Mode)] = {
        let all = ["source", "warehouse"]
        if rounds == 0 {
            return [(all, .cut(bytes_max: 40_000)), (all, .delay(ms: 3)), (all, .halfClose(bytes_max: 40_000))]
        }
        let modes: [TCPProxy.Mode] = [
            .cut(bytes_max: 40_000), .delay(ms: 3), .halfClose(bytes_max: 40_000), .cut(bytes_max: 4_000),
        ]
        return [["source"], ["warehouse"], all].flatMap { sides in modes.map { (sides, $0) } }
    }()

    /// The agent between two proxies, and a writer that goes its own way.
    private struct Stage {
        let source: ThrowawayPostgres
        let server: ThrowawayPostgres
        let toSource: TCPProxy
        let toServer: TCPProxy
        let folder: URL

        init(_ folder: URL) async throws {
            self.folder = folder
            var options = ThrowawayPostgres.Options()
            // Those who are cut off are noticed soon, and don't fill the server.
            options.settings = ["wal_sender_timeout": "3s", "max_connections": "200"]
            source = try await ThrowawayPostgres.start(options)
            server = try await ThrowawayPostgres.start(options)
            toSource = try TCPProxy(source.port, seed: 1)
            toServer = try TCPProxy(server.port, seed: 2)
            try await source.psql(
                """
                CREATE TABLE t (id int PRIMARY KEY, v int, note text);
                INSERT INTO t SELECT i, 0, repeat(md5(i::text), 10) FROM generate_series(1, 2000) i;
                """)
            // A silent connection counts as lost after twice this.
            func url(_ proxy: TCPProxy) -> String {
                "postgres://postgres@127.0.0.1:\(proxy.port)/postgres?tcp_user_timeout=2000"
            }
            try """
            pipeline: net
            source: { postgres: { url: "\(url(toSource))" } }
            warehouse: { postgres: { url: "\(url(toServer))" } }
            batch: { max_rows: 200 }
            agent: { listen: "127.0.0.1:0" }
            """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
        }

        func write(_ turn: Int) async throws {
            try await source.psql(
                """
                BEGIN; UPDATE t SET v = v + 1 WHERE id % 50 = \(turn % 50);
                INSERT INTO t SELECT i, 0, repeat('x', 200) FROM generate_series(\(10_000 + turn * 20), \(10_019 + turn * 20)) i;
                COMMIT
                """)
        }

        func isEqual() async throws -> Bool {
            let digest = "SELECT md5(string_agg(concat_ws('|', id, v, note), ',' ORDER BY id)) FROM"
            return try await server.value("\(digest) net_live.t") == source.value("\(digest) t")
        }

        func expectExact() async throws {
            #expect(try await server.number("select count(*) - count(distinct event_id) from net_raw.t") == 0)
            let fates = "applied + superseded + duplicate + compacted + filtered + quarantined + deferred"
            #expect(try await server.number("select count(*) from _millrace.ledger where read <> \(fates)") == 0)
            #expect(
                try await server.number("select sum(read - duplicate - quarantined) from _millrace.ledger")
                    == server.number("select count(*) from net_raw.t"))
            #expect(
                try await server.number("select count(*) from net_raw.t where op = 'c'")
                    == source.number("select count(*) from t where id >= 10000"))
        }

        func remove() async {
            toSource.close()
            toServer.close()
            await source.remove()
            await server.remove()
        }
    }

    @Test func goesOnThroughWhateverTheNetworkDoes() async throws {
        let folder = try temporaryFolder("network")
        defer { try? FileManager.default.removeItem(at: folder) }
        let stage = try await Stage(folder)
        let agent = try AgentProcess(["run"], in: folder)
        try await until("it streams", [agent]) { agent.said().contains("consistent since") }
        var random = SeededRandom(seed: 3)
        var turn = 0
        for _ in 0..<max(1, Self.rounds) {
            for (sides, mode) in Self.faults {
                let proxies = sides.map { $0 == "source" ? stage.toSource : stage.toServer }
                let before = proxies.map(\.counts)
                for proxy in proxies { proxy.set(mode) }
                for _ in 0..<(5 + random.below(5)) {
                    turn += 1
                    try await stage.write(turn)
                }
                try await until("\(sides): \(mode) is met", [agent]) {
                    if case .delay = mode { return true }
                    turn += 1
                    try await stage.write(turn)
                    return zip(proxies, before).allSatisfy {
                        $0.counts.cuts > $1.cuts || $0.counts.halfCloses > $1.halfCloses
                    }
                }
                for proxy in proxies { proxy.set(.pass) }
                try await until("it goes on after \(sides): \(mode)", [agent]) { try await stage.isEqual() }
                #expect(agent.isRunning)
            }
        }
        try await stage.expectExact()
        agent.signal(SIGTERM)
        let end = await agent.wait()
        #expect(end.status == 0, "\(end.errors.suffix(3000))")
        let counts = [stage.toSource.counts, stage.toServer.counts]
        print("network: \(turn) transactions, source and warehouse: \(counts)")
        await stage.remove()
    }

    /// Whoever was connected hears nothing any more, not even that the connection has gone: TCP can't tell.
    @Test(arguments: ["source", "warehouse"]) func aConnectionThatLeadsNowhereIsLeft(to side: String) async throws {
        let folder = try temporaryFolder("network")
        defer { try? FileManager.default.removeItem(at: folder) }
        let stage = try await Stage(folder)
        let proxy = side == "source" ? stage.toSource : stage.toServer
        let agent = try AgentProcess(["run"], in: folder)
        try await until("it streams", [agent]) { agent.said().contains("consistent since") }
        for turn in 1...max(1, Self.rounds) {
            try await stage.write(turn)
            // For a while nobody gets through; then only those who connect anew.
            proxy.set(.blackHole)
            let before = proxy.counts.swallowed
            try await stage.write(100 + turn)
            try await until("something is swallowed", [agent]) { proxy.counts.swallowed > before }
            proxy.loseConnections()
            proxy.set(.pass)
            try await until("it goes on by itself", within: .seconds(60), [agent]) { try await stage.isEqual() }
        }
        try await stage.expectExact()
        agent.signal(SIGTERM)
        let end = await agent.wait()
        #expect(end.status == 0, "\(end.errors.suffix(3000))")
        await stage.remove()
    }

    /// A statement that takes long isn't a server that is gone.
    @Test func aStatementMayTakeItsTime() async throws {
        let folder = try temporaryFolder("network")
        defer { try? FileManager.default.removeItem(at: folder) }
        let stage = try await Stage(folder)
        let agent = try AgentProcess(["run"], in: folder)
        try await until("it streams", [agent]) { agent.said().contains("consistent since") }
        try await stage.server.psql(
            """
            CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(10); RETURN NULL; END $$;
            CREATE TRIGGER slow AFTER INSERT ON net.t FOR EACH STATEMENT EXECUTE FUNCTION slow();
            """)
        try await stage.write(1)
        try await until("it is applied", [agent]) { try await stage.isEqual() }
        #expect(!agent.said().contains("trying again"), "\(agent.said())")
        agent.signal(SIGTERM)
        #expect(await agent.wait().status == 0)
        await stage.remove()
    }
}
