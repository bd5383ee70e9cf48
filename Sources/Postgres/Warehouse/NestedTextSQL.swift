import Replication

/// SQL that makes Postgres' text of composites from their JSON, for columns of a type that this server doesn't have:
/// current has the source's text, raw an object. Hangs on no setting of the session.
enum NestedTextSQL {
    /// Whether a column declared so holds composites as text.
    static func isNeeded(_ type: ColumnType, declared: String) -> Bool {
        type.composite != nil && (declared == "text" || declared.hasPrefix("text["))
    }

    /// `json`, an expression of type json, as text, or as text[] of an array.
    static func column(_ json: String, _ type: ColumnType) throws -> String {
        guard case .array(let element) = type else { return try text(json, type, depth: 0) }
        let array = try array(json, element.leaf, depth: 0)
        return "CASE json_typeof(\(json)) WHEN 'array' THEN \(array) ELSE (\(json) #>> '{}')::text[] END"
    }

    /// - Parameter depth: in each other, for their names.
    private static func text(_ json: String, _ type: ColumnType, depth: Int) throws -> String {
        let plain = "(\(json) #>> '{}')"
        switch type {
        case .boolean: return "left(\(plain), 1)"
        case .timestamp: return "replace(\(plain), 'T', ' ')"
        case .timestamptz: return "replace(replace(\(plain), 'T', ' '), '+00:00', '+00')"
        case .json, .jsonb: return "nullif((\(json))::text, 'null')"
        case .composite(let composite):
            // In the object's own order; one that is no longer a field of the type is text.
            var values: [String] = []
            for field in composite.fields {
                let value = try text("m\(depth).v", field.type, depth: depth + 1)
                if value == "(m\(depth).v #>> '{}')" { continue }
                values.append("WHEN \(try quoteLiteral(field.name)) THEN \(value)")
            }
            let plainValue = "(m\(depth).v #>> '{}')"
            let value =
                values.isEmpty ? plainValue : "CASE m\(depth).k \(values.joined(separator: " ")) ELSE \(plainValue) END"
            // A row of one field is quoted as it is in any row.
            let quoted =
                "(SELECT m\(depth).n, ROW(\(value))::text AS t FROM json_each(\(json)) WITH ORDINALITY AS m\(depth)(k, v, n))"
            let row =
                "(SELECT '(' || coalesce(string_agg(substr(q.t, 2, length(q.t) - 2), ',' ORDER BY q.n), '') || ')' FROM \(quoted) AS q)"
            return "CASE json_typeof(\(json)) WHEN 'object' THEN \(row) ELSE \(plain) END"
        case .array(let element):
            let array = try array(json, element.leaf, depth: depth)
            return "CASE json_typeof(\(json)) WHEN 'array' THEN \(array)::text ELSE \(plain) END"
        default: return plain
        }
    }

    private static func array(_ json: String, _ leaf: ColumnType, depth: Int) throws -> String {
        switch leaf {
        case .boolean, .timestamp, .timestamptz, .composite:
            let plain = try elements(json, depth: depth) { try text($0, leaf, depth: depth + 1) }
            // Deeper ones of several dimensions would double the statement with each level.
            guard depth < 3 else { return plain }
            let rows = try elements(json, depth: depth) { row in
                try elements(row, depth: depth + 1) { try text($0, leaf, depth: depth + 2) }
            }
            return "CASE json_typeof(\(json) -> 0) WHEN 'array' THEN \(rows) ELSE \(plain) END"
        case .json, .jsonb: return try elements(json, depth: depth) { try text($0, leaf, depth: depth + 1) }
        default:
            // Of any dimensions. Boxes stand apart by another sign than all else.
            let type = leaf == .other("box") ? "box[]" : "text[]"
            return "(SELECT x.v FROM json_to_record(json_build_object('v', \(json))) AS x(v \(type)))"
        }
    }

    /// An array of what `body` makes of the elements.
    private static func elements(
        _ json: String, depth: Int, _ body: (String) throws -> String
    ) throws -> String {
        """
        coalesce((SELECT array_agg(\(try body("e\(depth).v")) ORDER BY e\(depth).n) \
        FROM json_array_elements(\(json)) WITH ORDINALITY AS e\(depth)(v, n)), '{}')
        """
    }
}
