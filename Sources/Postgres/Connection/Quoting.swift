/// A name that can't stand in SQL: Postgres has no NUL in names and texts.
package struct QuotingError: Error, Equatable, CustomStringConvertible {
    package var description: String { "a name or text for SQL holds a NUL character" }
}

/// `"name"` with its quotes doubled, always quoted: keywords and capitals need it.
package func quoteIdentifier(_ name: String) throws(QuotingError) -> String {
    try rejectNUL(name)
    return "\"" + doubling("\"", in: name) + "\""
}

/// `"schema"."name"`.
package func quoteIdentifier(schema: String, _ name: String) throws(QuotingError) -> String {
    try quoteIdentifier(schema) + "." + quoteIdentifier(name)
}

/// `'text'`; with a backslash in it ` E'te\\xt'`, which means the same whatever `standard_conforming_strings` is.
package func quoteLiteral(_ text: String) throws(QuotingError) -> String {
    try rejectNUL(text)
    let quoted = "'" + doubling("'", in: text) + "'"
    // The blank keeps the E apart from a word before it, as in libpq's own PQescapeLiteral.
    return text.utf8.contains(UInt8(ascii: "\\")) ? " E" + doubling("\\", in: quoted) : quoted
}

/// The text form of a `text[]`: `{"a","b\"c",NULL}`, for a parameter or inside `quoteLiteral`.
package func arrayText(_ elements: [String?]) throws(QuotingError) -> String {
    var text = "{"
    for (index, element) in elements.enumerated() {
        if index > 0 { text += "," }
        guard let element else {
            text += "NULL"
            continue
        }
        try rejectNUL(element)
        text += "\""
        for scalar in element.unicodeScalars {
            if scalar == "\"" || scalar == "\\" { text += "\\" }
            text.unicodeScalars.append(scalar)
        }
        text += "\""
    }
    return text + "}"
}

private func rejectNUL(_ text: String) throws(QuotingError) {
    if text.utf8.contains(0) { throw QuotingError() }
}

/// By scalars: a quote that carries a combining mark is one Character that isn't equal to a quote.
private func doubling(_ mark: Unicode.Scalar, in text: String) -> String {
    guard text.unicodeScalars.contains(mark) else { return text }
    var result = ""
    result.reserveCapacity(text.utf8.count + 8)
    for scalar in text.unicodeScalars {
        if scalar == mark { result.unicodeScalars.append(mark) }
        result.unicodeScalars.append(scalar)
    }
    return result
}
