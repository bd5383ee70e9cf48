/// The file's text with the braces of each `${…}` exchanged for characters that mean nothing to YAML.
///
/// `{ token: ${NAME} }` is no YAML otherwise: a brace ends a bare value inside braces. One character
/// stands for one, so that lines and columns stay what they are.
struct ShieldedText {
    let text: String
    private let open: Unicode.Scalar
    private let close: Unicode.Scalar

    init(_ text: String) {
        // Private-use characters; two that the file doesn't hold.
        var free: [Unicode.Scalar] = []
        for code in UInt32(0xE000)...0xF8FF where free.count < 2 {
            guard let scalar = Unicode.Scalar(code), !text.unicodeScalars.contains(scalar) else { continue }
            free.append(scalar)
        }
        guard free.count == 2 else {
            (self.text, open, close) = (text, "{", "}")
            return
        }
        (open, close) = (free[0], free[1])
        self.text = Self.shield(text, open: open, close: close)
    }

    func restore(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: { $0 == open || $0 == close }) else { return text }
        var restored = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            restored.append(scalar == open ? "{" : scalar == close ? "}" : scalar)
        }
        return String(restored)
    }

    private static func shield(_ text: String, open: Unicode.Scalar, close: Unicode.Scalar) -> String {
        var shielded = String.UnicodeScalarView()
        var rest = text.unicodeScalars[...]
        while let dollar = rest.firstIndex(of: "$") {
            let brace = rest.index(after: dollar)
            shielded.append(contentsOf: rest[..<brace])
            rest = rest[brace...]
            guard rest.first == "{" else { continue }
            let inside = rest.dropFirst().prefix { !"{}\n\r\"'".unicodeScalars.contains($0) }
            guard inside.endIndex < rest.endIndex, rest[inside.endIndex] == "}" else { continue }
            shielded.append(open)
            shielded.append(contentsOf: inside)
            shielded.append(close)
            rest = rest[rest.index(after: inside.endIndex)...]
        }
        shielded.append(contentsOf: rest)
        return String(shielded)
    }

    /// Refuses keys that are aliases, lists or mappings, in files that have anchors. Yams hashes keys in
    /// full, and a few anchors within anchors make a key that takes hours to hash. Everything else that
    /// aliases blow up is bounded by `FileNode.nodes_max`.
    func refuseCollectionsAsKeys() throws(YAMLProblem) {
        let scalars = Array(text.unicodeScalars)
        guard Self.hasSigil("&", scalars), Self.hasSigil("*", scalars) else { return }
        var mark = FileMark(line: 1, column: 1)
        for (index, scalar) in scalars.enumerated() {
            let next = Self.next(in: scalars, after: index)
            let isKey: Bool
            switch scalar {
            case "]", "}": isKey = next == ":"
            case "?": isKey = Self.startsToken(scalars, index) && Self.isBlank(scalars, index + 1)
            case "*" where Self.startsToken(scalars, index):
                let end = scalars[index...].firstIndex { Self.endsName($0) } ?? scalars.count
                isKey = Self.next(in: scalars, after: end - 1) == ":" || scalars[index..<end].last == ":"
            default: isKey = false
            }
            if isKey {
                throw YAMLProblem(
                    mark: mark, message: "an alias, list or mapping can't be a key",
                    remedy: "put the value in quotes if it is meant as text")
            }
            mark =
                scalar == "\n"
                ? FileMark(line: mark.line + 1, column: 1) : FileMark(line: mark.line, column: mark.column + 1)
        }
    }

    private static func hasSigil(_ sigil: Unicode.Scalar, _ scalars: [Unicode.Scalar]) -> Bool {
        scalars.indices.contains { scalars[$0] == sigil && startsToken(scalars, $0) && !isBlank(scalars, $0 + 1) }
    }

    private static func startsToken(_ scalars: [Unicode.Scalar], _ index: Int) -> Bool {
        index == 0 || " \t\r\n[]{},:?-\u{85}\u{2028}\u{2029}\u{FEFF}".unicodeScalars.contains(scalars[index - 1])
    }

    private static func endsName(_ scalar: Unicode.Scalar) -> Bool {
        " \t\r\n[]{},\u{85}\u{2028}\u{2029}".unicodeScalars.contains(scalar)
    }

    private static func isBlank(_ scalars: [Unicode.Scalar], _ index: Int) -> Bool {
        index >= scalars.count || " \t\r\n\u{85}\u{2028}\u{2029}".unicodeScalars.contains(scalars[index])
    }

    /// The next character that is no space.
    private static func next(in scalars: [Unicode.Scalar], after index: Int) -> Unicode.Scalar? {
        scalars[min(index + 1, scalars.count)...].first { $0 != " " && $0 != "\t" }
    }
}
