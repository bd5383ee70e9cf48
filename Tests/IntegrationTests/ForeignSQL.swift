import DuckDB
import Postgres
import SerialQueue

/// SQL of somebody else, outside any pipeline.
enum ForeignSQL {
    private actor Runner {
        private let executor = SerialQueueExecutor(label: "foreign")
        nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

        func duckdb(_ path: String, _ sql: String) throws {
            let database = try Database(path: path)
            let session = try DuckDB.Session(database)
            try session.run(sql, purpose: "prepare a test")
            session.close()
            database.close()
        }

        func postgres(_ url: String, _ sql: String) throws {
            let session = try Postgres.Session(url: url)
            _ = try session.execute(sql)
            session.close()
        }
    }

    static func duckdb(_ path: String, _ sql: String) async throws { try await Runner().duckdb(path, sql) }
    static func postgres(_ url: String, _ sql: String) async throws { try await Runner().postgres(url, sql) }
}
