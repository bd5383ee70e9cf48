import Replication

/// Texts of others inside what dbt renders.
enum DBTText {
    /// What Jinja makes the same text of again: `{{`, `{%` and `{#` begin something, and nothing else does.
    static func jinja(_ text: String) -> String {
        guard text.utf8.contains(0x7B) else { return text }
        let scalars = Array(text.unicodeScalars)
        var escaped = String.UnicodeScalarView()
        for (index, scalar) in scalars.enumerated() {
            let next = index + 1 < scalars.count ? scalars[index + 1] : " "
            if scalar == "{", next == "{" || next == "%" || next == "#" {
                escaped.append(contentsOf: "{{ '{' }}".unicodeScalars)
            } else {
                escaped.append(scalar)
            }
        }
        return String(escaped)
    }

    /// A name in SQL, as it is.
    static func quoted(_ name: String) -> String { RowDigest.quoted(name) }

    /// A name in SQL that Jinja renders first.
    static func name(_ name: String) -> String { jinja(quoted(name)) }

    /// A table of `_millrace` in the database of a relation, whatever dbt calls that.
    static func meta(_ table: String, beside relation: String) -> String {
        "{{ \(relation).incorporate(path={'schema': '\(WarehouseSchema.metaSchema)', 'identifier': '\(table)'}) }}"
    }

    /// For what puts quotes around a name without a look at it.
    static func doubled(_ name: String) -> String { String(quoted(name).unicodeScalars.dropFirst().dropLast()) }

    static func hasQuote(_ name: String) -> Bool { name.utf8.contains(0x22) }
}
