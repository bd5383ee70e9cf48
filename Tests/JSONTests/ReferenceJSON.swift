@testable import JSON

/// A second reading of RFC 8259, one character at a time, to hold the parser against.
struct ReferenceJSON {
    private let bytes: [UInt8]
    private var at = 0
    private var depth = 0

    /// The document's value; nil if it isn't JSON, is too deep, or has half a surrogate pair.
    static func parse(_ bytes: [UInt8]) -> JSONValue? {
        guard String(validating: bytes, as: UTF8.self) != nil else { return nil }
        var parser = ReferenceJSON(bytes: bytes)
        guard let value = parser.value() else { return nil }
        parser.space()
        return parser.at == bytes.count ? value : nil
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private var next: UInt8? { at < bytes.count ? bytes[at] : nil }

    private mutating func take(_ c: Character) -> Bool {
        guard next == c.asciiValue else { return false }
        at += 1
        return true
    }

    private mutating func space() {
        while let c = next, [0x20, 0x09, 0x0A, 0x0D].contains(c) { at += 1 }
    }

    private mutating func value() -> JSONValue? {
        space()
        switch next.map({ Character(UnicodeScalar($0)) }) {
        case "{": return object()
        case "[": return array()
        case "\"": return string().map(JSONValue.string)
        case "t": return word("true") ? .bool(true) : nil
        case "f": return word("false") ? .bool(false) : nil
        case "n": return word("null") ? .null : nil
        default: return number()
        }
    }

    private mutating func word(_ text: String) -> Bool {
        guard bytes[at...].starts(with: text.utf8) else { return false }
        at += text.utf8.count
        return true
    }

    private mutating func object() -> JSONValue? {
        guard take("{"), depth < 64 else { return nil }
        depth += 1
        defer { depth -= 1 }
        var members: [JSONValue.Member] = []
        space()
        if take("}") { return .object([]) }
        while true {
            space()
            guard let key = string() else { return nil }
            space()
            guard take(":"), let value = value() else { return nil }
            members.append((key, value))
            space()
            if take("}") { return .object(members) }
            guard take(",") else { return nil }
        }
    }

    private mutating func array() -> JSONValue? {
        guard take("["), depth < 64 else { return nil }
        depth += 1
        defer { depth -= 1 }
        var elements: [JSONValue] = []
        space()
        if take("]") { return .array([]) }
        while true {
            guard let value = value() else { return nil }
            elements.append(value)
            space()
            if take("]") { return .array(elements) }
            guard take(",") else { return nil }
        }
    }

    private mutating func digits() -> Int {
        let start = at
        while let c = next, (0x30...0x39).contains(c) { at += 1 }
        return at - start
    }

    private mutating func number() -> JSONValue? {
        let start = at
        _ = take("-")
        if !take("0"), digits() == 0 { return nil }
        if take("."), digits() == 0 { return nil }
        if take("e") || take("E") {
            if !take("+") { _ = take("-") }
            if digits() == 0 { return nil }
        }
        return .number(String(decoding: bytes[start..<at], as: UTF8.self))
    }

    private mutating func string() -> String? {
        guard take("\"") else { return nil }
        var units: [UInt16] = []
        var plain: [UInt8] = []
        var text = ""
        func flushed() -> String? {
            let half = String(validating: units, as: UTF16.self)
            return half.map { $0 + String(decoding: plain, as: UTF8.self) }
        }
        while let c = next {
            at += 1
            switch c {
            case 0x22:
                guard let last = flushed() else { return nil }
                return text + last
            case 0..<0x20: return nil
            case 0x5C:
                if !plain.isEmpty {
                    guard let before = flushed() else { return nil }
                    text += before
                    units = []
                    plain = []
                }
                guard let unit = escape() else { return nil }
                units.append(unit)
            default: plain.append(c)
            }
        }
        return nil
    }

    private mutating func escape() -> UInt16? {
        guard let c = next else { return nil }
        at += 1
        switch Character(UnicodeScalar(c)) {
        case "\"", "\\", "/": return UInt16(c)
        case "b": return 8
        case "f": return 12
        case "n": return 10
        case "r": return 13
        case "t": return 9
        case "u":
            guard bytes.count - at >= 4 else { return nil }
            var unit: UInt16 = 0
            for _ in 0..<4 {
                guard let digit = Character(UnicodeScalar(bytes[at])).hexDigitValue, bytes[at] < 0x80 else {
                    return nil
                }
                unit = unit << 4 | UInt16(digit)
                at += 1
            }
            return unit
        default: return nil
        }
    }
}

/// A seeded generator (splitmix64), so that a failure can be had again.
struct SeededBytes: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// The document with one to four small damages.
    mutating func mutated(_ document: [UInt8]) -> [UInt8] {
        var bytes = document
        let telling: [UInt8] =
            Array("{}[]:,\"\\u0-+.eE \n\ttruefalsn/".utf8) + [0, 0x1F, 0x7F, 0x80, 0xC3, 0xED, 0xF4, 0xFF]
        for _ in 0..<Int.random(in: 1...4, using: &self) where !bytes.isEmpty {
            let at = Int.random(in: 0..<bytes.count, using: &self)
            switch Int.random(in: 0..<7, using: &self) {
            case 0: bytes.remove(at: at)
            case 1: bytes.insert(telling[Int.random(in: 0..<telling.count, using: &self)], at: at)
            case 2: bytes[at] = telling[Int.random(in: 0..<telling.count, using: &self)]
            case 3: bytes[at] = UInt8.random(in: 0...255, using: &self)
            case 4: bytes.removeLast(bytes.count - at)
            case 5:
                let end = min(bytes.count, at + Int.random(in: 1...12, using: &self))
                bytes.insert(contentsOf: bytes[at..<end], at: at)
            default: bytes.swapAt(at, Int.random(in: 0..<bytes.count, using: &self))
            }
        }
        return bytes
    }
}
