import Postgres
import Replication

/// pgoutput's messages and copied rows, as a server would send them.
enum PgOutputText {
    /// - Parameter added: a column that the table got.
    static func facts(_ table: ModelTable, copiedAt: Int64? = nil, traits: Bool = false, added: String? = nil)
        -> [UInt8]
    {
        let key = table.key.map { table.columns[$0].name }
        var facts = RelationFacts(
            oid: table.oid, table: table.id, key: key,
            identity: table.isKeyless ? table.columns.map(\.name) : key, isFull: table.isKeyless,
            columns: table.columns + (added.map { [($0, "bigint")] } ?? []), copiedAt: copiedAt)
        if traits {
            for (place, column) in facts.columns.enumerated() {
                facts.traits[column.name] = .init(number: place + 1, isNotNull: false)
            }
        }
        return Array(facts.json.utf8)
    }

    static func begin(_ transaction: ModelTransaction) -> [UInt8] {
        var bytes = Bytes("B")
        bytes.put(transaction.commitLSN)
        bytes.put(transaction.time_us - 946_684_800_000_000)
        bytes.put(UInt32(transaction.xid))
        return bytes.all
    }

    static func commit(_ transaction: ModelTransaction) -> [UInt8] {
        var bytes = Bytes("C")
        bytes.all.append(0)
        bytes.put(transaction.commitLSN)
        bytes.put(transaction.endLSN)
        bytes.put(transaction.time_us - 946_684_800_000_000)
        return bytes.all
    }

    static func relation(_ table: ModelTable, added: String? = nil) -> [UInt8] {
        let columns = table.columns + (added.map { [($0, "bigint")] } ?? [])
        var bytes = Bytes("R")
        bytes.put(table.oid)
        bytes.put(table.id.schema)
        bytes.put(table.id.table)
        bytes.all.append(table.isKeyless ? UInt8(ascii: "f") : UInt8(ascii: "d"))
        bytes.put(UInt16(columns.count))
        for (place, column) in columns.enumerated() {
            bytes.all.append(table.key.contains(place) || table.isKeyless ? 1 : 0)
            bytes.put(column.name)
            bytes.put(UInt32(column.type == "bigint" ? 20 : 25))
            bytes.put(UInt32.max)
        }
        return bytes.all
    }

    static func change(_ change: RowChange) -> [UInt8] {
        let table = ModelTable.all[change.table]
        switch change.kind {
        case .insert(let row):
            var bytes = Bytes("I")
            bytes.put(table.oid)
            bytes.put(row, kind: "N")
            return bytes.all
        case .update(let old, let new, let unchanged):
            var bytes = Bytes("U")
            bytes.put(table.oid)
            if table.isKeyless {
                bytes.put(old, kind: "O")
            } else if table.key.contains(where: { old[$0] != new[$0] }) {
                bytes.put(identity(old, table), kind: "K")
            }
            bytes.put(new, kind: "N", unchanged: unchanged ? table.toasted : nil)
            return bytes.all
        case .delete(let old):
            var bytes = Bytes("D")
            bytes.put(table.oid)
            bytes.put(table.isKeyless ? old : identity(old, table), kind: table.isKeyless ? "O" : "K")
            return bytes.all
        case .truncate:
            var bytes = Bytes("T")
            bytes.put(UInt32(1))
            bytes.all.append(0)
            bytes.put(table.oid)
            return bytes.all
        }
    }

    /// As COPY writes it; the model's values have nothing to escape.
    static func copied(_ row: ModelRow) -> [UInt8] {
        Array((row.map { $0 ?? "\\N" }.joined(separator: "\t") + "\n").utf8)
    }

    private static func identity(_ row: ModelRow, _ table: ModelTable) -> ModelRow {
        row.enumerated().map { table.key.contains($0.offset) ? $0.element : nil }
    }

    private struct Bytes {
        var all: [UInt8]

        init(_ kind: StaticString) { all = [kind.utf8Start[0]] }

        mutating func put(_ value: some FixedWidthInteger) {
            withUnsafeBytes(of: value.bigEndian) { all.append(contentsOf: $0) }
        }

        mutating func put(_ text: String) {
            all.append(contentsOf: text.utf8)
            all.append(0)
        }

        mutating func put(_ row: ModelRow, kind: StaticString, unchanged: Int? = nil) {
            all.append(kind.utf8Start[0])
            put(UInt16(row.count))
            for (place, value) in row.enumerated() {
                if place == unchanged {
                    all.append(UInt8(ascii: "u"))
                } else if let value {
                    all.append(UInt8(ascii: "t"))
                    put(UInt32(value.utf8.count))
                    all.append(contentsOf: value.utf8)
                } else {
                    all.append(UInt8(ascii: "n"))
                }
            }
        }
    }
}
