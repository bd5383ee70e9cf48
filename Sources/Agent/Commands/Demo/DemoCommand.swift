import Foundation
import JSON
import Logging
import PipelineFile
import Replication

/// `millrace demo`: a source that is worked on, an agent that replicates it into DuckDB meanwhile, and the proof that
/// the warehouse equals the source.
package struct DemoCommand: Sendable {
    package enum Source: Sendable, Equatable {
        /// A server of its own under load.
        case postgres
        /// Recorded Debezium events, played into a local broker. Nil: the project's own.
        case kafka(events: String?, expected: String?)
    }

    package var source: Source
    /// Nil: a new temporary folder.
    package var dir: String?

    package init(_ source: Source, dir: String? = nil) {
        self.source = source
        self.dir = dir
    }

    /// Returns the exit code: 4 where the warehouse isn't as it must be.
    package func run(_ context: CommandContext) async throws -> Int32 {
        switch source {
        case .postgres: try await PostgresDemo().run(try DemoFolder(dir, database: "warehouse.duckdb"), context)
        case .kafka(let events, let expected):
            try await KafkaDemo(recording: try Recording(events: events, expected: expected))
                .run(try DemoFolder(dir, database: "demo.duckdb"), context)
        }
    }
}

/// Where the demo's warehouse and pipeline file are, and stay for looking around.
struct DemoFolder: Sendable {
    let path: String

    init(_ dir: String?, database name: String) throws {
        path =
            dir
            ?? FileManager.default.temporaryDirectory.appendingPathComponent(
                "millrace-demo-\(UUID().uuidString.prefix(8))"
            ).path
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch {
            throw CommandFailure(ExitStatus.environment, "the folder \(path) can't be made", try: "--dir DIR")
        }
        let database = "\(path)/\(name)"
        guard !FileManager.default.fileExists(atPath: database) else {
            throw CommandFailure(
                ExitStatus.environment, "\(database) is there already", try: "another --dir, or rm '\(database)'")
        }
    }

    /// Writes the pipeline file.
    func setup(_ text: String, _ logger: Logger) throws -> PipelineSetup {
        let file = path + "/millrace.yaml"
        do {
            try text.write(toFile: file, atomically: true, encoding: .utf8)
        } catch {
            throw CommandFailure(ExitStatus.environment, "\(file) can't be written", try: "--dir DIR")
        }
        return PipelineSetup(try Pipeline.parse(text: text, file: file, environment: [:]), logger: logger)
    }
}

/// The end of a demo: what is in the warehouse, and whether it is what must be.
struct DemoProof: Sendable {
    let setup: PipelineSetup
    let warehouse: any Warehouse
    let folder: DemoFolder
    let context: CommandContext

    private var console: Console { context.console }

    /// The first rows of each table.
    func showRows() async throws {
        for definition in try await warehouse.knownTables() {
            let name = "\(setup.layout.live).\(definition.target)"
            let quoted = [setup.layout.live, definition.target].map {
                "\"\($0.replacingOccurrences(of: "\"", with: "\"\""))\""
            }
            let result = try await warehouse.query(
                "SELECT * FROM \(quoted.joined(separator: ".")) LIMIT 3", rows_max: 3)
            console.result("\(console.paint(name, .bold)), its first rows\n" + QueryFormat.table.text(result))
        }
    }

    func show(_ report: StatusReport) {
        console.result("the ledger: where every event ended\n" + report.text(console))
    }

    /// Compares every row and tells the result.
    /// - Parameter problems: what else wasn't as it must be.
    /// - Returns: the exit code.
    func conclude(
        _ expected: ExpectedTables, problems: [String] = [], facts: [JSONValue.Member] = []
    ) async throws -> Int32 {
        let known = try await warehouse.knownTables()
        var differences: [ExpectedTables.Difference] = []
        for table in expected.tables {
            let definition = expected.definition(of: table, in: known)
            var rows: [[String?]] = []
            if let definition {
                let sql = ExpectedTables.query(definition, layout: setup.layout, engine: warehouse.engine)
                rows = try await warehouse.query(sql, rows_max: 10_000_000).rows
            }
            differences += ExpectedTables.differences(table, definition: definition, rows: rows)
        }
        let rows = expected.tables.reduce(0) { $0 + $1.rows.count }
        let isEqual = differences.isEmpty && problems.isEmpty
        if context.json {
            console.result(
                JSONValue.object(
                    [
                        ("tables", .integer(expected.tables.count)), ("rows", .integer(rows)),
                        ("equal", .bool(isEqual)), ("differences", .integer(differences.count)),
                    ] + facts
                ).serialized)
        } else {
            tell(differences, problems, tables: expected.tables.count, rows: rows)
        }
        return isEqual ? ExitStatus.ok : ExitStatus.differences
    }

    private func tell(_ differences: [ExpectedTables.Difference], _ problems: [String], tables: Int, rows: Int) {
        for problem in problems { console.result(console.paint(problem, .red)) }
        if differences.isEmpty {
            console.result(console.paint("proof: \(tables) tables, \(rows) rows equal", .green))
            console.result("look around: millrace query -c \(folder.path)/millrace.yaml 'select …'")
            console.result("The warehouse equals the source.")
        } else {
            console.result(console.paint("\(differences.count) differences", .red))
            for difference in differences.prefix(20) {
                console.result("  \(Console.printable(difference.description))")
            }
            console.result("The warehouse does not equal the source.")
        }
    }
}
