import Replication

/// Whom a session works as, to name them in the statement that mends a missing right.
struct WarehouseUser {
    var user: String
    var database: String
}

extension ReplicationError {
    /// What an error of the server's means to the pipeline.
    ///
    /// - Parameters:
    ///   - table: the table whose rows were written, so that a refused value can be pinned on it.
    ///   - who: nil while there is no session yet.
    init(_ error: PostgresError, table: TableDefinition? = nil, who: WarehouseUser? = nil) {
        let source = table?.source
        var message = source.map { "\($0): \(error.description)" } ?? error.description
        if let column = Self.column(of: error, table) { message += ", column \(column)" }
        var remedy = error.remedy
        let kind: Kind
        switch error.kind {
        case .passing, .interrupted, .diskFull: kind = .passing
        case .data: kind = source == nil ? .permanent : .data
        case .permanent:
            (kind, remedy) = Self.permanent(error, who)
        }
        self.init(kind, message, remedy: remedy, table: source)
        isLock = error.sqlstate == "55P03"
        isTablesOwn = Self.isTablesOwn(error)
        isStatements = Self.isStatements(error)
    }

    private static func isStatements(_ error: PostgresError) -> Bool {
        switch error.sqlstate ?? "" {
        case "42501": false
        // A pattern that is too large, something that is nested too deeply.
        case "54000", "54001", "54011": true
        case let code: ["0A", "20", "21", "22", "42", "P0"].contains(code.prefix(2))
        }
    }

    /// What somebody did to one table: it, a column or an index is gone or another kind of thing, a right on it was taken.
    private static func isTablesOwn(_ error: PostgresError) -> Bool {
        switch error.sqlstate ?? "" {
        case "42P01", "42703", "42804", "42809", "42P10", "428C9", "55000", "2BP01": return true
        case "42501":
            return ["permission denied for table ", "permission denied for view ", "must be owner of "].contains {
                error.message.hasPrefix($0)
            }
        default: return false
        }
    }

    /// Staging tables call their columns c0, c1 …
    private static func column(of error: PostgresError, _ table: TableDefinition?) -> String? {
        guard let name = error.column else { return nil }
        guard let table, name.hasPrefix("c"), let index = Int(name.dropFirst()), table.columns.indices.contains(index)
        else { return name }
        return table.columns[index].name
    }

    private static func permanent(_ error: PostgresError, _ who: WarehouseUser?) -> (Kind, String?) {
        let code = error.sqlstate ?? ""
        switch code {
        case "42501": return (.environment, grant(error.message, who) ?? error.remedy)
        case "25006":
            return (.environment, "connect to the primary, and as a user whose default_transaction_read_only is off")
        case "42P01", "3F000", "42703":
            return (.environment, error.remedy ?? "restore what was dropped or renamed in the warehouse")
        case "2BP01":
            return (.environment, "drop what depends on it first; \\d+ in psql names it")
        default: break
        }
        switch code.prefix(2) {
        case "28", "3D", "0A": return (.environment, error.remedy)
        // No session: the URL, or what stands behind it, is at fault.
        case _ where who == nil: return (.environment, error.remedy)
        default: return (.permanent, error.remedy)
        }
    }

    /// The GRANT that mends `permission denied for …`; the server names the object in its own quotes or none.
    private static func grant(_ message: String, _ who: WarehouseUser?) -> String? {
        guard let who, let user = try? quoteIdentifier(who.user), let database = try? quoteIdentifier(who.database)
        else { return nil }
        func name(after words: String) -> String? {
            guard let range = message.firstRange(of: words) else { return nil }
            let raw = message[range.upperBound...].trimmingQuotes
            return try? quoteIdentifier(raw)
        }
        if name(after: "permission denied for database ") != nil {
            return "GRANT CREATE ON DATABASE \(database) TO \(user);"
        }
        if let schema = name(after: "permission denied for schema ") {
            return "GRANT USAGE, CREATE ON SCHEMA \(schema) TO \(user);"
        }
        for kind in ["table", "view"] {
            if let table = name(after: "permission denied for \(kind) ") {
                return "GRANT SELECT, INSERT, UPDATE, DELETE ON \(table) TO \(user);"
            }
            if let table = name(after: "must be owner of \(kind) ") {
                return "ALTER \(kind.uppercased()) \(table) OWNER TO \(user);"
            }
        }
        return nil
    }

    /// Runs `body` and turns the server's errors into replication's.
    static func translating<T>(
        _ table: TableDefinition? = nil, who: WarehouseUser? = nil, _ body: () throws -> T
    ) throws -> T {
        do {
            return try body()
        } catch let error as PostgresError {
            throw ReplicationError(error, table: table, who: who)
        } catch let error as QuotingError {
            throw ReplicationError(.configuration, error.description, table: table?.source)
        }
    }
}

extension Substring {
    fileprivate var trimmingQuotes: String {
        hasPrefix("\"") && hasSuffix("\"") && count >= 2 ? String(dropFirst().dropLast()) : String(self)
    }
}
