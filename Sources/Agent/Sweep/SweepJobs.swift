import JSON
import Postgres
import Replication
import Synchronization

/// The agent's sweeps: one at a time, beside replication, and what the last one said.
package final class SweepJobs: Sendable {
    package enum State: Sendable {
        case none
        case running(progress: String)
        case done(SweepReport)
        case failed(CommandFailure)
    }

    private struct Held {
        var number = 0
        var state = State.none
    }
    private let held = Mutex(Held())
    private let work: @Sendable ([TableDefinition], @escaping @Sendable (String) -> Void) async throws -> SweepReport

    package init(
        _ work:
            @escaping @Sendable ([TableDefinition], @escaping @Sendable (String) -> Void) async throws -> SweepReport
    ) { self.work = work }

    /// Begins one and gives its number.
    package func start(_ tables: [TableDefinition]) throws -> Int {
        let number: Int? = held.withLock { held in
            if case .running = held.state { return nil }
            held.number += 1
            held.state = .running(progress: "")
            return held.number
        }
        guard let number else {
            throw CommandFailure(
                ExitStatus.environment, "a sweep is under way already", try: "sweep again when it has ended")
        }
        Task {
            do {
                let report = try await work(tables) { progress in
                    self.held.withLock { $0.state = .running(progress: progress) }
                }
                held.withLock { $0.state = .done(report) }
            } catch {
                held.withLock { $0.state = .failed(ExitStatus.failure(of: error)) }
            }
        }
        return number
    }

    /// - Parameter number: of a sweep that was begun; nil where another has been begun since.
    package func state(of number: Int) -> State? { held.withLock { $0.number == number ? $0.state : nil } }
}

extension SweepJobs.State {
    /// As the API answers it.
    package var json: JSONValue {
        switch self {
        case .none: .object([("state", .string("none"))])
        case .running(let progress):
            .object([("state", .string("running")), ("progress", .string(progress))])
        case .done(let report): .object([("state", .string("done")), ("report", report.json)])
        case .failed(let failure):
            .object([
                ("state", .string("failed")), ("error", .string(failure.message)), ("try", .text(failure.remedy)),
                ("exit", .integer(failure.exit)),
            ])
        }
    }

    package init?(json: JSONValue) {
        switch json["state"]?.string {
        case "none": self = .none
        case "running": self = .running(progress: json["progress"]?.string ?? "")
        case "done":
            guard let report = json["report"].flatMap(SweepReport.init(json:)) else { return nil }
            self = .done(report)
        case "failed":
            guard let message = json["error"]?.string else { return nil }
            self = .failed(
                CommandFailure(Int32(clamping: json["exit"]?.int64 ?? 1), message, try: json["try"]?.string))
        default: return nil
        }
    }
}

extension SweepReport {
    package var json: JSONValue {
        .object([
            ("snapshot", .string(snapshot)), ("position", .string(LSN.text(position))),
            ("tables", .array(tables.map(\.json))),
        ])
    }

    package init?(json: JSONValue) {
        guard let snapshot = json["snapshot"]?.string, let position = json["position"]?.string.flatMap(LSN.parse),
            let tables = json["tables"]?.array
        else { return nil }
        self.init()
        self.snapshot = snapshot
        self.position = position
        self.tables = tables.compactMap { Table(json: $0, snapshot: snapshot, position: position) }
    }
}

extension SweepReport.Table {
    var json: JSONValue {
        var members: [JSONValue.Member] = [
            ("source", .string(source)), ("rows", record.map { .integer($0.rows) } ?? .null),
            ("equal", .bool(record?.isEqual ?? false)), ("reason", .text(reason)),
        ]
        guard let record else { return .object(members) }
        func list(_ names: [String]) -> JSONValue { .array(names.map(JSONValue.string)) }
        members += [
            ("missing", .integer(record.missing)), ("extra", .integer(record.extra)),
            ("different", .integer(record.different)), ("moved", .integer(record.moved)),
            ("repaired", .integer(record.repaired)), ("digest_source", .string(record.digestSource)),
            ("digest_warehouse", .string(record.digestWarehouse)), ("columns", list(record.columns)),
            ("uncovered", list(record.uncovered)),
            (
                "differences",
                .array(
                    differences.map { difference in
                        .object([
                            ("kind", .string(difference.kind.rawValue)), ("key", list(difference.key)),
                            ("columns", list(difference.columns)),
                        ])
                    })
            ),
        ]
        return .object(members)
    }

    init?(json: JSONValue, snapshot: String, position: Int64) {
        guard let source = json["source"]?.string else { return nil }
        self.init(source: source, record: nil, reason: json["reason"]?.string)
        guard let rows = json["rows"]?.int64 else { return }
        func count(_ name: String) -> Int { Int(json[name]?.int64 ?? 0) }
        func list(_ value: JSONValue?) -> [String] { value?.array?.compactMap(\.string) ?? [] }
        let parts = source.split(separator: ".", maxSplits: 1)
        record = SweepRecord(
            table: TableID(schema: String(parts[0]), table: parts.count > 1 ? String(parts[1]) : ""), startedAt_us: 0,
            finishedAt_us: 0, snapshot: snapshot, position: position, rows: rows, columns: list(json["columns"]),
            uncovered: list(json["uncovered"]), digestSource: json["digest_source"]?.string ?? "",
            digestWarehouse: json["digest_warehouse"]?.string ?? "", missing: count("missing"), extra: count("extra"),
            different: count("different"), moved: count("moved"), repaired: count("repaired"))
        differences = (json["differences"]?.array ?? []).compactMap { entry in
            guard let kind = entry["kind"]?.string.flatMap(SweepDifference.Kind.init(rawValue:)) else { return nil }
            return SweepDifference(kind: kind, key: list(entry["key"]), columns: list(entry["columns"]))
        }
    }
}
