import Foundation

/// A database's URL, with its password kept out of everything that is printed.
package struct ConnectionURL: Sendable, Equatable, CustomDebugStringConvertible, CustomReflectable {
    /// The URL in full, as libpq wants it.
    package let text: String

    /// `schemes` such as `["postgres", "postgresql"]`; nil where the text has none of them, or holds
    /// spaces or control characters.
    package init?(_ text: String, schemes: [String]) {
        guard schemes.contains(where: { text.hasPrefix($0 + "://") && text.utf8.count > $0.utf8.count + 3 }),
            text.unicodeScalars.allSatisfy({ $0.value > 0x20 && $0.value != 0x7f })
        else { return nil }
        self.text = text
    }

    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: []) }
}

extension ConnectionURL: CustomStringConvertible {
    /// `postgres://user:***@host/db`: user kept, password and secret parameters replaced.
    package var description: String { Self.redacted(text) }

    /// The same for a text that may not be a URL at all.
    static func redacted(_ text: String) -> String {
        guard let separator = text.range(of: "://") else { return "***" }
        let scheme = text[..<separator.upperBound]
        var rest = text[separator.upperBound...]
        var authority = ""
        // The last @, wherever it stands: a password with an unescaped / or ? must not show either.
        if let at = rest.lastIndex(of: "@") {
            let user = rest[..<at]
            if let colon = user.firstIndex(of: ":") {
                authority = user[..<colon] + ":***@"
            } else {
                authority = user + "@"
            }
            rest = rest[rest.index(after: at)...]
        }
        return scheme + authority + redactedQuery(rest)
    }

    private static func redactedQuery(_ text: Substring) -> String {
        guard let question = text.firstIndex(of: "?") else { return String(text) }
        let parameters = text[text.index(after: question)...].split(separator: "&", omittingEmptySubsequences: false)
        let shown = parameters.map { parameter -> String in
            guard let equals = parameter.firstIndex(of: "=") else { return String(parameter) }
            let name = parameter[..<equals].lowercased()
            let isSecret = ["pass", "secret", "token"].contains { name.contains($0) }
            return isSecret ? parameter[...equals] + "***" : String(parameter)
        }
        return text[...question] + shown.joined(separator: "&")
    }
}
