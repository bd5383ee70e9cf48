/// Coalesces a batch's events of one keyed table to one staged row a key.
///
/// Events of a key are folded in version order, not in order of arrival, by the same registers that
/// merge with the warehouse; so any cut of a stream into batches stages the same end.
package struct Coalescer {
    package struct Result {
        package var staged: StagedTable
        package var compacted = 0
        package var filtered = 0
        /// Events of each key with a delete behind a create of the same source transaction, in order of version.
        package var doubtful: [[Int32]] = []
        /// For masked rows of several events: the oldest one's version, by index into `staged.rows`.
        package var oldest: [Int: Version] = [:]
        /// Moves of keys on themselves (see `MoveDependency`) that events of this batch may change.
        package var spared: Set<MoveDependency> = []
        /// Creates of moved keys that lack columns: event indices.
        package var carrying: [Int32] = []
        /// Carried columns for rows whose create isn't what this batch writes to their key; written behind `staged`.
        package var carried: StagedTable
    }

    private let batch: ChangeBatch
    private let definition: TableDefinition
    private let floors: [Version]
    private var result: Result

    /// - Parameters:
    ///   - events: indices of the table's row events (no truncates), each once, and none that raw has.
    ///   - floors: versions of the table's truncates: the stored floor and the batch's own, ascending.
    package static func coalesce(
        _ batch: ChangeBatch, table: Int, events: [Int32], floors: [Version]
    ) -> Result {
        var coalescer = Coalescer(batch: batch, table: table, floors: floors)
        coalescer.run(events)
        return coalescer.result
    }

    private init(batch: ChangeBatch, table: Int, floors: [Version]) {
        self.batch = batch
        definition = batch.tables[table]
        self.floors = floors
        let empty = StagedTable(table: table, definition: definition)
        result = Result(staged: empty, carried: empty)
    }

    private mutating func run(_ events: [Int32]) {
        // A copied row that the table's filter rejects writes nothing: no older state of it can be there to hide.
        let isHidden: ChangeEvent.Flags = [.fresh, .filtered]
        let hidden = definition.isFiltered ? events.count { batch.events[Int($0)].flags.isSuperset(of: isHidden) } : 0
        result.filtered += hidden
        let events =
            hidden == 0 ? events : events.filter { !batch.events[Int($0)].flags.isSuperset(of: isHidden) }
        result.staged.rows.reserveCapacity(events.count)
        let groups = KeyGroups(batch: batch, events: events)
        var several: [Int32] = []
        for first in groups.heads {
            if groups.next[first] < 0 {
                single(events[first])
            } else {
                several.removeAll(keepingCapacity: true)
                var at = Int32(first)
                while at >= 0 {
                    several.append(events[Int(at)])
                    at = groups.next[Int(at)]
                }
                fold(&several)
            }
        }
    }

    private mutating func single(_ index: Int32) {
        let event = batch.events[Int(index)]
        if event.flags.isDisjoint(with: [.partial, .filtered, .undecided]) && event.width == definition.columns.count
            || event.operation == .delete
        {
            appendRow(event, index, mode: event.operation == .delete ? .keep : .full)
        } else {
            var one = [index]
            fold(&one)
        }
    }

    private mutating func appendRow(_ event: ChangeEvent, _ index: Int32, mode: StagedRow.Mode) {
        let isDelete = event.operation == .delete
        result.staged.rows.append(
            StagedRow(
                mode: mode, isDeleted: isDelete, counts: true, event: index,
                image: isDelete ? event.before : event.after, width: event.width, version: event.version,
                time_us: event.sourceTime_us, isNew: Self.makesRow(event)))
    }

    private static func makesRow(_ event: ChangeEvent) -> Bool {
        event.operation == .create || event.operation == .read
    }

    private mutating func fold(_ indices: inout [Int32]) {
        let events = batch.events
        indices.sort {
            let a = events[Int($0)]
            let b = events[Int($1)]
            return a.version != b.version ? a.version < b.version : $0 < $1
        }
        let columns = definition.columns.count
        var registers = [ColumnRegister](repeating: .unseen, count: columns)
        var values = [Field](repeating: .absent, count: columns)
        var last: Int32 = -1
        var created: (epoch: Int64, transaction: Int64)?
        var isDoubtful = false
        for index in indices {
            let event = events[Int(index)]
            if event.transaction >= 0 {
                if event.operation == .create { created = (event.version.epoch, event.transaction) }
                if event.operation == .delete, let created, created == (event.version.epoch, event.transaction) {
                    isDoubtful = true
                }
            }
            if last >= 0 {
                account(compacted: events[Int(last)])
            }
            last = index
            step(event, index, &registers, &values)
        }
        if isDoubtful { result.doubtful.append(indices) }
        let event = events[Int(last)]
        let filtered = !event.flags.isDisjoint(with: [.filtered, .undecided])
        if filtered { result.filtered += 1 }
        let isDeleted = filtered || event.operation == .delete

        let image = Int32(batch.fields.count)
        for column in 0..<columns {
            // A deleted row keeps the last values that had arrived; a live one shows only what it knows.
            let keep = isDeleted ? values[column].isKnown : registers[column].isKnown
            batch.fields.append(keep ? values[column] : .unchanged)
        }
        if isDeleted {
            for column in 0..<columns { registers[column].isKnown = values[column].isKnown }
        }
        let complete = registers.allSatisfy {
            $0.isKnown && ($0.own == event.version || isDeleted) && $0.carried.isNone
        }
        var row = StagedRow(
            mode: complete ? .full : .masked, isDeleted: isDeleted, counts: !filtered, event: last, image: image,
            width: Int32(columns), version: event.version, time_us: event.sourceTime_us,
            isNew: Self.makesRow(events[Int(indices[0])]))
        if !complete {
            row.registers = Int32(result.staged.registers.count)
            result.staged.registers.append(registers)
            if indices.count > 1 { result.oldest[result.staged.rows.count] = events[Int(indices[0])].version }
        }
        result.staged.rows.append(row)
    }

    private mutating func step(
        _ event: ChangeEvent, _ index: Int32, _ registers: inout [ColumnRegister], _ values: inout [Field]
    ) {
        let floor = RowMerge.floor(below: event.version, floors)
        if !floor.isNone {
            let void = ColumnRegister(own: floor, isKnown: false)
            for column in registers.indices where void > registers[column] { registers[column] = void }
        }
        let deletes = event.operation == .delete || !event.flags.isDisjoint(with: [.filtered, .undecided])
        let image = event.operation == .delete ? event.before : event.after
        let unknown = ColumnRegister(own: event.version, isKnown: false)
        var carries = false
        for column in registers.indices {
            let field = batch.field(image, column, width: event.width)
            if deletes {
                registers[column] = unknown
                if definition.key.contains(column) { values[column] = field }
            } else if field.isKnown {
                registers[column] = ColumnRegister(own: event.version, isKnown: true)
                values[column] = field
            } else if field.kind == .unchanged && event.flags.contains(.moveCreate) {
                registers[column] = unknown
                values[column] = .unchanged
                carries = true
            }
        }
        if carries { result.carrying.append(index) }
    }

    private mutating func account(compacted event: ChangeEvent) {
        if event.flags.isDisjoint(with: [.filtered, .undecided]) {
            result.compacted += 1
        } else {
            result.filtered += 1
        }
    }
}

/// Chains of events with equal keys: `next[i]` is the following element of `events` with the same
/// group bytes, or -1; `heads` are the first ones, in order of appearance.
struct KeyGroups {
    private(set) var heads: [Int] = []
    private(set) var next: [Int32]

    init(batch: ChangeBatch, events: [Int32]) {
        next = [Int32](repeating: -1, count: events.count)
        var capacity = 16
        while capacity < events.count * 2 { capacity *= 2 }
        let mask = capacity - 1
        // Slots hold the chain's last element; `first` leads back to where its key stands.
        var slots = [Int32](repeating: -1, count: capacity)
        heads.reserveCapacity(events.count)
        batch.events.withUnsafeBufferPointer { all in
            for index in events.indices {
                let key = batch.arena.bytes(all[Int(events[index])].group)
                var slot = Int(truncatingIfNeeded: Self.hash(key)) & mask
                while true {
                    let tail = slots[slot]
                    if tail < 0 {
                        slots[slot] = Int32(index)
                        heads.append(index)
                        break
                    }
                    let other = batch.arena.bytes(all[Int(events[Int(tail)])].group)
                    if key.count == other.count && Self.equal(key, other) {
                        next[Int(tail)] = Int32(index)
                        slots[slot] = Int32(index)
                        break
                    }
                    slot = (slot + 1) & mask
                }
            }
        }
    }

    @inline(__always)
    private static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var hash = Hash128()
        hash.add(bytes)
        return hash.finish().low
    }

    @inline(__always)
    private static func equal(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
        var at = 0
        while at + 8 <= a.count {
            if a.loadUnaligned(fromByteOffset: at, as: UInt64.self)
                != b.loadUnaligned(fromByteOffset: at, as: UInt64.self)
            {
                return false
            }
            at += 8
        }
        while at < a.count {
            if a[at] != b[at] { return false }
            at += 1
        }
        return true
    }
}
