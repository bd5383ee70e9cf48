extension RowPattern {
    /// The pattern as the engine writes it, every character but ASCII's letters and digits by its number.
    func sql(_ dialect: SweepDialect) -> String { Self.write(root, dialect) }

    /// A pattern that is found where the text is.
    static func literal(_ text: String, _ dialect: SweepDialect) -> String {
        text.unicodeScalars.map { write($0.value, dialect) }.joined()
    }

    private static func write(_ node: Node, _ dialect: SweepDialect) -> String {
        switch node {
        case .set(let set): write(set, dialect)
        case .sequence(let items): items.map { write($0, dialect) }.joined()
        case .choice(let branches): "(?:\(branches.map { write($0, dialect) }.joined(separator: "|")))"
        case .repeated(let inner, let low, let high):
            "(?:\(write(inner, dialect))){\(low),\(high.map(String.init) ?? "")}"
        case .start: "\\A"
        case .end: dialect == .postgres ? "\\Z" : "\\z"
        }
    }

    private static func write(_ set: ScalarSet, _ dialect: SweepDialect) -> String {
        // No text holds a NUL, and Postgres' dot is any character.
        let rest = ScalarSet(set.complement.ranges.filter { $0.upperBound > 0 })
        if rest.ranges.isEmpty { return dialect == .postgres ? "." : "(?s:.)" }
        let isNegated = set.ranges.last?.upperBound == ScalarSet.scalar_max
        let ranges = (isNegated ? rest : set).ranges.map { range in
            range.count == 1
                ? write(range.lowerBound, dialect)
                : "\(write(range.lowerBound, dialect))-\(write(range.upperBound, dialect))"
        }
        if !isNegated, set.ranges.count == 1, set.ranges[0].count == 1 { return ranges[0] }
        return "[\(isNegated ? "^" : "")\(ranges.joined())]"
    }

    private static func write(_ scalar: UInt32, _ dialect: SweepDialect) -> String {
        if scalar != 0x5F, ScalarSet.words.contains(scalar) { return String(UnicodeScalar(UInt8(scalar))) }
        // Nor half of a surrogate pair.
        let scalar = scalar == 0 ? 1 : (0xD800...0xDBFF).contains(scalar) ? 0xE000 : scalar
        let shown = (0xDC00...0xDFFF).contains(scalar) ? 0xD7FF : scalar
        let digits = String(shown, radix: 16)
        guard dialect == .postgres else { return "\\x{\(digits)}" }
        let zeros = String(repeating: "0", count: (shown > 0xFFFF ? 8 : 4) - digits.count)
        return (shown > 0xFFFF ? "\\U" : "\\u") + zeros + digits
    }
}
