/// A pattern over a whole name: `*` any number of characters, `?` one; `\` takes the next one literally.
/// Case matters.
package struct Glob: Sendable, Hashable, CustomStringConvertible {
    /// As written.
    package let pattern: String
    private let parts: [Part]

    private enum Part: Sendable, Hashable {
        case any
        case one
        case literal(Unicode.Scalar)
    }

    package init(_ pattern: String) {
        self.pattern = pattern
        var parts: [Part] = []
        var isEscaped = false
        for scalar in pattern.unicodeScalars {
            switch scalar {
            case _ where isEscaped:
                parts.append(.literal(scalar))
                isEscaped = false
            case "\\": isEscaped = true
            case "*": if parts.last != .any { parts.append(.any) }
            case "?": parts.append(.one)
            default: parts.append(.literal(scalar))
            }
        }
        if isEscaped { parts.append(.literal("\\")) }
        self.parts = parts
    }

    package var description: String { pattern }

    /// The one name that it matches, where it has no wildcard.
    package var literal: String? {
        var text = String.UnicodeScalarView()
        for part in parts {
            guard case .literal(let scalar) = part else { return nil }
            text.append(scalar)
        }
        return String(text)
    }

    /// In time of at most name × pattern, whatever the pattern.
    package func matches(_ name: String) -> Bool {
        let name = Array(name.unicodeScalars)
        var at = 0
        var part = 0
        // The last `*` seen, and where what follows it was tried last.
        var retry: (part: Int, at: Int)?
        while at < name.count {
            if part < parts.count {
                switch parts[part] {
                case .any:
                    retry = (part, at)
                    part += 1
                    continue
                case .literal(let scalar) where scalar != name[at]: break
                case .one, .literal:
                    part += 1
                    at += 1
                    continue
                }
            }
            guard let (star, from) = retry else { return false }
            retry = (star, from + 1)
            part = star + 1
            at = from + 1
        }
        return parts[part...].allSatisfy { $0 == .any }
    }

    /// An anchored regular expression that matches the same names: what librdkafka subscribes to.
    package var regularExpression: String {
        var text = "^"
        for part in parts {
            switch part {
            case .any: text += ".*"
            case .one: text += "."
            case .literal(let scalar):
                if "\\^$.[]|()?*+{}".unicodeScalars.contains(scalar) { text += "\\" }
                text.unicodeScalars.append(scalar)
            }
        }
        return text + "$"
    }
}
