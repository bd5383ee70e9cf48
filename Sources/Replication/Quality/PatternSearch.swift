/// Looks for a pattern in texts. Where a search can stand in the pattern, all ways at once, is a *state*; what a character of
/// ASCII makes of a state is told once and looked up from then on. States are forgotten when there are too many, so a text
/// costs at most its length times the program's, whatever it is.
///
/// One to a thread.
final class PatternSearch {
    private typealias State = Int32
    private static let unknown: State = -1
    /// There is a match, whatever follows.
    private static let found: State = 0
    /// There is none, whatever follows.
    private static let lost: State = 1
    /// At the text's beginning.
    private static let first: State = 2
    private static let states_max = 256

    private let program: PatternProgram
    /// Of each state the steps that take a character or wait for the text's end, in order.
    private var steps: ContiguousArray<ContiguousArray<Int32>> = []
    private var isFoundAtEnd: ContiguousArray<Bool> = []
    /// The state behind each character of ASCII, 128 to a state.
    private var next: ContiguousArray<State> = []
    private var numbers: [ContiguousArray<Int32>: State] = [:]
    /// Without a character being taken.
    private var isFoundAtOnce = false
    private var pending: ContiguousArray<Int32> = []
    private var isVisited: ContiguousArray<Bool>

    init(_ program: PatternProgram) {
        self.program = program
        isVisited = ContiguousArray(repeating: false, count: program.steps.count)
        forget()
    }

    /// Whether the pattern is somewhere in the text.
    func isFound(in bytes: UnsafeRawBufferPointer) -> Bool {
        var state = Self.first
        if isFoundAtOnce { return true }
        var at = 0
        while at < bytes.count {
            let byte = bytes[at]
            if byte < 0x80 {
                at += 1
                let known = next[Int(state) << 7 | Int(byte)]
                state = known == Self.unknown ? learn(state, byte) : known
            } else {
                let (scalar, width) = Self.scalar(bytes, at)
                at += width
                state = follow(state, scalar)
            }
            if state == Self.found { return true }
            if state == Self.lost { return false }
        }
        return isFoundAtEnd[Int(state)]
    }

    // MARK: States

    private func forget() {
        steps = [[], []]
        isFoundAtEnd = [true, false]
        next = ContiguousArray(repeating: Self.unknown, count: 2 << 7)
        numbers = [:]
        // Never looked up: what waits for the beginning is through in it alone.
        let start = closure([0], isStart: true, isEnd: false)
        isFoundAtOnce = start == nil
        append(start ?? [], isStart: true)
    }

    private func append(_ set: ContiguousArray<Int32>, isStart: Bool) {
        steps.append(set)
        isFoundAtEnd.append(closure(set, isStart: isStart, isEnd: true) == nil)
        next.append(contentsOf: repeatElement(Self.unknown, count: 128))
    }

    private func learn(_ state: State, _ byte: UInt8) -> State {
        let before = steps.count
        let target = follow(state, UInt32(byte))
        // Unless all was forgotten, the old state too.
        if steps.count >= before { next[Int(state) << 7 | Int(byte)] = target }
        return target
    }

    private func follow(_ state: State, _ scalar: UInt32) -> State {
        var targets: ContiguousArray<Int32> = []
        for step in steps[Int(state)] {
            if case .take(let set) = program.steps[Int(step)], program.sets[Int(set)].contains(scalar) {
                targets.append(step + 1)
            }
        }
        if !program.isAnchored { targets.append(0) }
        guard let set = closure(targets, isStart: false, isEnd: false) else { return Self.found }
        if set.isEmpty, program.isAnchored { return Self.lost }
        if let number = numbers[set] { return number }
        if steps.count >= Self.states_max { forget() }
        let number = State(steps.count)
        append(set, isStart: false)
        numbers[set] = number
        return number
    }

    /// The steps that these lead to without taking a character; nil where one of them is the end of the pattern.
    private func closure(_ first: ContiguousArray<Int32>, isStart: Bool, isEnd: Bool) -> ContiguousArray<Int32>? {
        var set: ContiguousArray<Int32> = []
        var visited: ContiguousArray<Int32> = []
        defer {
            for step in visited { isVisited[Int(step)] = false }
            pending.removeAll(keepingCapacity: true)
        }
        pending.append(contentsOf: first)
        while let step = pending.popLast() {
            if isVisited[Int(step)] { continue }
            isVisited[Int(step)] = true
            visited.append(step)
            switch program.steps[Int(step)] {
            case .take: set.append(step)
            case .split(let one, let other):
                pending.append(other)
                pending.append(one)
            case .jump(let target): pending.append(target)
            case .start: if isStart { pending.append(step + 1) }
            case .end: if isEnd { pending.append(step + 1) } else { set.append(step) }
            case .match: return nil
            }
        }
        set.sort()
        return set
    }

    /// A byte that is no UTF-8 is a character that no pattern names.
    private static func scalar(_ bytes: UnsafeRawBufferPointer, _ at: Int) -> (UInt32, Int) {
        let first = bytes[at]
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
