/// An expectation on one column's values, made for the column's type: held against a row's field (`verdict`), or against a
/// whole table by SQL that says the same (`passing`).
///
/// - Numbers compare exactly, digit by digit; a bound or value of a real or double is the nearest of its kind, as in SQL.
/// - NaN is within no bounds; infinities are above and below all. Either can be in a set.
/// - Texts, enums and all else that is a text compare by their UTF-8 bytes (the C collation), `char(n)` without the blanks
///   at its end, uuids in small letters.
/// - A timestamp without a zone is taken as it is; one with a zone is UTC where none is written.
///
/// A class, so that looking at a row copies nothing of it.
package final class ColumnTest: Sendable {
    package let columnType: ColumnType
    let type: ComparedType?
    let kind: Kind

    enum Kind: Sendable {
        case notNull
        /// Booleans, integers, and what a calendar counts.
        case wholes(Range<Int64>)
        case inWholes([Int64], isIn: Bool)
        case decimals(Held<Range<HeldDecimal>>)
        /// In order of the numbers, NaN and infinities too.
        case inDecimals([HeldDecimal], isIn: Bool)
        case floats(Range<Double>)
        case inFloats([Double], isIn: Bool)
        case texts(Held<Range<[UInt8]>>)
        /// In order of their bytes.
        case inTexts([[UInt8]], isIn: Bool)
        case matches(Held<RowPattern>, isMatch: Bool)
        case length(Expectation.Lengths)
    }

    struct Limit<Value: Sendable>: Sendable {
        var value: Value
        var isStrict: Bool
    }

    struct Range<Value: Sendable>: Sendable {
        var min: Limit<Value>?
        var max: Limit<Value>?
        /// No value can be within.
        var isEmpty = false
    }

    /// An expectation that can't be held against the table as it is.
    package struct Misfit: Error, Hashable, Sendable {
        package var message: String
        package var remedy: String?

        package init(_ message: String, try remedy: String? = nil) {
            self.message = message
            self.remedy = remedy
        }
    }

    /// Of an expectation on a row's own values (`Check.isOfRow`).
    package init(_ check: Expectation.Check, _ columnType: ColumnType) throws(Misfit) {
        let type = ComparedType(columnType)
        self.columnType = columnType
        self.type = type
        if case .notNull = check {
            kind = .notNull
            return
        }
        guard let type else { throw Self.noValues(check, columnType) }
        let reading = ComparedValues(type, check.columns.first ?? "")
        switch check {
        case .between(_, let bounds):
            try Self.requireOrder(columnType, type, check)
            kind = try reading.range(bounds)
        case .set(_, let values, let isIn): kind = try reading.set(values, isIn: isIn)
        case .matches(_, let pattern, let isMatch):
            guard type.isText else { throw Self.noText(check, columnType) }
            kind = .matches(Held(pattern), isMatch: isMatch)
        case .length(_, let lengths):
            guard type.isText else { throw Self.noText(check, columnType) }
            kind = .length(lengths)
        default: throw Misfit("\(check.name) isn't about a row's own values")
        }
    }

    private static func noValues(_ check: Expectation.Check, _ type: ColumnType) -> Misfit {
        let column = check.columns.first ?? ""
        if type == .unknown {
            return Misfit(
                "the type of \(column) isn't known, so \(check.name) can't compare its values",
                try: "columns: { types: { \(column): text } }, for a pipeline that begins anew; or expect: expression")
        }
        return Misfit(
            "\(column) is \(type.sql), whose values \(check.name) doesn't compare",
            try: "expect: expression, with sql: …")
    }

    private static func noText(_ check: Expectation.Check, _ type: ColumnType) -> Misfit {
        Misfit(
            "\(check.columns.first ?? "") is \(type.sql), and \(check.name) is for texts",
            try: "expect: between, or expect: expression")
    }

    /// An enum's texts have another order than the enum.
    private static func requireOrder(
        _ columnType: ColumnType, _ type: ComparedType, _ check: Expectation.Check
    ) throws(Misfit) {
        let isOrdered: Bool
        switch (type, columnType) {
        case (.boolean, _), (_, .timetz): isOrdered = false
        case (.text, .other(let name)):
            let base = name.lowercased().prefix { $0 != "(" }
            isOrdered = ["character varying", "varchar", "name", "citext"].contains {
                base == $0 || base.hasSuffix(".\($0)")
            }
        default: isOrdered = true
        }
        guard isOrdered else {
            throw Misfit(
                "\(check.columns.first ?? "") is \(columnType.sql), whose values have no order that all engines share",
                try: "expect: in_set, or expect: expression")
        }
    }
}
