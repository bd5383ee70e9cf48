import Replication

extension PredicateValue {
    private enum Kind { case none, bool, text, number, time }

    private var kind: Kind {
        switch self {
        case .null, .unknown: .none
        case .bool: .bool
        case .text, .textBytes: .text
        case .number, .numberBytes: .number
        case .time, .timeBytes: .time
        }
    }

    /// Below 0, 0 or above 0; nil where one isn't known (or null). The rules are `Predicate`'s.
    static func compare(_ left: PredicateValue, _ right: PredicateValue) -> Int? {
        let kinds = (left.kind, right.kind)
        if kinds.0 == .none || kinds.1 == .none { return nil }
        if kinds.0 == .bool || kinds.1 == .bool, let order = compareBooleans(left, right) { return order }
        return left.withBytes { one in
            right.withBytes { other in
                switch kinds {
                case (.number, _), (_, .number):
                    if let one = DecimalOrder(one), let other = DecimalOrder(other) {
                        return DecimalOrder.compare(one, other)
                    }
                case (.time, _), (_, .time):
                    if let one = Instant(one), let other = Instant(other) {
                        return one < other ? -1 : one == other ? 0 : 1
                    }
                default: break
                }
                return compareBytes(one, other)
            }
        }
    }

    /// nil where the other side is no boolean in any spelling.
    private static func compareBooleans(_ left: PredicateValue, _ right: PredicateValue) -> Int? {
        // true = 2 is false: a number beside a boolean is compared, not read as one.
        if left.kind == .number || right.kind == .number {
            return compare(left.asNumber, right.asNumber)
        }
        guard let one = left.boolean, let other = right.boolean else { return nil }
        return one == other ? 0 : one ? 1 : -1
    }

    private var asNumber: PredicateValue {
        if case .bool(let bool) = self { .number(bool ? "1" : "0") } else { self }
    }

    /// As Postgres reads booleans; nil where it would refuse.
    private var boolean: Bool? {
        switch self {
        case .null, .unknown, .time, .timeBytes: return nil
        case .bool(let bool): return bool
        case .number, .numberBytes: return withBytes { DecimalOrder($0).map { !$0.isZero } }
        case .text, .textBytes:
            return withBytes { bytes in
                guard (1...5).contains(bytes.count) else { return nil }
                switch String(decoding: bytes, as: UTF8.self).lowercased() {
                case "t", "true", "y", "yes", "on", "1": return true
                case "f", "false", "n", "no", "off", "0": return false
                default: return nil
                }
            }
        }
    }

    /// A column, or `true` and `null`, that is a condition by itself. What is no boolean is null.
    var truth: PossibleTruths {
        switch self {
        case .null: .null
        case .unknown: .any
        default: boolean.map { PossibleTruths($0) } ?? .null
        }
    }

    func isLike(_ pattern: LikePattern) -> PossibleTruths {
        switch self {
        case .null: .null
        case .unknown: .any
        default: PossibleTruths(withBytes(pattern.matches))
        }
    }

    /// Its text's UTF-8; none for null and unknown.
    private func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        switch self {
        case .textBytes(let bytes), .numberBytes(let bytes), .timeBytes(let bytes): return body(bytes)
        case .null, .unknown: return body(UnsafeRawBufferPointer(start: nil, count: 0))
        case .bool(let bool): return Self.withUTF8(bool ? "true" : "false", body)
        case .text(let text), .number(let text), .time(let text): return Self.withUTF8(text, body)
        }
    }

    private static func withUTF8<Result>(_ text: String, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        var text = text
        return text.withUTF8 { body(UnsafeRawBufferPointer($0)) }
    }

    private static func compareBytes(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Int {
        for index in 0..<min(left.count, right.count) where left[index] != right[index] {
            return left[index] < right[index] ? -1 : 1
        }
        return (left.count - right.count).signum()
    }
}
