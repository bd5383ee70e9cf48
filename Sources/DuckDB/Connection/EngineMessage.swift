/// A message of DuckDB's, classified and made safe to log.
///
/// DuckDB puts cell values into its messages, quoted ("Duplicate key "id: 5"", "Could not convert string 'x' to
/// INT32") or bare ("Type INT64 with value 300 can't be cast", `error('…')`), and nothing escapes quotes within
/// them, so values can't be cut out by their quotes. Therefore:
///
/// - classes whose messages are about data (constraint, conversion, range, invalid input, and any unknown class)
///   are never passed on; the message is recognised by its fixed beginning and written anew, with only what
///   the engine itself contributes: column and table names, type names. Unrecognised ones keep their class only.
/// - classes about the statement or the machine (catalog, binder, parser, I/O, memory, …) pass, without
///   the excerpt of the SQL ("LINE 1: …") and without what stands in single quotes, as both may be literals.
struct EngineMessage {
    /// What a message may show beyond the safe text.
    enum Disclosure {
        case nothing
        /// The statement's own text: for SQL that the user typed, while it is parsed and bound (no data is read
        /// then, and the user sees nothing but their own words).
        case statement
    }

    let kind: DuckDBError.Kind
    let text: String
    let remedy: String?

    /// A message that begins with its class: "Constraint Error: …".
    init(_ raw: String, disclosing: Disclosure = .nothing) {
        let (name, body) = Self.split(raw)
        self.init(className: name, body: body, disclosed: disclosing == .statement ? raw : nil)
    }

    /// - Parameter className: in small letters; "" if it isn't known.
    init(className name: String, body: String, disclosed: String? = nil) {
        // Of a class of its own; it has checksums and places of blocks, and no data.
        if let match = body.firstMatch(
            of:
                #/Corrupt database file: computed checksum \d+ does not match stored checksum \d+ in block at location \d+/#
        ) {
            kind = .other
            text = "DuckDB error: \(match.output)"
            remedy = "restore the file from a backup or copy everything anew: docs/runbook.md, Corrupted warehouse file"
            return
        }
        kind = Self.kind(of: name, body)
        remedy = Self.remedy(for: kind)
        if let disclosed, kind == .catalog || kind == .syntax {
            text = disclosed
        } else if Self.aboutData.contains(name) || kind == .constraint || !Self.known.contains(name) {
            text = Self.joined(name, Self.rewritten(body))
        } else {
            text = Self.joined(name, Self.passed(body, isParser: kind == .syntax))
        }
    }

    // MARK: Classes

    private static let aboutData: Set<String> = [
        "constraint", "conversion", "out of range", "invalid input", "mismatch type", "invalid type", "decimal",
        "divide by zero", "sequence", "internal", "fatal", "executor", "expression", "serialization", "",
    ]
    private static let aboutStatement: Set<String> = [
        "catalog", "binder", "parser", "syntax", "dependency", "io", "out of memory", "interrupt",
        "transactioncontext", "invalid configuration", "settings", "permission", "missing extension", "http",
        "autoload", "extension", "not implemented", "connection", "parameter not resolved", "parameter not allowed",
    ]
    private static let known = aboutData.union(aboutStatement)

    /// "Out of Range Error: text" to ("out of range", "text"); an unknown form has the class "".
    private static func split(_ raw: String) -> (name: String, body: String) {
        guard let match = raw.prefixMatch(of: #/([A-Za-z ]{1,30}) Error: /#) else { return ("", raw) }
        let name = match.output.1.lowercased()
        return known.contains(name) ? (name, String(raw[match.range.upperBound...])) : ("", raw)
    }

    private static func joined(_ name: String, _ body: String?) -> String {
        let title: String
        switch name {
        case "": title = "DuckDB"
        case "io": title = "IO"
        case "http": title = "HTTP"
        case "transactioncontext": title = "Transaction"
        default: title = name.prefix(1).uppercased() + name.dropFirst()
        }
        return "\(title) error: \(body ?? "details withheld, as they may contain data")"
    }

    private static func kind(of name: String, _ body: String) -> DuckDBError.Kind {
        if body.contains("database has been invalidated") { return .fatal }
        switch name {
        case "constraint": return .constraint
        case "invalid input" where body.contains("attached in read-only mode"): return .readOnly
        case "invalid input" where body == missingColumn: return .catalog
        case "invalid input", "conversion", "out of range", "mismatch type", "invalid type", "decimal",
            "divide by zero":
            return .value
        case "transactioncontext":
            if body.contains(#/[Cc]onflict/#) { return .conflict }
            // The log of what is committed couldn't be written: the machine's doing, not the transaction's.
            if body.contains(#/Failed to commit: Could not (?:write|sync|flush|truncate)/#) { return ioKind(of: body) }
            return body.contains(#/constraint|duplicate key/#.ignoresCase()) ? .constraint : .other
        case "out of memory": return .outOfMemory
        case "io": return ioKind(of: body)
        case "interrupt": return .interrupted
        case "catalog", "binder", "dependency": return .catalog
        case "parser", "syntax": return .syntax
        case "invalid configuration", "settings", "missing extension", "autoload", "extension": return .configuration
        case "internal", "fatal": return .fatal
        default: return .other
        }
    }

    private static func ioKind(of body: String) -> DuckDBError.Kind {
        if let match = body.firstMatch(of: #/Could not set lock on file "(.*?)"/#) {
            let holder = body.firstMatch(of: #/\(PID ([0-9]+)\)/#).flatMap { Int32($0.output.1) }
            return .locked(path: String(match.output.1), holder: holder)
        }
        return body.contains("No space left on device") ? .diskFull : .io
    }

    private static func remedy(for kind: DuckDBError.Kind) -> String? {
        switch kind {
        case .locked(_, let holder):
            return holder.map { "stop process \($0), or give this agent another file" }
                ?? "stop the process that has the file open, or give this agent another file"
        case .outOfMemory: return "raise warehouse.duckdb.memory_limit"
        case .diskFull: return "free disk space beside the database file"
        default: return nil
        }
    }

    // MARK: Safe texts

    /// The message without the SQL's excerpt and without anything in single quotes (for the parser also double
    /// quotes, as the token it quotes may be a literal).
    private static func passed(_ body: String, isParser: Bool) -> String {
        var text = body[...]
        if let excerpt = text.firstRange(of: #/\n+LINE [0-9]+: /#) { text = text[..<excerpt.lowerBound] }
        // From the first quote to the last one: a value may itself contain quotes. An apostrophe within a word
        // ("can't") opens nothing.
        var safe = String(text).replacing(#/(^|[^A-Za-z0-9])'.*'/#.dotMatchesNewlines()) { "\($0.output.1)'…'" }
        if isParser { safe = safe.replacing(#/".*"/#.dotMatchesNewlines(), with: "\"…\"") }
        return safe
    }

    private static func rewritten(_ body: String) -> String? {
        // An appender's errors have words in front.
        let body = body.replacing(#/^(?:Failed to append|Failed to commit): /#, with: "")
        if let text = constraint(body) ?? conversion(body) { return text }
        return fixedBeginnings.first { body.hasPrefix($0) }
    }

    private static func constraint(_ body: String) -> String? {
        if let match = body.wholeMatch(of: #/NOT NULL constraint failed: ([^\s'"]+)/#) {
            return "NOT NULL constraint failed: \(match.output.1)"
        }
        if let match = body.prefixMatch(of: #/CHECK constraint failed on table "?([A-Za-z0-9_.]+)"?/#) {
            return "CHECK constraint failed on table \(match.output.1)"
        }
        if let match = body.prefixMatch(of: #/Duplicate key "([A-Za-z_][A-Za-z0-9_]*): /#) {
            // The first column's name is the engine's; behind the first colon everything may be a value.
            let constraint = body.hasSuffix("violates unique constraint.") ? "unique" : "primary key"
            return "duplicate key of column \(match.output.1) violates a \(constraint) constraint"
        }
        if body.hasPrefix("PRIMARY KEY or UNIQUE constraint violation") || body.hasPrefix("Duplicate key") {
            return "duplicate key violates a primary key or unique constraint"
        }
        if body.hasPrefix("Violates foreign key constraint") { return "a key violates a foreign key constraint" }
        return nil
    }

    private static func conversion(_ body: String) -> String? {
        // The excerpt ends what the engine says; a value may contain the same words, but only earlier.
        let end = body.ranges(of: #/\n+LINE [0-9]+: /#).last?.lowerBound ?? body.endIndex
        let message = body[..<end]
        if let match = message.prefixMatch(of: #/Overflow in ([a-z]+) of ([A-Z0-9]+)/#) {
            return "overflow in \(match.output.1) of \(match.output.2)"
        }
        let appended = #/type mismatch in AppendDataChunk, expected ([A-Z][A-Z0-9_ ]*(?:\([0-9,]+\))?), .*/#
        if let match = message.wholeMatch(of: appended) { return "could not cast a value to \(match.output.1)" }
        let beginnings: [(String, String)] = [
            ("Could not convert string", "could not convert a string"),
            ("Could not cast value", "could not cast a value"),
            ("Casting value", "could not cast a value"),
            ("Type ", "could not cast a value"),
        ]
        guard let (_, text) = beginnings.first(where: { message.hasPrefix($0.0) }) else { return nil }
        // The target's type stands last, in the engine's own words.
        let type = #/.* (?:to|to type|type) ([A-Z][A-Z0-9_]*(?: WITH TIME ZONE)?(?:\([0-9, ]+\))?(?:\[[0-9]*\])*)/#
            .dotMatchesNewlines()
        let tail = message.replacing(#/ failed: value is out of range!$/#, with: "")
        guard let match = tail.wholeMatch(of: type) else { return text }
        return "\(text) to \(match.output.1)"
    }

    private static let missingColumn = "the column must exist in the table"
    private static let fixedBeginnings = [
        missingColumn, "type mismatch in AppendDataChunk",
        "Malformed JSON", "date field value out of range", "time field value out of range",
        "timestamp field value out of range", "invalid timestamp field format", "Date out of range",
        "Could not parse string", "Invalid hex escape code", "Invalid unicode", "Invalid Input Error: Malformed",
        "Cannot execute statement of type", "Cannot prepare multiple statements at once",
        "Attempting to execute an unsuccessful or closed pending query result",
        "Values were not provided for the following prepared statement parameters",
        "Failed to cast value", "Unimplemented type for cast", "Interrupted", "Value out of range",
        "Failed: database has been invalidated",
    ]
}
