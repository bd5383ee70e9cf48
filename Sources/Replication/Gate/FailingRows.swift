/// Rows of one table that aren't as expected, as the events of one source transaction so far leave them.
///
/// A row is what its key tells, wherever the transaction moves it. What an event doesn't tell of a column is what the event
/// before left there.
struct FailingRows {
    /// What a row fails, and the event that leaves it so.
    struct Mark {
        /// In the batch at hand, if it is of that.
        var event: Int32
        var position: String
    }

    /// By the place of the rule.
    typealias Marks = [Int32: Mark]

    /// One entry a row; of a table without a key one for each of those with the same image.
    private(set) var rows: [[UInt8]: [Marks]] = [:]
    /// By the key that they had, as raw has it.
    private var moved: [[UInt8]: Marks] = [:]

    var isEmpty: Bool { rows.isEmpty && moved.isEmpty }
    /// A row that fails has left its key, and hasn't come under the next one yet.
    var isOnItsWay: Bool { !moved.isEmpty }

    /// - Parameter fails: a rule of the event's own.
    mutating func step(
        _ index: Int32, of batch: ChangeBatch, _ gate: TableGate, fails: Bool, _ desk: inout RowDesk
    ) {
        let event = batch.events[Int(index)]
        if event.operation == .truncate {
            rows = [:]
            moved = [:]
        } else if event.group.isNull {
            stepKeyless(event, index, batch, gate, fails: fails, &desk)
        } else if fails || !isEmpty {
            stepKeyed(event, index, batch, gate, &desk)
        }
    }

    private mutating func stepKeyless(
        _ event: ChangeEvent, _ index: Int32, _ batch: ChangeBatch, _ gate: TableGate, fails: Bool,
        _ desk: inout RowDesk
    ) {
        if event.before >= 0, var twins = rows[event.imageBefore.bytes] {
            twins.removeLast()
            rows[event.imageBefore.bytes] = twins.isEmpty ? nil : twins
        }
        guard fails, event.after >= 0, !event.flags.contains(.contained) else { return }
        let marks = gate.marks(index, of: batch, after: [:], &desk)
        if !marks.isEmpty { rows[event.imageAfter.bytes, default: []].append(marks) }
    }

    private mutating func stepKeyed(
        _ event: ChangeEvent, _ index: Int32, _ batch: ChangeBatch, _ gate: TableGate, _ desk: inout RowDesk
    ) {
        let key = Array(batch.arena.bytes(event.group))
        guard event.operation != .delete else {
            if event.flags.contains(.moveDelete) { moved[Array(batch.arena.bytes(event.key))] = rows[key]?.first }
            guard let marks = rows[key]?.first else { return }
            if Self.ends(event, marks, batch) { rows[key] = nil }
            return
        }
        let isMoved = event.flags.contains(.moveCreate) && !event.otherKey.isNull
        let before = isMoved ? moved.removeValue(forKey: Array(batch.arena.bytes(event.otherKey))) : rows[key]?.first
        // The table's `where` rejects it: in current it is a delete.
        let marks =
            event.flags.contains(.filtered) ? [:] : gate.marks(index, of: batch, after: before ?? [:], &desk)
        rows[key] = marks.isEmpty ? nil : [marks]
    }

    /// Whether the delete is of the row that failed. Where the key is checked at the transaction's end, it may be of another
    /// one that had the key before; what can't be told stays.
    private static func ends(_ event: ChangeEvent, _ marks: Marks, _ batch: ChangeBatch) -> Bool {
        if batch.immediateKeys.contains(Int(event.table)) { return true }
        guard event.before >= 0, let failing = marks.values.first?.event, failing >= 0 else { return false }
        let row = batch.events[Int(failing)]
        var tells = false
        for column in 0..<Int(min(event.width, row.width)) where !batch.tables[Int(event.table)].key.contains(column) {
            let (old, new) = (
                batch.field(event.before, column, width: event.width), batch.field(row.after, column, width: row.width)
            )
            guard old.isKnown, new.isKnown, old.kind != .null else { continue }
            tells = true
            let isSame =
                old.inArena && new.inArena ? batch.bytes(old).elementsEqual(batch.bytes(new)) : old.bits == new.bits
            guard old.kind == new.kind, isSame else { return false }
        }
        return tells
    }

    /// Events that leave rows so, each with the rule.
    var failures: [(event: Int32, rule: Int32)] {
        rows.values.joined().flatMap { marks in marks.map { ($0.value.event, $0.key) } }
    }

    /// Another batch is at hand.
    mutating func leaveBatch() {
        rows = rows.mapValues { $0.map { $0.mapValues { Mark(event: -1, position: $0.position) } } }
        moved = moved.mapValues { $0.mapValues { Mark(event: -1, position: $0.position) } }
    }

    mutating func forget(_ keys: some Sequence<[UInt8]>) { for key in keys { rows[key] = nil } }
}

extension EventID {
    var bytes: [UInt8] {
        withUnsafeBytes(of: high.bigEndian) { Array($0) } + withUnsafeBytes(of: low.bigEndian) { Array($0) }
    }
}
