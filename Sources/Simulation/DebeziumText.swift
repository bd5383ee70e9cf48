import Replication

/// A record of the simulated log.
struct LogRecord: Sendable {
    var key: String?
    var value: String?
    var header: (name: String, value: String)?
}

/// Debezium's JSON without schemas, as its Postgres connector writes it.
enum DebeziumText {
    static let placeholder = "__debezium_unavailable_value"

    /// The records of one change, each with the key that decides its partition (nil: none).
    static func records(_ change: RowChange, of transaction: ModelTransaction) -> [LogRecord] {
        let table = ModelTable.all[change.table]
        let source = source(table, change.lsn, transaction)
        // Without it a table without a key can't tell an event that comes again at once from its twin.
        let place = (transaction.changes.firstIndex { $0.lsn == change.lsn } ?? 0) + 1
        let metadata =
            table.isKeyless
            ? "{\"id\":\"\(transaction.xid):\(change.lsn)\",\"total_order\":\(place),\"data_collection_order\":\(place)}"
            : "null"
        func record(_ operation: String, key row: ModelRow?, before: String, after: String) -> LogRecord {
            LogRecord(
                key: row.flatMap { key($0, table) },
                value: """
                    {"before":\(before),"after":\(after),"source":\(source),"transaction":\(metadata),"op":"\(operation)",\
                    "ts_ms":\(transaction.time_us / 1000)}
                    """)
        }
        switch change.kind {
        case .insert(let row):
            return [record("c", key: row, before: "null", after: image(row, table))]
        case .update(let old, let new, let unchanged):
            guard change.events(table) == 2 else {
                return [
                    record(
                        "u", key: new, before: table.isKeyless ? image(old, table) : "null",
                        after: image(new, table, unchanged: unchanged))
                ]
            }
            var gone = record("d", key: old, before: keyImage(old, table), after: "null")
            gone.header = ("__debezium.newkey", key(new, table) ?? "")
            var made = record(
                "c", key: new, before: "null", after: image(new, table, unchanged: unchanged))
            made.header = ("__debezium.oldkey", key(old, table) ?? "")
            return [gone, LogRecord(key: key(old, table), value: nil), made]
        case .delete(let old):
            let before = table.isKeyless ? image(old, table) : keyImage(old, table)
            return [
                record("d", key: old, before: before, after: "null"),
                LogRecord(key: key(old, table), value: nil),
            ]
        case .truncate: return [record("t", key: nil, before: "null", after: "null")]
        }
    }

    private static func source(_ table: ModelTable, _ lsn: Int64, _ transaction: ModelTransaction) -> String {
        let last = transaction.previous.map { "\\\"\($0)\\\"" } ?? "null"
        return """
            {"version":"3.6.3.Final","connector":"postgresql","name":"sim","ts_ms":\(transaction.time_us / 1000),\
            "snapshot":"false","db":"sim","sequence":"[\(last),\\\"\(lsn)\\\"]","ts_us":\(transaction.time_us),\
            "schema":"\(table.id.schema)","table":"\(table.id.table)","txId":\(transaction.xid),"lsn":\(lsn),"xmin":null}
            """
    }

    private static func value(_ text: String?, _ type: String) -> String {
        guard let text else { return "null" }
        return type == "bigint" ? text : JSONText.quoted(text)
    }

    private static func image(_ row: ModelRow, _ table: ModelTable, unchanged: Bool = false) -> String {
        let members = zip(table.columns, row).enumerated().map { place, cell in
            let isLeftOut = unchanged && place == table.toasted
            return "\"\(cell.0.name)\":" + value(isLeftOut ? placeholder : cell.1, cell.0.type)
        }
        return "{\(members.joined(separator: ","))}"
    }

    /// Under REPLICA IDENTITY DEFAULT only the key is real.
    private static func keyImage(_ row: ModelRow, _ table: ModelTable) -> String {
        image(row.enumerated().map { table.key.contains($0.offset) ? $0.element : nil }, table)
    }

    static func key(_ row: ModelRow, _ table: ModelTable) -> String? {
        guard !table.isKeyless else { return nil }
        let members = table.key.map { "\"\(table.columns[$0].name)\":" + value(row[$0], table.columns[$0].type) }
        return "{\(members.joined(separator: ","))}"
    }
}
