/// A `like` pattern: `%` any number of characters, `_` one character (a Unicode scalar), and an escape
/// character that takes the next one literally.
package struct LikePattern: Sendable, Equatable {
    private enum Part: Sendable, Equatable {
        case any
        case one
        case byte(UInt8)
    }
    private let parts: [Part]

    /// nil where the pattern ends with the escape character. `escape` nil: there is none.
    init?(_ pattern: String, escape: Unicode.Scalar?) {
        var parts: [Part] = []
        var isEscaped = false
        for scalar in pattern.unicodeScalars {
            switch scalar {
            case _ where isEscaped:
                parts += UTF8.encode(scalar).map { $0.map(Part.byte) } ?? []
                isEscaped = false
            case _ where scalar == escape: isEscaped = true
            case "%": if parts.last != .any { parts.append(.any) }
            case "_": parts.append(.one)
            default: parts += UTF8.encode(scalar).map { $0.map(Part.byte) } ?? []
            }
        }
        if isEscaped { return nil }
        self.parts = parts
    }

    /// In time of at most text × pattern. `text`: UTF-8.
    func matches(_ text: UnsafeRawBufferPointer) -> Bool {
        var at = 0
        var part = 0
        // The last `%` seen, and where what follows it was tried last.
        var retry: (part: Int, at: Int)?
        while at < text.count {
            if part < parts.count {
                switch parts[part] {
                case .any:
                    retry = (part, at)
                    part += 1
                    continue
                case .one:
                    part += 1
                    at = Self.after(text, at)
                    continue
                case .byte(let byte) where byte == text[at]:
                    part += 1
                    at += 1
                    continue
                case .byte: break
                }
            }
            guard let (star, from) = retry else { return false }
            let next = Self.after(text, from)
            retry = (star, next)
            part = star + 1
            at = next
        }
        return parts[part...].allSatisfy { $0 == .any }
    }

    /// Where the next character begins.
    private static func after(_ text: UnsafeRawBufferPointer, _ index: Int) -> Int {
        var next = index + 1
        while next < text.count, text[next] & 0xC0 == 0x80 { next += 1 }
        return next
    }
}
