/// A statement taken apart as far as names go: what stands in comments is left out, texts are kept apart from names.
///
/// Both engines write SQL by Postgres' rules: nested comments, `''` and `""`, `E'…'`, `$tag$…$tag$`, and texts that go on
/// behind a line end, under the rules that they began with.
struct SQLWords {
    enum Word: Equatable {
        case name(String, isQuoted: Bool)
        /// A text's content.
        case text(String)
        /// Any other sign; digits as well.
        case sign(Unicode.Scalar)
        /// A name or text whose signs stand as numbers: `U&"…"`.
        case escaped

        func isName(_ keyword: String) -> Bool {
            guard case .name(let name, false) = self else { return false }
            return name.lowercased() == keyword
        }
    }

    private(set) var words: [Word] = []
    private let scalars: [Unicode.Scalar]
    private var semicolons: [Int] = []
    private var at = 0

    init(_ sql: String) {
        scalars = Array(sql.unicodeScalars)
        while at < scalars.count { next() }
    }

    /// The statement, with blanks for the semicolons outside of texts, names and comments.
    var withoutSemicolons: String {
        var blanked = scalars
        for index in semicolons { blanked[index] = " " }
        var text = String.UnicodeScalarView()
        text.append(contentsOf: blanked)
        return String(text)
    }

    private func peek(_ ahead: Int = 0) -> Unicode.Scalar? {
        at + ahead < scalars.count ? scalars[at + ahead] : nil
    }

    private mutating func next() {
        let scalar = scalars[at]
        switch scalar {
        case "-" where peek(1) == "-":
            while let scalar = peek(), scalar != "\n", scalar != "\r" { at += 1 }
        case "/" where peek(1) == "*": skipComment()
        case "'":
            at += 1
            words.append(.text(text(escapes: false)))
        case "\"":
            at += 1
            words.append(.name(quoted(by: "\"", escapes: false), isQuoted: true))
        case "$" where takeDollarText(): break
        case _ where Self.begins(scalar): takeName()
        case "0"..."9":
            // With what follows, so that `1e5` holds no name.
            while let scalar = peek(), Self.continues(scalar) || scalar == "." && peek(1).map(Self.isDigit) == true {
                at += 1
            }
            words.append(.sign("0"))
        case ";":
            words.append(.sign(scalar))
            semicolons.append(at)
            at += 1
        default:
            at += 1
            if !scalar.properties.isWhitespace { words.append(.sign(scalar)) }
        }
    }

    private mutating func skipComment() {
        var depth = 0
        repeat {
            if peek() == "/", peek(1) == "*" {
                depth += 1
                at += 2
            } else if peek() == "*", peek(1) == "/" {
                depth -= 1
                at += 2
            } else {
                at += 1
            }
        } while depth > 0 && at < scalars.count
    }

    /// Behind the opening quote; ends behind the closing one of the last part.
    private mutating func text(escapes: Bool) -> String {
        var text = quoted(by: "'", escapes: escapes)
        while let next = continuation() {
            at = next + 1
            text += quoted(by: "'", escapes: escapes)
        }
        return text
    }

    /// Where the quote stands that goes on with a text which has just ended: behind a line end, with blanks and comments
    /// of a line between.
    private func continuation() -> Int? {
        var (place, hasLineEnd) = (at, false)
        while place < scalars.count {
            switch scalars[place] {
            case "\n", "\r": hasLineEnd = true
            case " ", "\t", "\u{B}", "\u{C}": break
            case "'": return hasLineEnd ? place : nil
            case "-" where place + 1 < scalars.count && scalars[place + 1] == "-":
                while place < scalars.count, scalars[place] != "\n", scalars[place] != "\r" { place += 1 }
                continue
            default: return nil
            }
            place += 1
        }
        return nil
    }

    /// Behind the opening quote; ends behind the closing one.
    private mutating func quoted(by quote: Unicode.Scalar, escapes: Bool) -> String {
        var text = String.UnicodeScalarView()
        while let scalar = peek() {
            at += 1
            if scalar == quote {
                guard peek() == quote else { break }
                at += 1
            } else if escapes, scalar == "\\", let escaped = peek() {
                at += 1
                text.append(escaped)
                continue
            }
            text.append(scalar)
        }
        return String(text)
    }

    /// `$$…$$` or `$tag$…$tag$`.
    private mutating func takeDollarText() -> Bool {
        var end = at + 1
        if end < scalars.count, scalars[end] != "$" {
            guard Self.begins(scalars[end]) else { return false }
            while end < scalars.count, Self.continues(scalars[end]), scalars[end] != "$" { end += 1 }
        }
        guard end < scalars.count, scalars[end] == "$" else { return false }
        let tag = scalars[at...end]
        let start = end + 1
        var close = start
        while close + tag.count <= scalars.count, scalars[close..<close + tag.count] != tag { close += 1 }
        let isClosed = close + tag.count <= scalars.count
        var text = String.UnicodeScalarView()
        text.append(contentsOf: scalars[start..<(isClosed ? close : scalars.count)])
        words.append(.text(String(text)))
        at = isClosed ? close + tag.count : scalars.count
        return true
    }

    private mutating func takeName() {
        let start = at
        while let scalar = peek(), Self.continues(scalar) { at += 1 }
        var name = String.UnicodeScalarView()
        name.append(contentsOf: scalars[start..<at])
        let text = String(name)
        if text == "E" || text == "e", peek() == "'" {
            at += 1
            words.append(.text(self.text(escapes: true)))
        } else if text == "U" || text == "u", peek() == "&", peek(1) == "'" || peek(1) == "\"" {
            words.append(.escaped)
            at += 1
        } else {
            words.append(.name(text, isQuoted: false))
        }
    }

    private static func begins(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "a"..."z", "A"..."Z", "_": true
        default: scalar.value >= 0x80
        }
    }

    private static func isDigit(_ scalar: Unicode.Scalar) -> Bool { ("0"..."9").contains(scalar) }

    private static func continues(_ scalar: Unicode.Scalar) -> Bool {
        begins(scalar) || isDigit(scalar) || scalar == "$"
    }
}
