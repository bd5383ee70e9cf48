import JSON

/// A held table's events: deferred into raw, and applied from there when it is released.
extension BatchApplier {
    /// Events that one step of a release applies at most, in one transaction.
    package static let release_max = 5_000

    /// What a held table gets: raw, and the names of what is to be applied later.
    mutating func putOff(
        _ table: Int, _ events: [Int32], _ entry: inout LedgerEntry, _ transaction: some WarehouseTransaction
    ) throws {
        let definition = batch.tables[table]
        try transaction.appendRaw(definition, batch, events)
        // What a copy holds already is never applied.
        let deferred = events.filter { !batch.events[Int($0)].flags.contains(.contained) }
        try transaction.putOff(
            definition, batch, deferred, hasImmediateKey: batch.immediateKeys.contains(table))
        entry.superseded += events.count - deferred.count
        entry.deferred += deferred.count
    }

    /// Applies the oldest of what is deferred of a table, at most `options.limit` events, and takes the hold away with the
    /// last of them. A table that other holds keep gives up this one only.
    package static func release(
        _ definition: TableDefinition, _ kind: TableHold.Kind, layout: WarehouseLayout,
        in transaction: some WarehouseTransaction, loadedAt_us: Int64, _ options: ReleaseOptions,
        equality: KeyEquality
    ) throws -> ReleaseStep {
        var refused: [EventID: String] = [:]
        var options = options
        while true {
            do {
                return try release(
                    definition, kind, layout, transaction, loadedAt_us,
                    RawBatch(definition, options.filter, equality, options.excluded),
                    options, refused)
            } catch let error as RefusedRows {
                guard !error.reasons.isEmpty else { throw error.cause }
                refused.merge(error.reasons) { $1 }
            } catch is WantsMore {
                options.limit = min(4 * options.limit, transaction_max)
            }
        }
    }

    /// A step that takes more isn't made larger to see what sets its rows right; the next is four times as large at most.
    private static var mended_bytes: Int { 64 << 20 }

    /// Rows of the step fail, and what sets them right may be deferred behind it.
    private struct WantsMore: Error {}

    /// The engine refuses rows of these events.
    private struct RefusedRows: Error {
        var reasons: [EventID: String]
        var cause: ReplicationError
    }

    private static func release(
        _ definition: TableDefinition, _ kind: TableHold.Kind, _ layout: WarehouseLayout,
        _ transaction: some WarehouseTransaction, _ loadedAt_us: Int64, _ raw: RawBatch, _ options: ReleaseOptions,
        _ refused: [EventID: String]
    ) throws -> ReleaseStep {
        let gate = options.gate(definition)
        try transaction.begin()
        var tried: (batch: ChangeBatch, refused: [Int32: String])?
        do {
            let state = try transaction.lock([definition.source], exclusive: true)[definition.source] ?? .init()
            let others = state.holds.subtracting([kind])
            guard state.holds.contains(kind), others.isEmpty else {
                try transaction.endHold(definition.source, kind)
                try transaction.commit()
                return ReleaseStep(outcome: .init(), count: 0, isDone: true)
            }
            try transaction.refuseOutdated(definition, state, layout, isWhole: true, but: options.excluded)
            let (events, isLast) =
                try gate == nil
                ? one(transaction.deferredEvents(definition, limit: options.limit), options.limit)
                : wholeTransactions(of: definition, options.limit, transaction)
            let (batch, found, unknown) = raw.make(events)
            if kind == .failing, let unknown {
                throw ReplicationError(
                    .permanent, "\(definition.source): raw has column \(unknown), which the table hasn't got yet",
                    remedy: "it is made with the next change of the table", table: definition.source)
            }
            var misfits = found
            for (index, event) in batch.events.enumerated() {
                if let reason = refused[event.id] { misfits[Int32(index)] = reason }
            }
            tried = (batch, misfits)
            judge(batch, by: gate, leavingOut: misfits, putsAside: options.quarantinesAll)
            if kind == .quality, let gate, let findings = batch.findings[0],
                findings.failures.contains(where: { findings.blocks($0.rule) })
            {
                let judged = EventsByTable(batch, leavingOut: misfits).events[0]
                // What leans on a row that was put aside earlier is put aside itself, and sets nothing right.
                let mayLean = state.hasPutAside && batch.events.contains { $0.flags.contains(.partial) }
                let isMended = !mayLean && gate.isMended(batch, judged, findings)
                let bytes = batch.arena.count + batch.fields.count * MemoryLayout<Field>.stride
                let isFull = options.limit >= transaction_max || bytes > mended_bytes
                guard isMended || isLast || isFull else { throw WantsMore() }
                batch.findings[0]?.isMended = isMended
            }
            var applier = BatchApplier(
                layout: layout, batch: batch, advances: [], loadedAt_us: loadedAt_us, probeAll: false,
                refused: misfits, isReplay: true)
            let (outcome, gated) = try applier.replay(state, transaction)
            let later = Set(gated?.later ?? [])
            let done = later.isEmpty ? events : events.indices.filter { !later.contains(Int32($0)) }.map { events[$0] }
            try transaction.forgetDeferred(definition, done)
            if var hold = gated?.hold {
                // With what it is held for now, and for as long as it has been.
                let before = try transaction.holds(.quality).first { $0.table == definition.source }
                hold.since_us = before?.since_us ?? hold.since_us
                try transaction.endHold(definition.source, .quality)
                try transaction.hold([hold])
            }
            let isDone = isLast || gated?.hold != nil
            if isDone, gated?.hold == nil || kind != .quality { try transaction.endHold(definition.source, kind) }
            try transaction.commit()
            var step = ReleaseStep(outcome: outcome, count: done.count, isDone: isDone)
            step.closed = gated?.hold?.reason
            step.bytes = batch.arena.count + batch.fields.count * MemoryLayout<Field>.stride
            return step
        } catch let error as ReplicationError where error.kind == .data {
            transaction.rollback()
            guard let tried, error.table == definition.source else { throw error }
            let found = try refusals(
                tried.batch, error, tried.refused, layout: layout, in: transaction, loadedAt_us: loadedAt_us,
                isReplay: true, quarantinesAll: options.quarantinesAll)
            var reasons: [EventID: String] = [:]
            for (index, reason) in found { reasons[tried.batch.events[Int(index)].id] = reason }
            throw RefusedRows(reasons: reasons, cause: error)
        } catch {
            transaction.rollback()
            throw error
        }
    }

    private static func one(_ events: [DeferredEvent], _ limit: Int) -> (events: [DeferredEvent], isLast: Bool) {
        (events, events.count < limit)
    }

    /// Events that one step of a release takes at most so that a source transaction is judged as a whole. One with more of
    /// them in a table is judged by parts.
    private static var transaction_max: Int { 50_000 }

    /// The oldest of what is deferred, up to where a source transaction ends.
    private static func wholeTransactions(
        of definition: TableDefinition, _ limit: Int, _ transaction: some WarehouseTransaction
    ) throws -> (events: [DeferredEvent], isLast: Bool) {
        var limit = limit
        while true {
            let events = try transaction.deferredEvents(definition, limit: limit)
            guard events.count >= limit, let last = events.last?.event.transaction, last >= 0 else {
                return one(events, limit)
            }
            if let end = events.lastIndex(where: { $0.event.transaction != last }) {
                return (Array(events[...end]), false)
            }
            guard limit < transaction_max else { return (events, false) }
            limit = min(2 * limit, transaction_max)
        }
    }

    /// Of what a transaction did to a row all waits if anything does.
    private static func waitWithRows(_ batch: ChangeBatch, _ waiting: inout Set<Int32>) {
        let rows = Set(waiting.flatMap { GateRow.touched(batch, $0) })
        guard !rows.isEmpty else { return }
        for index in batch.events.indices.map(Int32.init) where !waiting.contains(index) {
            if GateRow.touched(batch, index).contains(where: rows.contains) { waiting.insert(index) }
        }
    }

    private static func judge(
        _ batch: ChangeBatch, by gate: TableGate?, leavingOut refused: [Int32: String], putsAside: Bool = false
    ) {
        guard let gate else { return }
        var desk = RowDesk()
        var findings = gate.judge(
            batch, EventsByTable(batch, leavingOut: refused).events[0], byTransaction: true, &desk)
        findings.putsAside = putsAside
        if !findings.isEmpty { batch.findings[0] = findings }
    }

    /// Applies the whole batch, whose events raw has, and moves them on in the ledger, but for those that stay deferred. The
    /// transaction is open.
    private mutating func replay(
        _ state: TableState, _ transaction: some WarehouseTransaction
    ) throws -> (outcome: Outcome, gated: Gated?) {
        let count = batch.events.count
        guard count > 0 else { return (outcome, nil) }
        _ = noteNewest()
        let events = EventsByTable(batch, leavingOut: refused).events[0]
        var entries = [LedgerEntry(table: batch.tables[0].source)]
        var gated: Gated?
        if !events.isEmpty { (entries[0], gated) = try replay(0, events, state, transaction) }
        quarantine(&entries)
        entries[0].deferred -= count - (gated?.later.count ?? 0)
        try settle(entries)
        try transaction.quarantine(putAside, loadedAt_us: loadedAt_us)
        record.loadedAt_us = loadedAt_us
        try transaction.record(record)
        return (outcome, gated)
    }

    /// Applies events that rules kept out of current: those that are as expected now, or that no rule is about any more. The
    /// others wait on in the quarantine.
    ///
    /// - Parameter ids: of their entries. Gives those that are promoted.
    static func replay(
        _ ids: [Int64], of definition: TableDefinition, layout: WarehouseLayout,
        in transaction: some WarehouseTransaction, loadedAt_us: Int64, _ options: ReleaseOptions, equality: KeyEquality
    ) throws -> (outcome: Outcome, promoted: Set<Int64>) {
        try transaction.run {
            let state = try transaction.lock([definition.source], exclusive: true)[definition.source] ?? .init()
            guard state.holds.isEmpty else {
                throw ReplicationError(
                    .environment, "\(definition.source) stands still, and no row of it is applied",
                    remedy: "millrace status", table: definition.source)
            }
            try transaction.refuseOutdated(definition, state, layout, isWhole: true, but: options.excluded)
            let found = try transaction.putAsideEvents(definition, ids)
            let (batch, misfits, _) = RawBatch(definition, options.filter, equality, options.excluded).make(
                found.map(\.event))
            judge(batch, by: options.gate(definition), leavingOut: misfits)
            if batch.findings[0]?.gate.misfit != nil { return (Outcome(), []) }
            let chosen = Set(ids)
            var waiting = Set(batch.findings[0]?.refused ?? []).union(misfits.keys)
            waiting.formUnion(found.indices.filter { !chosen.contains(found[$0].id) }.map(Int32.init))
            var applier = BatchApplier(
                layout: layout, batch: batch, advances: [], loadedAt_us: loadedAt_us, probeAll: false, refused: [:],
                isReplay: true)
            if let gate = options.gate(definition) { waiting.formUnion(gate.untold(batch)) }
            waitWithRows(batch, &waiting)
            var promoted = found.indices.map(Int32.init).filter { !waiting.contains($0) }
            // What leans on a state that stays aside waits on, too. First settled, so that what they carry is found in raw.
            while !promoted.isEmpty {
                try transaction.settleQuarantine(promoted.map { found[Int($0)].id }, as: .replayed)
                var leaning: [Int32: TableGate.Rule] = [:]
                try applier.follow(0, promoted, state, &leaning, transaction)
                guard !leaning.isEmpty else { break }
                waiting.formUnion(leaning.keys)
                waitWithRows(batch, &waiting)
                let left = promoted.filter { waiting.contains($0) }
                try transaction.settleQuarantine(left.map { found[Int($0)].id }, as: .waiting)
                promoted.removeAll { waiting.contains($0) }
            }
            guard !promoted.isEmpty else { return (Outcome(), []) }
            batch.findings = [:]
            var refused: [Int32: String] = [:]
            for index in waiting { refused[index] = "" }
            let events = EventsByTable(batch, leavingOut: refused).events[0]
            var (entry, _) = try applier.replay(0, events, state, isPromoted: true, transaction)
            // They were accounted for when they were put aside.
            entry.quarantined -= events.count
            try applier.settle([entry])
            applier.record.loadedAt_us = loadedAt_us
            try transaction.record(applier.record)
            return (applier.outcome, Set(promoted.map { found[Int($0)].id }))
        }
    }
}

/// Events of raw as a batch again.
struct RawBatch {
    private let definition: TableDefinition
    private let filter: (any RowFilter)?
    private let filterColumns: [Int]
    private let judge = RowJudge()
    private let names: RawNames?
    /// Known ones: the table's, and those that are left out.
    private let columnNames: Set<String>
    /// Of a table with a key, and of one without.
    private let keyTemplate: KeyTemplate?
    private let imageTemplate: ImageTemplate?
    private let scratch = ByteArena(capacity: 1 << 10)

    init(
        _ definition: TableDefinition, _ filter: (any RowFilter)?, _ equality: KeyEquality, _ excluded: Set<String>
    ) {
        self.definition = definition
        self.filter = filter
        names = RawNames(definition)
        columnNames = excluded.union((definition.columns + definition.retired).map(\.name))
        filterColumns = filter?.indices(in: definition) ?? []
        keyTemplate = definition.isKeyless ? nil : KeyTemplate(definition, equality: equality)
        imageTemplate = definition.isKeyless ? ImageTemplate(columns: definition.columns) : nil
    }

    /// The batch has one table; its events are in the order given. `misfits`: events (indices) of which raw holds
    /// something that doesn't fit the table's columns as they are now, with reasons. `unknown`: a column that raw has and
    /// the table hasn't; its values are left out.
    func make(_ events: [DeferredEvent]) -> (batch: ChangeBatch, misfits: [Int32: String], unknown: String?) {
        let batch = ChangeBatch()
        batch.tables = [definition]
        batch.read = [0]
        if events.allSatisfy(\.hasImmediateKey) { batch.immediateKeys = [0] }
        var spans: [TopicPartition: Int32] = [:]
        var misfits: [Int32: String] = [:]
        var unknown: String?
        for deferred in events {
            let span = spans[deferred.partition] ?? Int32(spans.count)
            if spans[deferred.partition] == nil {
                spans[deferred.partition] = span
                batch.spans.append(.init(partition: deferred.partition, start: deferred.offset, end: deferred.offset))
            }
            let index = Int32(batch.events.count)
            do throws(Misfit) {
                try append(deferred, span, to: batch, &unknown)
            } catch {
                misfits[index] = error.reason
                batch.events.append(bare(deferred, span))
            }
        }
        return (batch, misfits, unknown)
    }

    private struct Misfit: Error { var reason: String }

    private func bare(_ deferred: DeferredEvent, _ span: Int32) -> ChangeEvent {
        let raw = deferred.event
        var event = ChangeEvent(
            operation: raw.operation, table: 0, version: raw.version, id: raw.id, offset: deferred.offset,
            sourceTime_us: raw.sourceTime_us)
        event.flags = deferred.flags ?? raw.flags
        event.span = span
        event.transaction = raw.transaction
        return event
    }

    private func append(
        _ deferred: DeferredEvent, _ span: Int32, to batch: ChangeBatch, _ unknown: inout String?
    ) throws(Misfit) {
        let raw = names?.event(deferred.event) ?? deferred.event
        var event = bare(deferred, span)
        let width = Int32(definition.columns.count)
        event.width = width
        func jsonNulls(isAfter: Bool) -> Set<String> {
            let all = deferred.jsonNulls(isAfter: isAfter)
            return names.map { Set($0.names(Array(all))) } ?? all
        }
        event.before = try image(raw.before, [], jsonNulls(isAfter: false), nil, batch, &unknown)
        event.after = try image(
            raw.after, Set(raw.unchanged), jsonNulls(isAfter: true), raw.version, batch, &unknown)
        if let key = raw.key { event.key = batch.arena.append(key) }
        if let other = raw.otherKey { event.otherKey = batch.arena.append(other) }
        if event.after >= 0, (0..<Int(width)).contains(where: { !batch.field(event.after, $0, width: width).isKnown }) {
            event.flags.insert(.partial)
        }
        func field(_ image: Int32) -> (Int) -> Field { { batch.field(image, $0, width: width) } }
        if let imageTemplate {
            func hash(_ image: Int32) -> EventID {
                imageTemplate.hash(width: Int(width), in: batch.arena, scratch: scratch, field: field(image))
            }
            if event.before >= 0 { event.imageBefore = hash(event.before) }
            if event.after >= 0 { event.imageAfter = hash(event.after) }
        }
        if let keyTemplate, raw.operation != .truncate {
            let keyed = raw.operation == .delete ? event.before : event.after
            guard keyed >= 0 else { throw Misfit(reason: "raw holds no image of the event's row") }
            if !definition.keptTables.isEmpty {
                let isTold = definition.key.allSatisfy {
                    let field = batch.field(keyed, $0, width: width)
                    return field.isKnown && field.kind != .null
                }
                guard isTold else {
                    throw Misfit(reason: "raw holds the event under another key, and not the key of now")
                }
                let key = keyTemplate.appendKey(from: batch.arena, to: batch.arena, field: field(keyed))
                if event.key.isNull || !batch.arena.bytes(key).elementsEqual(batch.arena.bytes(event.key)) {
                    // A key change was one of the key that the table had: under this one nothing was moved by it.
                    event.otherKey = .null
                    event.flags.subtract([.moveCreate, .moveDelete])
                    event.key = key
                }
            }
            event.group = keyTemplate.appendGroup(from: batch.arena, to: batch.arena, field: field(keyed))
        }
        if let filter, deferred.flags == nil, event.after >= 0 {
            let verdict = judge.verdict(filter, filterColumns, definition, in: batch.arena, field: field(event.after))
            event.flags.formUnion(verdict.flags)
        }
        batch.events.append(event)
    }

    /// An event of before the column was there has what the column gave to rows then.
    private func absent(_ column: Column, _ version: Version?, _ batch: ChangeBatch) -> Field {
        guard let initial = column.initial, let version, version.commit <= initial.since else { return .absent }
        return initial.text.map { .stretch(.text, batch.arena.append($0)) } ?? .null
    }

    /// Index of the image's first field; -1 without an image.
    ///
    /// - Parameter version: of an image that shows the whole row.
    private func image(
        _ text: String?, _ unchanged: Set<String>, _ jsonNulls: Set<String>, _ version: Version?, _ batch: ChangeBatch,
        _ unknown: inout String?
    ) throws(Misfit) -> Int32 {
        guard let text else { return -1 }
        var fields: [Field] = []
        var reason: String?
        var other: String?
        let isRead: Bool? = try? JSONParser.withTape(of: Array(text.utf8)) { tape in
            guard tape.kind(tape.root) == .object else { return false }
            var members: [String: Int] = [:]
            for member in tape.children(tape.root) { if let name = tape.key(member) { members[name] = member } }
            other = members.keys.first { !columnNames.contains($0) }
            for column in definition.columns {
                guard let at = members[column.name] else {
                    fields.append(
                        unchanged.contains(column.name) ? .unchanged : absent(column, version, batch))
                    continue
                }
                if jsonNulls.contains(column.name) {
                    fields.append(.stretch(.json, batch.arena.append("null")))
                    continue
                }
                guard let field = FieldJSONDecode.field(tape, at, column.type, to: batch.arena) else {
                    reason = "raw holds a value of column \(column.name) that doesn't fit its type"
                    return false
                }
                fields.append(field)
            }
            return true
        }
        unknown = unknown ?? other
        guard isRead == true else { throw Misfit(reason: reason ?? "raw holds an image that isn't JSON") }
        let start = Int32(batch.fields.count)
        batch.fields.append(contentsOf: fields)
        return start
    }
}
