/// What a table expects of each row, as its events are held against it before they are promoted to current.
///
/// A state is judged once a source transaction, as the last of the row's events in it leaves it, where `byTransaction`;
/// else each event's is. What an event doesn't tell of a row (an unchanged column) was judged when it came.
package final class TableGate: Sendable {
    package struct Rule: Sendable, Hashable {
        /// As people read it: `not_null(order_id)`.
        package let name: String
        /// Where it stands in the pipeline file.
        package let origin: String
        package let onFail: Expectation.OnFail
    }

    /// In the order of the table's expectations.
    package let rules: [Rule]
    private let tests: [RowExpectations.Rule]
    /// A hard rule that can't be held against the table: what it would say of a row, nobody knows.
    package let misfit: (rule: Rule, message: String)?

    /// Nil: nothing is expected of single rows. Expectations of a part of the rows (`mostly`) aren't about single ones.
    ///
    /// - Parameter hashed: columns that the warehouse has as hashes.
    package init?(_ expectations: [Expectation], of table: TableDefinition, hashed: Set<String> = []) {
        let single = expectations.filter(\.isGated)
        guard !single.isEmpty, table.hasShape else { return nil }
        let made = RowExpectations(single, of: table, hashed: hashed)
        func rule(_ index: Int) -> Rule {
            let expectation = single[index]
            // Without a key nothing tells a row that was put aside from the one that its end is for.
            let onFail = table.isKeyless && expectation.onFail == .quarantineRow ? .hold : expectation.onFail
            return Rule(name: expectation.name, origin: expectation.origin, onFail: onFail)
        }
        rules = made.rules.map { rule($0.index) }
        tests = made.rules
        misfit = made.misfits.first { single[$0.index].onFail != .warn }.map { (rule($0.index), $0.misfit.message) }
    }

    /// How many failures of one batch are counted; of further rows only the first rule that they fail.
    private static let failures_max = 1_000_000

    /// What became of the events of a batch's table.
    package func judge(
        _ batch: ChangeBatch, _ events: [Int32], byTransaction: Bool, _ desk: inout RowDesk
    ) -> GateFindings {
        var findings = GateFindings(gate: self, byTransaction: byTransaction)
        findings.judged = events.count
        // The table is held, whatever its rows are.
        guard misfit == nil else { return findings }
        for index in events {
            let event = batch.events[Int(index)]
            // What the table's `where` rejects is a delete in current.
            guard event.after >= 0, event.flags.isDisjoint(with: [.filtered, .contained]), event.operation != .delete
            else { continue }
            for place in tests.indices where verdict(index, place, of: batch, &desk) == .fail {
                if findings.failures.count < Self.failures_max || findings.failures.last?.event != index {
                    findings.failures.append((index, Int32(place)))
                }
            }
        }
        findings.all = findings.failures
        if byTransaction, !findings.failures.isEmpty { settle(&findings, batch, events, &desk) }
        return findings
    }

    private func verdict(_ index: Int32, _ place: Int, of batch: ChangeBatch, _ desk: inout RowDesk) -> RowVerdict {
        let (event, rule) = (batch.events[Int(index)], tests[place])
        let field = batch.field(event.after, rule.column, width: event.width)
        let verdict = rule.test.verdict(field, in: batch.arena, &desk)
        guard verdict == .unknown, field.kind == .unchanged, event.before >= 0 else { return verdict }
        return rule.test.verdict(
            batch.field(event.before, rule.column, width: event.width), in: batch.arena, &desk)
    }

    /// Events of which nobody can say here that they are as expected: they don't tell of a column, and nor does an event of
    /// the row before them.
    func untold(_ batch: ChangeBatch) -> Set<Int32> {
        var desk = RowDesk()
        var told: [[UInt8]: Set<Int>] = [:]
        var untold: Set<Int32> = []
        let ordered = batch.events.indices.sorted { batch.events[$0].version < batch.events[$1].version }
        for index in ordered.map(Int32.init) {
            guard let key = GateRow.key(batch, index) else { continue }
            guard batch.events[Int(index)].operation != .delete else {
                told[key] = []
                continue
            }
            for place in tests.indices where rules[place].onFail != .warn {
                switch verdict(index, place, of: batch, &desk) {
                case .pass, .null: told[key, default: []].insert(place)
                case .unknown: if told[key]?.contains(place) != true { untold.insert(index) }
                case .fail: told[key]?.remove(place)
                }
            }
        }
        return untold
    }

    /// What a row fails behind an event.
    ///
    /// - Parameter before: what it failed before that, which goes on for columns that the event doesn't tell of.
    func marks(
        _ index: Int32, of batch: ChangeBatch, after before: FailingRows.Marks, _ desk: inout RowDesk
    ) -> FailingRows.Marks {
        var marks: FailingRows.Marks = [:]
        let event = batch.events[Int(index)]
        for place in tests.indices {
            let verdict = verdict(index, place, of: batch, &desk)
            guard verdict == .fail || verdict == .unknown && before[Int32(place)] != nil else { continue }
            marks[Int32(place)] = FailingRows.Mark(
                event: index, position: "\(batch.spans[Int(event.span)].partition)@\(event.offset)")
        }
        return marks
    }

    /// Whether what rules that hold or stop found is set right by later events of the batch: what all of them together
    /// leave of a row is as expected.
    func isMended(_ batch: ChangeBatch, _ events: [Int32], _ findings: GateFindings) -> Bool {
        // Rows that are put aside may take with them what would set others right.
        guard misfit == nil, !findings.failures.contains(where: { findings.action($0.rule) == .quarantineRow }) else {
            return false
        }
        let failing = Set(findings.all.map(\.event))
        var (rows, desk) = (FailingRows(), RowDesk())
        for index in events.sorted(by: { batch.events[Int($0)].version < batch.events[Int($1)].version }) {
            rows.step(index, of: batch, self, fails: failing.contains(index), &desk)
        }
        return !rows.isOnItsWay && !rows.failures.contains { findings.blocks($0.rule) }
    }

    /// Leaves of the failures of each source transaction what its last events leave.
    private func settle(
        _ findings: inout GateFindings, _ batch: ChangeBatch, _ events: [Int32], _ desk: inout RowDesk
    ) {
        let failing = Set(findings.failures.map(\.event))
        var transactions: [Int64: FailingRows] = [:]
        for index in failing where batch.events[Int(index)].transaction >= 0 {
            transactions[batch.events[Int(index)].transaction] = FailingRows()
        }
        guard !transactions.isEmpty else { return }
        let ordered = events.filter { transactions[batch.events[Int($0)].transaction] != nil }.sorted {
            batch.events[Int($0)].version < batch.events[Int($1)].version
        }
        for index in ordered {
            transactions[batch.events[Int(index)].transaction]?.step(
                index, of: batch, self, fails: failing.contains(index), &desk)
        }
        findings.failures.removeAll { batch.events[Int($0.event)].transaction >= 0 }
        findings.failures += transactions.values.flatMap(\.failures)
        findings.failures.sort { ($0.event, $0.rule) < ($1.event, $1.rule) }
    }
}

extension ChangeBatch {
    /// Of a batch that doesn't come with the stream.
    ///
    /// - Parameter putsAside: whatever the rules say, failing rows alone are kept out.
    package func judge(by gate: (TableDefinition) -> TableGate?, putsAside: Bool = false) {
        var desk = RowDesk()
        let byTable = EventsByTable(self, leavingOut: [:])
        for (index, definition) in tables.enumerated() where !byTable.events[index].isEmpty {
            guard let gate = gate(definition) else { continue }
            var found = gate.judge(self, byTable.events[index], byTransaction: true, &desk)
            found.putsAside = putsAside
            findings[index] = found
        }
    }
}

/// What a gate found in the events of a batch's table. Events are indices into the batch.
package struct GateFindings: Sendable {
    package let gate: TableGate
    package let byTransaction: Bool
    /// How many events were looked at.
    var judged = 0
    /// Failing rows are put aside, whatever their rules say.
    package var putsAside = false
    /// What fails is set right by later events of the batch, which is promoted as a whole: nothing is held for it.
    var isMended = false
    /// By event; `rule` is a place in the gate's rules. Of source transactions what they leave.
    package var failures: [(event: Int32, rule: Int32)] = []
    /// Whatever became of the row in the same transaction.
    var all: [(event: Int32, rule: Int32)] = []

    /// A table may be held for them, which takes its lock.
    ///
    /// What an event sets right stands again where that one is refused, or came before.
    var mayHold: Bool { gate.misfit != nil || isMass || all.contains { action($0.rule) == .hold } }

    /// So many rows are to be put aside that the table is at fault, and is held; not where somebody has asked for it.
    var isMass: Bool {
        guard !putsAside, failures.count > BatchApplier.putAside_max else { return false }
        let rows = Set(failures.lazy.filter { action($0.rule) == .quarantineRow }.map(\.event))
        return rows.count > BatchApplier.putAside_max
    }

    /// What the rule at a place does with what fails it.
    func action(_ rule: Int32) -> Expectation.OnFail {
        let onFail = gate.rules[Int(rule)].onFail
        if isMended, onFail == .hold || onFail == .stop { return .warn }
        return putsAside && onFail != .warn ? .quarantineRow : onFail
    }

    /// The rule at a place lets nothing of the table pass for what fails it.
    func blocks(_ rule: Int32) -> Bool { action(rule) == .hold || action(rule) == .stop }

    package var isEmpty: Bool { failures.isEmpty && gate.misfit == nil }

    /// Events that may not come into current.
    var refused: [Int32] { failures.filter { gate.rules[Int($0.rule)].onFail != .warn }.map(\.event) }

    /// Those of some events, where the others were delivered before or are refused.
    func among(_ chosen: [Int32], of batch: ChangeBatch) -> GateFindings {
        guard chosen.count != judged, !all.isEmpty else { return self }
        var desk = RowDesk()
        var found = gate.judge(batch, chosen, byTransaction: byTransaction, &desk)
        found.putsAside = putsAside
        found.isMended = isMended
        return found
    }
}

/// One row in one source transaction.
struct GateRow: Hashable {
    /// In the form in which equal keys are equal; of a table without a key its image's hash.
    let key: [UInt8]
    /// -1: of this event alone.
    let transaction: Int64
    /// Nil but where no transaction is told.
    private let event: EventID?

    /// Nil: it is no row of a transaction that is told, where that is asked for.
    init?(_ batch: ChangeBatch, _ index: Int32, byTransaction: Bool) {
        let event = batch.events[Int(index)]
        guard !byTransaction || event.transaction >= 0 else { return nil }
        key = event.group.isNull ? event.imageAfter.bytes : Array(batch.arena.bytes(event.group))
        transaction = byTransaction ? event.transaction : -1
        self.event = byTransaction ? nil : event.id
    }

    private init(_ key: [UInt8], _ transaction: Int64) {
        self.key = key
        self.transaction = transaction
        event = nil
    }

    /// Of the row that an event leaves; nil of a truncate.
    static func key(_ batch: ChangeBatch, _ index: Int32) -> [UInt8]? {
        let event = batch.events[Int(index)]
        guard event.operation != .truncate else { return nil }
        if !event.group.isNull { return Array(batch.arena.bytes(event.group)) }
        return (event.imageAfter == .zero ? event.imageBefore : event.imageAfter).bytes
    }

    /// Rows that an event is about: of a table without a key the one that it ends and the one that it adds.
    static func touched(_ batch: ChangeBatch, _ index: Int32) -> [GateRow] {
        let event = batch.events[Int(index)]
        guard event.transaction >= 0 else { return [] }
        if !event.group.isNull { return [GateRow(Array(batch.arena.bytes(event.group)), event.transaction)] }
        return [event.imageBefore, event.imageAfter].filter { $0 != .zero }.map {
            GateRow($0.bytes, event.transaction)
        }
    }
}

extension Expectation {
    /// Each row is held against it before it is promoted.
    package var isGated: Bool { check.isOfRow && mostly == .all }

    /// As people read it: `not_null(order_id)`.
    package var name: String {
        let columns = check.columns.joined(separator: ", ")
        return columns.isEmpty ? check.name : "\(check.name)(\(columns))"
    }
}
