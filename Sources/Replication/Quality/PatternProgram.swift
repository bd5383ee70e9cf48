/// A pattern as steps that are followed all at once (`PatternSearch`): no text makes it go back.
final class PatternProgram: Sendable {
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

    let steps: ContiguousArray<Step>
    let sets: ContiguousArray<ScalarSet>
    /// Nothing but the text's beginning can begin a match.
    let isAnchored: Bool

    init(_ root: RowPattern.Node) throws(RowPatternError) {
        isAnchored = Self.isAnchored(root)
        var writer = ProgramWriter()
        try writer.add(root)
        steps = writer.steps + [.match]
        sets = writer.sets
    }

    private static func isAnchored(_ node: RowPattern.Node) -> Bool {
        switch node {
        case .start: true
        case .sequence(let items): items.first.map(isAnchored) ?? false
        case .choice(let branches): branches.allSatisfy(isAnchored)
        case .set, .end, .repeated: false
        }
    }
}

/// Writes a pattern's steps.
private struct ProgramWriter {
    private(set) var steps: ContiguousArray<PatternProgram.Step> = []
    private(set) var sets: ContiguousArray<ScalarSet> = []

    private var next: Int32 { Int32(steps.count) }

    private mutating func append(_ step: PatternProgram.Step) throws(RowPatternError) {
        guard steps.count < RowPattern.program_max else {
            throw RowPatternError(
                position: 1, message: "the pattern is too large once its repetitions are written out",
                remedy: "repeat less often")
        }
        steps.append(step)
    }

    mutating func add(_ node: RowPattern.Node) throws(RowPatternError) {
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
}
