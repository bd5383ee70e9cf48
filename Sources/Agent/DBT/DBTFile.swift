import Crypto

/// A file of the project, with a first line that tells later runs what they wrote.
package struct DBTFile: Sendable, Equatable {
    /// Without a folder.
    package var name: String
    /// Behind the first line.
    package var body: String

    private static let word = "millrace dbt "

    /// The first line's mark and the body, as they stand in the file.
    package var text: String {
        let comment = name.hasSuffix(".sql") ? "--" : "#"
        return
            "\(comment) \(Self.word)\(hash): written by `millrace dbt`. Once it is edited, later runs keep it.\n\(body)"
    }

    package var hash: String { Self.hash(body) }

    /// Line ends are nobody's edit: git may change them.
    private static func hash(_ body: String) -> String {
        let bytes = body.utf8.filter { $0 != 0x0D }
        return SHA256.hash(data: bytes).prefix(8).map { byte in
            let digits = String(byte, radix: 16)
            return byte < 16 ? "0" + digits : digits
        }.joined()
    }

    /// What a file on disk tells of itself.
    package struct Found: Equatable {
        /// Of the body that it was made with; nil: it isn't ours, or the line is gone.
        package var hash: String?
        package var isEdited: Bool

        package init(_ text: String) {
            let end = text.utf8.firstIndex(of: 0x0A) ?? text.endIndex
            let line = text[..<end]
            let words = line.drop { $0 == "-" || $0 == "#" || $0 == " " }
            guard words.hasPrefix(DBTFile.word) else {
                isEdited = true
                return
            }
            let hash = String(words.dropFirst(DBTFile.word.count).prefix { $0.isHexDigit })
            self.hash = hash
            let body = end == text.endIndex ? "" : String(text[text.utf8.index(after: end)...])
            isEdited = DBTFile.hash(body) != hash
        }
    }
}
