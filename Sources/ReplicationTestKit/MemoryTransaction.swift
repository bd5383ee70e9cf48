package import Replication

/// The reference implementation of `WarehouseTransaction`: plain loops over values, slow and obvious.
package final class MemoryTransaction: WarehouseTransaction {
    /// Guards that a test may take out, to see that something fails without them.
    package enum Guard: String, CaseIterable, Sendable {
        case versionTest, duplicateProbe, truncateFloor, columnVersions, moves, sparedDeletes, deferral, erasures
    }

    package var without: Set<Guard> = []
    private let store: MemoryStore
    /// What `commit` made durable.
    package var committed: MemoryTables { store.tables }
    var working = MemoryTables()
    /// The staged rows' keys, in the form in which equal keys are equal.
    var groups: [String] = []
    /// Asked at every step by its name; throws what a test wants to go wrong there.
    package var fault: ((String) throws -> Void)?
    package var agreements = Agreements()

    package init(_ tables: MemoryTables = .init()) { store = MemoryStore(tables) }

    /// On tables that others write, too.
    package init(store: MemoryStore) { self.store = store }

    func step(_ name: String) throws { try fault?(name) }

    package func begin() throws {
        try step("begin")
        working = committed
    }

    package func lock(_ tables: [TableID], exclusive: Bool) throws -> [TableID: TableState] {
        try step("lock")
        var states = working.states.filter { tables.contains($0.key) }
        for table in tables where working.definitions[table]?.hasShape == true {
            states[table, default: .init()].isMade = true
            states[table]?.digest = working.definitions[table].map { Int64($0.hashValue) }
        }
        for table in tables where working.erasures[table] != nil && !without.contains(.erasures) {
            states[table, default: .init()].hasErasures = true
        }
        for table in tables where working.acceptsOlder { states[table, default: .init()].acceptsOlder = true }
        for hold in working.holds where tables.contains(hold.table) {
            states[hold.table, default: .init()].holds.insert(hold.kind)
        }
        if without.contains(.truncateFloor) { for table in states.keys { states[table]?.floor = .none } }
        return states
    }

    package func storedDefinition(_ table: TableID) throws -> TableDefinition? {
        try step("storedDefinition")
        return working.definitions[table]
    }

    package func assertOwned(_ advances: [CheckpointAdvance]) throws -> [Checkpoint] {
        try step("assertOwned")
        for advance in advances {
            let stored = working.checkpoints[advance.partition]
            guard stored?.token == advance.token, stored?.position == advance.from else {
                throw ReplicationError(.fenced, "\(advance.partition): another agent has claimed it")
            }
        }
        return Array(working.checkpoints.values)
    }

    package func knownEvents(_ table: TableDefinition, _ batch: ChangeBatch, _ events: [Int32]) throws -> Set<Int32> {
        try step("knownEvents")
        guard !without.contains(.duplicateProbe) else { return [] }
        let ids = working.rawIDs[table.source] ?? []
        return Set(events.filter { ids.contains(batch.events[Int($0)].id) })
    }

    package func appendRaw(_ table: TableDefinition, _ batch: ChangeBatch, _ events: [Int32]) throws {
        try step("appendRaw")
        for index in events {
            let event = batch.events[Int(index)]
            let isNew = working.rawIDs[table.source, default: []].insert(event.id).inserted
            guard isNew || without.contains(.duplicateProbe) else {
                throw ReplicationError(
                    .duplicateRaw, "\(table.source): an event is in raw already", table: table.source)
            }
            working.raw[table.source, default: []].append(RawEvent(event, table, in: batch, isStored: true))
            if batch.spans.indices.contains(Int(event.span)) {
                working.places[event.id] = (batch.spans[Int(event.span)].partition, event.offset)
            }
        }
    }

    private func json(_ field: Field, _ type: ColumnType, _ batch: ChangeBatch) -> String {
        let sink = ByteArena()
        FieldText.appendJSON(field, type, from: batch.arena, to: sink)
        return sink.string(ByteRange(offset: 0, length: sink.count))
    }

    // MARK: Keyed tables

    package func stage(_ staged: StagedTable, _ batch: ChangeBatch) throws {
        try step("stage")
        groups = staged.rows.map { group($0, staged.definition, batch) }
    }

    private func group(_ row: StagedRow, _ table: TableDefinition, _ batch: ChangeBatch) -> String {
        let sink = ByteArena()
        let range = KeyTemplate(table).appendGroup(from: batch.arena, to: sink) {
            batch.field(row.image, $0, width: row.width)
        }
        return sink.string(range)
    }

    package func storedRows(_ staged: StagedTable, sparse: Bool) throws -> [StoredRow] {
        try step("storedRows")
        guard !without.contains(.columnVersions) else { return [] }
        let rows = working.current[staged.definition.source] ?? [:]
        var found: [StoredRow] = []
        for (index, row) in staged.rows.enumerated() {
            guard let stored = rows[groups[index]] else { continue }
            let isReached = sparse && !stored.columnVersions.isEmpty && stored.version >= row.version
            guard row.mode == .masked || isReached else { continue }
            found.append(
                StoredRow(
                    row: index, version: stored.version, isDeleted: stored.isDeleted,
                    columnVersions: stored.columnVersions))
        }
        return found
    }

    package func insertNew(
        _ staged: StagedTable, _ rows: [Int], _ batch: ChangeBatch, loadedAt_us: Int64
    ) throws -> Bool {
        try step("insertNew")
        var new = staged
        new.rows = rows.map { staged.rows[$0] }
        groups = new.rows.map { group($0, staged.definition, batch) }
        let current = working.current[staged.definition.source] ?? [:]
        guard groups.allSatisfy({ current[$0] == nil }) else { return false }
        return try merge(new, batch, patches: [], loadedAt_us: loadedAt_us).superseded.isEmpty
    }

    package func merge(
        _ staged: StagedTable, _ batch: ChangeBatch, patches: [RowPatch], loadedAt_us: Int64
    ) throws -> MergeAnswer {
        try step("merge")
        let table = staged.definition
        var rows = working.current[table.source] ?? [:]
        var answer = MergeAnswer(applied: 0, superseded: [], filled: 0)
        let patched = Dictionary(uniqueKeysWithValues: patches.map { ($0.row, $0) })
        for (index, row) in staged.rows.enumerated() {
            if without.contains(.sparedDeletes), row.settles { continue }
            let stored = rows[groups[index]]
            let patch = patched[index]
            var passes = patch.map { $0.kind == .advance } ?? (stored.map { $0.version < row.version } ?? true)
            if without.contains(.versionTest), patch == nil { passes = true }
            if row.counts {
                if passes {
                    answer.applied += 1
                } else {
                    answer.superseded.append(index)
                    answer.newer[index] = stored.map {
                        NewerRow(time_us: $0.sourceUpdatedAt_us ?? .min, isRead: $0.version.seq == 0)
                    }
                }
            }
            guard passes || patch?.kind == .fill else { continue }
            var next =
                stored
                ?? MemoryRow(
                    values: [:], key: keyText(row, table, batch), version: row.version, isDeleted: row.isDeleted,
                    loadedAt_us: loadedAt_us)
            for (column, definition) in table.columns.enumerated() {
                let field = batch.field(row.image, column, width: row.width)
                let take = patch?.take[column] ?? defaultTake(row, staged, column, field, isNew: stored == nil)
                if take == RowPatch.null { next.values[definition.name] = nil }
                if take == RowPatch.fromStage {
                    next.values[definition.name] = field.isKnown ? json(field, definition.type, batch) : nil
                }
            }
            next.loadedAt_us = loadedAt_us
            if passes {
                next.version = row.version
                next.isDeleted = row.isDeleted
                next.deletedAt_us = row.isDeleted ? row.time_us : nil
                next.sourceUpdatedAt_us = row.time_us
                next.key = keyText(row, table, batch)
            } else {
                answer.filled += 1
            }
            next.columnVersions =
                patch != nil
                ? patch?.columnVersions.flatMap(ColumnVersions.init(json:)) ?? .init() : staged.columnVersions(row)
            rows[groups[index]] = next
        }
        working.current[table.source] = rows
        return answer
    }

    private func defaultTake(
        _ row: StagedRow, _ staged: StagedTable, _ column: Int, _ field: Field, isNew: Bool
    ) -> UInt8 {
        if staged.definition.key.contains(column) || row.mode == .full { return RowPatch.fromStage }
        if row.mode == .keep { return isNew ? RowPatch.null : RowPatch.fromStored }
        return field.isKnown ? RowPatch.fromStage : (isNew || !row.isDeleted ? RowPatch.null : RowPatch.fromStored)
    }

    private func keyText(_ row: StagedRow, _ table: TableDefinition, _ batch: ChangeBatch) -> String {
        let parts = table.key.map { column in
            JSONText.quoted(table.columns[column].name) + ":"
                + json(batch.field(row.image, column, width: row.width), table.columns[column].type, batch)
        }
        return "{" + parts.joined(separator: ",") + "}"
    }

    package func truncate(
        _ table: TableDefinition, version: Version, time_us: Int64, loadedAt_us: Int64
    ) throws -> Int {
        try step("truncate")
        var changed = 0
        for (key, var row) in working.current[table.source] ?? [:] where row.version < version {
            row.version = version
            row.isDeleted = true
            row.deletedAt_us = time_us
            row.sourceUpdatedAt_us = time_us
            row.loadedAt_us = loadedAt_us
            row.columnVersions = .init()
            working.current[table.source]?[key] = row
            changed += 1
        }
        return changed
    }

    package func sparseRows(_ table: TableDefinition, above version: Version) throws -> [SparseRow] {
        try step("sparseRows")
        return (working.current[table.source] ?? [:]).values
            .filter { !$0.isDeleted && !$0.columnVersions.isEmpty && $0.version > version }
            .map { SparseRow(key: $0.key, version: $0.version, columnVersions: $0.columnVersions) }
    }

    // MARK: Keyless tables

    package func applyKeyless(
        _ table: TableDefinition, _ batch: ChangeBatch, inserts: [Int32], ends: [Int32], loadedAt_us: Int64
    ) throws -> KeylessAnswer {
        try step("applyKeyless")
        var rows = working.current[table.source] ?? [:]
        var answer = KeylessAnswer(inserted: 0, superseded: [], ended: 0, repeated: [], unmatched: [])
        for index in inserts {
            let event = batch.events[Int(index)]
            guard rows[event.id.text] == nil else {
                answer.superseded.append(index)
                continue
            }
            var values: [String: String] = [:]
            for (column, definition) in table.columns.enumerated() {
                let field = batch.field(event.after, column, width: event.width)
                if field.isKnown { values[definition.name] = json(field, definition.type, batch) }
            }
            rows[event.id.text] = MemoryRow(
                values: values, key: "", version: event.version, isDeleted: false,
                sourceUpdatedAt_us: event.sourceTime_us, loadedAt_us: loadedAt_us, rowID: event.id,
                rowImage: event.imageAfter)
            answer.inserted += 1
        }
        for index in ends {
            let event = batch.events[Int(index)]
            if rows.values.contains(where: { $0.endedBy == event.id }) {
                answer.repeated.append(index)
                continue
            }
            let oldest = rows.filter {
                !$0.value.isDeleted && $0.value.rowImage == event.imageBefore && $0.value.version < event.version
            }.min { ($0.value.version, $0.key) < ($1.value.version, $1.key) }
            guard let oldest else {
                answer.unmatched.append(index)
                continue
            }
            rows[oldest.key]?.isDeleted = true
            rows[oldest.key]?.version = event.version
            rows[oldest.key]?.deletedAt_us = event.sourceTime_us
            rows[oldest.key]?.sourceUpdatedAt_us = event.sourceTime_us
            rows[oldest.key]?.loadedAt_us = loadedAt_us
            rows[oldest.key]?.endedBy = event.id
            answer.ended += 1
        }
        working.current[table.source] = rows
        return answer
    }

    package func retract(_ table: TableDefinition, _ batch: ChangeBatch, inserts: [Int32]) throws {
        try step("retract")
        for index in inserts { working.current[table.source]?[batch.events[Int(index)].id.text] = nil }
    }

    // MARK: Raw, moves, the commit

    package func rawEvents(_ table: TableDefinition, keys: [String], truncates: Bool) throws -> [RawEvent] {
        try step("rawEvents")
        let wanted = Set(keys)
        return (working.raw[table.source] ?? []).filter { event in
            event.key.map { wanted.contains($0) } ?? (truncates && event.operation == .truncate)
        }
    }

    package func moves(_ table: TableID, oldKeys: [String]?) throws -> [MoveDependency] {
        try step("moves")
        guard !without.contains(.moves) else { return [] }
        return working.moves.filter { $0.table == table && (oldKeys?.contains($0.oldKey) ?? true) }
    }

    package func record(_ moves: [MoveDependency]) throws {
        try step("recordMoves")
        working.moves.formUnion(moves)
    }

    package func quarantine(_ entries: [QuarantineEntry], loadedAt_us: Int64) throws {
        guard !entries.isEmpty else { return }
        try step("quarantine")
        for entry in entries {
            working.quarantine.append(
                QuarantinedRecord(
                    id: Int64(working.quarantine.count + 1), entry: entry, state: .waiting, loadedAt_us: loadedAt_us))
        }
    }

    package func putOff(
        _ table: TableDefinition, _ batch: ChangeBatch, _ events: [Int32], hasImmediateKey: Bool
    ) throws {
        try step("putOff")
        guard !without.contains(.deferral) else { return }
        let known = Dictionary((working.raw[table.source] ?? []).map { ($0.id, $0) }) { first, _ in first }
        for index in events {
            let event = batch.events[Int(index)]
            guard let raw = known[event.id] else { continue }
            working.deferred[table.source, default: []].append(
                DeferredEvent(
                    event: raw, partition: batch.spans[Int(event.span)].partition, offset: event.offset,
                    flags: event.flags, hasImmediateKey: hasImmediateKey,
                    jsonNulls: DeferredEvent.jsonNulls(of: event, DeferredEvent.jsonColumns(table), in: batch)))
        }
    }

    package func deferredEvents(_ table: TableDefinition, limit: Int) throws -> [DeferredEvent] {
        try step("deferredEvents")
        let all = (working.deferred[table.source] ?? []).sorted { $0.event.version < $1.event.version }
        return Array(all.prefix(limit))
    }

    package func forgetDeferred(_ table: TableDefinition, _ events: [DeferredEvent]) throws {
        try step("forgetDeferred")
        let gone = Set(events.map(\.event.id))
        working.deferred[table.source]?.removeAll { gone.contains($0.event.id) }
    }

    package func allTables() throws -> [TableID] { working.definitions.keys.sorted() }

    package func epochs() throws -> SourceEpochs { working.epochs }

    package func holds(_ kind: TableHold.Kind) throws -> [TableHold] { working.holds.filter { $0.kind == kind } }

    package func firstLate(after time_us: Int64) throws -> Int64? {
        working.late.filter(\.isSuperseded).map(\.sourceTime_us).filter { $0 > time_us }.min()
    }

    package func highest(
        _ table: TableDefinition, before time_us: Int64?
    ) throws -> [TopicPartition: EpochSearch.Highest] {
        var found: [TopicPartition: EpochSearch.Highest] = [:]
        for event in working.raw[table.source] ?? [] where time_us.map({ event.sourceTime_us < $0 }) ?? true {
            guard let place = working.places[event.id] else { continue }
            if let known = found[place.partition], known.version > event.version { continue }
            found[place.partition] = .init(
                version: event.version, time_us: event.sourceTime_us == .min ? nil : event.sourceTime_us)
        }
        return found
    }

    package func first(
        _ table: TableDefinition, from time_us: Int64, below versions: [TopicPartition: Version]
    ) throws -> [TopicPartition: Int64] {
        var found: [TopicPartition: Int64] = [:]
        for event in working.raw[table.source] ?? [] where event.operation != .read && event.sourceTime_us >= time_us {
            guard let place = working.places[event.id], let highest = versions[place.partition], event.version < highest
            else { continue }
            found[place.partition] = min(found[place.partition] ?? .max, place.offset)
        }
        return found
    }

    package func renumber(
        _ table: TableDefinition, _ beginning: SourceEpochs.Beginning
    ) throws -> EpochChange.Renumbered {
        try step("renumber")
        let epochs = SourceEpochs([beginning])
        var found = EpochChange.Renumbered(superseded: 0, compacted: 0, others: 0)
        let late = working.late.filter { $0.isSuperseded && $0.table == table.source }
        let (ids, keys) = (Set(late.map(\.id)), Set(late.compactMap(\.key)))
        for index in (working.raw[table.source] ?? []).indices {
            guard var event = working.raw[table.source]?[index], let place = working.places[event.id] else { continue }
            let byTime = event.operation == .read ? .min : event.sourceTime_us
            guard epochs.epoch(of: place.partition, at: place.offset, time_us: byTime) == beginning.epoch else {
                continue
            }
            event.version.epoch = beginning.epoch
            working.raw[table.source]?[index] = event
            if let at = working.deferred[table.source]?.firstIndex(where: { $0.event.id == event.id }) {
                working.deferred[table.source]?[at].event = event
            } else {
                if ids.contains(event.id) {
                    found.superseded += 1
                } else if let key = event.key, keys.contains(key) {
                    found.compacted += 1
                } else {
                    found.others += 1
                }
                working.deferred[table.source, default: []].append(
                    DeferredEvent(
                        event: event, partition: place.partition, offset: place.offset, flags: nil,
                        hasImmediateKey: false))
            }
        }
        return found
    }

    package func store(_ beginning: SourceEpochs.Beginning, marks: [TopicPartition: [TableID: Version]]) throws {
        try step("storeEpoch")
        working.epochs = SourceEpochs(working.epochs.beginnings + [beginning])
        for index in working.holds.indices where working.holds[index].kind == .restored {
            working.holds[index].epoch = beginning.epoch
        }
        for (partition, versions) in marks { working.checkpoints[partition]?.marks.merge(versions) { max($0, $1) } }
        for partition in working.checkpoints.keys { working.checkpoints[partition]?.token += 1 }
    }

    package func acceptOlder(since_us: Int64) throws { working.acceptsOlder = true }

    package func hold(_ holds: [TableHold]) throws {
        try step("hold")
        for hold in holds where !working.holds.contains(where: { $0.table == hold.table && $0.kind == hold.kind }) {
            working.holds.append(hold)
        }
    }

    package func endHold(_ table: TableID, _ kind: TableHold.Kind) throws {
        try step("endHold")
        working.holds.removeAll { $0.table == table && $0.kind == kind }
    }

    package func record(_ commit: CommitRecord) throws {
        try step("record")
        working.ledger += commit.ledger
        working.control += commit.control
        working.late += commit.late
        for (table, var state) in commit.states {
            state.holds = []
            state.acceptsOlder = false
            working.states[table] = state
        }
        for mark in commit.copied {
            working.copied.removeAll { mark.replaces($0) }
            working.copied.append(mark)
        }
        for advance in commit.advances {
            var checkpoint = working.checkpoints[advance.partition] ?? Checkpoint(partition: advance.partition)
            checkpoint.position = advance.to
            checkpoint.lastOffset = advance.lastOffset ?? checkpoint.lastOffset
            checkpoint.lastHash = advance.lastHash ?? checkpoint.lastHash
            checkpoint.decoderState = advance.decoderState ?? checkpoint.decoderState
            checkpoint.marks.merge(commit.marks[advance.partition] ?? [:]) { max($0, $1) }
            if commit.newestSourceTime_us != .min {
                checkpoint.sourceTime_us = max(checkpoint.sourceTime_us ?? .min, commit.newestSourceTime_us)
            }
            working.checkpoints[advance.partition] = checkpoint
        }
    }

    package func commit() throws {
        try step("commit")
        store.commit(working)
        try step("committed")
    }

    package func rollback() { working = committed }

    /// Changes what is durable outside a batch: claims, definitions, settings of positions.
    package func amend(_ change: (inout MemoryTables) throws -> Void) rethrows { try store.amend(change) }
}
