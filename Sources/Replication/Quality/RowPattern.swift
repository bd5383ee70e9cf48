/// A regular expression that means the same here, in Postgres and in DuckDB: it is searched for in the text, as `~`,
/// `regexp_matches` and Great Expectations do, so `^` and `$` are written where the whole text is meant.
///
/// There are `. [a-z] [^a-z] \d \w \s \D \W \S ^ $ \A \z ( ) (?: ) | * + ? {m,n}`, escapes (`\.`, `\n`, `\xHH`,
/// `\uHHHH`), and `(?i)` in front. `.` is anything but a line end, `$` the very end, and classes are of ASCII, as RE2
/// has them. What engines see differently, or only with unbounded effort, is refused: back references, looking around,
/// word boundaries, POSIX and Unicode classes, letters beyond ASCII under `(?i)`.
///
/// It is matched by following all ways at once, so a text costs at most its length times `program_max`, and a text of
/// more than `text_bytes_max` bytes isn't searched: it fails.
package struct RowPattern: Sendable {
    /// Longer patterns are refused.
    package static let pattern_bytes_max = 4_096
    /// More repetitions in one go are refused, as Postgres does.
    package static let repeats_max = 255
    /// Patterns that need more steps are refused.
    package static let program_max = 1_000
    /// Groups within each other.
    static let depth_max = 50
    /// Longer texts fail. In bytes of UTF-8.
    package static let text_bytes_max = 64 << 10

    /// As written.
    package let text: String
    let root: Node
    let program: PatternProgram

    /// - Throws: `RowPatternError` where it isn't one of those.
    package init(_ text: String) throws(RowPatternError) {
        var parser = try PatternParser(text)
        root = try parser.parse()
        program = try PatternProgram(root)
        self.text = text
    }

    indirect enum Node: Sendable {
        case set(ScalarSet)
        case sequence([Node])
        case choice([Node])
        /// nil: any number.
        case repeated(Node, min: Int, max: Int?)
        case start
        case end

        /// The parser gives no other node that takes nothing and asks for nothing: each of the others is a step at least.
        static let empty = Node.sequence([])

        var isEmpty: Bool {
            if case .sequence(let items) = self { items.isEmpty } else { false }
        }
    }
}

extension RowPattern: Hashable, CustomStringConvertible {
    package var description: String { text }
    package static func == (left: RowPattern, right: RowPattern) -> Bool { left.text == right.text }
    package func hash(into hasher: inout Hasher) { hasher.combine(text) }
}

/// Why a pattern can't be taken.
package struct RowPatternError: Error, Sendable, Equatable {
    /// In characters (Unicode scalars) from 1.
    package var position: Int
    package var message: String
    package var remedy: String?

    package var description: String { "at character \(position): \(message)" }
}

/// Characters, as ranges in order that don't touch.
struct ScalarSet: Sendable, Equatable {
    private(set) var ranges: [ClosedRange<UInt32>]
    /// The first 128 as bits.
    private let low: (UInt64, UInt64)

    static let scalar_max: UInt32 = 0x10FFFF

    init(_ unordered: [ClosedRange<UInt32>]) {
        var merged: [ClosedRange<UInt32>] = []
        for range in unordered.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = merged.last, range.lowerBound <= last.upperBound + 1 {
                merged[merged.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                merged.append(range)
            }
        }
        var low: (UInt64, UInt64) = (0, 0)
        for range in merged where range.lowerBound < 128 {
            for value in range.lowerBound...min(range.upperBound, 127) {
                if value < 64 { low.0 |= 1 << UInt64(value) } else { low.1 |= 1 << UInt64(value - 64) }
            }
        }
        ranges = merged
        self.low = low
    }

    static func == (left: ScalarSet, right: ScalarSet) -> Bool { left.ranges == right.ranges }

    @inline(__always)
    func contains(_ scalar: UInt32) -> Bool {
        if scalar < 64 { return low.0 >> UInt64(scalar) & 1 != 0 }
        if scalar < 128 { return low.1 >> UInt64(scalar - 64) & 1 != 0 }
        return containsHigh(scalar)
    }

    private func containsHigh(_ scalar: UInt32) -> Bool {
        var (from, to) = (0, ranges.count)
        while from < to {
            let middle = (from + to) / 2
            if ranges[middle].upperBound < scalar { from = middle + 1 } else { to = middle }
        }
        return from < ranges.count && ranges[from].contains(scalar)
    }

    var complement: ScalarSet {
        var rest: [ClosedRange<UInt32>] = []
        var next: UInt32 = 0
        for range in ranges {
            if range.lowerBound > next { rest.append(next...range.lowerBound - 1) }
            next = range.upperBound + 1
        }
        if next <= Self.scalar_max { rest.append(next...Self.scalar_max) }
        return ScalarSet(rest)
    }

    /// With the other case of each ASCII letter.
    var ignoringCase: ScalarSet {
        var all = ranges
        for range in ranges {
            for (first, last, step) in [(0x41 as UInt32, 0x5A as UInt32, 0x20 as Int32), (0x61, 0x7A, -0x20)] {
                let from = max(range.lowerBound, first)
                let to = min(range.upperBound, last)
                if from <= to { all.append(UInt32(Int32(from) + step)...UInt32(Int32(to) + step)) }
            }
        }
        return ScalarSet(all)
    }

    static let digits = ScalarSet([0x30...0x39])
    static let words = ScalarSet([0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A])
    static let blanks = ScalarSet([0x09...0x0D, 0x20...0x20])
    static let lineEnd = ScalarSet([0x0A...0x0A])
}
