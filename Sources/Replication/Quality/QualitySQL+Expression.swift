extension QualitySQL {
    /// - Throws: where the text is no one expression.
    package static func check(expression: String) throws(ColumnTest.Misfit) {
        if expression.utf8.contains(0) { throw .init("the expression holds a NUL character") }
        // What follows it must be read as it stands.
        let words = SQLWords("(\n\(expression)\n) millrace_end").words
        var depth = 0
        for (index, word) in words.enumerated() {
            if word == .sign("(") { depth += 1 }
            if word == .sign(")") { depth -= 1 }
            if word == .sign(";") || word == .escaped || depth == 0 && index < words.count - 2 {
                throw .init("the expression isn't one", try: "sql: total >= 0")
            }
        }
        guard depth == 0, words.last == .name("millrace_end", isQuoted: false), words.count > 3 else {
            throw .init("the expression isn't one: a quote, comment or parenthesis stays open", try: "sql: total >= 0")
        }
    }

    /// It says something of several rows, and can't stand in a condition.
    package static func hasWindow(expression: String) -> Bool {
        SQLWords(expression).words.contains { $0.isName("over") }
    }

    /// Rows for which it is null aren't looked at.
    package func expressionCounts(_ expression: String) -> String {
        """
        SELECT \(text("count(q.x)")), \(count("NOT q.x")) FROM (SELECT (
        \(expression)
        ) AS x FROM \(live(table))) AS q
        """
    }

    package func expressionKeys(_ expression: String, limit: Int) -> String? {
        guard !table.isKeyless else { return nil }
        // Where it says something of several rows it can stand in a SELECT's list, and not behind WHERE.
        return """
            SELECT \(keys { "t.c\($0)" }) FROM (SELECT (
            \(expression)
            ) AS x, \(table.key.sorted().map { "\(shown($0, table)) AS c\($0)" }.joined(separator: ", ")) \
            FROM \(live(table))) AS t WHERE NOT t.x \(ordered(limit))
            """
    }
}
