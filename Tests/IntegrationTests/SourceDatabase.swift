import Agent
import Foundation
import JSON
import Replication
import Testing
import ThrowawayPostgres

/// One server for the sources of all tests of the process; each test has a database of its own.
actor SourceServers {
    static let shared = SourceServers()
    private var server: Task<ThrowawayPostgres, any Error>?

    func server() async throws -> ThrowawayPostgres {
        if server == nil {
            server = Task {
                var options = ThrowawayPostgres.Options()
                // Most tests leave their slot behind, which goes with the server.
                options.settings = ["max_replication_slots": "200", "max_wal_senders": "100"]
                options.maxConnections = 200
                return try await ThrowawayPostgres.start(options)
            }
        }
        guard let server else { throw CancellationError() }
        return try await server.value
    }
}

/// A source database, and the oracle of what the warehouse must have.
struct SourceDatabase: Sendable {
    let server: ThrowawayPostgres
    let name: String

    init(_ name: String, _ sql: String = "") async throws {
        server = try await SourceServers.shared.server()
        self.name = name
        try await server.psql("CREATE DATABASE \(name)")
        if !sql.isEmpty { try await server.psql(sql, database: name) }
    }

    /// One that is there already.
    init(_ name: String, on server: ThrowawayPostgres) {
        self.server = server
        self.name = name
    }

    var url: String { server.url(database: name) }

    @discardableResult func sql(_ text: String) async throws -> String { try await server.psql(text, database: name) }

    /// A pipeline from here into `engine`.
    func pipeline(
        _ engine: Engine, source: String = "", postgres: String = "", rest: String = "", folder: TestFolder? = nil
    ) async throws -> PipelineRun {
        try await PipelineRun(
            "\(name)_\(engine.rawValue.prefix(1))", engine,
            source: "  postgres: { url: \"\(url)\"\(postgres.isEmpty ? "" : ", " + postgres) }\n\(source)", rest: rest,
            folder: folder ?? TestFolder())
    }

    /// The rows of the tables now, as `row_to_json` has them.
    func expected(_ tables: [String]) async throws -> ExpectedTables {
        let members = tables.map { table in
            "'\(table)', coalesce((SELECT json_agg(row_to_json(t)) FROM \(table) t), '[]')"
        }
        return try ExpectedTables(
            json: try await sql("SELECT json_build_object(\(members.joined(separator: ", ")))"))
    }

    func expectEqual(
        _ run: PipelineRun, _ tables: [String], _ what: String = "", leavingOut: Set<String> = [],
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let expected = try await expected(tables)
        let differences = try await run.looking { warehouse, layout in
            var all: [ExpectedTables.Difference] = []
            let known = try await warehouse.knownTables()
            for table in expected.tables {
                let definition = expected.definition(of: table, in: known)
                var rows: [[String?]] = []
                if let definition {
                    rows = try await warehouse.query(
                        ExpectedTables.query(definition, layout: layout, engine: run.engine.rawValue),
                        rows_max: 10_000_000
                    ).rows
                }
                all += ExpectedTables.differences(table, definition: definition, rows: rows, leavingOut: leavingOut)
            }
            for entry in try await warehouse.ledger().tables {
                #expect(entry.addsUp, "\(what): ledger", sourceLocation: sourceLocation)
                #expect(entry.quarantined == 0, "\(what): quarantined", sourceLocation: sourceLocation)
            }
            return all
        }
        #expect(
            differences.isEmpty, "\(run.engine) \(what): \(differences.prefix(10).map(\.description))",
            sourceLocation: sourceLocation)
    }
}
