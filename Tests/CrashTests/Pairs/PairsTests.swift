import Foundation
import Testing
import ThrowawayPostgres

/// The program that ships is killed with `kill -9` at every named point and at random, over the four pairs of source and
/// warehouse. After each history current, raw and ledger are held against the source, or against a model of it.
///
/// `MILLRACE_CRASHES` is the number of kills over all pairs (`scripts/crash` asks for 500).
@Suite struct PairsTests {
    static let kills = setting("MILLRACE_CRASHES", 22)

    @Test func killedAtEveryPointOverTheFourPairs() async throws {
        // Kafka's attempts wait mostly, and take their time.
        let isShort = Self.kills < 100
        let ofKafka = isShort ? KafkaShop.shortPlan.count : Self.kills / 4
        let ofPostgres = isShort ? PostgresShop.shortPlan.count : (Self.kills + 3) / 4
        let lines = try await withThrowingTaskGroup(of: String.self) { group in
            for warehouse in ["DuckDB", "Postgres"] {
                group.addTask { try await Self.kafka(to: warehouse, kills: ofKafka) }
                group.addTask { try await Self.postgres(to: warehouse, kills: ofPostgres) }
            }
            var lines: [String] = []
            for try await line in group { lines.append(line) }
            return lines.sorted()
        }
        for line in lines { print("killed: \(line)") }
    }

    /// The `warehouse:` of the pipeline file, and what to remove in the end.
    private static func warehouse(_ engine: String) async throws -> (yaml: String, server: ThrowawayPostgres?) {
        guard engine == "Postgres" else { return ("duckdb: { path: NAME_wh.duckdb }", nil) }
        let server = try await ThrowawayPostgres.start()
        return ("postgres: { url: \"\(server.url())\" }", server)
    }

    private static func kafka(to engine: String, kills: Int) async throws -> String {
        let (yaml, server) = try await warehouse(engine)
        let shop = try KafkaShop(seed: engine == "Postgres" ? 11 : 12)
        let pair = CrashPair(source: shop, warehouse: engine, warehouseYAML: yaml) {
            Dictionary(uniqueKeysWithValues: KafkaShop.tables.map { ($0, ["id"] + shop.columns) })
        }
        let report = try await pair.run(kills: kills, seed: UInt64(kills) + (engine == "Postgres" ? 1 : 2))
        await shop.close()
        await server?.remove()
        return report.line
    }

    private static func postgres(to engine: String, kills: Int) async throws -> String {
        let (yaml, target) = try await warehouse(engine)
        let source = try await ThrowawayPostgres.start()
        let shop = PostgresShop(seed: engine == "Postgres" ? 21 : 22, source)
        let pair = CrashPair(source: shop, warehouse: engine, warehouseYAML: yaml) {
            Dictionary(uniqueKeysWithValues: PostgresShop.tables.map { ($0, ["id"] + shop.columns) })
        }
        let report = try await pair.run(kills: kills, seed: UInt64(kills) + (engine == "Postgres" ? 3 : 4))
        await source.remove()
        await target?.remove()
        return report.line
    }
}
