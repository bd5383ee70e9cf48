/// An event that raw has and that a rule keeps out of current (`on_fail: quarantine_row`), as the quarantine names it.
package struct PutAside: Hashable, Sendable {
    /// As people read it: `not_null(order_id)`.
    package var rule: String
    package var event: EventID
    package var version: Version
    /// As raw has it; nil of a table without a key.
    package var key: String?
    /// As of what is deferred (`DeferredEvent.marks`).
    package var marks: Int16
    package var jsonNulls: String?

    package init(rule: String, event: EventID, version: Version, key: String?, marks: Int16, jsonNulls: String?) {
        self.rule = rule
        self.event = event
        self.version = version
        self.key = key
        self.marks = marks
        self.jsonNulls = jsonNulls
    }
}

/// What a rule found in one commit, as `_millrace.gates` adds it up.
package struct GateCount: Hashable, Sendable {
    package var table: TableID
    package var rule: TableGate.Rule
    /// States of rows that weren't as expected.
    package var rows: Int
    /// Where the first and the last of them stood: partition and offset.
    package var first: String
    package var last: String

    package init(table: TableID, rule: TableGate.Rule, rows: Int, first: String, last: String) {
        self.table = table
        self.rule = rule
        self.rows = rows
        self.first = first
        self.last = last
    }

    /// One entry a rule, in order of appearance.
    package static func sums(_ counts: [GateCount]) -> [GateCount] {
        var sums: [GateCount] = []
        for count in counts {
            if let at = sums.firstIndex(where: { $0.table == count.table && $0.rule == count.rule }) {
                sums[at].rows += count.rows
                sums[at].last = count.last
            } else {
                sums.append(count)
            }
        }
        return sums
    }
}
