/// SQL over a table's past that both engines read the same way: `past` has its events with their keys as `k0`, `k1` …
package struct AsOfKeys: Sendable {
    /// Of the key's columns.
    private let count: Int

    package init(count: Int) { self.count = count }

    package func names(of row: String, _ prefix: String = "k") -> String {
        (0..<count).map { "\(row).\(prefix)\($0)" }.joined(separator: ", ")
    }

    /// - Parameter prefix: of `b`'s columns.
    package func same(_ a: String, _ b: String, _ prefix: String = "k") -> String {
        (0..<count).map { "\(a).k\($0) = \(b).\(prefix)\($0)" }.joined(separator: " AND ")
    }

    /// Of the events of one key, as `r`.
    package var order: String { "r.e, r.c, r.s, r.event_id" }

    /// `past` by key in order (`n`), with the number of deletes of the key before it (`life`). A delete that spared its key's
    /// row is nobody's life, and tells of the row that it ended.
    ///
    /// - Parameter spares: which of the rows `r` are such deletes; nil: there are none.
    package func nodes(spares: String?) -> String {
        let columns = "r.op, r.other_key, r.image, r.e, r.c, r.s, \(names(of: "r"))"
        let number = "row_number() OVER (ORDER BY \(names(of: "r")), \(order))"
        let spared = spares.map { "UNION ALL SELECT \(columns), -\(number), -\(number), false FROM past r WHERE \($0)" }
        return """
            node AS MATERIALIZED (
                SELECT \(columns), \(number) AS n,
                    count(*) FILTER (WHERE r.op = 'd') OVER (w ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS life,
                    lead(r.e) OVER w IS NULL AS is_last
                FROM past r\(spares.map { " WHERE NOT \($0)" } ?? "")
                WINDOW w AS (PARTITION BY \(names(of: "r")) ORDER BY \(order))
                \(spared ?? "")
            )
            """
    }
}
