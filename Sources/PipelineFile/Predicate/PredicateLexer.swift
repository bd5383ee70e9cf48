/// Cuts a `where` into tokens.
struct PredicateLexer {
    enum Token: Equatable {
        /// A bare word, a keyword or a column.
        case word(String)
        /// `"…"`
        case quoted(String)
        /// `'…'`
        case text(String)
        case number(String)
        /// `= <> < <= > >= ( ) , + -`
        case symbol(String)
        case end
    }

    struct Located {
        var token: Token
        /// In characters from 1.
        var position: Int
    }

    private let characters: [Character]
    private var at = 0

    static func tokens(of text: String) throws(PredicateError) -> [Located] {
        var lexer = PredicateLexer(characters: Array(text))
        var tokens: [Located] = []
        while let token = try lexer.next() { tokens.append(token) }
        tokens.append(Located(token: .end, position: lexer.characters.count + 1))
        return tokens
    }

    private init(characters: [Character]) {
        self.characters = characters
    }

    private func peek(_ ahead: Int = 0) -> Character? {
        at + ahead < characters.count ? characters[at + ahead] : nil
    }

    private mutating func next() throws(PredicateError) -> Located? {
        while let character = peek(), character.isWhitespace { at += 1 }
        guard let character = peek() else { return nil }
        let position = at + 1
        switch character {
        case "'": return Located(token: .text(try delimited(by: "'", what: "text")), position: position)
        case "\"":
            let name = try delimited(by: "\"", what: "column name")
            if name.isEmpty { throw PredicateError(position: position, message: "a column's name can't be empty") }
            return Located(token: .quoted(name), position: position)
        case _ where Self.isDigit(character) || (character == "." && peek(1).map(Self.isDigit) == true):
            return Located(token: .number(try number()), position: position)
        case _ where character.isLetter || character == "_": return Located(token: .word(word()), position: position)
        default: return Located(token: try symbol(), position: position)
        }
    }

    private mutating func delimited(by quote: Character, what: String) throws(PredicateError) -> String {
        let start = at + 1
        var text = ""
        at += 1
        while let character = peek() {
            at += 1
            if character != quote {
                text.append(character)
            } else if peek() == quote {
                text.append(quote)
                at += 1
            } else {
                return text
            }
        }
        throw PredicateError(position: start, message: "this \(what) has no closing \(quote)")
    }

    private mutating func word() -> String {
        let start = at
        while let character = peek(), character.isLetter || character.isNumber || character == "_" || character == "$" {
            at += 1
        }
        return String(characters[start..<at])
    }

    private mutating func number() throws(PredicateError) -> String {
        let start = at
        skipDigits()
        if peek() == "." {
            at += 1
            skipDigits()
        }
        if peek() == "e" || peek() == "E" {
            at += 1
            if peek() == "+" || peek() == "-" { at += 1 }
            let digits = at
            skipDigits()
            if at == digits || at - digits > 6 {
                throw PredicateError(position: start + 1, message: "this number's exponent can't be read")
            }
        }
        if let character = peek(), character.isLetter || character == "_" || character == "." {
            throw PredicateError(
                position: start + 1, message: "this number runs into other characters",
                remedy: "put a name that begins with a digit in double quotes")
        }
        return String(characters[start..<at])
    }

    private mutating func skipDigits() {
        while let character = peek(), Self.isDigit(character) { at += 1 }
    }

    private mutating func symbol() throws(PredicateError) -> Token {
        let position = at + 1
        let two = String(characters[at..<min(at + 2, characters.count)])
        switch two {
        case "<>", "<=", ">=":
            at += 2
            return .symbol(two)
        case "!=":
            at += 2
            return .symbol("<>")
        case "==": throw PredicateError(position: position, message: "there is no ==", remedy: "=")
        case "&&": throw PredicateError(position: position, message: "there is no &&", remedy: "and")
        case "||": throw PredicateError(position: position, message: "there is no ||", remedy: "or")
        case "::": throw PredicateError(position: position, message: "there are no casts")
        case "--", "/*": throw PredicateError(position: position, message: "there are no comments")
        default: break
        }
        guard let one = two.first, "=<>(),+-".contains(one) else {
            throw PredicateError(position: position, message: "\(two.prefix(1)) means nothing here")
        }
        at += 1
        return .symbol(String(one))
    }

    private static func isDigit(_ character: Character) -> Bool {
        character.isASCII && character.isNumber
    }
}

extension PredicateError {
    init(position: Int, message: String) {
        self.init(position: position, message: message, remedy: nil)
    }
}
