/// Reads the text of a `RowPattern`.
struct PatternParser {
    private let scalars: [Unicode.Scalar]
    private var at = 0
    private var depth = 0
    private var ignoresCase = false

    init(_ text: String) throws(RowPatternError) {
        scalars = Array(text.unicodeScalars)
        guard text.utf8.count <= RowPattern.pattern_bytes_max else {
            throw fail("the pattern has more than \(RowPattern.pattern_bytes_max) bytes", at: 0)
        }
        if let nul = scalars.firstIndex(of: "\0") { throw fail("a pattern can't hold a NUL character", at: nul) }
    }

    mutating func parse() throws(RowPatternError) -> RowPattern.Node {
        if scalars.starts(with: ["(", "?", "i", ")"] as [Unicode.Scalar]) {
            ignoresCase = true
            at = 4
        }
        let node = try choice()
        guard at == scalars.count else { throw fail("a ) without its (", try: "\\) for the sign itself") }
        return node
    }

    private var current: Unicode.Scalar? { at < scalars.count ? scalars[at] : nil }

    private mutating func skip(_ scalar: Unicode.Scalar) -> Bool {
        guard current == scalar else { return false }
        at += 1
        return true
    }

    private func fail(_ message: String, try remedy: String? = nil, at place: Int? = nil) -> RowPatternError {
        RowPatternError(position: (place ?? at) + 1, message: message, remedy: remedy)
    }

    private mutating func choice() throws(RowPatternError) -> RowPattern.Node {
        var branches = [try sequence()]
        while skip("|") { branches.append(try sequence()) }
        if branches.allSatisfy(\.isEmpty) { return .empty }
        return branches.count == 1 ? branches[0] : .choice(branches)
    }

    private mutating func sequence() throws(RowPatternError) -> RowPattern.Node {
        var items: [RowPattern.Node] = []
        while let scalar = current, scalar != "|", scalar != ")" {
            let one = try atom()
            let item = try repeated(one)
            if !item.isEmpty { items.append(item) }
        }
        return items.count == 1 ? items[0] : .sequence(items)
    }

    private mutating func repeated(_ item: RowPattern.Node) throws(RowPatternError) -> RowPattern.Node {
        let start = at
        guard let (low, high) = try quantifier() else { return item }
        switch item {
        case .start, .end: throw fail("a place in the text can't be repeated", at: start)
        default: break
        }
        // Whether it takes much or little doesn't change whether there is a match.
        _ = skip("?")
        if current == "+" { throw fail("there are no possessive repetitions", try: "leave the second sign out") }
        let next = at
        if try quantifier() != nil {
            throw fail("a repetition of a repetition needs a group", try: "(?:…)", at: next)
        }
        // However often, it is nothing; written out, it would have engines count to 255 to the power of the groups' depth.
        if item.isEmpty || high == 0 { return .empty }
        return .repeated(item, min: low, max: high)
    }

    private mutating func quantifier() throws(RowPatternError) -> (Int, Int?)? {
        if skip("*") { return (0, nil) }
        if skip("+") { return (1, nil) }
        if skip("?") { return (0, 1) }
        let start = at
        guard skip("{") else { return nil }
        func wrong() -> RowPatternError {
            fail("{ begins a repetition such as {2} or {2,5}", try: "\\{ for the sign itself", at: start)
        }
        guard let low = number() else { throw wrong() }
        var high: Int? = low
        if skip(",") { high = number() }
        guard skip("}") else { throw wrong() }
        guard low <= RowPattern.repeats_max, high ?? 0 <= RowPattern.repeats_max else {
            throw fail("at most \(RowPattern.repeats_max) repetitions can be counted", at: start)
        }
        if let high, high < low { throw fail("the repetition ends before it begins", at: start) }
        return (low, high)
    }

    private mutating func number() -> Int? {
        let start = at
        var value = 0
        while let digit = current.flatMap({ ScalarSet.digits.contains($0.value) ? Int($0.value) - 0x30 : nil }) {
            value = min(value * 10 + digit, 1_000_000)
            at += 1
        }
        return at > start ? value : nil
    }

    private mutating func atom() throws(RowPatternError) -> RowPattern.Node {
        let start = at
        guard let scalar = current else { throw fail("something is expected here") }
        at += 1
        switch scalar {
        case "(": return try group(start)
        case "[": return .set(try bracket(start))
        case ".": return .set(ScalarSet.lineEnd.complement)
        case "^": return .start
        case "$": return .end
        case "*", "+", "?": throw fail("there is nothing to repeat", try: "\\\(scalar) for the sign itself", at: start)
        case "{":
            throw fail("there is nothing to repeat", try: "\\{ for the sign itself", at: start)
        case "\\":
            switch current {
            case "A":
                at += 1
                return .start
            case "z", "Z":
                at += 1
                return .end
            default: return .set(try folded(escape(start), start))
            }
        default: return .set(try folded(ScalarSet([scalar.value...scalar.value]), start))
        }
    }

    private mutating func group(_ start: Int) throws(RowPatternError) -> RowPattern.Node {
        if skip("?") {
            if skip("P") {
                guard skip("<") else { throw fail("there are no references to groups", at: start) }
                while let scalar = current, scalar != ">" {
                    guard ScalarSet.words.contains(scalar.value) else { throw fail("a group's name has letters") }
                    at += 1
                }
                guard skip(">") else { throw fail("the group's name has no end", at: start) }
            } else if !skip(":") {
                let what =
                    switch current {
                    case "=", "!", "<": "looking around isn't possible in DuckDB"
                    case "i": "(?i) stands at the very beginning"
                    default: "a group begins with ( or (?:"
                    }
                throw fail(what, at: start)
            }
        }
        depth += 1
        defer { depth -= 1 }
        guard depth <= RowPattern.depth_max else {
            throw fail("groups are more than \(RowPattern.depth_max) deep in each other", at: start)
        }
        let inner = try choice()
        guard skip(")") else { throw fail("the group has no end", try: "\\( for the sign itself", at: start) }
        return inner
    }

    /// Behind the backslash.
    private mutating func escape(_ start: Int) throws(RowPatternError) -> ScalarSet {
        guard let scalar = current else { throw fail("the pattern ends with a backslash", at: start) }
        at += 1
        switch scalar {
        case "d": return .digits
        case "D": return ScalarSet.digits.complement
        case "w": return .words
        case "W": return ScalarSet.words.complement
        case "s": return .blanks
        case "S": return ScalarSet.blanks.complement
        case "n": return .lineEnd
        case "t": return ScalarSet([9...9])
        case "r": return ScalarSet([13...13])
        case "f": return ScalarSet([12...12])
        case "v": return ScalarSet([11...11])
        case "x": return try numbered(2, start)
        case "u": return try numbered(4, start)
        case "b", "B", "y", "m", "M":
            throw fail("word boundaries are other ones in each engine", try: "(?:^|\\W) and (?:\\W|$)", at: start)
        case "0"..."9": throw fail("there are no references to groups", at: start)
        case "p", "P":
            throw fail("there are no classes of Unicode", try: "a range such as [\\u0400-\\u04ff]", at: start)
        case "a"..."z", "A"..."Z": throw fail("there is no escape \\\(scalar)", at: start)
        default: return ScalarSet([scalar.value...scalar.value])
        }
    }

    private mutating func numbered(_ digits: Int, _ start: Int) throws(RowPatternError) -> ScalarSet {
        let end = at + digits
        guard end <= scalars.count else { throw fail("the number of a character has \(digits) digits", at: start) }
        var value: UInt32 = 0
        for scalar in scalars[at..<end] {
            guard let digit = UInt32(String(scalar), radix: 16) else {
                throw fail("the number of a character has \(digits) digits", at: start)
            }
            value = value * 16 + digit
        }
        guard value > 0, let scalar = Unicode.Scalar(value) else { throw fail("there is no such character", at: start) }
        at = end
        return ScalarSet([scalar.value...scalar.value])
    }

    /// Behind the `[`.
    private mutating func bracket(_ start: Int) throws(RowPatternError) -> ScalarSet {
        let isNegated = skip("^")
        var ranges: [ClosedRange<UInt32>] = []
        var isFirst = true
        while true {
            guard let scalar = current else { throw fail("the [ has no ]", try: "\\[ for the sign itself", at: start) }
            if scalar == "]", !isFirst { break }
            if scalar == "]" {
                throw fail("a ] in brackets is written \\]", try: "[\\]…], or \\[ for the sign itself", at: start)
            }
            isFirst = false
            ranges += try member(start)
        }
        at += 1
        let set = try folded(ScalarSet(ranges), start)
        let all = isNegated ? set.complement : set
        guard !all.ranges.isEmpty else { throw fail("there is no such character", at: start) }
        return all
    }

    /// One character, class or range of a bracket.
    private mutating func member(_ start: Int) throws(RowPatternError) -> [ClosedRange<UInt32>] {
        let place = at
        let from = try one()
        guard current == "-", at + 1 < scalars.count, scalars[at + 1] != "]" else { return from.ranges }
        at += 1
        let to = try one()
        guard let low = from.only, let high = to.only, low <= high else {
            throw fail("this is no range of characters", try: "\\- for the sign itself", at: place)
        }
        return [low...high]
    }

    private mutating func one() throws(RowPatternError) -> ScalarSet {
        let place = at
        guard let scalar = current else { throw fail("the [ has no ]") }
        at += 1
        if scalar == "\\" { return try escape(place) }
        if scalar == "[", let next = current, [":", ".", "="].contains(next) {
            throw fail("there are no POSIX classes", try: "a range such as [a-z]", at: place)
        }
        // Python gives `&&`, `--`, `~~` and `||` a meaning one day, and `[` is one that was forgotten.
        if scalar == "[" { throw fail("a [ in brackets is written \\[", at: place) }
        return ScalarSet([scalar.value...scalar.value])
    }

    private func folded(_ set: ScalarSet, _ place: Int) throws(RowPatternError) -> ScalarSet {
        guard ignoresCase else { return set }
        // A class and its complement are their own other cases.
        let isWide = set.ranges.contains { $0.upperBound == ScalarSet.scalar_max }
        let hasLetters = set.ranges.contains { range in
            range.upperBound >= 128 && range.count <= 0x1000
                && range.contains { $0 >= 128 && Unicode.Scalar($0)?.properties.changesWhenCaseMapped ?? false }
        }
        guard isWide || !hasLetters else {
            throw fail("under (?i) there are letters of ASCII alone", at: place)
        }
        return set.ignoringCase
    }
}

extension ScalarSet {
    /// Its character, where it is one.
    fileprivate var only: UInt32? {
        ranges.count == 1 && ranges[0].lowerBound == ranges[0].upperBound ? ranges[0].lowerBound : nil
    }
}
