import JSON
import Postgres
import Replication

/// The state of a pipeline as `run --until-end` and `status` tell it: this run's or the lifetime's sums.
package struct StatusReport: Sendable, Equatable {
    package enum State: String, Sendable { case ok, degraded, stopped, standby }

    package struct Table: Sendable, Equatable {
        /// `schema.table`.
        package var source: String
        /// `schema.table` in the warehouse; nil while the table has no shape yet.
        package var target: String?
        package var state = "streaming"
        package var ledger: LedgerEntry
        /// Source to warehouse; nil: not known.
        package var lag_ms: Int64?
        /// Of `status` only.
        package var rows: TableCounts?
        /// Why its current stands still; empty: it doesn't.
        package var holds: [TableHold] = []
        package var error: String?
        /// The source's number for it.
        package var oid: UInt32?
        /// Of `status` only: the last comparison with the source.
        package var sweep: Sweep?
        /// Nil: nothing is promised of it.
        package var freshness: FreshnessReport.Table?

        /// What is known of the table's being equal to its source.
        package struct Sweep: Sendable, Equatable {
            package var isEqual: Bool
            package var at_us: Int64
            package var differences: Int
            /// Of the last sweep that found it equal to its source; nil where that was to raw alone.
            package var provenPosition: Int64?
            package var provenAt_us: Int64?

            package init(_ last: SweepRecord, proof: SweepRecord?) {
                isEqual = last.isEqual
                at_us = last.finishedAt_us
                differences = last.differences
                provenPosition = proof.flatMap { $0.isFold ? nil : $0.position }
                provenAt_us = proof?.finishedAt_us
            }
        }

        package init(source: String, target: String?, ledger: LedgerEntry) {
            self.source = source
            self.target = target
            self.ledger = ledger
        }
    }

    package var pipeline: String
    package var state: State
    /// `topic:0=1234, …`.
    package var position: String
    /// From which on readers see whole source transactions; nil: consistent per key.
    package var consistentSince: String?
    /// Source transactions that the running agent applied in parts.
    package var cutTransactions = 0
    package var control: Int
    package var tables: [Table]
    /// Records whose table couldn't be told.
    package var unknown = LedgerEntry(table: nil)
    /// What the agent waits for.
    package var waiting: String?
    /// Partitions that can't be read on, with the reason.
    package var lost: [String] = []
    package var isAgentRunning = false
    /// Schema changes that aren't through.
    package var schemaChanges: [SchemaChange] = []

    package init(pipeline: String, state: State, position: String = "", control: Int = 0, tables: [Table] = []) {
        self.pipeline = pipeline
        self.state = state
        self.position = position
        self.control = control
        self.tables = tables
    }

    package var quarantined: Int { tables.reduce(unknown.quarantined) { $0 + $1.ledger.quarantined } }
    package var read: Int { tables.reduce(unknown.read) { $0 + $1.ledger.read } }
    /// Of the slowest table.
    package var lag_ms: Int64? { tables.compactMap(\.lag_ms).max() }
}

extension StatusReport {
    /// What an agent did in this run.
    package init(_ snapshot: AgentStatus.Snapshot, layout: WarehouseLayout, isRunning: Bool, now_us: Int64) {
        self.init(
            pipeline: layout.pipeline, state: Self.state(of: snapshot, isRunning: isRunning),
            position: Self.position(snapshot.positions, asLSN: snapshot.hasLSNs), control: snapshot.control)
        consistentSince = snapshot.progress.consistentSince
        cutTransactions = snapshot.progress.cutTransactions
        tables = snapshot.tables.sorted { $0.key < $1.key }.map { id, status in
            var table = Table(
                source: id.description, target: "\(layout.current).\(status.definition.target)", ledger: status.ledger)
            table.error = status.error
            table.oid = status.definition.followed?.oid
            if snapshot.progress.copying[id] != nil { table.state = "copying" }
            if snapshot.progress.resyncing.contains(id) { table.state = "resyncing" }
            if let refused = snapshot.progress.refused[id] { table.error = refused }
            if table.error != nil { table.state = "error" }
            table.lag_ms = snapshot.lag_ms(status, now_us: now_us)
            table.freshness = snapshot.freshness[id]
            return table
        }
        for (id, reason) in snapshot.progress.refused where snapshot.tables[id] == nil {
            var table = Table(source: id.description, target: nil, ledger: .init(table: id))
            table.error = reason
            table.state = "error"
            tables.append(table)
        }
        tables.sort { $0.source < $1.source }
        note(snapshot.holds)
        note(snapshot.schemaChanges)
        unknown = snapshot.unknown
        waiting = snapshot.waitsFor
        lost = snapshot.lost.map { "\($0.partition): \($0.reason)" }
    }

    /// Adds what is held. While a table stands still, readers see it as of another position than the others.
    package mutating func note(_ holds: [TableHold]) {
        for index in tables.indices {
            tables[index].holds = holds.filter { $0.table.description == tables[index].source }
            guard !tables[index].holds.isEmpty, tables[index].state != "error" else { continue }
            tables[index].state = tables[index].holds.allSatisfy { $0.kind.isWanted } ? "paused" : "held"
        }
        if !holds.isEmpty { consistentSince = nil }
        if state == .ok, holds.contains(where: { !$0.kind.isWanted }) { state = .degraded }
    }

    /// Adds what waits for a person; tables that the source has no more are `gone`.
    package mutating func note(_ changes: [SchemaChange]) {
        schemaChanges = changes.filter(\.state.isOpen)
        for change in changes where change.kind == .dropTable || change.kind == .renameTable {
            guard let index = tables.firstIndex(where: { $0.source == change.table.description }),
                tables[index].state != "error", change.isAbout(tables[index].oid)
            else { continue }
            tables[index].state = "gone"
        }
    }

    private static func state(of snapshot: AgentStatus.Snapshot, isRunning: Bool) -> State {
        if snapshot.state == .standby { return .standby }
        if snapshot.state == .stopped || isRunning && snapshot.state == .starting { return .stopped }
        let isDegraded =
            snapshot.state == .degraded || snapshot.quarantined > 0 || !snapshot.lost.isEmpty
            || !snapshot.progress.refused.isEmpty || isRunning && snapshot.waitsFor != nil
            || snapshot.tables.values.contains { $0.error != nil }
        return isDegraded ? .degraded : .ok
    }

    /// `topic:0=1234, …`; of a Postgres source its one position, as Postgres writes it.
    static func position(_ positions: [TopicPartition: Int64], asLSN: Bool) -> String {
        positions.sorted { $0.key < $1.key }.map { asLSN ? LSN.text($0.value) : "\($0.key)=\($0.value)" }
            .joined(separator: ", ")
    }
}

extension AgentStatus.Snapshot {
    /// How far a table is behind its source: nothing while no record waits to be read, else the age of the newest
    /// event that is in the warehouse. Nil: nobody knows what waits.
    package func lag_ms(_ table: AgentStatus.TableStatus, now_us: Int64) -> Int64? {
        guard !lag.isEmpty else { return nil }
        if lag.values.allSatisfy({ $0 <= 0 }) { return 0 }
        guard table.newestSourceTime_us != .min else { return nil }
        return max(0, (now_us - table.newestSourceTime_us) / 1000)
    }
}

extension StatusReport {
    /// `run --until-end --json`.
    package var json: JSONValue { .object(members(detailed: false)) }
    /// `status --json` and the API: the same, with more.
    package var detailedJSON: JSONValue { .object(members(detailed: true)) }

    private func members(detailed: Bool) -> [JSONValue.Member] {
        var members: [JSONValue.Member] = [
            ("pipeline", .string(pipeline)), ("state", .string(state.rawValue)), ("position", .string(position)),
            ("consistent_since", .text(consistentSince)), ("control", .integer(control)),
            ("tables", .array(tables.map { $0.json(detailed: detailed) })),
        ]
        if unknown.read > 0 || unknown.quarantined > 0 {
            let counts: JSONValue = .object([
                ("read", .integer(unknown.read)), ("quarantined", .integer(unknown.quarantined)),
            ])
            members.append(("unknown", counts))
        }
        if detailed {
            members.append(("agent", .string(isAgentRunning ? "running" : "none")))
            members.append(("waiting", .text(waiting)))
            members.append(("lost", .array(lost.map(JSONValue.string))))
            members.append(("cut_transactions", .integer(cutTransactions)))
            members.append(("schema_changes", .array(schemaChanges.map(\.json))))
        }
        return members
    }

    package init?(json: JSONValue) {
        guard let pipeline = json["pipeline"]?.string, let tables = json["tables"]?.array,
            let state = json["state"]?.string.flatMap(State.init(rawValue:))
        else { return nil }
        self.init(
            pipeline: pipeline, state: state, position: json["position"]?.string ?? "",
            control: Int(json["control"]?.int64 ?? 0), tables: tables.compactMap { Table(json: $0) })
        unknown.read = Int(json["unknown"]?["read"]?.int64 ?? 0)
        unknown.quarantined = Int(json["unknown"]?["quarantined"]?.int64 ?? 0)
        consistentSince = json["consistent_since"]?.string
        cutTransactions = Int(json["cut_transactions"]?.int64 ?? 0)
        waiting = json["waiting"]?.string
        lost = json["lost"]?.array?.compactMap(\.string) ?? []
        isAgentRunning = json["agent"]?.string == "running"
        schemaChanges = json["schema_changes"]?.array?.compactMap(SchemaChange.init(json:)) ?? []
    }
}

extension StatusReport.Table {
    func json(detailed: Bool) -> JSONValue {
        var members: [JSONValue.Member] = [
            ("source", .string(source)), ("target", .text(target)), ("state", .string(state)),
        ]
        for (name, path) in Self.counts { members.append((name, .integer(ledger[keyPath: path]))) }
        members += [("lag_ms", .integer(lag_ms)), ("freshness", freshness?.json ?? .null)]
        if detailed {
            for (name, path) in Self.lateCounts { members.append((name, .integer(ledger[keyPath: path]))) }
            let counts: JSONValue? = rows.map { rows in
                .object([
                    ("live", .integer(rows.live)), ("deleted", .integer(rows.deleted)),
                    ("incomplete", .integer(rows.incomplete)),
                ])
            }
            members += [
                ("rows", counts ?? .null), ("error", .text(error)), ("holds", .array(holds.map(\.json))),
                ("sweep", sweep?.json ?? .null),
            ]
        }
        return .object(members)
    }

    init?(json: JSONValue) {
        guard let source = json["source"]?.string else { return nil }
        var ledger = LedgerEntry(table: nil)
        for (name, path) in Self.counts + Self.lateCounts { ledger[keyPath: path] = Int(json[name]?.int64 ?? 0) }
        self.init(source: source, target: json["target"]?.string, ledger: ledger)
        state = json["state"]?.string ?? state
        lag_ms = json["lag_ms"]?.int64
        error = json["error"]?.string
        sweep = json["sweep"].flatMap(Sweep.init(json:))
        freshness = json["freshness"].flatMap(FreshnessReport.Table.init(json:))
        holds = json["holds"]?.array?.compactMap(TableHold.init(json:)) ?? []
        if let counts = json["rows"], let live = counts["live"]?.int64 {
            rows = TableCounts(
                live: Int(live), deleted: Int(counts["deleted"]?.int64 ?? 0),
                incomplete: Int(counts["incomplete"]?.int64 ?? 0))
        }
    }

    /// `read`, and where events end, in the order in which they are shown.
    static var counts: [(String, WritableKeyPath<LedgerEntry, Int>)] {
        [
            ("read", \.read), ("applied", \.applied), ("superseded", \.superseded), ("duplicate", \.duplicate),
            ("compacted", \.compacted), ("filtered", \.filtered), ("quarantined", \.quarantined),
            ("deferred", \.deferred),
        ]
    }

    /// No part of the sum.
    static var lateCounts: [(String, WritableKeyPath<LedgerEntry, Int>)] {
        [("late", \.late), ("too_late", \.tooLate)]
    }
}

extension StatusReport.Table.Sweep {
    var json: JSONValue {
        .object([
            ("equal", .bool(isEqual)), ("at", .moment(at_us)), ("at_us", .integer(at_us)),
            ("differences", .integer(differences)),
            ("proven_position", provenPosition.map { .string(LSN.text($0)) } ?? .null),
            ("proven_at", provenAt_us.map { .moment($0) } ?? .null), ("proven_at_us", .integer(provenAt_us)),
        ])
    }

    init?(json: JSONValue) {
        guard let isEqual = json["equal"]?.bool, let at_us = json["at_us"]?.int64 else { return nil }
        self.isEqual = isEqual
        self.at_us = at_us
        differences = Int(json["differences"]?.int64 ?? 0)
        provenPosition = json["proven_position"]?.string.flatMap(LSN.parse)
        provenAt_us = json["proven_at_us"]?.int64
    }
}
