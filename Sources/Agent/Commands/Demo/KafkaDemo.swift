import Foundation
import JSON
import Kafka
import Logging
import PipelineFile
import Replication

/// `millrace demo`: recorded Debezium events are played into a local broker while an agent replicates them into
/// DuckDB; at the end the warehouse is held against what must be in it.
package struct DemoCommand: Sendable {
    package var dir: String?
    package var events: String?
    package var expected: String?
    /// How long the events take to play.
    package var play_s = 5.0

    package init(dir: String? = nil, events: String? = nil, expected: String? = nil) {
        self.dir = dir
        self.events = events
        self.expected = expected
    }

    /// Returns the exit code: 4 where the warehouse isn't as it must be.
    package func run(_ context: CommandContext) async throws -> Int32 {
        let console = context.console
        let recording = try Recording(events: events, expected: expected)
        let dir = try makeDir()
        console.note("Millrace demo: recorded Debezium events → local Kafka broker → DuckDB in \(dir)\n")

        let playback = try Playback(path: recording.events)
        let broker: MockBroker
        do {
            broker = try MockBroker(topics: playback.partitions, logger: context.logger)
        } catch {
            throw CommandFailure(ExitStatus.environment, error.message, try: error.remedy)
        }
        defer { broker.close() }
        console.note(
            "broker on \(broker.bootstrap): \(playback.partitions.count) topics, \(playback.records) records to play")
        let setup = try makeSetup(dir, broker: broker.bootstrap, topics: playback.partitions, context)
        return try await setup.withWarehouse(readOnly: false) { warehouse in
            let status = try await replicate(setup, warehouse, playback, broker.bootstrap, console)
            return try await conclude(setup, warehouse, status, recording, dir, console, context)
        }
    }

    private func makeDir() throws -> String {
        let path =
            dir
            ?? FileManager.default.temporaryDirectory.appendingPathComponent(
                "millrace-demo-\(UUID().uuidString.prefix(8))"
            ).path
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch {
            throw CommandFailure(ExitStatus.environment, "the folder \(path) can't be made", try: "--dir DIR")
        }
        let database = path + "/demo.duckdb"
        guard !FileManager.default.fileExists(atPath: database) else {
            throw CommandFailure(
                ExitStatus.environment, "\(database) is there already", try: "another --dir, or rm '\(database)'")
        }
        return path
    }

    /// The pipeline file stays in the folder, for looking around with `query` and `status`.
    private func makeSetup(
        _ dir: String, broker: String, topics: [String: Int], _ context: CommandContext
    ) throws -> PipelineSetup {
        let names = topics.keys.sorted().map { JSONValue.string($0).serialized }.joined(separator: ", ")
        let text = """
            # Made by `millrace demo`. The broker ends with the demo; the tables stay.
            pipeline: demo
            source:
              kafka:
                brokers: \(broker)
                topics: [\(names)]
                properties: { fetch.wait.max.ms: "10" }
            warehouse:
              duckdb: { path: demo.duckdb }
            agent: { listen: 127.0.0.1:0 }

            """
        let file = dir + "/millrace.yaml"
        do {
            try text.write(toFile: file, atomically: true, encoding: .utf8)
        } catch {
            throw CommandFailure(ExitStatus.environment, "\(file) can't be written", try: "--dir DIR")
        }
        return PipelineSetup(
            try Pipeline.parse(text: text, file: file, environment: [:]), logger: context.logger)
    }

    /// Runs the agent while the events play, until all that was played is durable.
    private func replicate(
        _ setup: PipelineSetup, _ warehouse: any Warehouse, _ playback: Playback, _ broker: String, _ console: Console
    ) async throws -> AgentStatus {
        let status = AgentStatus()
        var settings = Replicator.Settings(owner: "demo")
        settings.validate = { try setup.validate($0, beside: $1) }
        let (isListening, continuation) = AsyncStream.makeStream(of: Void.self)
        continuation.finish()
        let service = ReplicationService(
            setup: setup, warehouse: warehouse, status: status, settings: settings, catalog: nil,
            isListening: isListening)
        let progress = RunProgress(status: status, console: console, logger: setup.logger)
        let showing = Task { await progress.run() }
        defer {
            showing.cancel()
            console.progress("")
        }
        let watch = SignalWatch { _ in service.stop() }
        defer { withExtendedLifetime(watch) {} }

        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await service.run()
                return true
            }
            group.addTask { [play_s] in
                let ends = try await playback.play(to: broker, in_s: play_s, logger: setup.logger)
                while !ends.allSatisfy({ (status.current.positions[$0.key] ?? -1) >= $0.value }) {
                    try await Task.sleep(for: .milliseconds(50))
                }
                service.stop()
                return false
            }
            let isStopped = try await group.next() ?? true
            guard !isStopped else {
                group.cancelAll()
                throw CommandFailure(ExitStatus.signal(SIGINT), "the demo was stopped before all was played")
            }
            _ = try await group.next()
        }
        return status
    }

    // MARK: The end

    private func conclude(
        _ setup: PipelineSetup, _ warehouse: any Warehouse, _ status: AgentStatus, _ recording: Recording,
        _ dir: String,
        _ console: Console, _ context: CommandContext
    ) async throws -> Int32 {
        let known = try await warehouse.knownTables()
        if !context.json {
            for definition in known { try await showRows(definition, setup, warehouse, console) }
            let report = StatusReport(status.current, layout: setup.layout, isRunning: false, now_us: Moment.now_us())
            console.result("the ledger: where every event ended\n" + report.text(console))
        }
        let expected = try ExpectedTables(json: recording.readExpected())
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
        if context.json {
            context.console.result(
                JSONValue.object([
                    ("tables", .integer(expected.tables.count)), ("rows", .integer(rows)),
                    ("equal", .bool(differences.isEmpty)), ("differences", .integer(differences.count)),
                ]).serialized)
        } else {
            tell(differences, tables: expected.tables.count, rows: rows, dir, console)
        }
        return differences.isEmpty ? ExitStatus.ok : ExitStatus.differences
    }

    private func showRows(
        _ definition: TableDefinition, _ setup: PipelineSetup, _ warehouse: any Warehouse, _ console: Console
    ) async throws {
        let name = "\(setup.layout.live).\(definition.target)"
        let quoted = [setup.layout.live, definition.target].map {
            "\"\($0.replacingOccurrences(of: "\"", with: "\"\""))\""
        }
        let result = try await warehouse.query("SELECT * FROM \(quoted.joined(separator: ".")) LIMIT 3", rows_max: 3)
        console.result("\(console.paint(name, .bold)), its first rows\n" + QueryFormat.table.text(result))
    }

    private func tell(
        _ differences: [ExpectedTables.Difference], tables: Int, rows: Int, _ dir: String, _ console: Console
    ) {
        if differences.isEmpty {
            console.result(console.paint("proof: \(tables) tables, \(rows) rows equal", .green))
            console.result("look around: millrace query -c \(dir)/millrace.yaml 'select …'")
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
