import CrashPoint
import Foundation
import JSON
import ReplicationTestKit
import Testing
import ThrowawayPostgres

/// The program that ships is killed at named places and at random while it replays `throughput`; the tables end equal to
/// those of a run that nobody disturbed, the ledger adds up, and raw holds each event once.
///
/// `MILLRACE_FILE_CRASHES` is the number of kills per warehouse (`scripts/crash` asks for 50).
@Suite(.serialized) struct KillTests {
    static let kills = ProcessInfo.processInfo.environment["MILLRACE_FILE_CRASHES"].flatMap { Int($0) } ?? 10
    /// Changes in the file; the other records are tombstones.
    static let events = 200_000

    private static let corpus = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures/corpus")

    private struct Place {
        var folder: URL
        var warehouse: String

        func write(_ name: String) throws {
            let types = """
                id: bigint, customer_id: integer, status: text, amount: "numeric(12,2)", qty: integer, \
                sku: "character varying(32)", note: text, is_gift: boolean, created_at: timestamptz, \
                updated_at: "timestamp(3)"
                """
            let yaml = """
                pipeline: \(name)
                source:
                  file: { path: "\(KillTests.corpus.appending(path: "throughput.jsonl.gz").path)" }
                warehouse: { \(warehouse.replacing("NAME", with: name)) }
                tables:
                  - source: public.orders
                    columns: { types: { \(types) } }
                batch: { max_rows: 8000 }
                agent: { listen: "127.0.0.1:0" }
                """
            try yaml.write(to: folder.appending(path: "\(name).yaml"), atomically: true, encoding: .utf8)
        }

        func query(_ name: String, _ sql: String) async throws -> JSONValue {
            let result = try await AgentProcess.run(
                ["query", "-c", "\(name).yaml", "--format", "json", sql], in: folder)
            try #require(result.status == 0, "query: \(result.errors)")
            return try JSONValue(parsing: result.output)
        }

        /// A digest of all that must be equal.
        func digest(_ name: String) async throws -> String {
            try await query(
                name,
                """
                select count(*) as n, md5(string_agg(concat_ws('|', id, customer_id, status, amount, qty, sku, note,
                is_gift, extract(epoch from created_at), updated_at, is_deleted, _version_commit, _version_seq), ',' order by id)) as d
                from \(name).orders
                """
            ).serialized
        }
    }

    private func attempt(_ place: Place, _ name: String, crash: String?) async throws -> AgentProcess.Result {
        try await AgentProcess.run(
            ["run", "--until-end", "--json", "-c", "\(name).yaml"], in: place.folder,
            environment: crash.map { ["MILLRACE_CRASH_AT": $0] } ?? [:])
    }

    private func survive(_ place: Place) async throws {
        var random = SeededRandom(seed: UInt64(Self.kills))
        try place.write("calm")
        let calm = try await attempt(place, "calm", crash: nil)
        try #require(calm.status == 0, "\(calm.errors)")
        let wanted = try await place.digest("calm")

        // At least ten inside a commit, the others spread over every other place, the first start's DDL included.
        let others = CrashPoint.allCases.filter { $0 != .commit && $0 != .copy && $0 != .mend }
        var plan: [String] = ["ddl:1", "ddl:1"]
        while plan.count < Self.kills {
            if plan.count % 5 < 2 {
                plan.append("commit:\(1 + random.below(3))+\(1 + random.below(4000))")
            } else if plan.count % 5 == 4 {
                // At random, by time.
                plan.append("read:1+\(1000 * random.below(1200))")
            } else {
                plan.append("\(others[random.below(others.count)].rawValue):\(1 + random.below(3))")
            }
        }
        var kills = 0
        var round = 0
        var inCommit = 0
        while kills < Self.kills {
            round += 1
            let name = "storm\(round)"
            try place.write(name)
            var ended = false
            while !ended, kills < Self.kills {
                let result = try await attempt(place, name, crash: plan[kills])
                if result.status == 128 + SIGKILL {
                    if plan[kills].hasPrefix("commit") { inCommit += 1 }
                    kills += 1
                } else {
                    // It got through before the place was reached (no DDL in a second start): on to the next plan.
                    try #require(result.status == 0, "\(plan[kills]): \(result.errors)")
                    ended = true
                    if plan[kills].hasPrefix("ddl") { plan[kills] = "committed:1" }
                }
            }
            let last = try await attempt(place, name, crash: nil)
            try #require(last.status == 0, "\(last.errors)")
            #expect(try await place.digest(name) == wanted, "round \(round): tables")
            let raw = try await place.query(
                name, "select count(*) as n, count(distinct event_id) as d from \(name)_raw.orders")
            #expect(raw.serialized == "[{\"n\":\(Self.events),\"d\":\(Self.events)}]", "round \(round): raw")
            let ledger = try await place.query(
                name,
                """
                select cast(sum(read) as bigint) as r, cast(sum(applied + superseded + duplicate + compacted + filtered + quarantined
                + deferred) as bigint) as a from _millrace.ledger where pipeline = '\(name)'
                """)
            #expect(ledger.serialized == "[{\"r\":\(Self.events),\"a\":\(Self.events)}]", "round \(round): ledger")
        }
        print("killed \(kills) times in \(round) histories, \(inCommit) of them inside a commit")
        #expect(inCommit >= min(10, Self.kills * 2 / 5 - 1))
    }

    @Test func duckdbSurvivesKills() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "millrace-kill-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try await survive(Place(folder: folder, warehouse: "duckdb: { path: NAME.duckdb }"))
    }

    @Test func postgresSurvivesKills() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "millrace-kill-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let server = try await ThrowawayPostgres.start()
        try await survive(Place(folder: folder, warehouse: "postgres: { url: \"\(server.url())\" }"))
        await server.remove()
    }
}
