/// UUIDs of version 7 (RFC 9562): their order is that of their time.
enum LineageRunID {
    static func make(now_us: Int64, _ random: inout some RandomNumberGenerator) -> String {
        let time_ms = UInt64(max(0, now_us / 1000)) & 0xFFFF_FFFF_FFFF
        let high = time_ms << 16 | 0x7000 | random.next() & 0x0FFF
        let low = 0x8000_0000_0000_0000 | random.next() & 0x3FFF_FFFF_FFFF_FFFF
        func hex(_ value: UInt64, _ digits: Int) -> String {
            let text = String(value, radix: 16)
            return String(repeating: "0", count: max(0, digits - text.count)) + text
        }
        return [
            hex(high >> 32, 8), hex(high >> 16 & 0xFFFF, 4), hex(high & 0xFFFF, 4), hex(low >> 48, 4),
            hex(low & 0xFFFF_FFFF_FFFF, 12),
        ].joined(separator: "-")
    }

    static func make(now_us: Int64) -> String {
        var random = SystemRandomNumberGenerator()
        return make(now_us: now_us, &random)
    }
}
