import Hummingbird
import JSON
import Replication

/// The agent's HTTP surface: the open pages, and `/api` behind the token.
package struct AgentRouter: Sendable {
    package static let body_bytes_max = 1 << 20
    package static let rows_max = 1_000_000

    let control: any AgentControl
    let status: AgentStatus
    let layout: WarehouseLayout
    let token: AccessToken
    /// Says who answers, for those who found `agent.json`.
    let pid: Int32
    let isLoopback: Bool
    /// What `check` finds, and what came of a test of the alerts: of a running agent alone.
    var check: (@Sendable () async throws -> JSONValue)?
    var testAlerts: (@Sendable () async throws -> JSONValue)?
    /// For the page.
    var history = PageHistory()
    var names = (source: "Source", warehouse: "Warehouse")

    package init(
        control: any AgentControl, status: AgentStatus, layout: WarehouseLayout, token: AccessToken, pid: Int32,
        isLoopback: Bool = true
    ) {
        self.control = control
        self.status = status
        self.layout = layout
        self.token = token
        self.pid = pid
        self.isLoopback = isLoopback
    }

    package func router() -> Router<BasicRequestContext> {
        let router = Router()
        router.add(middleware: StrictHeaders())
        if isLoopback { router.add(middleware: LoopbackHosts()) }
        router.get("/healthz") { [pid, layout] _, _ in
            Self.json(
                .object([
                    ("status", .string("alive")), ("pid", .integer(pid)), ("pipeline", .string(layout.pipeline)),
                ]))
        }
        router.get("/readyz") { [status] request, _ in
            var lag_ms_max: Int64?
            if let text = request.uri.queryParameters["max_lag"].map(String.init) {
                guard let limit = Readiness.milliseconds(text) else {
                    return Self.failure(CommandFailure(2, "max_lag isn't a duration", try: "/readyz?max_lag=30s"))
                }
                lag_ms_max = limit
            }
            let readiness = Readiness(status.current, lag_ms_max: lag_ms_max, now_us: Moment.now_us())
            return Self.json(readiness.json, status: readiness.isReady ? .ok : .serviceUnavailable)
        }
        router.get("/metrics") { [status, layout] _, _ in
            let text = AgentMetrics.text(status.current, layout: layout, now_us: Moment.now_us())
            return Self.response(text, type: "text/plain; version=0.0.4; charset=utf-8")
        }
        router.get("/") { [status, layout, history, names] _, _ in
            let view = PageView(
                status.current, layout: layout, source: names.source, warehouse: names.warehouse,
                samples: history.all, now_us: Moment.now_us())
            return Self.response(StatusPage.html(view), type: "text/html; charset=utf-8")
        }
        addAPI(to: router.group("api").add(middleware: TokenGuard(token: token)))
        return router
    }

    private func addAPI(to api: RouterGroup<BasicRequestContext>) {
        let control = control
        addSchema(to: api)
        api.get("status") { _, _ in
            await Self.answer { try await control.status().detailedJSON }
        }
        api.get("checkpoint") { _, _ in
            await Self.answer { .array(try await control.checkpoints().map(\.json)) }
        }
        api.post("checkpoint") { request, _ in
            await Self.answer(request) { body in
                guard let list = body["positions"]?.array else { throw Self.wrong("positions must be a list") }
                var positions: [TopicPartition: Int64?] = [:]
                for entry in list {
                    guard let partition = TopicPartition(json: entry), let position = entry["position"],
                        position.isNull || (position.int64 ?? -1) >= 0
                    else { throw Self.wrong("a position names topic, partition and position") }
                    positions[partition] = .some(position.int64)
                }
                try await control.set(positions: positions)
                return .array(try await control.checkpoints().map(\.json))
            }
        }
        api.post("query") { request, _ in
            await Self.answer(request) { body in
                let (sql, rows_max) = try Self.query(body)
                return try await control.query(sql, asOf: nil, rows_max: rows_max).json
            }
        }
        api.post("query/as-of") { request, _ in
            await Self.answer(request) { body in
                let (sql, rows_max) = try Self.query(body)
                guard let asOf = body["as_of"]?.string else { throw Self.wrong("as_of must be a text") }
                return try await control.query(sql, asOf: asOf, rows_max: rows_max).json
            }
        }
        api.get("quarantine") { _, _ in
            await Self.answer { .array(try await control.quarantine().map { $0.json(whole: false) }) }
        }
        api.get("quarantine/:id") { _, context in
            let id = context.parameters.get("id").flatMap { Int64($0) }
            return await Self.answer {
                guard let id, let record = try await control.quarantined(id) else {
                    throw CommandFailure(2, "there is no such record in quarantine", try: "millrace quarantine list")
                }
                return record.json(whole: true)
            }
        }
        api.post("quarantine/replay") { request, _ in
            await Self.answer(request) { .array(try await control.replay(try Self.choice($0)).map(\.json)) }
        }
        api.post("quarantine/discard") { request, _ in
            await Self.answer(request) { .array(try await control.discard(try Self.choice($0)).map(\.json)) }
        }
        api.get("holds") { _, _ in await Self.answer { .array(try await control.holds().map(\.json)) } }
        api.post("pause") { request, _ in
            await Self.answer(request) { body in
                .array(try await control.pause(try Self.selection(body)).map(JSONValue.string))
            }
        }
        if let check { api.get("check") { _, _ in await Self.answer { try await check() } } }
        if let testAlerts { api.post("alerts/test") { _, _ in await Self.answer { try await testAlerts() } } }
        api.post("sweep") { request, _ in
            await Self.answer(request) { body in
                let number = try await control.sweep(try Self.selection(body), try SweepRequest(json: body))
                return .object([("sweep", .integer(number))])
            }
        }
        api.get("sweep/:number") { _, context in
            let number = context.parameters.get("number").flatMap { Int($0) }
            return await Self.answer { try await control.sweepState(number ?? 0).json }
        }
        api.get("tables") { _, _ in await Self.answer { try await control.tables().json } }
        api.get("freshness") { _, _ in await Self.answer { try await control.freshness(.all).json } }
        api.post("freshness") { request, _ in
            await Self.answer(request) { try await control.freshness(try Self.selection($0)).json }
        }
        api.post("quality") { request, _ in
            await Self.answer(request) { try await control.quality(try Self.selection($0)).json }
        }
        api.post("reload") { _, _ in
            await Self.answer { try await control.reload().json }
        }
        api.post("erase") { request, _ in
            await Self.answer(request) { body in
                guard let table = body["table"]?.string, let key = body["key"], let reason = body["reason"]?.string
                else { throw Self.wrong("table, key and reason must be given") }
                let text = key.string ?? key.serialized
                return try await control.erase(table, key: text, reason: reason).json
            }
        }
        api.post("explain") { request, _ in
            await Self.answer(request) { body in
                guard let table = body["table"]?.string, let key = body["key"] else {
                    throw Self.wrong("table and key must be given")
                }
                return try await control.explain(table, key: key.string ?? key.serialized).json
            }
        }
        api.post("lend") { request, _ in
            await Self.answer(request) { body in
                guard let pid = body["pid"]?.int64.flatMap(Int32.init(exactly:)), pid > 1,
                    let program = body["program"]?.string
                else { throw Self.wrong("pid must be a process, and program a text") }
                try await control.lend(to: pid, program: program)
                return .object([("lent", .bool(true))])
            }
        }
        api.post("lend/end") { _, _ in
            await Self.answer {
                try await control.endLoan()
                return .object([("lent", .bool(false))])
            }
        }
        api.post("resync") { request, _ in
            await Self.answer(request) { body in
                .array(try await control.resync(try Self.selection(body)).map(JSONValue.string))
            }
        }
        api.post("release") { request, _ in
            await Self.answer(request) { body in
                guard let kind = body["kind"]?.string.flatMap(TableHold.Kind.init(rawValue:)) else {
                    throw Self.wrong(
                        "kind must be \(TableHold.Kind.allCases.map(\.rawValue).joined(separator: " or "))")
                }
                return try await control.release(
                    kind, try Self.selection(body), quarantinesAll: body["quarantine_failing"]?.bool ?? false
                ).json
            }
        }
        api.post("decide") { request, _ in
            await Self.answer(request) { body in
                guard let verdict = body["as"]?.string.flatMap(RestoreVerdict.init(rawValue:)) else {
                    throw Self.wrong("as must be redelivery or new-epoch")
                }
                try await control.decide(verdict)
                return .array(try await control.holds().map(\.json))
            }
        }
    }

    private func addSchema(to api: RouterGroup<BasicRequestContext>) {
        let control = control
        @Sendable func id(_ body: JSONValue) throws -> Int64 {
            guard let id = body["id"]?.int64 else { throw Self.wrong("id must be a number") }
            return id
        }
        api.get("schema") { _, _ in await Self.answer { .array(try await control.schemaChanges().map(\.json)) } }
        api.post("schema/approve") { request, _ in
            await Self.answer(request) { try await control.approve(schemaChange: try id($0)).json }
        }
        api.post("schema/rollback") { request, _ in
            await Self.answer(request) { try await control.rollBack(schemaChange: try id($0)).json }
        }
    }

    // MARK: Requests and answers

    /// `{"all":true}` or `{"ids":[1,2]}`.
    private static func choice(_ body: JSONValue) throws -> QuarantineChoice {
        if body["all"]?.bool == true { return .all }
        guard let list = body["ids"]?.array, !list.isEmpty else { throw wrong("ids must be a list, or all be true") }
        return .ids(
            try list.map { id in
                guard let id = id.int64 else { throw wrong("ids must be numbers") }
                return id
            })
    }

    private static func query(_ body: JSONValue) throws -> (sql: String, rows_max: Int) {
        guard let sql = body["sql"]?.string else { throw wrong("sql must be a text") }
        let rows = body["rows_max"]?.int64 ?? 100_000
        guard rows > 0, rows <= rows_max else { throw wrong("rows_max must be 1 to \(rows_max)") }
        return (sql, Int(rows))
    }

    private static func selection(_ body: JSONValue) throws -> TableSelection {
        guard let selection = TableSelection(json: body) else {
            throw wrong("tables must be a list of names, or all be true")
        }
        return selection
    }

    private static func wrong(_ message: String) -> CommandFailure { CommandFailure(2, "wrong request: \(message)") }

    private static func answer(_ work: () async throws -> JSONValue) async -> Response {
        do {
            return json(try await work())
        } catch {
            return failure(ExitStatus.failure(of: error))
        }
    }

    private static func answer(_ request: Request, _ work: (JSONValue) async throws -> JSONValue) async -> Response {
        var request = request
        let body: ByteBuffer
        do {
            body = try await request.collectBody(upTo: body_bytes_max)
        } catch {
            return failure(CommandFailure(2, "the request has more than 1 MiB"), status: .contentTooLarge)
        }
        return await answer {
            let value: JSONValue
            do {
                value = try JSONValue(parsing: Array(body.readableBytesView))
            } catch {
                throw wrong("the body is no JSON: \(error)")
            }
            return try await work(value)
        }
    }

    static func json(_ value: JSONValue, status: HTTPResponse.Status = .ok) -> Response {
        response(value.serialized + "\n", type: "application/json", status: status)
    }

    static func failure(_ failure: CommandFailure, status: HTTPResponse.Status? = nil) -> Response {
        let status =
            status ?? (failure.exit == 2 ? .badRequest : failure.exit == 3 ? .serviceUnavailable : .internalServerError)
        return json(
            .object([
                ("error", .string(failure.message)), ("try", .text(failure.remedy)), ("exit", .integer(failure.exit)),
            ]), status: status)
    }

    private static func response(_ text: String, type: String, status: HTTPResponse.Status = .ok) -> Response {
        Response(
            status: status, headers: [.contentType: type], body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }
}
