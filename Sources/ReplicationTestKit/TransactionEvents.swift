/// Debezium's events and transaction metadata of a Postgres connector, made by hand, in the order of a source's commits.
///
/// Rows are of `public.<table> (id, balance)`.
package struct TransactionEvents: Sendable {
    package let prefix: String
    private var lsn: Int64 = 1000
    private var transaction: Int64 = 500

    package init(prefix: String = "shop") { self.prefix = prefix }

    package struct Event: Sendable {
        package var topic: String
        package var key: String
        package var value: String

        package init(topic: String, key: String, value: String) {
            self.topic = topic
            self.key = key
            self.value = value
        }
    }

    /// A transaction's records.
    package struct Transaction: Sendable {
        package var id: Int64
        package var begin: Event
        package var changes: [Event]
        package var end: Event
    }

    package func topic(_ table: String) -> String { "\(prefix).public.\(table)" }
    package var transactionTopic: String { prefix + ".transaction" }

    /// - Parameter rows: the states that the transaction leaves behind, one event each.
    package mutating func commit(
        _ rows: [(table: String, id: Int, balance: Int)], operation: String = "u"
    ) -> Transaction {
        transaction += 1
        let first = lsn + 10
        var perTable: [(table: String, count: Int)] = []
        let changes = rows.enumerated().map { index, row in
            lsn += 10
            let place = perTable.firstIndex { $0.table == row.table }
            if let place { perTable[place].count += 1 } else { perTable.append((row.table, 1)) }
            let order = perTable[place ?? perTable.count - 1].count
            return Event(
                topic: topic(row.table), key: Self.key(row.id),
                value: value(
                    row, operation,
                    """
                    {"id":"\(transaction):\(lsn)","total_order":\(index + 1),"data_collection_order":\(order)}
                    """, commit: first))
        }
        lsn += 10
        let collections = perTable.map { "{\"data_collection\":\"public.\($0.table)\",\"event_count\":\($0.count)}" }
        return Transaction(
            id: transaction,
            begin: boundary("BEGIN", "\(transaction):\(first)", "\"event_count\":null,\"data_collections\":null"),
            changes: changes,
            end: boundary(
                "END", "\(transaction):\(lsn)",
                "\"event_count\":\(rows.count),\"data_collections\":[\(collections.joined(separator: ","))]"))
    }

    /// A snapshot's read, or with another operation an event without transaction metadata.
    package mutating func loose(_ row: (table: String, id: Int, balance: Int), operation: String = "r") -> Event {
        lsn += 10
        return Event(topic: topic(row.table), key: Self.key(row.id), value: value(row, operation, "null", commit: lsn))
    }

    /// A record of no table.
    package func heartbeat(_ topic: String) -> Event {
        Event(topic: topic, key: "{\"serverName\":\"\(prefix)\"}", value: "{\"ts_ms\":\(1_700_000_000_000)}")
    }

    private func boundary(_ status: String, _ id: String, _ counts: String) -> Event {
        Event(
            topic: transactionTopic, key: "{\"id\":\"\(id)\"}",
            value: "{\"status\":\"\(status)\",\"id\":\"\(id)\",\(counts),\"ts_ms\":1700000000000}")
    }

    private func value(
        _ row: (table: String, id: Int, balance: Int), _ operation: String, _ transaction: String, commit: Int64
    ) -> String {
        let image = "{\"id\":\(row.id),\"balance\":\(row.balance)}"
        let source =
            "{\"version\":\"3.6.3\",\"connector\":\"postgresql\",\"name\":\"\(prefix)\",\"ts_ms\":1700000000000,"
            + "\"snapshot\":\"false\",\"db\":\"shop\",\"sequence\":\"[\\\"\(commit)\\\",\\\"\(lsn)\\\"]\","
            + "\"schema\":\"public\",\"table\":\"\(row.table)\",\"txId\":\(self.transaction),\"lsn\":\(lsn)}"
        return
            "{\"before\":\(operation == "d" ? image : "null"),\"after\":\(operation == "d" ? "null" : image),"
            + "\"source\":\(source),\"transaction\":\(transaction),\"op\":\"\(operation)\",\"ts_ms\":1700000000000}"
    }

    private static func key(_ id: Int) -> String { "{\"id\":\(id)}" }
}
