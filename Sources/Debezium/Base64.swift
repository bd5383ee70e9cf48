import Replication

/// Base64, the standard alphabet and the URL-safe one, with the padding that belongs there.
enum Base64 {
    /// 0...63, or 255.
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: 255, count: 256)
        for i in 0..<26 {
            values[0x41 + i] = UInt8(i)
            values[0x61 + i] = UInt8(26 + i)
        }
        for i in 0..<10 { values[0x30 + i] = UInt8(52 + i) }
        values[0x2B] = 62
        values[0x2D] = 62
        values[0x2F] = 63
        values[0x5F] = 63
        return values
    }()

    /// Whether this could be base64 of at least one byte, in the standard alphabet.
    static func matches(_ raw: UnsafeRawBufferPointer) -> Bool {
        guard raw.count >= 4, raw.count % 4 == 0 else { return false }
        let padding = raw[raw.count - 1] != 0x3D ? 0 : raw[raw.count - 2] != 0x3D ? 1 : 2
        for i in 0..<raw.count - padding {
            let byte = raw[i]
            if values[Int(byte)] == 255 || byte == 0x2D || byte == 0x5F { return false }
        }
        return true
    }

    /// Appends the bytes; nil, and nothing appended, if it isn't base64. `raw` doesn't lie in `sink`. An escaped
    /// slash of JSON is a slash.
    static func append(_ raw: UnsafeRawBufferPointer, to sink: ByteArena) -> ByteRange? {
        let range = sink.appendUninitialized(raw.count * 3 / 4 + 3)
        let out = sink.base + range.offset
        let length = values.withUnsafeBufferPointer { decode(raw, $0, to: out) }
        guard let length else {
            sink.truncate(to: range.offset)
            return nil
        }
        sink.truncate(to: range.offset + length)
        return ByteRange(offset: range.offset, length: length)
    }

    private static func decode(
        _ raw: UnsafeRawBufferPointer, _ values: UnsafeBufferPointer<UInt8>, to out: UnsafeMutableRawPointer
    ) -> Int? {
        var end = raw.count
        while end > 0, raw[end - 1] == 0x3D { end -= 1 }
        guard raw.count - end <= 2 else { return nil }
        var bits: UInt32 = 0
        var held = 0
        var length = 0
        var digits = 0
        for i in 0..<end {
            if raw[i] == 0x5C, i + 1 < end, raw[i + 1] == 0x2F { continue }
            let value = values[Int(raw[i])]
            guard value != 255 else { return nil }
            digits += 1
            bits = bits << 6 | UInt32(value)
            held += 6
            if held >= 8 {
                held -= 8
                out.storeBytes(
                    of: UInt8(truncatingIfNeeded: bits >> UInt32(held)), toByteOffset: length, as: UInt8.self)
                length += 1
            }
        }
        // A lone digit holds no byte, and nothing may be left over.
        guard digits % 4 != 1, bits & ((1 << UInt32(held)) - 1) == 0 else { return nil }
        return length
    }
}
