import Foundation
import ReplicationTestKit
import ThrowawayPostgres

/// Two tables of a Postgres that is copied and streamed.
final class PostgresShop: CrashSource {
    static let name = "postgres"
    static let plan = [
        CrashPlan(.copy), CrashPlan(.copy), CrashPlan(.ddl), CrashPlan(.read), CrashPlan(.staging), CrashPlan(.staged),
        CrashPlan(.commit), CrashPlan(.commit, isDelayed: true), CrashPlan(.committed), CrashPlan(nil), CrashPlan(nil),
    ]
    static let shortPlan = [
        CrashPlan(.copy), CrashPlan(.ddl), CrashPlan(.staging), CrashPlan(.commit, isDelayed: true),
        CrashPlan(.committed), CrashPlan(nil),
    ]
    static let random_ms = 50..<1_500
    static let tables = ["items", "orders"]
    /// Of each table at the start: two chunks.
    static let rows = 16_000

    private let server: ThrowawayPostgres
    private var random: SeededRandom
    private var pipeline = ""
    private var next = 0
    private var counts: [String: Int] = [:]
    private var width = 1

    init(seed: UInt64, _ server: ThrowawayPostgres) {
        self.server = server
        random = SeededRandom(seed: seed)
    }

    var columns: [String] { (0..<width).map { "v\($0)" } + ["note"] }

    func begin(_ pipeline: String) async throws {
        self.pipeline = pipeline
        next = Self.rows
        width = 1
        var sql = "CREATE SCHEMA \(pipeline);"
        for table in Self.tables {
            sql += """
                CREATE TABLE \(pipeline).\(table) (id int PRIMARY KEY, v0 bigint, note text);
                INSERT INTO \(pipeline).\(table) SELECT i, i, repeat(md5(i::text), 15) FROM generate_series(1, \(Self.rows)) i;
                """
            counts[table] = 0
        }
        try await server.psql(sql)
    }

    func feed(isWider: Bool) async throws {
        var sql = ""
        if isWider {
            for table in Self.tables { sql += "ALTER TABLE \(pipeline).\(table) ADD COLUMN v\(width) bigint;\n" }
            width += 1
        }
        func counted(_ table: String, _ change: String, times: Int = 1) -> String {
            "WITH c AS (\(change) RETURNING 1) SELECT '\(table)', \(times) * count(*) FROM c;\n"
        }
        for _ in 0..<12 {
            sql += "BEGIN;\n"
            for table in Self.tables {
                let name = "\(pipeline).\(table)"
                let sets = (0..<width).map { "v\($0) = coalesce(v\($0), 0) + \(1 + random.below(9))" }
                let from = 1 + random.below(Self.rows)
                sql += counted(
                    table,
                    "UPDATE \(name) SET \(sets.joined(separator: ", ")) WHERE id BETWEEN \(from) AND \(from + 15)")
                sql += counted(table, "DELETE FROM \(name) WHERE id BETWEEN \(from + 16) AND \(from + 18)")
                sql += counted(
                    table,
                    "INSERT INTO \(name) (id, v0, note) SELECT i, i, 'new' FROM generate_series(\(next + 1), \(next + 8)) i"
                )
                // A change of the key is two events.
                sql += counted(
                    table, "UPDATE \(name) SET id = id + 10000000 WHERE id = \(1 + random.below(Self.rows))", times: 2)
            }
            next += 8
            sql += "COMMIT;\n"
        }
        for line in try await server.psql(sql).split(separator: "\n") {
            let parts = line.split(separator: "|")
            guard parts.count == 2, let count = Int(parts[1]) else { continue }
            counts[String(parts[0]), default: 0] += count
        }
    }

    func yaml(attempt: Int) -> String {
        """
        include: ["\(pipeline).*"]
        postgres: { url: "\(server.url())" }
        """
    }

    func target(_ table: String) -> String { "\(pipeline)__\(table)" }

    func wanted() async throws -> [String: String] {
        var wanted: [String: String] = [:]
        for table in Self.tables {
            wanted[table] = try await server.value(
                Self.digest(of: "\(pipeline).\(table)", columns: ["id"] + columns))
        }
        return wanted
    }

    func changes() async throws -> [String: Int] { counts }

    func end() async throws {
        // Its sender may take a moment to see that the last agent is gone.
        try await until("the slot is free") {
            try await server.number(
                "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'millrace_\(pipeline)' AND active") == 0
        }
        try await server.psql(
            "SELECT pg_drop_replication_slot('millrace_\(pipeline)'); DROP PUBLICATION millrace_\(pipeline); DROP SCHEMA \(pipeline) CASCADE"
        )
    }
}
