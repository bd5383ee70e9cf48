import Agent
import ChildProcess
import Debezium
import Foundation
import JSON
import Kafka
import Logging
import PipelineFile
import Replication
import Synchronization
import ThrowawayPostgres

/// The warehouses of the integration tests.
enum Engine: String, CaseIterable, Sendable, CustomStringConvertible {
    case duckdb, postgres
    var description: String { rawValue }
}

/// One server for all tests of the process; each pipeline has its own schemas.
actor SharedServer {
    static let shared = SharedServer()
    private var server: Task<ThrowawayPostgres, any Error>?

    func url() async throws -> String { try await theServer().url() }

    func theServer() async throws -> ThrowawayPostgres {
        if server == nil { server = Task { try await ThrowawayPostgres.start() } }
        guard let server else { throw CancellationError() }
        return try await server.value
    }
}

/// How many pipelines run beside each other: more would only wait for two cores and one server's connections.
actor Turns {
    static let shared = Turns(free: 4)
    private var free: Int
    private var waiting: [CheckedContinuation<Void, Never>] = []

    init(free: Int) { self.free = free }

    nonisolated func one<R: Sendable>(_ body: () async throws -> R) async rethrows -> R {
        await take()
        do {
            let result = try await body()
            await give()
            return result
        } catch {
            await give()
            throw error
        }
    }

    private func take() async {
        guard free == 0 else {
            free -= 1
            return
        }
        await withCheckedContinuation { waiting.append($0) }
    }

    private func give() {
        guard waiting.isEmpty else { return waiting.removeFirst().resume() }
        free += 1
    }
}

/// A folder of a test's own.
final class TestFolder: Sendable {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appending(path: "millrace-it-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }
    func path(_ name: String) -> String { url.appending(path: name).path }

    func write(_ lines: some Collection<Data>, to name: String) throws {
        var data = Data()
        data.reserveCapacity(lines.reduce(0) { $0 + $1.count + 1 })
        for line in lines {
            data.append(line)
            data.append(0x0A)
        }
        try data.write(to: URL(fileURLWithPath: path(name)))
    }
}

/// A pipeline that a test runs in this process, as often as it likes.
struct PipelineRun: Sendable {
    let folder: TestFolder
    let name: String
    let engine: Engine
    var yaml: String
    /// What `${…}` in it stands for.
    var environment: [String: String] = [:]

    /// - Parameter yaml: a whole pipeline file.
    init(file yaml: String, _ name: String, _ engine: Engine, environment: [String: String], folder: TestFolder) {
        self.folder = folder
        self.name = name
        self.engine = engine
        self.yaml = yaml
        self.environment = environment
    }

    /// - Parameters:
    ///   - source: YAML of the `source` key, indented by two.
    ///   - rest: further top-level keys.
    init(_ name: String, _ engine: Engine, source: String, rest: String = "", folder: TestFolder) async throws {
        self.folder = folder
        self.name = name
        self.engine = engine
        let warehouse =
            switch engine {
            case .duckdb: "duckdb: { path: \(name).duckdb, memory_limit: 512MiB }"
            case .postgres: "postgres: { url: \"\(try await SharedServer.shared.url())\" }"
            }
        yaml = "pipeline: \(name)\nsource:\n\(source)\nwarehouse:\n  \(warehouse)\n\(rest)\n"
    }

    var setup: PipelineSetup {
        get throws {
            let pipeline = try Pipeline.parse(text: yaml, file: folder.path("millrace.yaml"), environment: environment)
            var logger = Logger(label: "test")
            logger.logLevel = .critical
            return PipelineSetup(pipeline, logger: logger)
        }
    }

    /// Runs to the source's end; the agent's own view of the run.
    @discardableResult
    func untilEnd() async throws -> AgentStatus.Snapshot {
        let setup = try setup
        let warehouse = setup.makeWarehouse()
        let status = AgentStatus()
        let catalog = try await setup.readCatalog()
        do {
            try await warehouse.open(readOnly: false)
            let source = try setup.makeSource(warehouse)
            var settings = Replicator.Settings(owner: "test")
            settings.untilEnd = true
            settings.validate = { try setup.validate($0, beside: $1) }
            settings.prepare = { try await setup.prepare($0) }
            settings.schema = setup.schemaSettings
            settings.release = { setup.releaseOptions(of: $0) }
            let replicator = Replicator(
                source: source, warehouse: warehouse, status: status, settings: settings, logger: setup.logger
            ) { known in
                try setup.makeDecoder(known: known, catalog: catalog)
            }
            do {
                try await replicator.run()
            } catch {
                await source.close()
                throw error
            }
            await source.close()
        } catch {
            await warehouse.close()
            throw error
        }
        await warehouse.close()
        return status.current
    }

    /// Replicates while `body` runs, then drains.
    func whileRunning<R: Sendable>(_ body: (AgentStatus, any Warehouse) async throws -> R) async throws -> R {
        let setup = try setup
        let warehouse = setup.makeWarehouse()
        let status = AgentStatus()
        try await warehouse.open(readOnly: false)
        let source = try setup.makeSource(warehouse)
        var settings = Replicator.Settings(owner: "test")
        settings.validate = { try setup.validate($0, beside: $1) }
        settings.prepare = { try await setup.prepare($0) }
        settings.schema = setup.schemaSettings
        settings.release = { setup.releaseOptions(of: $0) }
        let replicator = Replicator(
            source: source, warehouse: warehouse, status: status, settings: settings, logger: setup.logger
        ) { known in
            try setup.makeDecoder(known: known, catalog: nil)
        }
        let running = Task { try await replicator.run() }
        let result: Result<R, any Error>
        do { result = .success(try await body(status, warehouse)) } catch { result = .failure(error) }
        replicator.stop()
        let end = await running.result
        await source.close()
        await warehouse.close()
        try end.get()
        return try result.get()
    }

    /// Opens the warehouse for a look.
    func looking<R: Sendable>(_ body: (any Warehouse, WarehouseLayout) async throws -> R) async throws -> R {
        try await opened(readOnly: true, body)
    }

    func writing<R: Sendable>(_ body: (any Warehouse, WarehouseLayout) async throws -> R) async throws -> R {
        try await opened(readOnly: false, body)
    }

    func schemaChanges() async throws -> [SchemaChange] {
        try await looking { warehouse, _ in try await warehouse.schemaChanges() }
    }

    /// Decides on every plan that waits.
    @discardableResult
    func decide(approving: Bool = true) async throws -> [SchemaChange] {
        let setup = try setup
        return try await writing { warehouse, _ in
            let control = setup.control(warehouse, catalog: nil, running: nil)
            var decided: [SchemaChange] = []
            for change in try await warehouse.schemaChanges() where change.state == .waiting {
                decided.append(
                    try await approving
                        ? control.approve(schemaChange: change.id) : control.rollBack(schemaChange: change.id))
            }
            return decided
        }
    }

    /// Holds current against what raw says.
    func folded(repairs: Bool = false, recent_s: Int? = nil) async throws -> SweepReport {
        try await sweeping { try $0.start($1, SweepRequest(repairs ? .repair : .compare, recent_s: recent_s)) }
    }

    /// Folds rows with late events from raw again.
    func reconciled() async throws -> SweepReport {
        try await sweeping { try $0.reconcileLate($1, 0..<Int64.max / 4) }
    }

    private func sweeping(
        _ begin: @Sendable (SweepJobs, [TableDefinition]) throws -> Int
    ) async throws -> SweepReport {
        let setup = try setup
        return try await writing { warehouse, _ in
            let jobs = setup.sweepJobs(warehouse, AgentStatus(), LiveSetup(setup))
            let number = try begin(jobs, try await warehouse.knownTables())
            while true {
                switch jobs.state(of: number) {
                case .done(let report): return report
                case .failed(let failure): throw failure
                default: try await Task.sleep(for: .milliseconds(10))
                }
            }
        }
    }

    private func opened<R: Sendable>(
        readOnly: Bool, _ body: (any Warehouse, WarehouseLayout) async throws -> R
    ) async throws -> R {
        let setup = try setup
        let warehouse = setup.makeWarehouse()
        try await warehouse.open(readOnly: readOnly)
        do {
            let result = try await body(warehouse, setup.layout)
            await warehouse.close()
            return result
        } catch {
            await warehouse.close()
            throw error
        }
    }
}

/// The recorded events of real connectors.
enum Corpus {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures/corpus")

    /// The file's path, `.gz` where it is kept so.
    static func path(_ name: String) -> String {
        let plain = folder.appending(path: name).path
        return FileManager.default.fileExists(atPath: plain) ? plain : plain + ".gz"
    }

    static func data(_ name: String) throws -> Data {
        let path = path(name)
        guard path.hasSuffix(".gz") else { return try Data(contentsOf: URL(fileURLWithPath: path)) }
        return try Command.data(of: ["gzip", "-dc", path])
    }

    private static let known = Mutex<[String: [Data]]>([:])

    /// Unpacked and cut once a file: unoptimised code takes its time over it.
    static func lines(_ name: String) throws -> [Data] {
        if let lines = known.withLock({ $0[name] }) { return lines }
        let lines = try cut(data(name + ".jsonl"))
        known.withLock { $0[name] = lines }
        return lines
    }

    private static func cut(_ data: Data) -> [Data] {
        data.withUnsafeBytes { bytes in
            var lines: [Data] = []
            guard var at = bytes.baseAddress else { return lines }
            let end = at + bytes.count
            while at < end {
                let newline = memchr(at, 0x0A, end - at).map { UnsafeRawPointer($0) } ?? end
                if newline > at { lines.append(Data(bytes: at, count: newline - at)) }
                at = newline + 1
            }
            return lines
        }
    }

    static func expected(_ name: String) throws -> JSONValue {
        try JSONValue(parsing: data(name + ".expected.json"))
    }

    /// `tables:` entries that tell the types which events without a schema don't.
    static func tablesYAML(_ name: String, overrides: [String: String] = [:]) throws -> String {
        let types = try JSONValue(parsing: Data(contentsOf: folder.appending(path: "types.json")))
        var text = "tables:\n"
        for (table, facts) in types[name + ".jsonl"]?.members ?? [] {
            text += "  - source: \(JSONText.quoted(table))\n"
            if let override = overrides[table] { text += "    \(override)\n" }
            let columns = (facts["columns"]?.members ?? []).map { column in
                "\(JSONText.quoted(column.key)): \(JSONText.quoted(column.value.string ?? ""))"
            }
            text += "    columns: { types: { \(columns.joined(separator: ", ")) } }\n"
        }
        return text == "tables:\n" ? "" : text
    }

    /// A file's records as they go to a broker.
    static func records(_ name: String) throws -> [OutgoingRecord] {
        try lines(name).map { line in
            let value = try JSONValue(parsing: line)
            var headers: [(name: String, value: [UInt8]?)] = []
            for header in value["headers"]?.array ?? [] {
                guard let pair = header.array, pair.count == 2, let name = pair[0].string else { continue }
                headers.append((name, pair[1].string.map { Array($0.utf8) }))
            }
            func bytes(_ name: String) -> [UInt8]? {
                value[name]?.string.map { Array($0.utf8) }
                    ?? value[name + "_b64"]?.string.flatMap { Data(base64Encoded: $0) }.map { Array($0) }
            }
            return OutgoingRecord(
                topic: value["topic"]?.string ?? "", key: bytes("key"), value: bytes("value"), headers: headers)
        }
    }
}
