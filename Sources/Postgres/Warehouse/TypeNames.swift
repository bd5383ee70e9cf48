import Replication

/// What the columns of current are declared as: the source's types, where this server has them.
///
/// Asks the server about types that not every server has, each once. Errors in what it asks would end a transaction,
/// so it is filled before one begins.
struct TypeNames {
    private var known: [String: String?] = [:]
    private var ordered: [String: Bool] = [:]
    private var hasFreeScales = false

    init() {}

    /// For who can't ask: as if the server had all of the table's types under the source's names.
    init(assumingTypesOf definition: TableDefinition) {
        hasFreeScales = true
        for column in definition.columns + definition.retired {
            if let name = Self.foreignName(column.type) { known[name] = .some(name) }
        }
        for column in definition.columns { ordered[declared(Self.keyForm(column.type))] = true }
    }

    /// The declared types of `definition`'s columns, in order; `learn` must have seen it.
    func types(_ definition: TableDefinition) -> [String] {
        definition.columns.indices.map { index in
            let type = definition.columns[index].type
            return definition.key.contains(index) ? keyType(type) : declared(type)
        }
    }

    /// The declared type of each column that current has of `definition`, by its name.
    func byName(_ definition: TableDefinition) -> [String: String] {
        let names = (definition.columns + definition.retired).map(\.name)
        let all = types(definition) + definition.retired.map { declared($0.type) }
        return Dictionary(zip(names, all), uniquingKeysWith: { first, _ in first })
    }

    /// Looks up what `definition` needs. Outside a transaction.
    mutating func learn(_ definition: TableDefinition, _ session: Session) throws {
        hasFreeScales = session.serverVersion >= 150000
        for column in definition.columns + definition.retired {
            if let name = Self.foreignName(column.type), known[name] == nil {
                known[name] = .some(try Self.find(name, session))
            }
        }
        for (index, column) in definition.columns.enumerated() {
            guard definition.key.contains(index) else { continue }
            if Self.isCaseless(column.type), declared(column.type) == "text" {
                throw ReplicationError(
                    .configuration,
                    """
                    \(definition.source): its key column \(column.name) is a citext, which this warehouse doesn't have: \
                    keys that the source calls equal would be two rows here
                    """, remedy: "run CREATE EXTENSION citext; in the warehouse", table: definition.source)
            }
            let type = declared(Self.keyForm(column.type))
            if Self.needsProbe(column.type), ordered[type] == nil {
                ordered[type] = try Self.isOrdered(type, session)
            }
        }
    }

    // MARK: Types

    private func declared(_ type: ColumnType) -> String {
        switch type {
        case .unknown, .json: return "json"
        case .array(let element): return declared(element) + "[]"
        case .other, .composite: return known[type.sql].flatMap { $0 } ?? "text"
        // What others can declare and this server can't is kept without the declaration.
        case .numeric(let precision?, let scale)
        where !(1...1000).contains(precision)
            || !(hasFreeScales ? -1000...1000 : 0...precision).contains(scale):
            return "numeric"
        default: return type.sql
        }
    }

    /// A key needs an order; json has none, jsonb has.
    private func keyType(_ type: ColumnType) -> String {
        let name = declared(Self.keyForm(type))
        return Self.needsProbe(type) && ordered[name] != true ? "text" : name
    }

    private static func keyForm(_ type: ColumnType) -> ColumnType {
        switch type {
        case .unknown, .json: .jsonb
        case .array(let element): .array(keyForm(element))
        default: type
        }
    }

    private static func needsProbe(_ type: ColumnType) -> Bool {
        switch type {
        case .array(let element): needsProbe(element)
        case .other, .composite: true
        default: false
        }
    }

    private static func foreignName(_ type: ColumnType) -> String? {
        switch type {
        case .array(let element): foreignName(element)
        case .other, .composite: type.sql
        default: nil
        }
    }

    private static func isCaseless(_ type: ColumnType) -> Bool {
        guard case .other(let name) = type else { return false }
        let lower = name.lowercased()
        return lower == "citext" || lower.hasSuffix(".citext")
    }

    // MARK: The server

    /// The name under which this server has a type, modifiers included; nil if it has none that values can be put in.
    /// What names relations, functions or roles of the source is none here.
    private static func find(_ name: String, _ session: Session) throws -> String? {
        guard let (base, modifiers) = split(name) else { return nil }
        for candidate in base.contains(".") ? [base] : [base, "public.\(base)"] {
            do {
                let rows = try session.query(
                    """
                    SELECT format_type(t.oid, -1) FROM pg_type t WHERE t.oid = to_regtype($1) AND t.typtype <> 'p' \
                    AND t.typname !~ '^(reg|aclitem$)' AND has_type_privilege(t.oid, 'USAGE')
                    """, [candidate], for: "look for a type")
                if rows.count == 1, let found = rows.string(0, 0) { return found + modifiers }
            } catch {
                // Older servers complain of what they can't read as a type.
                guard error.sqlstate?.hasPrefix("42") ?? false else { throw error }
            }
        }
        return nil
    }

    /// `varchar(20)` → `varchar`, `(20)`; nil for what can't be a type's name.
    private static func split(_ name: String) -> (base: String, modifiers: String)? {
        guard let match = name.wholeMatch(of: #/([A-Za-z_"][\w ."$]*?) *(?:(\([0-9, ]+\)) *([A-Za-z ]*))?/#) else {
            return nil
        }
        let tail = match.output.3.map { $0.isEmpty ? "" : " \($0)" } ?? ""
        return (match.output.1 + tail, match.output.2.map(String.init) ?? "")
    }

    /// Whether an index can hold it.
    private static func isOrdered(_ type: String, _ session: Session) throws -> Bool {
        do {
            _ = try session.query("SELECT NULL::\(type) ORDER BY 1", for: "look at a type's order")
            return true
        } catch {
            guard error.sqlstate?.hasPrefix("42") ?? false else { throw error }
            return false
        }
    }
}
