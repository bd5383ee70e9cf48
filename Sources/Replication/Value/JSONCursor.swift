import JSON

/// Walks JSON text that lies somewhere already, without a parser and its tape: arrays and json values
/// in an arena. Strict in its grammar; UTF-8 isn't checked.
struct JSONCursor {
    let base: UnsafeRawPointer
    let end: Int
    var at: Int
    /// A string had `\u0000`, or half a surrogate pair: JSON, but nothing that jsonb takes.
    private(set) var sawUnstorable = false

    /// The most containers that were open at once.
    private(set) var deepest = 0

    static let depth_max = 1000

    @inline(__always)
    init(_ bytes: UnsafeRawBufferPointer) {
        // Never read where count is 0.
        base = bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 1).unsafelyUnwrapped
        end = bytes.count
        at = 0
    }

    /// The next byte that isn't a space, or 0 at the end; not passed.
    @inline(__always)
    mutating func next() -> UInt8 {
        while at < end {
            let byte = base.load(fromByteOffset: at, as: UInt8.self)
            if byte > 0x20 { return byte }
            guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { return byte == 0 ? 1 : byte }
            at += 1
        }
        return 0
    }

    @inline(__always)
    mutating func take(_ byte: UInt8) -> Bool {
        guard next() == byte else { return false }
        at += 1
        return true
    }

    @inline(__always)
    func bytes(_ range: Range<Int>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count)
    }

    /// Passes one value; nil if it isn't one. The value's bytes.
    mutating func value() -> Range<Int>? {
        let first = next()
        let start = at
        guard first == 0x5B || first == 0x7B else { return scalar(first) ? start..<at : nil }
        var outer = OpenContainers()
        var byte = first
        var inObject = false
        descend: while true {
            at += 1
            guard outer.depth < Self.depth_max else { return nil }
            outer.push(inObject)
            deepest = max(deepest, outer.depth)
            inObject = byte == 0x7B
            if take(byte + 2) {
                inObject = outer.pop()
            } else {
                if inObject, !key() { return nil }
                byte = next()
                if byte == 0x5B || byte == 0x7B { continue descend }
                guard scalar(byte) else { return nil }
            }
            while outer.depth > 0 {
                let mark = next()
                at += 1
                if mark == 0x2C {
                    if inObject, !key() { return nil }
                    byte = next()
                    if byte == 0x5B || byte == 0x7B { continue descend }
                    guard scalar(byte) else { return nil }
                } else {
                    guard mark == (inObject ? 0x7D : 0x5D) else { return nil }
                    inObject = outer.pop()
                }
            }
            return start..<at
        }
    }

    private mutating func key() -> Bool {
        next() == 0x22 && string() != nil && take(0x3A)
    }

    private mutating func scalar(_ first: UInt8) -> Bool {
        switch first {
        case 0x22: string() != nil
        case 0x74: word("true")
        case 0x66: word("false")
        case 0x6E: word("null")
        default: number()
        }
    }

    mutating func word(_ word: StaticString) -> Bool {
        let count = word.utf8CodeUnitCount
        guard end - at >= count else { return false }
        for i in 0..<count where base.load(fromByteOffset: at + i, as: UInt8.self) != word.utf8Start[i] { return false }
        at += count
        return true
    }

    private mutating func digits() -> Int {
        let start = at
        while at < end, base.load(fromByteOffset: at, as: UInt8.self) &- 0x30 < 10 { at += 1 }
        return at - start
    }

    private func peek(_ byte: UInt8) -> Bool { at < end && base.load(fromByteOffset: at, as: UInt8.self) == byte }

    private mutating func number() -> Bool {
        if peek(0x2D) { at += 1 }
        if peek(0x30) { at += 1 } else if digits() == 0 { return false }
        if peek(0x2E) {
            at += 1
            if digits() == 0 { return false }
        }
        if peek(0x65) || peek(0x45) {
            at += 1
            if peek(0x2B) || peek(0x2D) { at += 1 }
            if digits() == 0 { return false }
        }
        return true
    }

    /// Passes a string, whose quote is next; its content without quotes, still escaped.
    mutating func string() -> Range<Int>? {
        at += 1
        let start = at
        var pair = false
        while at < end {
            while at + 8 <= end, !pair {
                // Eight bytes without a quote, a backslash or a control character.
                let word = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: at, as: UInt64.self))
                let marks =
                    Self.zeros(word ^ 0x2222_2222_2222_2222) | Self.zeros(word ^ 0x5C5C_5C5C_5C5C_5C5C)
                    | Self.zeros(word & 0xE0E0_E0E0_E0E0_E0E0)
                guard marks == 0 else {
                    // The lowest mark is a true one.
                    at += marks.trailingZeroBitCount / 8
                    break
                }
                at += 8
            }
            if at == end { return nil }
            let byte = base.load(fromByteOffset: at, as: UInt8.self)
            if byte == 0x22 {
                if pair { sawUnstorable = true }
                at += 1
                return start..<at - 1
            }
            guard byte == 0x5C else {
                if byte < 0x20 { return nil }
                if pair {
                    sawUnstorable = true
                    pair = false
                }
                at += 1
                continue
            }
            guard at + 1 < end else { return nil }
            let kind = base.load(fromByteOffset: at + 1, as: UInt8.self)
            var isFirstHalf = false
            if kind == 0x75 {
                guard at + 6 <= end, let code = hex(at + 2) else { return nil }
                let isSecondHalf = code & 0xFC00 == 0xDC00
                isFirstHalf = code & 0xFC00 == 0xD800
                if code == 0 || isSecondHalf != pair { sawUnstorable = true }
                at += 6
            } else {
                switch kind {
                case 0x22, 0x5C, 0x2F, 0x62, 0x66, 0x6E, 0x72, 0x74: at += 2
                default: return nil
                }
                if pair { sawUnstorable = true }
            }
            pair = isFirstHalf
        }
        return nil
    }

    /// Not 0 if a byte is.
    @inline(__always)
    private static func zeros(_ word: UInt64) -> UInt64 {
        (word &- 0x0101_0101_0101_0101) & ~word & 0x8080_8080_8080_8080
    }

    private func hex(_ offset: Int) -> UInt32? {
        var code: UInt32 = 0
        for i in offset..<offset + 4 {
            guard let value = hexValue(base.load(fromByteOffset: i, as: UInt8.self)) else { return nil }
            code = code << 4 | UInt32(value)
        }
        return code
    }

    /// Whether the whole text is one number as JSON writes it.
    @inline(__always)
    static func isNumber(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var cursor = JSONCursor(bytes)
        return cursor.number() && cursor.at == cursor.end
    }

    /// Kinds of the containers around a value, a bit each: 1 for an object. Allocates beyond 64 levels.
    private struct OpenContainers {
        private(set) var depth = 0
        private var bits: UInt64 = 0
        private var spilled: [UInt64] = []

        @inline(__always)
        mutating func push(_ isObject: Bool) {
            if depth & 63 == 0, depth > 0 { spilled.append(bits) }
            bits = bits << 1 | (isObject ? 1 : 0)
            depth += 1
        }

        @inline(__always)
        mutating func pop() -> Bool {
            let isObject = bits & 1 == 1
            bits >>= 1
            depth -= 1
            if depth & 63 == 0, depth > 0 { bits = spilled.removeLast() }
            return isObject
        }
    }
}
