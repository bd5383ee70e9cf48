/// The `where` of a table: which of its rows are live. Evaluated by the agent, on a source row.
///
/// The language is SQL's: `= <> != < <= > >=`, `[not] in (…)`, `[not] between … and …`,
/// `[not] like '…' [escape '…']`, `is [not] null|true|false`, `and`, `or`, `not`, parentheses; columns
/// (`status`, `"Order Status"`), texts (`'it''s'`), numbers, `true`, `false`, `null`. There are no
/// functions, no arithmetic and no casts.
///
/// How values compare, whatever the source and the warehouse:
/// - numbers exactly, digit by digit, of any length; NaN is above all others;
/// - texts by their UTF-8 bytes (the C collation: `'B' < 'a'`);
/// - a text with a number as numbers if the text is one (`amount > '5'`), else as texts;
/// - a date or timestamp (`PredicateValue.time`) with a text in ISO form as moments, UTC where no zone is
///   given; as texts where one of them is no such moment, and so does a time handed in as plain text;
/// - a boolean with a text as Postgres reads it (`'t'`, `'true'`, `'yes'`, `'on'`, `'1'` …), with a number
///   as 1 and 0.
package struct Predicate: Sendable, Equatable {
    /// As written.
    package let text: String
    /// The columns that it reads, each once, in the order of appearance. `evaluate` asks for them by index.
    package let columns: [Column]
    let root: Expression

    /// Longer texts are refused.
    package static let bytes_max = 64 << 10
    /// Deeper parentheses and longer chains of `not` are refused.
    package static let depth_max = 100

    /// A column by its name in the text.
    package struct Column: Sendable, Equatable {
        package var name: String
        /// In double quotes: then case must match.
        package var isQuoted: Bool
        /// Where it stands first, in characters from 1.
        package var position: Int
    }

    /// Throws `PredicateError` with the position of what can't be read.
    package init(_ text: String) throws(PredicateError) {
        if text.utf8.count > Self.bytes_max {
            throw PredicateError(position: 1, message: "the text has more than 64KiB", remedy: nil)
        }
        var parser = try PredicateParser(text)
        root = try parser.parse()
        columns = parser.columns
        self.text = text
    }

    package static func == (left: Predicate, right: Predicate) -> Bool { left.text == right.text }

    /// For each of `columns`, its place in `names`. A bare name also takes the one column that differs from
    /// it by case only. Throws where a column isn't there.
    package func resolve(in names: [String]) throws(PredicateError) -> [Int] {
        var places: [Int] = []
        for column in columns {
            if let exact = names.firstIndex(of: column.name) {
                places.append(exact)
                continue
            }
            let alike = names.indices.filter { names[$0].lowercased() == column.name.lowercased() }
            if !column.isQuoted, alike.count == 1 {
                places.append(alike[0])
                continue
            }
            var remedy = (alike.first.map { names[$0] } ?? nearestName(to: column.name, among: names)).map {
                "\"\($0)\""
            }
            if remedy == nil, column.isQuoted { remedy = "'\(column.name)' if it is meant as a text" }
            throw PredicateError(
                position: column.position, message: "the table has no column \(column.name)", remedy: remedy)
        }
        return places
    }

    indirect enum Expression: Sendable {
        case operand(Operand)
        case comparison(Operand, Comparison, Operand)
        case between(Operand, Operand, Operand)
        case isIn(Operand, [Operand])
        case like(Operand, LikePattern)
        case isNull(Expression)
        case isTruth(Expression, Bool)
        case not(Expression)
        case and([Expression])
        case or([Expression])
    }

    enum Operand: Sendable {
        /// Index into `columns`.
        case column(Int)
        case text(String)
        /// In its own digits.
        case number(String)
        case bool(Bool)
        case null
    }

    enum Comparison: Sendable {
        case equal, notEqual, less, lessOrEqual, greater, greaterOrEqual
    }
}

/// Why a `where` can't be taken. Printed as `at character 8: …`.
package struct PredicateError: Error, Sendable, Equatable, CustomStringConvertible {
    /// In the text of the predicate, in characters from 1.
    package var position: Int
    package var message: String
    package var remedy: String?

    package var description: String { "at character \(position): \(message)" }
}
