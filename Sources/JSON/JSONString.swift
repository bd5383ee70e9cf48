import CSimdJSON

/// A JSON string's content between its written and its plain form.
public enum JSONString {
    /// Writes the UTF-8 of an escaped content (without quotes) to `destination`, which has room for
    /// `raw.count` bytes and doesn't overlap `raw`. Returns the bytes written; nil for a wrong escape or
    /// half a surrogate pair.
    @inlinable
    package static func unescape(_ raw: UnsafeRawBufferPointer, into destination: UnsafeMutableRawPointer) -> Int? {
        guard let source = raw.baseAddress else { return 0 }
        let length = csimdjson_unescape(source, raw.count, destination)
        return length < 0 ? nil : length
    }

    /// A content in plain; nil if its escapes are wrong.
    package static func unescaped(_ content: UnsafeRawBufferPointer) -> [UInt8]? {
        guard content.contains(0x5C) else { return Array(content) }
        var isValid = true
        let plain = [UInt8](unsafeUninitializedCapacity: content.count + 8) { room, count in
            guard let out = room.baseAddress else { return }
            let length = unescape(content, into: UnsafeMutableRawPointer(out))
            isValid = length != nil
            count = length ?? 0
        }
        return isValid ? plain : nil
    }

    /// Writes plain UTF-8 as a JSON string's content to `destination`, which has room for
    /// `6 * text.count` bytes. Control characters, quotes and backslashes are escaped, the rest is kept.
    @inlinable
    package static func escape(_ text: UnsafeRawBufferPointer, into destination: UnsafeMutableRawPointer) -> Int {
        guard let source = text.baseAddress else { return 0 }
        return csimdjson_escape(source, text.count, destination)
    }

    /// Reads an integer as JSON writes it; nil for anything else, or what doesn't fit.
    @inlinable
    package static func int64(_ text: UnsafeRawBufferPointer) -> Int64? {
        var value: Int64 = 0
        return csimdjson_int64(text.baseAddress, text.count, &value) ? value : nil
    }
}
