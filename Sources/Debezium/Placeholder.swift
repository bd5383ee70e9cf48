import JSON
import Replication

/// The connector's stand-in for a TOASTed column that didn't change, in the forms that it takes per type.
struct Placeholder {
    private let text: [UInt8]
    /// As a JSON string's content.
    private let escaped: [UInt8]
    private let base64: [UInt8]
    private let base64URL: [UInt8]
    private let uuid: [UInt8]
    /// `{ph: ph}` as the content of a string, for hstore as JSON.
    private let pair: [UInt8]

    init(_ text: String) {
        self.text = Array(text.utf8)
        let content = Self.escape(self.text)
        escaped = content
        base64 = Self.encode(self.text, alphabet: "+/")
        base64URL = Self.encode(self.text, alphabet: "-_")
        uuid = Array(MD5.nameUUID(self.text).utf8)
        pair = Self.escape(Array("{\"".utf8) + content + Array("\":\"".utf8) + content + Array("\"}".utf8))
    }

    /// Whether the value at `i` stands for an unchanged column. A JSON null is never one, though some types have nothing
    /// better.
    ///
    /// - Parameters:
    ///   - operation: how the column is written. Each type has forms of its own, and what is another type's form is
    ///     an honest value.
    ///   - element: how an array's elements are written; nil where the column isn't known to be one.
    @inline(__always)
    func matches(
        _ tape: JSONTape, _ i: Int, _ operation: ColumnPlan.Operation,
        element: @autoclosure () -> ColumnPlan.Operation?
    ) -> Bool {
        switch tape.kind(i) {
        case .string: matches(string: tape.rawValue(i), operation)
        case .array: matches(array: i, tape, operation == .json ? .json : element())
        case .object: (operation == .hstore || operation == .json) && matches(map: i, tape)
        default: false
        }
    }

    @inline(__always)
    private func matches(string raw: UnsafeRawBufferPointer, _ operation: ColumnPlan.Operation) -> Bool {
        if raw.count == escaped.count, equal(raw, escaped) { return true }
        if raw.count == base64.count || raw.count == base64URL.count {
            // In a text column that would be an honest value.
            if operation == .binary || operation == .textBytes || operation == .json {
                return equal(raw, base64) || equal(raw, base64URL)
            }
        }
        return raw.count == pair.count && (operation == .hstore || operation == .json) && equal(raw, pair)
    }

    private func matches(array i: Int, _ tape: JSONTape, _ element: ColumnPlan.Operation?) -> Bool {
        guard let element else { return false }
        // An array of another type that has the same elements is what it is.
        let isAny = element == .json
        let count = tape.childCount(i)
        if isAny || element == .integer || element == .date, count == text.count, codes(i, tape) { return true }
        guard count == 1, tape.kind(i + 1) == .string else { return false }
        let raw = tape.rawValue(i + 1)
        return switch element {
        case .string, .document, .loose: equal(raw, escaped)
        case .binary: equal(raw, base64) || equal(raw, base64URL)
        case .uuid: equal(raw, uuid)
        case .json: equal(raw, escaped) || equal(raw, base64) || equal(raw, base64URL) || equal(raw, uuid)
        default: false
        }
    }

    /// Arrays of integers (and of dates) have its bytes as elements.
    private func codes(_ i: Int, _ tape: JSONTape) -> Bool {
        var at = 0
        for element in tape.children(i) {
            guard tape.int64(element) == Int64(text[at]) else { return false }
            at += 1
        }
        return true
    }

    private func matches(map i: Int, _ tape: JSONTape) -> Bool {
        guard tape.childCount(i) == 1, tape.kind(i + 1) == .string else { return false }
        return equal(tape.rawKey(i + 1), escaped) && equal(tape.rawValue(i + 1), escaped)
    }

    @inline(__always)
    private func equal(_ raw: UnsafeRawBufferPointer, _ form: [UInt8]) -> Bool {
        raw.count == form.count && form.withUnsafeBytes { $0.elementsEqual(raw) }
    }

    private static func escape(_ text: [UInt8]) -> [UInt8] {
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: text.count * 6 + 1, alignment: 1)
        defer { room.deallocate() }
        guard let base = room.baseAddress else { return [] }
        let length = text.withUnsafeBytes { JSONString.escape($0, into: base) }
        return Array(room[..<length])
    }

    private static func encode(_ bytes: [UInt8], alphabet: StaticString) -> [UInt8] {
        let digits =
            Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789".utf8)
            + [alphabet.utf8Start[0], alphabet.utf8Start[1]]
        var out: [UInt8] = []
        var at = 0
        while at < bytes.count {
            let group = bytes[at..<min(at + 3, bytes.count)]
            var bits: UInt32 = 0
            for k in 0..<3 { bits = bits << 8 | (at + k < bytes.count ? UInt32(bytes[at + k]) : 0) }
            for k in 0..<4 {
                out.append(k <= group.count ? digits[Int(bits >> UInt32(18 - 6 * k) & 63)] : 0x3D)
            }
            at += 3
        }
        return out
    }
}
