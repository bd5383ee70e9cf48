/// Rows that aren't as expected are kept out of current: the table is held, the row is put aside, or the pipeline stops, as
/// their rules say. Raw gets them all the same.
extension BatchApplier {
    /// Rows of one batch that are put aside; with more the table is at fault, not its rows, and it is held.
    package static var putAside_max: Int { 10_000 }

    /// Where events of a table go.
    struct Gated {
        var now: [Int32]
        /// Deferred, as the table is held from here on.
        var later: [Int32] = []
        var hold: TableHold?
    }

    /// Holds events that are to be promoted against what is expected of their rows. Those that are put aside are in the
    /// quarantine, and in raw, when this returns.
    mutating func gate(
        _ table: Int, _ fresh: [Int32], _ stored: TableState, _ entry: inout LedgerEntry,
        _ transaction: some WarehouseTransaction
    ) throws -> Gated {
        var gated = Gated(now: fresh)
        guard layout.hasCurrent, !fresh.isEmpty else { return gated }
        let rows = asideRows[batch.tables[table].source] ?? [:]
        let findings = batch.findings[table]?.among(fresh, of: batch)
        let isOpen = !isWhole && (findings?.all.isEmpty == false || pending.has(batch.tables[table].source))
        guard !rows.isEmpty || findings?.isEmpty == false || stored.hasPutAside || isOpen else { return gated }
        var aside: [Int32: TableGate.Rule] = [:]
        if !isWhole {
            pending.take(findings, batch, table, fresh, but: rows)
            if findings?.isEmpty != false, rows.isEmpty, !stored.hasPutAside { return gated }
        } else if let findings {
            try sort(findings, table, &gated, &aside)
        }
        if !rows.isEmpty {
            for index in gated.now {
                guard let key = GateRow.key(batch, index), let row = rows[key] else { continue }
                if row.transaction == batch.events[Int(index)].transaction { aside[index] = row.rule }
            }
        }
        try follow(table, gated.now, stored, &aside, transaction)
        guard !aside.isEmpty else { return gated }
        if isWhole, isAlone, findings?.isMass == true, let first = aside.values.first {
            let cut = cut(before: Array(aside.keys), gated.now)
            gated.hold = TableHold(
                table: entry.table ?? batch.tables[table].source, kind: .quality,
                reason: "\(first.name) fails in more than \(Self.putAside_max) rows of a batch",
                since_us: loadedAt_us)
            divide(&gated, at: cut)
            aside = aside.filter { batch.events[Int($0.key)].version < cut }
        }
        try putAside(table, aside, &entry, transaction)
        gated.now.removeAll { aside[$0] != nil }
        return gated
    }

    // MARK: Verdicts

    private mutating func sort(
        _ findings: GateFindings, _ table: Int, _ gated: inout Gated, _ aside: inout [Int32: TableGate.Rule]
    ) throws {
        let source = batch.tables[table].source
        if let misfit = findings.gate.misfit {
            gated.hold = try Self.hold(source, misfit, loadedAt_us: loadedAt_us)
            (gated.later, gated.now) = (gated.now, [])
            return
        }
        var counts: [GateCount] = []
        var holding: [Int32] = []
        var rowsAside: [GateRow: TableGate.Rule] = [:]
        for (index, place) in findings.failures {
            let rule = findings.gate.rules[Int(place)]
            counts.append(GateCount(table: source, rule: rule, rows: 1, first: position(index), last: position(index)))
            switch findings.action(place) {
            case .stop:
                throw Self.stopped(source, "\(rule.name) (\(rule.origin)) fails at \(position(index))")
            case .hold: holding.append(index)
            case .quarantineRow:
                aside[index] = aside[index] ?? rule
                if let row = GateRow(batch, index, byTransaction: findings.byTransaction) {
                    rowsAside[row] = rowsAside[row] ?? rule
                }
            case .warn: break
            }
        }
        counts = GateCount.sums(counts)
        record.gates += counts
        outcome.gates += counts
        // All that the transaction did to the row: what it was in between was never to be seen.
        if findings.byTransaction, !rowsAside.isEmpty {
            for index in gated.now where aside[index] == nil && batch.events[Int(index)].operation != .truncate {
                for row in GateRow.touched(batch, index) {
                    if let rule = rowsAside[row] { aside[index] = rule }
                }
            }
        }
        guard !holding.isEmpty else { return }
        let held = counts.filter { $0.rule.onFail == .hold }
        gated.hold = TableHold(
            table: source, kind: .quality, reason: Self.reason(held), since_us: loadedAt_us)
        let cut = cut(before: holding, gated.now)
        divide(&gated, at: cut)
        aside = aside.filter { batch.events[Int($0.key)].version < cut }
    }

    /// Version of the first event of those transactions, which is the last good version's end.
    private func cut(before failing: [Int32], _ events: [Int32]) -> Version {
        var cut = failing.map { batch.events[Int($0)].version }.min() ?? .all
        let transactions = Set(failing.map { batch.events[Int($0)].transaction }.filter { $0 >= 0 })
        for index in events where transactions.contains(batch.events[Int(index)].transaction) {
            cut = min(cut, batch.events[Int(index)].version)
        }
        return cut
    }

    private func divide(_ gated: inout Gated, at cut: Version) {
        let all = gated.now
        gated.now = all.filter { batch.events[Int($0)].version < cut }
        gated.later += all.filter { batch.events[Int($0)].version >= cut }
    }

    /// Of a table that a rule can't be held against.
    static func hold(
        _ table: TableID, _ misfit: (rule: TableGate.Rule, message: String), loadedAt_us: Int64
    ) throws -> TableHold {
        let reason = "\(misfit.rule.name) (\(misfit.rule.origin)) can't be held against it: \(misfit.message)"
        guard misfit.rule.onFail != .stop else { throw stopped(table, reason) }
        return TableHold(table: table, kind: .quality, reason: reason, since_us: loadedAt_us)
    }

    static func stopped(_ table: TableID, _ reason: String) -> ReplicationError {
        ReplicationError(
            .quality, "\(table): \(reason), and on_fail says to stop there",
            remedy: "set on_fail: hold (or quarantine_row) for it, or change the rule, then: millrace run", table: table
        )
    }

    /// Which rules, how many rows, and from where on.
    static func reason(_ counts: [GateCount]) -> String {
        let texts = counts.prefix(3).map { count in
            "\(count.rule.name) (\(count.rule.origin)) fails in \(count.rows) \(count.rows == 1 ? "row" : "rows")"
        }
        let more = counts.count > 3 ? ", and \(counts.count - 3) rules more" : ""
        return "\(texts.joined(separator: ", "))\(more), from \(counts.first?.first ?? "") on"
    }

    func position(_ index: Int32) -> String {
        let event = batch.events[Int(index)]
        return "\(batch.spans[Int(event.span)].partition)@\(event.offset)"
    }

    // MARK: Aside

    /// An event that leaves columns as they were leans on the row's state before it; where that was put aside, there is
    /// nothing in current that it could lean on, and it is put aside, too. An event of the whole row stands for itself.
    mutating func follow(
        _ table: Int, _ events: [Int32], _ state: TableState, _ aside: inout [Int32: TableGate.Rule],
        _ transaction: some WarehouseTransaction
    ) throws {
        let definition = batch.tables[table]
        guard !definition.isKeyless, layout.hasRaw, state.hasPutAside || !aside.isEmpty else { return }
        var keys: Set<String> = []
        for index in events {
            let event = batch.events[Int(index)]
            guard event.operation != .truncate, event.operation != .delete, event.flags.contains(.partial) else {
                continue
            }
            keys.insert(batch.arena.string(event.key))
            if !event.otherKey.isNull { keys.insert(batch.arena.string(event.otherKey)) }
        }
        guard !keys.isEmpty else { return }
        var lineage = AsideLineage()
        if state.hasPutAside {
            let known = try transaction.putAside(definition, keys.sorted())
            let texts = known.keys.sorted()
            let versions = texts.isEmpty ? [:] : try stored(texts, table, definition, transaction)
            for (at, text) in texts.enumerated() {
                for (rule, version) in known[text] ?? [] {
                    lineage.add(text, TableGate.Rule(name: rule, origin: "", onFail: .quarantineRow), version)
                }
                // What has passed since stands for itself.
                if let version = versions[at] { lineage.clear(text, version) }
            }
        }
        guard !lineage.isEmpty || !aside.isEmpty else { return }
        let ordered = events.sorted { batch.events[Int($0)].version < batch.events[Int($1)].version }
        for index in ordered {
            let event = batch.events[Int(index)]
            let version = event.version
            guard event.operation != .truncate else {
                lineage = AsideLineage()
                continue
            }
            let key = batch.arena.string(event.key)
            if aside[index] == nil, event.operation != .delete, event.flags.contains(.partial) {
                aside[index] =
                    event.otherKey.isNull
                    ? lineage.rule(key, before: version)
                    : lineage.rule(batch.arena.string(event.otherKey), before: version.deleteHalf)
            }
            if let rule = aside[index] {
                lineage.add(key, rule, version)
            } else {
                lineage.clear(key, version)
            }
        }
    }

    private mutating func putAside(
        _ table: Int, _ aside: [Int32: TableGate.Rule], _ entry: inout LedgerEntry,
        _ transaction: some WarehouseTransaction
    ) throws {
        guard !aside.isEmpty else { return }
        let definition = batch.tables[table]
        let events = aside.keys.sorted()
        if writesRaw { try transaction.appendRaw(definition, batch, events) }
        let columns = DeferredEvent.jsonColumns(definition)
        let others = putAside
        putAside = []
        for index in events {
            guard let rule = aside[index] else { continue }
            let event = batch.events[Int(index)]
            quarantine(index, "\(rule.name) fails", &entry)
            // Rows without a key can't be brought back one by one.
            guard layout.hasRaw, !definition.isKeyless else { continue }
            putAside[putAside.count - 1].gate = PutAside(
                rule: rule.name, event: event.id, version: event.version,
                key: event.key.isNull ? nil : batch.arena.string(event.key),
                marks: DeferredEvent.marks(of: event, hasImmediateKey: batch.immediateKeys.contains(table)),
                jsonNulls: DeferredEvent.jsonNulls(of: event, columns, in: batch))
        }
        // At once: what reads raw for others is not to see them.
        try transaction.quarantine(putAside, loadedAt_us: loadedAt_us)
        putAside = others
    }
}

/// By key: states of the row that were put aside, and states that passed.
private struct AsideLineage {
    private var asides: [String: [(rule: TableGate.Rule, version: Version)]] = [:]
    private var passed: [String: [Version]] = [:]

    var isEmpty: Bool { asides.isEmpty }

    mutating func add(_ key: String, _ rule: TableGate.Rule, _ version: Version) {
        asides[key, default: []].append((rule, version))
    }

    mutating func clear(_ key: String, _ version: Version) {
        if asides[key] != nil { passed[key, default: []].append(version) }
    }

    /// What the row was put aside for, if that is the last state of it below a version.
    func rule(_ key: String, before version: Version) -> TableGate.Rule? {
        guard let last = asides[key]?.filter({ $0.version < version }).max(by: { $0.version < $1.version }),
            !(passed[key] ?? []).contains(where: { $0 > last.version && $0 < version })
        else { return nil }
        return last.rule
    }
}
