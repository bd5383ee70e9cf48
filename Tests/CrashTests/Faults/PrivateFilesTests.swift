import ChildProcess
import Foundation
import Kafka
import Testing

/// A DuckDB file and its log are the agent's user's alone, whatever the umask; whoever gave an existing file other rights
/// keeps them.
@Suite(.serialized) struct PrivateFilesTests {
    private func mode(_ file: String, in folder: URL) throws -> Int {
        let path = folder.appending(path: file).path
        let found = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        return (found ?? 0) & 0o777
    }

    /// Tests have an umask of their own by now.
    private func start(_ arguments: [String], umask: String = "022", in folder: URL) throws -> ChildProcess {
        let log = folder.appending(path: "said")
        return try ChildProcess(
            ["sh", "-c", "umask \(umask); exec \"$0\" \"$@\"", AgentProcess.binary.path] + arguments,
            output: .init(file: log, errors: log), folder: folder)
    }

    private func said(in folder: URL, last bytes: Int = 3000) -> String {
        let data = (try? Data(contentsOf: folder.appending(path: "said"))) ?? Data()
        return String(decoding: data.suffix(bytes), as: UTF8.self)
    }

    @Test func theFileIsTheUsersAlone() async throws {
        let folder = try temporaryFolder("private")
        defer { try? FileManager.default.removeItem(at: folder) }
        let broker = try MockBroker(topics: ["shop.public.items": 1], logger: silent)
        let events = try ItemEvents(broker)
        try """
        pipeline: shop
        source:
          kafka:
            brokers: "\(broker.bootstrap)"
            topics: [shop.public.items]
            properties: { fetch.wait.max.ms: 10, session.timeout.ms: 6000, heartbeat.interval.ms: 500 }
        warehouse: { duckdb: { path: shop_warehouse.duckdb } }
        agent: { listen: "127.0.0.1:0" }
        """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)

        let cases: [(Int?, String, Int, Int)] = [
            (nil, "022", 0o600, 0o600), (nil, "000", 0o600, 0o600), (0o640, "022", 0o640, 0o640),
            (0o644, "022", 0o644, 0o644), (0o666, "027", 0o666, 0o640),
        ]
        for (turn, (rights, umask, file, log)) in cases.enumerated() {
            let what: Comment = "existing \(rights.map { String($0, radix: 8) } ?? "none"), umask \(umask)"
            if let rights {
                // The log of one that was killed keeps its own.
                #expect(await try start(["query", "select 1"], in: folder).wait() == 0, what)
                try? FileManager.default.removeItem(at: folder.appending(path: "shop_warehouse.duckdb.wal"))
                #expect(chmod(folder.appending(path: "shop_warehouse.duckdb").path, mode_t(rights)) == 0)
            } else {
                for name in ["shop_warehouse.duckdb", "shop_warehouse.duckdb.wal"] {
                    try? FileManager.default.removeItem(at: folder.appending(path: name))
                }
            }
            let agent = try start(["run"], umask: umask, in: folder)
            try await events.produce(50)
            try await until("the log has something", within: .seconds(60)) {
                guard agent.isRunning else { throw Waited(what: "\(what)") }
                return (try? mode("shop_warehouse.duckdb.wal", in: folder)) != nil
            }
            #expect(try mode("shop_warehouse.duckdb", in: folder) == file, what)
            #expect(try mode("shop_warehouse.duckdb.wal", in: folder) == log, what)
            // By the same user all goes on; a command before that would open the file itself.
            try await until("it listens", within: .seconds(60)) {
                said(in: folder, last: 1_000_000).components(separatedBy: "listening").count == turn + 2
            }
            #expect(await try start(["query", "select 1"], in: folder).wait() == 0, what)
            #expect(
                await try start(["lend", "--", "test", "-r", "shop_warehouse.duckdb"], in: folder).wait() == 0,
                "\(what): \(said(in: folder))")
            agent.signal(SIGTERM)
            #expect(await agent.wait() == 0, "\(what): \(said(in: folder))")
            #expect(await try start(["query", "select 1"], in: folder).wait() == 0, what)
        }
        await events.close()
        broker.close()
    }
}
