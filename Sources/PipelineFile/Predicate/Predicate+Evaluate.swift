/// A column's value as a predicate looks at it.
///
/// Texts are UTF-8 and may be handed over as bytes, which must stay valid during the call only.
package enum PredicateValue {
    case null
    /// Not at hand: an unchanged column, or one that isn't in the event.
    case unknown
    case bool(Bool)
    case text(String)
    case textBytes(UnsafeRawBufferPointer)
    /// In its own digits: `-12.50`, `1e7`, `NaN`.
    case number(String)
    case numberBytes(UnsafeRawBufferPointer)
    /// A date or timestamp in ISO form, `T` or a space between its halves, with or without a zone.
    case time(String)
    case timeBytes(UnsafeRawBufferPointer)
}

extension Predicate {
    /// Whether a row is live. `lookup`: the value of the column at an index of `columns`; asked again for
    /// each time that the column is in the text.
    package func evaluate(_ lookup: (Int) -> PredicateValue) -> Truth {
        root.evaluate(lookup).truth
    }
}

extension Predicate.Expression {
    func evaluate(_ lookup: (Int) -> PredicateValue) -> PossibleTruths {
        switch self {
        case .operand(let operand): return operand.value(lookup).truth
        case .comparison(let left, let comparison, let right):
            return comparison.judge(left.value(lookup), right.value(lookup))
        case .between(let operand, let low, let high):
            let value = operand.value(lookup)
            return .and(
                Predicate.Comparison.greaterOrEqual.judge(value, low.value(lookup)),
                Predicate.Comparison.lessOrEqual.judge(value, high.value(lookup)))
        case .isIn(let operand, let items):
            let value = operand.value(lookup)
            var found = PossibleTruths.false
            for item in items {
                found = .or(found, Predicate.Comparison.equal.judge(value, item.value(lookup)))
                if found == .true { break }
            }
            return found
        case .like(let operand, let pattern): return operand.value(lookup).isLike(pattern)
        case .isNull(.operand(let operand)):
            switch operand.value(lookup) {
            case .null: return .true
            case .unknown: return .trueOrFalse
            default: return .false
            }
        case .isNull(let expression): return expression.evaluate(lookup).isExactly(.null)
        case .isTruth(let expression, let truth):
            return expression.evaluate(lookup).isExactly(truth ? .true : .false)
        case .not(let expression): return !expression.evaluate(lookup)
        case .and(let terms):
            var all = PossibleTruths.true
            for term in terms {
                all = .and(all, term.evaluate(lookup))
                if all == .false { break }
            }
            return all
        case .or(let terms):
            var any = PossibleTruths.false
            for term in terms {
                any = .or(any, term.evaluate(lookup))
                if any == .true { break }
            }
            return any
        }
    }
}

extension PossibleTruths {
    /// `is true`, `is false`, `is null` of a condition.
    fileprivate func isExactly(_ one: PossibleTruths) -> PossibleTruths {
        if self == one { return .true }
        return canBe(one) ? .trueOrFalse : .false
    }
}

extension Predicate.Operand {
    @inline(__always)
    fileprivate func value(_ lookup: (Int) -> PredicateValue) -> PredicateValue {
        switch self {
        case .column(let index): lookup(index)
        case .text(let text): .text(text)
        case .number(let number): .number(number)
        case .bool(let bool): .bool(bool)
        case .null: .null
        }
    }
}

extension Predicate.Comparison {
    fileprivate func judge(_ left: PredicateValue, _ right: PredicateValue) -> PossibleTruths {
        // Null first: it settles a comparison even with what isn't known.
        if case .null = left { return .null }
        if case .null = right { return .null }
        guard let order = PredicateValue.compare(left, right) else { return .any }
        return PossibleTruths(holds(order))
    }

    private func holds(_ order: Int) -> Bool {
        switch self {
        case .equal: order == 0
        case .notEqual: order != 0
        case .less: order < 0
        case .lessOrEqual: order <= 0
        case .greater: order > 0
        case .greaterOrEqual: order >= 0
        }
    }
}
