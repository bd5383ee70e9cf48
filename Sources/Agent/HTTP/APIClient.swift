import AsyncHTTPClient
import Foundation
import JSON
import PipelineFile
import Replication

/// `AgentControl` of an agent that runs in another process, over its HTTP API.
package struct APIClient: AgentControl {
    private static let answer_bytes_max = 512 << 20

    private let client: HTTPClient
    private let base: String
    private let token: AccessToken
    private let pid: Int32

    init(client: HTTPClient = .shared, base: String, token: AccessToken, pid: Int32) {
        self.client = client
        self.base = base
        self.token = token
        self.pid = pid
    }

    /// The agent that `agent.json` in the pipeline's folder speaks of, if it answers; nil where none runs.
    ///
    /// - Throws: `.environment` where one is there and doesn't answer, or its token can't be had.
    package static func running(_ pipeline: Pipeline, client: HTTPClient = .shared) async throws -> APIClient? {
        guard let file = AgentFile.read(in: pipeline.agent.dir), file.pipeline == pipeline.name else { return nil }
        switch await probe(file, client: client) {
        case .gone: return nil
        case .silent:
            throw ReplicationError(
                .environment, "the agent (process \(file.pid)) doesn't answer at \(file.address)",
                remedy: "try again, or stop the agent: kill \(file.pid)")
        case .answers: break
        }
        guard let token = try AccessToken.existing(configured: pipeline.agent.token, dir: pipeline.agent.dir) else {
            throw ReplicationError(
                .environment, "an agent runs at \(file.address), but its token isn't in \(pipeline.agent.dir)",
                remedy: "set MILLRACE_TOKEN as it is set for the agent")
        }
        return APIClient(client: client, base: "http://\(file.address)", token: token, pid: file.pid)
    }

    enum Probe { case answers, silent, gone }

    /// Whether the agent of the file is there.
    static func probe(_ file: AgentFile, client: HTTPClient = .shared) async -> Probe {
        var request = HTTPClientRequest(url: "http://\(file.address)/healthz")
        request.headers.add(name: "Connection", value: "close")
        do {
            let response = try await client.execute(request, timeout: .seconds(3))
            let body = try await response.body.collect(upTo: 1 << 16)
            let health = try? JSONValue(parsing: Array(body.readableBytesView))
            // Somebody else may have got the port of one that was killed.
            let isIt = health?["pid"]?.int64 == Int64(file.pid) && health?["pipeline"]?.string == file.pipeline
            return isIt ? .answers : .gone
        } catch {
            return file.isProcessAlive && isTimeout(error) ? .silent : .gone
        }
    }

    private static func isTimeout(_ error: any Error) -> Bool {
        guard let error = error as? HTTPClientError else { return false }
        return error == .deadlineExceeded || error == .readTimeout
    }

    // MARK: AgentControl

    package func status() async throws -> StatusReport {
        try understood(StatusReport(json: try await get("status")))
    }

    package func checkpoints() async throws -> [Checkpoint] {
        try list(try await get("checkpoint"), Checkpoint.init(json:))
    }

    package func set(positions: [TopicPartition: Int64?]) async throws {
        let entries = positions.sorted { $0.key < $1.key }.map { partition, position -> JSONValue in
            .object([
                ("topic", .string(partition.topic)), ("partition", .integer(partition.partition)),
                ("position", .integer(position)),
            ])
        }
        _ = try await post("checkpoint", .object([("positions", .array(entries))]))
    }

    package func query(_ sql: String, asOf: String?, rows_max: Int) async throws -> QueryResult {
        var members: [JSONValue.Member] = [("sql", .string(sql)), ("rows_max", .integer(rows_max))]
        if let asOf { members.append(("as_of", .string(asOf))) }
        // A path of its own: an older agent would read what is there now.
        let path = asOf == nil ? "query" : "query/as-of"
        return try understood(QueryResult(json: try await post(path, .object(members))))
    }

    package func quarantine() async throws -> [QuarantinedRecord] {
        try list(try await get("quarantine"), QuarantinedRecord.init(json:))
    }

    package func quarantined(_ id: Int64) async throws -> QuarantinedRecord? {
        guard try await quarantine().contains(where: { $0.id == id }) else { return nil }
        return QuarantinedRecord(json: try await get("quarantine/\(id)"))
    }

    package func replay(_ choice: QuarantineChoice) async throws -> [QuarantineOutcome] {
        try list(try await post("quarantine/replay", Self.body(choice)), QuarantineOutcome.init(json:))
    }

    package func discard(_ choice: QuarantineChoice) async throws -> [QuarantineOutcome] {
        try list(try await post("quarantine/discard", Self.body(choice)), QuarantineOutcome.init(json:))
    }

    package func holds() async throws -> [TableHold] { try list(try await get("holds"), TableHold.init(json:)) }

    package func pause(_ selection: TableSelection) async throws -> [String] {
        try list(try await post("pause", selection.json), \.string)
    }

    package func sweep(_ selection: TableSelection, _ request: SweepRequest) async throws -> Int {
        let body: JSONValue = .object(request.json + (selection.json.members ?? []))
        return try understood(try await post("sweep", body)["sweep"]?.int64.flatMap(Int.init(exactly:)))
    }

    package func sweepState(_ number: Int) async throws -> SweepJobs.State {
        try understood(SweepJobs.State(json: try await get("sweep/\(number)")))
    }

    package func tables() async throws -> WarehouseTables {
        try understood(WarehouseTables(json: try await get("tables")))
    }

    package func freshness(_ selection: TableSelection) async throws -> FreshnessReport {
        try understood(FreshnessReport(json: try await post("freshness", selection.json)))
    }

    package func quality(_ selection: TableSelection) async throws -> QualityReport {
        try understood(QualityReport(json: try await post("quality", selection.json)))
    }

    package func reload() async throws -> ReloadReport {
        try understood(ReloadReport(json: try await post("reload", .object([]))))
    }

    package func erase(_ table: String, key: String, reason: String) async throws -> ErasureOutcome {
        let body: JSONValue = .object([
            ("table", .string(table)), ("key", .string(key)), ("reason", .string(reason)),
        ])
        return try understood(ErasureOutcome(json: try await post("erase", body)))
    }

    package func explain(_ table: String, key: String) async throws -> ExplainReport {
        let body: JSONValue = .object([("table", .string(table)), ("key", .string(key))])
        return try understood(ExplainReport(json: try await post("explain", body)))
    }

    package func lend(to borrower: Int32, program: String) async throws {
        _ = try await post("lend", .object([("pid", .integer(borrower)), ("program", .string(program))]))
    }

    package func endLoan() async throws { _ = try await post("lend/end", .object([])) }

    package func resync(_ selection: TableSelection) async throws -> [String] {
        try list(try await post("resync", selection.json), \.string)
    }

    package func release(
        _ kind: TableHold.Kind, _ selection: TableSelection, quarantinesAll: Bool
    ) async throws -> ReleaseProgress {
        let body: JSONValue = .object(
            [("kind", .string(kind.rawValue)), ("quarantine_failing", .bool(quarantinesAll))]
                + (selection.json.members ?? []))
        return try understood(ReleaseProgress(json: try await post("release", body)))
    }

    package func decide(_ verdict: RestoreVerdict) async throws {
        _ = try await post("decide", .object([("as", .string(verdict.rawValue))]))
    }

    package func schemaChanges() async throws -> [SchemaChange] {
        try list(try await get("schema"), SchemaChange.init(json:))
    }

    package func approve(schemaChange id: Int64) async throws -> SchemaChange {
        try understood(SchemaChange(json: try await post("schema/approve", .object([("id", .integer(id))]))))
    }

    package func rollBack(schemaChange id: Int64) async throws -> SchemaChange {
        try understood(SchemaChange(json: try await post("schema/rollback", .object([("id", .integer(id))]))))
    }

    private static func body(_ choice: QuarantineChoice) -> JSONValue {
        switch choice {
        case .all: .object([("all", .bool(true))])
        case .ids(let ids): .object([("ids", .array(ids.map(JSONValue.integer)))])
        }
    }

    // MARK: Requests

    private func get(_ path: String) async throws -> JSONValue {
        try await send(HTTPClientRequest(url: "\(base)/api/\(path)"))
    }

    private func post(_ path: String, _ body: JSONValue) async throws -> JSONValue {
        var request = HTTPClientRequest(url: "\(base)/api/\(path)")
        request.method = .POST
        request.headers.add(name: "Content-Type", value: "application/json")
        request.body = .bytes(Array(body.serialized.utf8))
        return try await send(request)
    }

    private func send(_ request: HTTPClientRequest) async throws -> JSONValue {
        var request = request
        request.headers.add(name: "Authorization", value: "Bearer \(token.secret.value)")
        let status: UInt
        let answer: JSONValue?
        do {
            let response = try await client.execute(request, timeout: .seconds(600))
            status = response.status.code
            let bytes = try await response.body.collect(upTo: Self.answer_bytes_max)
            answer = try? JSONValue(parsing: Array(bytes.readableBytesView))
        } catch {
            throw ReplicationError(
                .environment, "the agent (process \(pid)) broke off its answer",
                remedy: "see its log, then try again: millrace status")
        }
        guard let answer else { throw Self.notUnderstood }
        guard (200..<300).contains(status) else {
            guard let message = answer["error"]?.string else { throw Self.notUnderstood }
            throw CommandFailure(
                Int32(clamping: answer["exit"]?.int64 ?? 1), message, try: answer["try"]?.string)
        }
        return answer
    }

    private static let notUnderstood = ReplicationError(
        .environment, "what answers at the agent's address isn't understood",
        remedy: "see that agent and command are of one version: millrace --version")

    private func understood<T>(_ value: T?) throws -> T {
        guard let value else { throw Self.notUnderstood }
        return value
    }

    private func list<T>(_ value: JSONValue, _ element: (JSONValue) -> T?) throws -> [T] {
        guard let elements = value.array else { throw Self.notUnderstood }
        return try elements.map { try understood(element($0)) }
    }
}
