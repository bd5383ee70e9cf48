/// What the batches so far of one source transaction have left of failing rows: the last of the row's events tells, and it may
/// be in a later one.
package struct PendingGate {
    /// A row whose events are put aside when the source transaction comes again.
    package struct Row {
        var rule: TableGate.Rule
        var transaction: Int64
    }

    private var tables: [TableID: (gate: TableGate, rows: FailingRows, transaction: Int64)] = [:]
    private(set) var misfit: (table: TableID, rule: TableGate.Rule, message: String)?
    private var warned: [GateCount] = []
    private var desk = RowDesk()

    func has(_ table: TableID) -> Bool { tables[table]?.rows.isEmpty == false }

    mutating func take(
        _ findings: GateFindings?, _ batch: ChangeBatch, _ table: Int, _ fresh: [Int32], but known: [[UInt8]: Row]
    ) {
        let source = batch.tables[table].source
        guard let gate = findings?.gate ?? tables[source]?.gate else { return }
        if let found = gate.misfit, misfit == nil { misfit = (source, found.rule, found.message) }
        var rows = tables[source]?.rows ?? FailingRows()
        rows.leaveBatch()
        let failing = Set((findings?.all ?? []).map(\.event))
        if !failing.isEmpty || !rows.isEmpty {
            for index in fresh.sorted(by: { batch.events[Int($0)].version < batch.events[Int($1)].version }) {
                rows.step(index, of: batch, gate, fails: failing.contains(index), &desk)
            }
        }
        let transaction = fresh.last.map { batch.events[Int($0)].transaction } ?? -1
        rows.forget(known.filter { $0.value.transaction == transaction }.keys)
        tables[source] = (gate, rows, transaction)
    }

    private func counts(_ source: TableID, _ gate: TableGate, _ rows: FailingRows) -> [GateCount] {
        let all = rows.rows.values.joined().flatMap { marks in
            marks.map { (gate.rules[Int($0.key)], $0.value.position) }
        }
        return GateCount.sums(
            all.map { GateCount(table: source, rule: $0.0, rows: 1, first: $0.1, last: $0.1) })
    }

    /// Of rules that do nothing but warn.
    var warnings: [GateCount] {
        tables.flatMap { counts($0.key, $0.value.gate, $0.value.rows).filter { $0.rule.onFail == .warn } }
    }

    /// What becomes of the source transaction, which comes again, with tables held and rows put aside. Nil: it is as expected.
    func closed(hasRaw: Bool, loadedAt_us: Int64) throws -> GateClosed? {
        var closed = GateClosed()
        if let misfit {
            closed.holds.append(
                try BatchApplier.hold(misfit.table, (misfit.rule, misfit.message), loadedAt_us: loadedAt_us))
        }
        for (source, table) in tables.sorted(by: { $0.key < $1.key }) {
            let found = counts(source, table.gate, table.rows).filter { $0.rule.onFail != .warn }
            guard !found.isEmpty else { continue }
            closed.counts += found
            if let stop = found.first(where: { $0.rule.onFail == .stop }) {
                throw BatchApplier.stopped(source, "\(stop.rule.name) (\(stop.rule.origin)) fails at \(stop.first)")
            }
            let holding = found.filter { $0.rule.onFail == .hold }
            var reason = holding.isEmpty ? nil : BatchApplier.reason(holding)
            let putAside = table.rows.rows.values.count { twins in
                twins.joined().contains { table.gate.rules[Int($0.key)].onFail == .quarantineRow }
            }
            if reason == nil, putAside > BatchApplier.putAside_max {
                reason =
                    "\(found[0].rule.name) fails in more than \(BatchApplier.putAside_max) rows of a transaction"
            }
            if let reason {
                closed.holds.append(TableHold(table: source, kind: .quality, reason: reason, since_us: loadedAt_us))
                continue
            }
            for (key, twins) in table.rows.rows {
                let places = twins.joined().map(\.key).filter { table.gate.rules[Int($0)].onFail == .quarantineRow }
                guard let place = places.min() else { continue }
                closed.rows[source, default: [:]][key] = Row(
                    rule: table.gate.rules[Int(place)], transaction: table.transaction)
            }
        }
        return closed.holds.isEmpty && closed.rows.isEmpty ? nil : closed
    }
}

/// A source transaction in parts left rows that aren't as expected; nothing of it is durable.
struct GateClosed: Error {
    var holds: [TableHold] = []
    var rows: [TableID: [[UInt8]: PendingGate.Row]] = [:]
    var counts: [GateCount] = []
}
