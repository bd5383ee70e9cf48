/// Reads a `where` by recursive descent: `or`, `and`, `not`, `is`, then comparisons, as SQL binds them.
struct PredicateParser {
    typealias Expression = Predicate.Expression
    typealias Operand = Predicate.Operand

    private(set) var columns: [Predicate.Column] = []
    private let tokens: [PredicateLexer.Located]
    private var at = 0
    private var depth = 0

    static let keywords: Set<String> = [
        "and", "or", "not", "in", "is", "null", "like", "between", "true", "false", "escape",
    ]

    init(_ text: String) throws(PredicateError) {
        tokens = try PredicateLexer.tokens(of: text)
    }

    mutating func parse() throws(PredicateError) -> Expression {
        if current.token == .end { throw fail("there is no condition", try: "status <> 'draft'") }
        let expression = try or()
        if current.token != .end { throw unexpected("and, or, or the end") }
        return expression
    }

    private mutating func or() throws(PredicateError) -> Expression {
        var terms = [try and()]
        while skip(word: "or") { terms.append(try and()) }
        return terms.count == 1 ? terms[0] : .or(terms)
    }

    private mutating func and() throws(PredicateError) -> Expression {
        var terms = [try not()]
        while skip(word: "and") { terms.append(try not()) }
        return terms.count == 1 ? terms[0] : .and(terms)
    }

    private mutating func not() throws(PredicateError) -> Expression {
        guard skip(word: "not") else { return try isTest() }
        try descend()
        defer { depth -= 1 }
        return .not(try not())
    }

    /// `… is [not] null | true | false`, which bind looser than comparisons.
    private mutating func isTest() throws(PredicateError) -> Expression {
        let start = current.position
        var expression = try comparison()
        var tests = 0
        defer { depth -= tests }
        while skip(word: "is") {
            tests += 1
            try descend()
            let isNegated = skip(word: "not")
            if skip(word: "null") {
                expression = .isNull(expression)
            } else if skip(word: "true") {
                expression = .isTruth(expression, true)
            } else if skip(word: "false") {
                expression = .isTruth(expression, false)
            } else {
                throw unexpected("null, true or false after is")
            }
            if isNegated { expression = .not(expression) }
        }
        if tests > 0 { return expression }
        if case .operand(let operand) = expression {
            switch operand {
            case .column, .bool, .null: break
            case .text, .number: throw fail("a value alone is no condition", try: "status = 'paid'", at: start)
            }
        }
        return expression
    }

    private mutating func comparison() throws(PredicateError) -> Expression {
        let start = current.position
        let left = try primary()
        let isNegated = word(after: 0) == "not" && ["in", "like", "between"].contains(word(after: 1) ?? "")
        guard isNegated || isOperator else { return left }
        guard case .operand(let operand) = left else {
            throw fail("a condition can't be compared, only a column or value can", at: start)
        }
        if isNegated { at += 1 }
        let expression = try self.operation(on: operand)
        if isOperator {
            throw fail("comparisons can't be chained", try: "a < b and b < c")
        }
        return isNegated ? .not(expression) : expression
    }

    private var isOperator: Bool {
        if case .symbol(let symbol) = current.token { return Self.comparisons[symbol] != nil }
        return ["in", "like", "between"].contains(word(after: 0) ?? "")
    }

    private static let comparisons: [String: Predicate.Comparison] = [
        "=": .equal, "<>": .notEqual, "<": .less, "<=": .lessOrEqual, ">": .greater, ">=": .greaterOrEqual,
    ]

    private mutating func operation(on left: Operand) throws(PredicateError) -> Expression {
        if case .symbol(let symbol) = current.token, let comparison = Self.comparisons[symbol] {
            at += 1
            return .comparison(left, comparison, try operand())
        }
        if skip(word: "in") { return .isIn(left, try list()) }
        if skip(word: "like") { return .like(left, try pattern()) }
        guard skip(word: "between") else { throw unexpected("a comparison") }
        let low = try operand()
        guard skip(word: "and") else { throw unexpected("and, between two values") }
        return .between(left, low, try operand())
    }

    private mutating func list() throws(PredicateError) -> [Operand] {
        guard skip(symbol: "(") else { throw unexpected("( after in") }
        if current.token == .symbol(")") { throw fail("the list is empty", try: "in ('paid', 'shipped')") }
        var items = [try operand()]
        while skip(symbol: ",") { items.append(try operand()) }
        guard skip(symbol: ")") else { throw unexpected(", or )") }
        return items
    }

    private mutating func pattern() throws(PredicateError) -> LikePattern {
        let position = current.position
        guard case .text(let text) = current.token else { throw unexpected("a pattern in single quotes after like") }
        at += 1
        var escape: Unicode.Scalar? = "\\"
        if skip(word: "escape") {
            guard case .text(let given) = current.token, given.unicodeScalars.count <= 1 else {
                throw unexpected("one character in single quotes after escape")
            }
            at += 1
            escape = given.unicodeScalars.first
        }
        guard let pattern = LikePattern(text, escape: escape) else {
            throw fail("the pattern ends with its escape character", at: position)
        }
        return pattern
    }

    private mutating func primary() throws(PredicateError) -> Expression {
        guard skip(symbol: "(") else { return .operand(try operand()) }
        try descend()
        defer { depth -= 1 }
        // In parentheses a value may stand alone: (5) = amount.
        if let value = value(at: at), tokens[at + value.length].token == .symbol(")") {
            at += value.length + 1
            return .operand(value.operand)
        }
        let expression = try or()
        guard skip(symbol: ")") else { throw unexpected(")") }
        return expression
    }

    private mutating func operand() throws(PredicateError) -> Operand {
        if let value = value(at: at) {
            at += value.length
            if case .symbol(let sign) = current.token, sign == "+" || sign == "-" {
                throw fail("there is no arithmetic")
            }
            return value.operand
        }
        switch current.token {
        case .symbol("("):
            at += 1
            try descend()
            defer { depth -= 1 }
            let inner = try operand()
            guard skip(symbol: ")") else { throw unexpected(")") }
            return inner
        case .quoted(let name): return column(name, isQuoted: true)
        case .word(let name) where !Self.keywords.contains(name.lowercased()):
            if case .symbol("(") = tokens[at + 1].token {
                throw fail("there are no functions, \(name) can't be called")
            }
            if case .text = tokens[at + 1].token {
                throw fail("there are no typed values", try: "leave \(name) out, the text compares as it is")
            }
            return column(name, isQuoted: false)
        default: throw unexpected("a column or a value")
        }
    }

    /// A literal, with the number of its tokens.
    private func value(at index: Int) -> (operand: Operand, length: Int)? {
        switch tokens[index].token {
        case .text(let text): return (.text(text), 1)
        case .number(let number): return (.number(number), 1)
        case .symbol(let sign) where sign == "-" || sign == "+":
            guard case .number(let number) = tokens[index + 1].token else { return nil }
            return (.number(sign == "-" ? "-\(number)" : number), 2)
        case .word(let word):
            switch word.lowercased() {
            case "true": return (.bool(true), 1)
            case "false": return (.bool(false), 1)
            case "null": return (.null, 1)
            default: return nil
            }
        default: return nil
        }
    }

    private mutating func column(_ name: String, isQuoted: Bool) -> Operand {
        let position = current.position
        at += 1
        if let index = columns.firstIndex(where: { $0.name == name && $0.isQuoted == isQuoted }) {
            return .column(index)
        }
        columns.append(Predicate.Column(name: name, isQuoted: isQuoted, position: position))
        return .column(columns.count - 1)
    }
}

extension PredicateParser {
    private var current: PredicateLexer.Located { tokens[at] }

    /// The bare word so many tokens ahead, in lower case.
    private func word(after count: Int) -> String? {
        guard at + count < tokens.count, case .word(let word) = tokens[at + count].token else { return nil }
        return word.lowercased()
    }

    private mutating func skip(word wanted: String) -> Bool {
        guard word(after: 0) == wanted else { return false }
        at += 1
        return true
    }

    private mutating func skip(symbol wanted: String) -> Bool {
        guard current.token == .symbol(wanted) else { return false }
        at += 1
        return true
    }

    private mutating func descend() throws(PredicateError) {
        depth += 1
        if depth > Predicate.depth_max {
            throw fail("conditions are nested more than \(Predicate.depth_max) deep")
        }
    }

    private func fail(_ message: String, try remedy: String? = nil, at position: Int? = nil) -> PredicateError {
        PredicateError(position: position ?? current.position, message: message, remedy: remedy)
    }

    private func unexpected(_ wanted: String) -> PredicateError {
        let found =
            switch current.token {
            case .word(let word): word
            case .quoted(let name): "\"\(name)\""
            case .text: "a text"
            case .number(let number): number
            case .symbol(let symbol): symbol
            case .end: "the end"
            }
        return fail("\(wanted) is expected here, not \(found)")
    }
}
