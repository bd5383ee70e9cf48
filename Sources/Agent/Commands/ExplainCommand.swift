import JSON
import Replication

/// `millrace explain TABLE KEY`: what came of one row, and what it was taken for.
package struct ExplainCommand: Sendable {
    package var table: String
    package var key: String

    package init(table: String, key: String) {
        self.table = table
        self.key = key
    }

    package func run(_ context: CommandContext) async throws {
        let setup = try context.loadSetup()
        let report = try await context.withControl(setup, readOnly: true) { try await $0.explain(table, key: key) }
        context.console.result(context.json ? report.json.serialized : report.text)
    }
}

/// The history of one row, as raw has it.
package struct ExplainReport: Sendable, Equatable {
    /// What became of an event.
    package enum Verdict: String, Sendable, CaseIterable {
        /// The row is what it says.
        case current
        /// It was applied, and newer ones since.
        case replaced
        /// It came late: the row was newer already.
        case superseded
        /// The table stands still, and it waits.
        case deferred
        /// There is no current to apply it to.
        case kept
    }

    package struct Event: Sendable, Equatable {
        package var verdict: Verdict
        /// c u d r t.
        package var operation: String
        package var version: [Int64]
        /// Where it stood: `topic:partition:offset`.
        package var position: String
        package var sourceTransaction: Int64?
        package var sourceTime: String?
        package var loadedAt: String
        /// Of the ledger; nil where its rows were taken together.
        package var batch: Int64?
        /// The other key of a key change.
        package var otherKey: String?
        package var before: String?
        package var after: String?
        /// Columns that the event left out.
        package var unchanged: String?
        package var lateness_ms: Int64?
        package var reconciledAt: String?
    }

    /// The table, as the source calls it.
    package var source: String
    package var key: String
    /// In the order of their versions.
    package var events: [Event]
    /// There are more, older ones.
    package var isCut: Bool
    /// Of current; nil: it has none of that key.
    package var isDeleted: Bool?
    /// Records of the quarantine about the row, by their numbers.
    package var quarantined: [Int64]
    /// Sweeps that mended rows of the table: when, and how many.
    package var repairs: [Repair]

    package struct Repair: Sendable, Equatable {
        package var at: String
        package var rows: Int64
    }
}

extension ExplainReport {
    package var json: JSONValue {
        .object([
            ("source", .string(source)), ("key", Self.value(key)), ("row", .string(row)),
            ("events", .array(events.map(\.json))), ("cut", .bool(isCut)),
            ("quarantined", .array(quarantined.map(JSONValue.integer))),
            (
                "sweep_repairs",
                .array(repairs.map { .object([("at", .string($0.at)), ("rows", .integer($0.rows))]) })
            ),
        ])
    }

    package init?(json: JSONValue) {
        guard let source = json["source"]?.string, let key = json["key"], let row = json["row"]?.string,
            let events = json["events"]?.array, let repairs = json["sweep_repairs"]?.array
        else { return nil }
        self.init(
            source: source, key: key.serialized, events: events.compactMap(Event.init(json:)),
            isCut: json["cut"]?.bool ?? false, isDeleted: row == "none" ? nil : row == "deleted",
            quarantined: json["quarantined"]?.array?.compactMap(\.int64) ?? [],
            repairs: repairs.compactMap { repair in
                guard let at = repair["at"]?.string, let rows = repair["rows"]?.int64 else { return nil }
                return Repair(at: at, rows: rows)
            })
    }

    private var row: String { isDeleted.map { $0 ? "deleted" : "live" } ?? "none" }

    /// Raw holds JSON; what isn't any stands as a text.
    fileprivate static func value(_ text: String?) -> JSONValue {
        guard let text else { return .null }
        return (try? JSONValue(parsing: text)) ?? .string(text)
    }

    package var text: String {
        let key = Console.printable(key)
        var lines = [
            "\(Console.printable(source)) \(key): \(row == "none" ? "current has no such row" : "the row is \(row)")"
        ]
        if isCut { lines.append("(the newest \(events.count) events; there are older ones)") }
        var table = TextTable(["VERSION", "OP", "VERDICT", "POSITION", "TX", "SOURCE TIME", "LOADED", "BATCH"])
        for event in events {
            table.rows.append([
                event.version.map(String.init).joined(separator: "/"), event.operation, event.verdict.rawValue,
                event.position, event.sourceTransaction.map(String.init) ?? "-", event.sourceTime ?? "-",
                event.loadedAt, event.batch.map(String.init) ?? "-",
            ])
        }
        if !events.isEmpty { lines += ["", table.text, ""] }
        for event in events {
            let version = event.version.map(String.init).joined(separator: "/")
            for (name, value) in [
                ("other key", event.otherKey), ("before", event.before), ("after", event.after),
                ("unchanged", event.unchanged),
            ] {
                if let value { lines.append("\(version) \(name): \(Console.printable(value))") }
            }
            if let late = event.lateness_ms {
                let reconciled = event.reconciledAt.map { ", reconciled \($0)" } ?? ""
                lines.append("\(version) late: \(late) ms behind the row\(reconciled)")
            }
        }
        if events.isEmpty { lines.append("raw has no event of it") }
        if !quarantined.isEmpty {
            let ids = quarantined.map(String.init).joined(separator: ", ")
            lines.append("in quarantine: \(ids) (millrace quarantine show)")
        }
        for repair in repairs { lines.append("a sweep mended \(repair.rows) rows of the table: \(repair.at)") }
        return lines.joined(separator: "\n")
    }
}

extension ExplainReport.Event {
    var json: JSONValue {
        .object([
            ("verdict", .string(verdict.rawValue)), ("op", .string(operation)),
            ("version", .array(version.map(JSONValue.integer))), ("position", .string(position)),
            ("source_tx", .integer(sourceTransaction)), ("source_ts", .text(sourceTime)),
            ("loaded_at", .string(loadedAt)), ("batch", .integer(batch)),
            ("other_key", ExplainReport.value(otherKey)), ("before", ExplainReport.value(before)),
            ("after", ExplainReport.value(after)), ("unchanged", ExplainReport.value(unchanged)),
            ("late_ms", .integer(lateness_ms)), ("reconciled_at", .text(reconciledAt)),
        ])
    }

    init?(json: JSONValue) {
        guard let verdict = json["verdict"]?.string.flatMap(ExplainReport.Verdict.init(rawValue:)),
            let operation = json["op"]?.string, let version = json["version"]?.array?.compactMap(\.int64),
            let position = json["position"]?.string, let loadedAt = json["loaded_at"]?.string
        else { return nil }
        func text(_ name: String) -> String? { json[name].flatMap { $0.isNull ? nil : $0.serialized } }
        self.init(
            verdict: verdict, operation: operation, version: version, position: position,
            sourceTransaction: json["source_tx"]?.int64, sourceTime: json["source_ts"]?.string, loadedAt: loadedAt,
            batch: json["batch"]?.int64, otherKey: text("other_key"), before: text("before"), after: text("after"),
            unchanged: text("unchanged"), lateness_ms: json["late_ms"]?.int64,
            reconciledAt: json["reconciled_at"]?.string)
    }
}

/// SQL of a row's history, of the engine.
private struct ExplainSQL {
    /// Events that are told.
    static let events_max = 1000

    let definition: TableDefinition
    let layout: WarehouseLayout
    let isDuckDB: Bool
    let key: String

    private func literal(_ text: String) -> String { RowDigest.literal(text) }
    private var isOfTable: String {
        """
        pipeline = \(literal(layout.pipeline)) AND source_schema = \(literal(definition.source.schema)) \
        AND source_table = \(literal(definition.source.table))
        """
    }
    private func relation(_ schema: String) -> String {
        "\(RowDigest.quoted(schema)).\(RowDigest.quoted(definition.target))"
    }

    /// The newest first. A truncate is an event of every row.
    var events: String {
        let columns =
            "event_id, op, _version_epoch, _version_commit, _version_seq, position, source_tx, source_ts, loaded_at"
        let images = ["other_key", "before", "after", "unchanged"].map { "CAST(\($0) AS text) AS \($0)" }
        let all = "SELECT \(columns), \(images.joined(separator: ", ")) FROM \(relation(layout.raw))"
        let loaded_us =
            isDuckDB ? "epoch_us(r.loaded_at)" : "(extract(epoch FROM r.loaded_at) * 1000000)::bigint"
        return """
            SELECT r.op, r._version_epoch, r._version_commit, r._version_seq, r.position, r.source_tx, \
            CAST(r.source_ts AS text), CAST(r.loaded_at AS text), \
            (SELECT max(b.batch) FROM _millrace.ledger b WHERE \(isOfTable) AND b.batch <= \(loaded_us)), \
            r.other_key, r.before, r.after, r.unchanged, \
            EXISTS (SELECT 1 FROM _millrace.deferred d WHERE \(isOfTable) AND d.event_id = r.event_id), \
            (SELECT max(l.behind_row_ms) FROM _millrace.late_events l WHERE \(isOfTable) AND l.superseded AND l.event_id = r.event_id), \
            (SELECT CAST(max(l.reconciled_at) AS text) FROM _millrace.late_events l WHERE \(isOfTable) AND l.event_id = r.event_id) \
            FROM (\(all) WHERE op <> 't' AND CAST(key AS text) = \(literal(key)) UNION ALL \(all) WHERE op = 't') AS r \
            ORDER BY 2 DESC, 3 DESC, 4 DESC LIMIT \(Self.events_max + 1)
            """
    }

    /// SQL of flag and version, through the key's index; nil where the key isn't one of the table's columns as they are now.
    var row: String? {
        let object = try? JSONValue(parsing: key)
        var conditions: [String] = []
        for column in definition.key.map({ definition.columns[$0] }) {
            guard let value = object?[column.name] else { return nil }
            let text = column.type == .unknown ? value.serialized : value.string ?? value.serialized
            let isHex = isDuckDB && column.type == .bytea && text.hasPrefix("\\x")
            let wanted = isHex ? "unhex(\(literal(String(text.dropFirst(2)))))" : literal(text)
            conditions.append("\(RowDigest.quoted(column.name)) = \(wanted)")
        }
        return """
            SELECT coalesce(\(RowDigest.quoted(definition.metadata.isDeleted)), false), _version_epoch, _version_commit, \
            _version_seq FROM \(relation(layout.current)) WHERE \(conditions.joined(separator: " AND ")) LIMIT 1
            """
    }

    var repairs: String {
        """
        SELECT CAST(finished_at AS text), repaired FROM _millrace.sweeps WHERE \(isOfTable) AND repaired > 0 \
        ORDER BY finished_at DESC LIMIT 20
        """
    }
}

extension WarehouseControl {
    package func explain(_ table: String, key: String) async throws -> ExplainReport {
        let warehouse = try atWork()
        return try await limited(warehouse) { try await explain(table, key: key, warehouse) }
    }

    /// What the pipeline file withholds now isn't shown, though raw may have it from before.
    private func shown(_ image: String?, _ table: TableID) -> String? {
        guard let image, let members = (try? JSONValue(parsing: image))?.members else { return image }
        let (excluded, hashed) = (releaseOptions(table).excluded, hashedColumns(table))
        guard members.contains(where: { excluded.contains($0.key) || hashed.contains($0.key) }) else { return image }
        let left = members.filter { !excluded.contains($0.key) }.map { name, value -> JSONValue.Member in
            guard hashed.contains(name), !value.isNull else { return (name, value) }
            let text = value.string ?? value.serialized
            let isHash =
                text.utf8.count == 64 && text == text.lowercased() && text.utf8.allSatisfy { hexValue($0) != nil }
            return (name, isHash ? value : .string(PipelineSetup.hash(text)))
        }
        return JSONValue.object(left).serialized
    }

    private func explain(
        _ table: String, key: String, _ warehouse: any Warehouse
    ) async throws -> ExplainReport {
        guard layout.hasRaw else {
            throw CommandFailure(
                ExitStatus.usage, "without raw nothing is known of a row's history",
                try: "set layers: { raw: true } in the pipeline file")
        }
        let found = try await find(table, key: key, warehouse)
        let (definition, text, quarantined) = (found.table, found.key, found.quarantined)
        let sql = ExplainSQL(
            definition: definition, layout: layout, isDuckDB: warehouse.engine == "duckdb", key: text)
        let rows = try await warehouse.query(sql.events, rows_max: ExplainSQL.events_max + 1).rows
        var state: [String?]?
        if layout.hasCurrent, let row = sql.row { state = try await warehouse.query(row, rows_max: 1).rows.first }
        let version = state.map { $0.dropFirst().compactMap { $0.flatMap { Int64($0) } } }
        func event(_ cells: [String?]) -> ExplainReport.Event {
            func number(_ index: Int) -> Int64? { cells[index].flatMap { Int64($0) } }
            let its = (1...3).compactMap(number)
            let isTrue = cells[13] == "true" || cells[13] == "t"
            let verdict: ExplainReport.Verdict =
                isTrue
                ? .deferred
                : !layout.hasCurrent
                    ? .kept
                    : cells[14] != nil ? .superseded : its == version ? .current : .replaced
            return ExplainReport.Event(
                verdict: verdict, operation: cells[0] ?? "", version: its, position: cells[4] ?? "",
                sourceTransaction: number(5), sourceTime: cells[6], loadedAt: cells[7] ?? "", batch: number(8),
                otherKey: shown(cells[9], definition.source), before: shown(cells[10], definition.source),
                after: shown(cells[11], definition.source), unchanged: cells[12], lateness_ms: number(14),
                reconciledAt: cells[15])
        }
        let events = rows.prefix(ExplainSQL.events_max).map(event)
        guard !events.isEmpty || state != nil || !quarantined.isEmpty else { throw nothing(has: definition) }
        let repairs = try await warehouse.query(sql.repairs, rows_max: 20).rows.compactMap { cells in
            cells[0].flatMap { at in cells[1].flatMap { Int64($0) }.map { ExplainReport.Repair(at: at, rows: $0) } }
        }
        return ExplainReport(
            source: definition.source.description, key: text, events: events.reversed(),
            isCut: rows.count > ExplainSQL.events_max, isDeleted: state.map { $0[0] == "true" || $0[0] == "t" },
            quarantined: quarantined, repairs: repairs)
    }
}
