/// Standard base64 (RFC 4648) with its padding and no white space, as event files carry bytes.
enum Base64 {
    /// The bytes written to `destination`, which has room for three quarters of `text`; nil if it isn't base64.
    static func decode(_ text: UnsafeRawBufferPointer, into destination: UnsafeMutableRawPointer) -> Int? {
        guard text.count % 4 == 0 else { return nil }
        guard let last = text.last else { return 0 }
        let padding = last != 0x3D ? 0 : text[text.count - 2] == 0x3D ? 2 : 1
        var written = 0
        var at = 0
        while at < text.count {
            let final = at + 4 == text.count
            let digits = final ? 4 - padding : 4
            var bits: UInt32 = 0
            for i in 0..<4 {
                guard let digit = i < digits ? digit(text[at + i]) : 0 else { return nil }
                bits = bits << 6 | digit
            }
            let bytes = digits - 1
            // The bits that the padding leaves over are zero, or the text has a second reading.
            guard bits & (UInt32(1) << (8 * UInt32(3 - bytes)) - 1) == 0 else { return nil }
            for i in 0..<bytes {
                destination.storeBytes(
                    of: UInt8(truncatingIfNeeded: bits >> (16 - 8 * UInt32(i))), toByteOffset: written + i,
                    as: UInt8.self
                )
            }
            written += bytes
            at += 4
        }
        return written
    }

    private static func digit(_ c: UInt8) -> UInt32? {
        switch c {
        case 0x41...0x5A: UInt32(c) - 0x41
        case 0x61...0x7A: UInt32(c) - 0x61 + 26
        case 0x30...0x39: UInt32(c) - 0x30 + 52
        case 0x2B: 62
        case 0x2F: 63
        default: nil
        }
    }
}
