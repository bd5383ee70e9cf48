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
            return Rule(name: expectation.name, origin: expectation.origin, onFail: expectation.onFail)
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
        for index in events {
            let event = batch.events[Int(index)]
            // What the table's `where` rejects is a delete in current.
            guard event.after >= 0, !event.flags.contains(.filtered), event.operation != .delete else { continue }
            for (place, rule) in tests.enumerated() {
                let field = batch.field(event.after, rule.column, width: event.width)
                var verdict = rule.test.verdict(field, in: batch.arena, &desk)
                if verdict == .unknown, field.kind == .unchanged, event.before >= 0 {
                    verdict = rule.test.verdict(
                        batch.field(event.before, rule.column, width: event.width), in: batch.arena, &desk)
                }
                switch verdict {
                case .pass, .null, .unknown: break
                case .fail:
                    if findings.failures.count < Self.failures_max || findings.failures.last?.event != index {
                        findings.failures.append((index, Int32(place)))
                    }
                }
            }
        }
        if byTransaction, !findings.failures.isEmpty { findings.leaveOutPassing(batch, events) }
        return findings
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
            if !found.isEmpty { findings[index] = found }
        }
    }
}

/// What a gate found in the events of a batch's table. Events are indices into the batch.
package struct GateFindings: Sendable {
    package let gate: TableGate
    package let byTransaction: Bool
    /// Failing rows are put aside, whatever their rules say.
    package var putsAside = false
    /// By event; `rule` is a place in the gate's rules.
    package var failures: [(event: Int32, rule: Int32)] = []

    /// A table may be held for them, which takes its lock.
    var mayHold: Bool {
        // Too many rows that are put aside hold it, too.
        gate.misfit != nil || failures.count > BatchApplier.putAside_max
            || failures.contains { action($0.rule) == .hold }
    }

    /// What the rule at a place does with what fails it.
    func action(_ rule: Int32) -> Expectation.OnFail {
        let onFail = gate.rules[Int(rule)].onFail
        return putsAside && onFail != .warn ? .quarantineRow : onFail
    }

    package var isEmpty: Bool { failures.isEmpty && gate.misfit == nil }

    /// Events that may not come into current.
    var refused: [Int32] { failures.filter { gate.rules[Int($0.rule)].onFail != .warn }.map(\.event) }

    /// Takes out what a later event of the same row and transaction has put right, or away.
    fileprivate mutating func leaveOutPassing(_ batch: ChangeBatch, _ events: [Int32]) {
        let failing = Set(failures.map(\.event))
        var last: [GateRow: Version] = [:]
        for index in failing {
            if let row = GateRow(batch, index, byTransaction: true) { last[row] = batch.events[Int(index)].version }
        }
        guard !last.isEmpty else { return }
        for index in events {
            let event = batch.events[Int(index)]
            if event.operation == .truncate {
                for (row, version) in last where row.transaction == event.transaction && version < event.version {
                    last[row] = event.version
                }
            } else {
                for row in GateRow.touched(batch, index) {
                    if let known = last[row], known < event.version { last[row] = event.version }
                }
            }
        }
        failures.removeAll { failure in
            guard let row = GateRow(batch, failure.event, byTransaction: true), let version = last[row] else {
                return false
            }
            return batch.events[Int(failure.event)].version < version
        }
    }

    /// Those of some events, as the others were delivered before.
    func among(_ chosen: [Int32]) -> GateFindings {
        var found = self
        let chosen = Set(chosen)
        found.failures.removeAll { !chosen.contains($0.event) }
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

extension EventID {
    fileprivate var bytes: [UInt8] {
        withUnsafeBytes(of: high.bigEndian) { Array($0) } + withUnsafeBytes(of: low.bigEndian) { Array($0) }
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
