import Replication
import ReplicationTestKit

/// A table of the simulated source.
struct ModelTable: Sendable {
    let id: TableID
    let oid: UInt32
    let columns: [(name: String, type: String)]
    /// Places of the key's columns, in the key's order; empty: none, and REPLICA IDENTITY FULL.
    let key: [Int]
    /// The column that is left out of an update that doesn't change it.
    let toasted: Int?

    var isKeyless: Bool { key.isEmpty }

    static let all: [ModelTable] = [
        ModelTable(
            id: TableID(schema: "public", table: "items"), oid: 16_401,
            columns: [("id", "bigint"), ("n", "bigint"), ("note", "text")], key: [0], toasted: 2),
        ModelTable(
            id: TableID(schema: "public", table: "pairs"), oid: 16_402,
            columns: [("a", "bigint"), ("b", "text"), ("v", "text")], key: [1, 0], toasted: 2),
        ModelTable(
            id: TableID(schema: "public", table: "heap"), oid: 16_403,
            columns: [("v", "bigint"), ("w", "text")], key: [], toasted: nil),
    ]
}

/// A row as Postgres' text, in the order of its table's columns.
typealias ModelRow = [String?]

struct RowChange: Sendable {
    enum Kind: Sendable {
        case insert(ModelRow)
        /// `unchanged`: the toasted column isn't sent.
        case update(old: ModelRow, new: ModelRow, unchanged: Bool)
        case delete(ModelRow)
        case truncate
    }

    var table: Int
    /// Where it stands in the log: transactions that overlap have their changes between each other.
    var lsn: Int64
    var kind: Kind

    /// A key change is two events.
    func events(_ table: ModelTable) -> Int {
        if case .update(let old, let new, _) = kind, !table.isKeyless, table.key.contains(where: { old[$0] != new[$0] })
        {
            return 2
        }
        return 1
    }
}

struct ModelTransaction: Sendable {
    var xid: Int64
    var changes: [RowChange] = []
    var commitLSN: Int64 = 0
    var endLSN: Int64 = 0
    /// The commit before it.
    var previous: Int64?
    var time_us: Int64 = 0
}

/// What a source did, from a seed: transactions in the order of their commits, with the tables after each.
package struct SourceModel: Sendable {
    package struct Shape: Sendable {
        package var keys = 5
        package var transactions = 14
        package var truncates = true
        package var moves = true
        package var keyless = true

        package init() {}
    }

    struct HeldRow: Sendable {
        var values: ModelRow
        /// Which block of the table it lies in: an update moves it.
        var block: Int
    }

    private(set) var transactions: [ModelTransaction] = []
    /// Rows per table before the first transaction and after each.
    private(set) var states: [[[HeldRow]]]

    static let start: Int64 = 1000

    private struct Row {
        let number: Int
        var values: ModelRow
        var block: Int
        var lockedBy: Int64?
    }

    private enum Undo {
        case insert(table: Int, number: Int)
        case restore(table: Int, row: Row)
    }

    private struct Open {
        var transaction: ModelTransaction
        var undo: [Undo] = []
        var keys: Set<String> = []
    }

    package init(seed: UInt64, shape: Shape = .init()) {
        states = [ModelTable.all.map { _ in [] }]
        var maker = Maker(random: SeededRandom(seed: seed), shape: shape)
        maker.run()
        transactions = maker.done
        states = maker.states
    }

    /// Where the log ends after so many transactions.
    func end(_ count: Int) -> Int64 { count == 0 ? Self.start : transactions[count - 1].endLSN }

    /// How many transactions end at or before a position.
    func count(upTo position: Int64) -> Int {
        Self.count(of: transactions.count) { transactions[$0].endLSN <= position }
    }

    /// How many of so many, in their order, are of a kind that all before them are, too.
    static func count(of all: Int, _ isBefore: (Int) -> Bool) -> Int {
        var (low, high) = (0, all)
        while low < high {
            let middle = (low + high) / 2
            if isBefore(middle) { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Has them commit at other times than those that the log's positions stand for.
    mutating func commit(at times_us: [Int64]) {
        for (index, time_us) in times_us.enumerated() { transactions[index].time_us = time_us }
    }

    /// Rows as the memory warehouse shows live ones, as texts, sorted.
    func live(_ table: Int, after count: Int) -> [String] {
        states[count][table].map { Self.text($0.values) }.sorted()
    }

    static func text(_ row: ModelRow) -> String { row.map { $0 ?? "∅" }.joined(separator: "|") }

    /// Makes the history: up to three transactions are open at a time, and what one has changed the others leave alone.
    private struct Maker {
        var random: SeededRandom
        let shape: Shape
        var rows: [[Row]] = ModelTable.all.map { _ in [] }
        var open: [Open] = []
        var done: [ModelTransaction] = []
        var states: [[[HeldRow]]] = [ModelTable.all.map { _ in [] }]
        var lsn = SourceModel.start
        var xid: Int64 = 700
        var number = 0
        var step = 0

        mutating func run() {
            while done.count < shape.transactions {
                if open.isEmpty || open.count < 3 && random.chance(20) {
                    xid += 1
                    open.append(Open(transaction: ModelTransaction(xid: xid)))
                }
                let index = random.below(open.count)
                switch random.below(100) {
                case ..<72: change(index)
                case ..<94: commit(index)
                default: abort(index)
                }
            }
        }

        private mutating func tick() -> Int64 {
            lsn += Int64(8 * (1 + random.below(6)))
            return lsn
        }

        private mutating func change(_ index: Int) {
            step += 1
            let tables = shape.keyless ? ModelTable.all.count : 2
            let table = random.below(tables)
            let mine = open[index].transaction.xid
            if shape.truncates, random.below(100) < 3 {
                // It waits for everybody who touched the table.
                guard rows[table].allSatisfy({ $0.lockedBy == nil || $0.lockedBy == mine }),
                    open.indices.allSatisfy({ other in
                        other == index || !open[other].transaction.changes.contains { $0.table == table }
                    })
                else { return }
                for row in rows[table] { open[index].undo.append(.restore(table: table, row: row)) }
                rows[table] = []
                add(index, table, .truncate)
                // And lets nobody in before it ends.
                commit(index)
                return
            }
            let free = rows[table].indices.filter { rows[table][$0].lockedBy.map { $0 == mine } ?? true }
            let roll = random.below(100)
            if free.isEmpty || roll < 35 {
                insert(index, table)
            } else {
                let at = free[random.below(free.count)]
                roll < 55 ? delete(index, table, at) : update(index, table, at)
            }
        }

        private mutating func add(_ index: Int, _ table: Int, _ kind: RowChange.Kind) {
            open[index].transaction.changes.append(RowChange(table: table, lsn: tick(), kind: kind))
        }

        private mutating func values(_ table: Int) -> ModelRow {
            let key = "\(random.below(shape.keys))"
            let text: String? = random.chance(20) ? nil : "t\(step)"
            switch table {
            case 0: return [key, "\(step)", text]
            case 1: return [key, "k\(random.below(2))", text]
            // Twins on purpose.
            default: return ["\(random.below(3))", random.chance(30) ? nil : "w\(random.below(2))"]
            }
        }

        /// Nobody has the key, and nobody who is still open had it.
        private func isFree(_ table: Int, _ values: ModelRow, for index: Int, leavingOut number: Int = -1) -> Bool {
            let model = ModelTable.all[table]
            guard !model.isKeyless else { return true }
            let key = keyName(table, values)
            if rows[table].contains(where: { $0.number != number && keyName(table, $0.values) == key }) { return false }
            return open.indices.allSatisfy { $0 == index || !open[$0].keys.contains(key) }
        }

        private func keyName(_ table: Int, _ values: ModelRow) -> String {
            "\(table):" + ModelTable.all[table].key.map { values[$0] ?? "" }.joined(separator: "|")
        }

        private mutating func insert(_ index: Int, _ table: Int) {
            let values = values(table)
            guard isFree(table, values, for: index) else { return }
            number += 1
            rows[table].append(
                Row(number: number, values: values, block: random.below(4), lockedBy: open[index].transaction.xid))
            open[index].undo.append(.insert(table: table, number: number))
            if !ModelTable.all[table].isKeyless { open[index].keys.insert(keyName(table, values)) }
            add(index, table, .insert(values))
        }

        private mutating func delete(_ index: Int, _ table: Int, _ at: Int) {
            let row = rows[table].remove(at: at)
            open[index].undo.append(.restore(table: table, row: row))
            if !ModelTable.all[table].isKeyless { open[index].keys.insert(keyName(table, row.values)) }
            add(index, table, .delete(row.values))
        }

        private mutating func update(_ index: Int, _ table: Int, _ at: Int) {
            let model = ModelTable.all[table]
            let old = rows[table][at]
            var new = values(table)
            if !model.isKeyless, !shape.moves || random.chance(70) {
                for column in model.key { new[column] = old.values[column] }
            }
            var unchanged = false
            if let toasted = model.toasted, random.chance(60) {
                new[toasted] = old.values[toasted]
                // Null isn't toasted.
                unchanged = new[toasted] != nil
            }
            guard isFree(table, new, for: index, leavingOut: old.number) else { return }
            open[index].undo.append(.restore(table: table, row: old))
            if !model.isKeyless {
                open[index].keys.insert(keyName(table, old.values))
                open[index].keys.insert(keyName(table, new))
            }
            rows[table][at].values = new
            rows[table][at].block = random.below(4)
            rows[table][at].lockedBy = open[index].transaction.xid
            add(index, table, .update(old: old.values, new: new, unchanged: unchanged))
        }

        private mutating func commit(_ index: Int) {
            var transaction = open.remove(at: index).transaction
            for table in rows.indices {
                for at in rows[table].indices where rows[table][at].lockedBy == transaction.xid {
                    rows[table][at].lockedBy = nil
                }
            }
            guard !transaction.changes.isEmpty else { return }
            transaction.commitLSN = tick()
            transaction.endLSN = transaction.commitLSN + 8
            lsn = transaction.endLSN
            transaction.previous = done.last?.commitLSN
            transaction.time_us = 1_700_000_000_000_000 + transaction.commitLSN * 1000
            done.append(transaction)
            states.append(committed())
        }

        /// Rows without what is open, by undoing it on a copy.
        private func committed() -> [[HeldRow]] {
            var copy = self
            while !copy.open.isEmpty { copy.abort(copy.open.count - 1) }
            return copy.rows.map { $0.map { HeldRow(values: $0.values, block: $0.block) } }
        }

        private mutating func abort(_ index: Int) {
            let gone = open.remove(at: index)
            for undo in gone.undo.reversed() {
                switch undo {
                case .insert(let table, let number): rows[table].removeAll { $0.number == number }
                case .restore(let table, let row):
                    rows[table].removeAll { $0.number == row.number }
                    rows[table].append(row)
                }
            }
            for table in rows.indices {
                for at in rows[table].indices where rows[table][at].lockedBy == gone.transaction.xid {
                    rows[table][at].lockedBy = nil
                }
            }
        }
    }
}
