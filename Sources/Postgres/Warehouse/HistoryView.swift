import Replication

extension TableSQL {
    /// The SCD 2 view: each state of each row with the half-open interval `[valid_from, valid_to)` in the source's
    /// time, made from raw's events in version order.
    ///
    /// A column that an event didn't send has the last value known of the row since it was last deleted, followed
    /// through key changes. Columns of a newer schema are NULL in older states. Rows that a `where` keeps out of current
    /// are here all the same. The interval stands first, so that columns that are added later go behind, and the view
    /// can be replaced under what depends on it.
    func createHistory(_ types: TypeNames) throws -> String {
        let sql = try TableSQL(definition.withHistory, layout)
        return "CREATE OR REPLACE VIEW \(history) AS "
            + (definition.isKeyless ? sql.keylessHistory : try sql.keyedHistory(types.types(sql.definition)))
    }

    /// Raw with images in which columns have the names that they have now.
    var rawImages: String {
        get throws {
            guard let names = RawNames(definition) else { return raw }
            let renames = try names.changed.sorted { $0.key < $1.key }.map { name, now in
                "WHEN \(try quoteLiteral(name)) THEN \(try now.map { try quoteLiteral($0) } ?? "NULL")"
            }
            func renamed(_ name: String) -> String { "CASE \(name) \(renames.joined(separator: " ")) ELSE \(name) END" }
            let columns = WarehouseSchema.rawColumns.map { column in
                switch column.name {
                case "before", "after":
                    """
                    (SELECT json_object_agg(\(renamed("m.key")), m.value) \
                    FROM json_each(\(Self.readable("x.\(column.name)"))) m \
                    WHERE \(renamed("m.key")) IS NOT NULL) AS \(column.name)
                    """
                case "unchanged":
                    """
                    (SELECT json_agg(\(renamed("u"))) FROM json_array_elements_text(x.unchanged) u \
                    WHERE \(renamed("u")) IS NOT NULL) AS unchanged
                    """
                default: "x.\"\(column.name)\""
                }
            }
            return "(SELECT \(columns.joined(separator: ", ")) FROM \(raw) x)"
        }
    }

    private func intervalName(_ name: String) -> String {
        var name = name
        while definition.columns.contains(where: { $0.name == name }) { name = "_" + name }
        return "\"\(name)\""
    }

    /// A keyless row is named by the event that made it.
    private var keylessHistory: String {
        """
        SELECT r.source_ts AS \(intervalName("valid_from")), c.\(deletedAt) AS \(intervalName("valid_to")), \
        c.\(isDeleted) IS NOT TRUE AS \(intervalName("is_current")), \
        \(columns.map { "c.\($0)" }.joined(separator: ", ")) \
        FROM \(current) c LEFT JOIN \(raw) r ON r.event_id = c.\(Self.rowID)
        """
    }

    private func keyedHistory(_ types: [String]) throws -> String {
        // What is kept as text for want of its type is an object in raw.
        let isNested = zip(definition.columns, types).map { NestedTextSQL.isNeeded($0.type, declared: $1) }
        let fields = columns.indices.map { "\(columns[$0]) \(isNested[$0] ? "json" : types[$0])" }
        let values = try columns.indices.map { index in
            isNested[index]
                ? try NestedTextSQL.column("a.\(columns[index])", definition.columns[index].type)
                    + " AS \(columns[index])" : "a.\(columns[index])"
        }
        let keyFields = definition.key.map { fields[$0] }.joined(separator: ", ")
        // By the typed key, so that keys are equal as current has them.
        let partition = definition.key.map { "k.\(columns[$0])" }.joined(separator: ", ")
        return """
            WITH event AS (
                SELECT r.op, \(Self.readable("r.after")) AS after, r.unchanged, r.key::text AS key_text, r.other_key::text AS other_text, r.source_ts,
                    r.\(Self.epoch) AS e, r.\(Self.commit) AS c, r.\(Self.seq) AS s,
                    lead(r.\(Self.epoch)) OVER w AS next_e, lead(r.\(Self.commit)) OVER w AS next_c,
                    lead(r.\(Self.seq)) OVER w AS next_s, lead(r.source_ts) OVER w AS next_ts
                FROM \(try rawImages) r CROSS JOIN LATERAL json_to_record(r.key) AS k(\(keyFields))
                WHERE r.op <> 't' AND left(r.key::text, 1) = '{'
                WINDOW w AS (PARTITION BY \(partition) ORDER BY \(Self.versionColumns("r")), r.event_id)
            )
            SELECT event.source_ts AS \(intervalName("valid_from")),
                CASE WHEN closed.e IS NOT NULL AND
                    (event.next_e IS NULL OR (closed.e, closed.c, closed.s) < (event.next_e, event.next_c, event.next_s))
                    THEN closed.source_ts ELSE event.next_ts END AS \(intervalName("valid_to")),
                event.next_e IS NULL AND closed.e IS NULL AS \(intervalName("is_current")),
                \(values.joined(separator: ", "))
            FROM event
            LEFT JOIN LATERAL (
                SELECT t.\(Self.epoch) AS e, t.\(Self.commit) AS c, t.\(Self.seq) AS s, t.source_ts FROM \(raw) t
                WHERE t.op = 't' AND (\(Self.versionColumns("t"))) > (event.e, event.c, event.s)
                ORDER BY \(Self.versionColumns("t")) LIMIT 1
            ) AS closed ON true
            CROSS JOIN LATERAL (
                SELECT CASE WHEN event.unchanged IS NULL THEN event.after ELSE \(try completed) END AS image
            ) AS whole
            CROSS JOIN LATERAL json_to_record(whole.image) AS a(\(fields.joined(separator: ", ")))
            WHERE event.op <> 'd'
            """
    }

    /// The server takes no JSON apart that has `\u0000` or half of a surrogate pair anywhere, which a json column may hold:
    /// in the view they are U+FFFD.
    static func readable(_ image: String) -> String {
        let low = #"\\u[dD][c-fC-F][0-9a-fA-F]{2}"#
        let high = #"\\u[dD][89abAB][0-9a-fA-F]{2}"#
        // Behind an even number of backslashes it is an escape.
        let pattern = #"(?<!\\)((?:\\\\)*)(?:\\u0000|\#(high)(?!\#(low))|(?<!\#(high))\#(low))"#
        return """
            CASE WHEN \(image)::text ~* '\\\\u(0000|d[89a-f])' \
            THEN regexp_replace(\(image)::text, '\(pattern)', '\\1\\ufffd', 'g')::json ELSE \(image) END
            """
    }

    /// The after-image with its unchanged columns looked up below it: only events that lack some pay for that.
    private var completed: String {
        get throws {
            """
            (SELECT json_object_agg(member.name, member.value) FROM (
                SELECT sent.key AS name, sent.value FROM json_each(event.after) AS sent
                UNION ALL
                SELECT lacking.name, (
                    WITH RECURSIVE step(key_text, e, c, s, is_found, value) AS (
                        SELECT CASE WHEN event.s & 1 = 1 AND event.other_text IS NOT NULL THEN event.other_text
                                ELSE event.key_text END,
                            event.e, event.c,
                            CASE WHEN event.other_text IS NOT NULL THEN event.s & ~1::bigint ELSE event.s END,
                            false, NULL::json
                        UNION ALL
                        SELECT below.other_key::text, below.\(Self.epoch), below.\(Self.commit),
                            below.\(Self.seq) & ~1::bigint, below.is_found,
                            CASE WHEN below.is_found THEN \(Self.readable("below.after")) -> lacking.name END
                        FROM step CROSS JOIN LATERAL (
                            SELECT r.*, r.op = 'd' OR NOT (coalesce(r.unchanged::jsonb, '[]') ? lacking.name) AS is_found
                            FROM \(try rawImages) r
                            WHERE r.key::text = step.key_text AND (\(Self.versionColumns("r"))) < (step.e, step.c, step.s)
                                AND NOT EXISTS (
                                    SELECT FROM \(raw) t WHERE t.op = 't'
                                        AND (\(Self.versionColumns("t"))) > (\(Self.versionColumns("r")))
                                        AND (\(Self.versionColumns("t"))) < (step.e, step.c, step.s))
                                AND (r.op = 'd' OR NOT (coalesce(r.unchanged::jsonb, '[]') ? lacking.name)
                                    OR r.\(Self.seq) & 1 = 1 AND r.other_key IS NOT NULL)
                            ORDER BY r.\(Self.epoch) DESC, r.\(Self.commit) DESC, r.\(Self.seq) DESC LIMIT 1
                        ) AS below
                        WHERE NOT step.is_found
                    )
                    SELECT step.value FROM step WHERE step.is_found LIMIT 1
                )
                FROM json_array_elements_text(event.unchanged) AS lacking(name)
            ) AS member)
            """
        }
    }
}
