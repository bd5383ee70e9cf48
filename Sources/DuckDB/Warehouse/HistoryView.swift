import Replication

extension TableSQL {
    /// The SCD 2 view: each state of each row with the half-open interval `[valid_from, valid_to)` in the source's
    /// time, made from raw's events in version order.
    ///
    /// A column that an event didn't send has the last value known of the row since it was last deleted; one that a
    /// key change carried over is NULL until the row's next full event, as its value lies under another key. A
    /// float's negative zero shows as 0. Rows that a `where` keeps out of current are here all the same.
    var createHistory: String {
        let sql = TableSQL(definition.withHistory, layout)
        return "CREATE OR REPLACE VIEW \(history) AS \(definition.isKeyless ? sql.keylessHistory : sql.keyedHistory)"
    }

    /// A column's value in an image, under whatever name it had when the event came.
    static func member(_ column: Column, of object: String) -> String {
        let values = column.namesInRaw.reversed().map {
            "json_extract(\(object), \(SQLName.literal(ColumnForm.pointer(to: $0))))"
        }
        return values.count == 1 ? values[0] : "coalesce(\(values.joined(separator: ", ")))"
    }

    /// A keyless row is named by the event that made it.
    private var keylessHistory: String {
        """
        SELECT \(definition.columns.indices.map { "c.\(column($0))" }.joined(separator: ", ")), \
        r.source_ts AS valid_from, c.\(deletedAt) AS valid_to, c.\(isDeleted) IS NOT TRUE AS is_current \
        FROM \(current) c LEFT JOIN \(raw) r ON r.event_id = c.\(Self.rowID)
        """
    }

    private var keyedHistory: String {
        let marked = forms.contains(where: \.needsExactNumbers)
        let after = marked ? "CAST(\(ExactNumbers.marked("CAST(after AS VARCHAR)")) AS JSON)" : "CAST(after AS JSON)"
        let order = "ORDER BY e, c, s"
        let known = forms.indices.map { index in
            let value = Self.member(definition.columns[index], of: "after")
            return """
                last_value(\(value) IGNORE NULLS) OVER \
                (PARTITION BY k, life \(order) ROWS UNBOUNDED PRECEDING) AS v\(index)
                """
        }
        let columns = forms.enumerated().map { index, form in
            "\(form.typed(json: "v\(index)", marked: marked)) AS \(SQLName.quoted(form.name))"
        }
        let version = "\(Self.epoch) AS e, \(Self.commit) AS c, \(Self.seq) AS s, source_ts AS t"
        return """
            WITH events AS (\
            SELECT CAST(key AS VARCHAR) AS k, op, \(version), \(after) AS after FROM \(raw) WHERE op <> 't' \
            AND CAST(key AS VARCHAR) LIKE '{%' UNION ALL \
            SELECT keys.k, r.op, r.\(Self.epoch), r.\(Self.commit), r.\(Self.seq), r.source_ts, NULL \
            FROM \(raw) r, (SELECT DISTINCT CAST(key AS VARCHAR) AS k FROM \(raw) WHERE op <> 't' \
            AND CAST(key AS VARCHAR) LIKE '{%') AS keys \
            WHERE r.op = 't'), \
            lives AS (\
            SELECT *, count(*) FILTER (WHERE op IN ('d', 't')) OVER \
            (PARTITION BY k \(order) ROWS UNBOUNDED PRECEDING) AS life, \
            lead(t) OVER (PARTITION BY k \(order)) AS until, \
            lead(e) OVER (PARTITION BY k \(order)) IS NULL AS is_last FROM events), \
            states AS (SELECT op, t, until, is_last, \(known.joined(separator: ", ")) FROM lives) \
            SELECT \(columns.joined(separator: ", ")), t AS valid_from, \
            CASE WHEN NOT is_last THEN coalesce(until, t) END AS valid_to, is_last AS is_current \
            FROM states WHERE op NOT IN ('d', 't')
            """
    }
}
