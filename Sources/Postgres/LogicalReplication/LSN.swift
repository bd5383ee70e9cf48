/// A position in a Postgres server's log, as Postgres writes it: `16/B374D848`.
package enum LSN {
    package static func text(_ lsn: Int64) -> String {
        let bits = UInt64(bitPattern: lsn)
        return String(bits >> 32, radix: 16, uppercase: true) + "/"
            + String(bits & 0xFFFF_FFFF, radix: 16, uppercase: true)
    }

    /// Nil if it isn't one.
    package static func parse(_ text: some StringProtocol) -> Int64? {
        let halves = text.split(separator: "/", omittingEmptySubsequences: false)
        guard halves.count == 2, (1...8).contains(halves[0].utf8.count), (1...8).contains(halves[1].utf8.count),
            let high = UInt64(halves[0], radix: 16), let low = UInt64(halves[1], radix: 16), high <= 0x7FFF_FFFF
        else { return nil }
        return Int64(high << 32 | low)
    }

    /// Where the log stands when `lsn` is the insert position: right behind a page's header nothing was written to the
    /// page yet, and an idle server's senders stay in front of it.
    package static func settled(_ lsn: Int64) -> Int64 {
        switch lsn % 8192 {
        case 24, 40: lsn - lsn % 8192
        default: lsn
        }
    }
}
