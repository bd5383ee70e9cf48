import JSON
import Replication

extension Canonical {
    /// A composite as JSON of its fields' texts, whoever wrote it.
    static func row(_ value: JSONValue, _ composite: CompositeType) -> String {
        let members = composite.fields.map { field -> JSONValue.Member in
            let text = text(expected: value[field.name] ?? .null, type: field.type)
            return (field.name, text.map(JSONValue.string) ?? .null)
        }
        return json(.object(members))
    }

    static func row(_ text: String, _ composite: CompositeType) -> String {
        switch try? JSONValue(parsing: text) {
        case .object(let members)?: return row(.object(members), composite)
        // A row kept as text comes as a JSON string, where the query made JSON of it.
        case .string(let literal)?: return row(literal: literal, composite) ?? literal
        default: return row(literal: text, composite) ?? text
        }
    }

    private static func row(literal: String, _ composite: CompositeType) -> String? {
        guard let values = PostgresRow(literal)?.values, values.count == composite.fields.count else { return nil }
        let members = zip(composite.fields, values).map { field, value -> JSONValue.Member in
            (field.name, value.map(JSONValue.string) ?? .null)
        }
        return row(.object(members), composite)
    }
}

/// `(1,,"a ""b""")` as texts; nil is NULL.
private struct PostgresRow {
    private(set) var values: [String?] = []

    init?(_ text: String) {
        var rest = text[...].unicodeScalars
        guard rest.popFirst() == "(" else { return nil }
        while true {
            var value = String.UnicodeScalarView()
            var isNull = true
            var isQuoted = false
            while let scalar = rest.first, isQuoted || scalar != "," && scalar != ")" {
                rest.removeFirst()
                isNull = false
                if scalar == "\"" {
                    if isQuoted, rest.first == "\"" {
                        value.append(scalar)
                        rest.removeFirst()
                    } else {
                        isQuoted.toggle()
                    }
                } else {
                    guard let next = scalar == "\\" ? rest.popFirst() : scalar else { return nil }
                    value.append(next)
                }
            }
            values.append(isNull ? nil : String(value))
            switch rest.popFirst() {
            case ",": continue
            case ")" where rest.isEmpty: return
            default: return nil
            }
        }
    }
}

/// SQL by which DuckDB gives a STRUCT, or a LIST of them, as JSON of texts: JSON's own numbers would be doubles.
enum NestedQuery {
    static func json(_ value: String, _ type: ColumnType) -> String {
        "CASE WHEN \(value) IS NOT NULL THEN CAST(to_json(\(texts(value, type, depth: 0))) AS VARCHAR) END"
    }

    private static func texts(_ value: String, _ type: ColumnType, depth: Int) -> String {
        switch type {
        case .bytea: return "'\\x' || lower(hex(\(value)))"
        case .array(let element):
            return "[\(texts("x\(depth)", element, depth: depth + 1)) FOR x\(depth) IN \(value)]"
        case .composite(let composite):
            let fields = composite.fields.map { field in
                let name = "'\(field.name.replacing("'", with: "''"))'"
                return "\(name): \(texts("struct_extract(\(value), \(name))", field.type, depth: depth))"
            }
            return "CASE WHEN \(value) IS NOT NULL THEN {\(fields.joined(separator: ", "))} END"
        default: return "CAST(\(value) AS VARCHAR)"
        }
    }
}
