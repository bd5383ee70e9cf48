/// A pattern as steps that are followed all at once: no text makes it go back.
struct PatternProgram: Sendable {
    enum Step: Sendable {
        /// Takes a character of the set with this number.
        case take(Int32)
        /// Goes on here and there.
        case split(Int32, Int32)
        case jump(Int32)
        case start
        case end
        case match
    }

    private(set) var steps: ContiguousArray<Step> = []
    private(set) var sets: ContiguousArray<ScalarSet> = []
    /// Nothing but the text's beginning can begin a match.
    private let isAnchored: Bool

    init(_ root: RowPattern.Node) throws(RowPatternError) {
        isAnchored = Self.isAnchored(root)
        try add(root)
        steps.append(.match)
    }

    private static func isAnchored(_ node: RowPattern.Node) -> Bool {
        switch node {
        case .start: true
        case .sequence(let items): items.first.map(isAnchored) ?? false
        case .choice(let branches): branches.allSatisfy(isAnchored)
        case .set, .end, .repeated: false
        }
    }

    private var next: Int32 { Int32(steps.count) }

    private mutating func append(_ step: Step) throws(RowPatternError) {
        guard steps.count < RowPattern.program_max else {
            throw RowPatternError(
                position: 1, message: "the pattern is too large once its repetitions are written out",
                remedy: "repeat less often")
        }
        steps.append(step)
    }

    private mutating func add(_ node: RowPattern.Node) throws(RowPatternError) {
        switch node {
        case .set(let set):
            let index = sets.firstIndex(of: set) ?? sets.count
            if index == sets.count { sets.append(set) }
            try append(.take(Int32(index)))
        case .start: try append(.start)
        case .end: try append(.end)
        case .sequence(let items):
            for item in items { try add(item) }
        case .choice(let branches):
            var ends: [Int] = []
            for (index, branch) in branches.enumerated() {
                let split = steps.count
                if index < branches.count - 1 { try append(.split(next + 1, 0)) }
                try add(branch)
                guard index < branches.count - 1 else { break }
                ends.append(steps.count)
                try append(.jump(0))
                steps[split] = .split(Int32(split) + 1, next)
            }
            for end in ends { steps[end] = .jump(next) }
        case .repeated(let inner, let low, let high):
            for _ in 0..<low { try add(inner) }
            guard let high else {
                let split = steps.count
                try append(.split(next + 1, 0))
                try add(inner)
                try append(.jump(Int32(split)))
                steps[split] = .split(Int32(split) + 1, next)
                return
            }
            var splits: [Int] = []
            for _ in low..<high {
                splits.append(steps.count)
                try append(.split(next + 1, 0))
                try add(inner)
            }
            for split in splits { steps[split] = .split(Int32(split) + 1, next) }
        }
    }

    /// Whether the pattern is somewhere in the text.
    func isFound(in bytes: UnsafeRawBufferPointer, _ ways: inout PatternWays) -> Bool {
        ways.begin(steps.count)
        var at = 0
        while true {
            let isStart = at == 0
            if isStart || !isAnchored, follow(0, isStart: isStart, isEnd: at == bytes.count, &ways) { return true }
            if at == bytes.count || isAnchored && ways.current.isEmpty { return false }
            let (scalar, width) = Self.scalar(bytes, at)
            at += width
            ways.advance()
            for index in ways.previous.indices {
                guard case .take(let set) = steps[Int(ways.previous[index])], sets[Int(set)].contains(scalar) else {
                    continue
                }
                if follow(ways.previous[index] + 1, isStart: false, isEnd: at == bytes.count, &ways) { return true }
            }
        }
    }

    /// Adds the steps that a place leads to without taking a character; true where one of them is the end.
    private func follow(_ first: Int32, isStart: Bool, isEnd: Bool, _ ways: inout PatternWays) -> Bool {
        ways.pending.append(first)
        while let step = ways.pending.popLast() {
            guard ways.visit(step) else { continue }
            switch steps[Int(step)] {
            case .take: ways.current.append(step)
            case .split(let one, let other):
                ways.pending.append(other)
                ways.pending.append(one)
            case .jump(let target): ways.pending.append(target)
            case .start: if isStart { ways.pending.append(step + 1) }
            case .end: if isEnd { ways.pending.append(step + 1) }
            case .match:
                ways.pending.removeAll(keepingCapacity: true)
                return true
            }
        }
        return false
    }

    /// A byte that is no UTF-8 is a character that no pattern names.
    @inline(__always)
    private static func scalar(_ bytes: UnsafeRawBufferPointer, _ at: Int) -> (UInt32, Int) {
        let first = bytes[at]
        if first < 0x80 { return (UInt32(first), 1) }
        let width = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1
        guard width > 1, at + width <= bytes.count else { return (0xFFFD, 1) }
        var value = UInt32(first) & (0x7F >> UInt32(width))
        for index in at + 1..<at + width {
            guard bytes[index] & 0xC0 == 0x80 else { return (0xFFFD, 1) }
            value = value << 6 | UInt32(bytes[index] & 0x3F)
        }
        return (value, width)
    }
}

/// Where a search stands. Kept from text to text, so that none of them allocates.
package struct PatternWays: Sendable {
    fileprivate(set) var current: ContiguousArray<Int32> = []
    fileprivate(set) var previous: ContiguousArray<Int32> = []
    fileprivate var pending: ContiguousArray<Int32> = []
    /// For each step the round in which it was visited last.
    private var visited: ContiguousArray<UInt32> = []
    private var round: UInt32 = 0

    package init() {}

    fileprivate mutating func begin(_ steps: Int) {
        if visited.count < steps || round > .max - (1 << 20) {
            visited = ContiguousArray(repeating: 0, count: max(steps, visited.count))
            round = 0
        }
        round += 1
        current.removeAll(keepingCapacity: true)
        pending.removeAll(keepingCapacity: true)
    }

    fileprivate mutating func advance() {
        swap(&current, &previous)
        current.removeAll(keepingCapacity: true)
        round += 1
    }

    @inline(__always)
    fileprivate mutating func visit(_ step: Int32) -> Bool {
        if visited[Int(step)] == round { return false }
        visited[Int(step)] = round
        return true
    }
}
