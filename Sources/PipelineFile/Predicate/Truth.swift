/// What a `where` says of a row: SQL's three values, and a fourth for what can't be told.
package enum Truth: Sendable, Equatable {
    case `true`
    case `false`
    /// SQL's null; also where null and false are what is left. Not live, for certain.
    case null
    /// It depends on a column whose value isn't known (an unchanged one that isn't at hand).
    case undecidable

    package var isTrue: Bool { self == .true }
}

/// The truths that are still possible: one where everything is known, more where a column isn't. Keeping
/// the set makes `false and ?` false, `true or ?` true, and `null and ?` certainly not true.
struct PossibleTruths: Equatable {
    private var bits: UInt8

    static let `true` = PossibleTruths(bits: 1)
    static let `false` = PossibleTruths(bits: 2)
    static let null = PossibleTruths(bits: 4)
    static let any = PossibleTruths(bits: 7)
    /// Of what is never null, such as `is null`.
    static let trueOrFalse = PossibleTruths(bits: 3)

    init(_ truth: Bool) {
        self = truth ? .true : .false
    }

    private init(bits: UInt8) {
        self.bits = bits
    }

    func canBe(_ truth: PossibleTruths) -> Bool { bits & truth.bits != 0 }

    private init(true isTrue: Bool, false isFalse: Bool, null isNull: Bool) {
        bits = (isTrue ? 1 : 0) | (isFalse ? 2 : 0) | (isNull ? 4 : 0)
    }

    static prefix func ! (one: PossibleTruths) -> PossibleTruths {
        PossibleTruths(true: one.canBe(.false), false: one.canBe(.true), null: one.canBe(.null))
    }

    static func and(_ left: PossibleTruths, _ right: PossibleTruths) -> PossibleTruths {
        PossibleTruths(
            true: left.canBe(.true) && right.canBe(.true),
            false: left.canBe(.false) || right.canBe(.false),
            null: (left.canBe(.null) && (right.canBe(.null) || right.canBe(.true)))
                || (left.canBe(.true) && right.canBe(.null)))
    }

    static func or(_ left: PossibleTruths, _ right: PossibleTruths) -> PossibleTruths {
        !and(!left, !right)
    }

    var truth: Truth {
        if self == .true { return .true }
        if self == .false { return .false }
        return canBe(.true) ? .undecidable : .null
    }
}
