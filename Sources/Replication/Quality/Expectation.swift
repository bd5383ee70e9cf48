/// What a table is expected to be, as the pipeline file or a suite says it. Columns are the source's names; what a value is
/// hangs on the column's type, so it is read when that is known (`ColumnTest`).
package struct Expectation: Hashable, Sendable {
    package enum Severity: String, Hashable, Sendable, CaseIterable { case hard, soft }

    /// What becomes of the table, or the row, that isn't as expected.
    package enum OnFail: String, Hashable, Sendable, CaseIterable {
        case hold
        case quarantineRow = "quarantine_row"
        case stop
        case warn
    }

    package var check: Check
    package var severity: Severity
    package var onFail: OnFail
    /// The part of the rows looked at that must be as expected.
    package var mostly: Share
    /// Where it stands: `tables[0].quality[2] (line 12)`.
    package var origin: String

    /// - Parameter onFail: nil: a hard one holds the table, a soft one warns.
    package init(
        _ check: Check, severity: Severity = .hard, onFail: OnFail? = nil, mostly: Share = .all, origin: String = ""
    ) {
        self.check = check
        self.severity = severity
        self.onFail = onFail ?? (severity == .hard ? .hold : .warn)
        self.mostly = mostly
        self.origin = origin
    }

    package enum Check: Hashable, Sendable {
        // Of a row's own values.
        case notNull(String)
        case between(String, Bounds)
        case set(String, values: [String], isIn: Bool)
        case matches(String, RowPattern, isMatch: Bool)
        case length(String, Lengths)
        // Of the table.
        case unique([String], UniqueNulls)
        case foreignKey(ForeignKey)
        case expression(String)
        case rowCount(RowCount)
        case exists(String)
    }

    /// Both are inclusive unless strict; nil: unbounded.
    package struct Bounds: Hashable, Sendable {
        package var min: Bound?
        package var max: Bound?

        package init(min: Bound? = nil, max: Bound? = nil) {
            self.min = min
            self.max = max
        }
    }

    package struct Bound: Hashable, Sendable {
        package var text: String
        package var isStrict: Bool

        package init(_ text: String, isStrict: Bool = false) {
            self.text = text
            self.isStrict = isStrict
        }
    }

    /// In characters (Unicode scalars).
    package struct Lengths: Hashable, Sendable {
        package var min: Int?
        package var max: Int?

        package init(min: Int? = nil, max: Int? = nil) {
            self.min = min
            self.max = max
        }
    }

    /// Which rows aren't looked at.
    package enum UniqueNulls: String, Hashable, Sendable {
        /// Those with a null in any of the columns, as SQL's UNIQUE has it.
        case any
        /// Those with nulls in all of them; else two nulls are the same.
        case all
        case none
    }

    package struct ForeignKey: Hashable, Sendable {
        package var columns: [String]
        /// As `schema.table` of the source.
        package var table: String
        /// Nil: the table's key.
        package var to: [String]?

        package init(_ columns: [String], table: String, to: [String]? = nil) {
            self.columns = columns
            self.table = table
            self.to = to
        }
    }

    package struct RowCount: Hashable, Sendable {
        package var min: Int?
        package var max: Int?
        /// Of the count 24 hours ago, in either direction.
        package var change_max: Share?

        package init(min: Int? = nil, max: Int? = nil, change_max: Share? = nil) {
            self.min = min
            self.max = max
            self.change_max = change_max
        }
    }
}

extension Expectation.Check {
    /// Its name in the pipeline file.
    package var name: String {
        switch self {
        case .notNull: "not_null"
        case .between: "between"
        case .set(_, _, let isIn): isIn ? "in_set" : "not_in_set"
        case .matches(_, _, let isMatch): isMatch ? "matches" : "not_matches"
        case .length: "length"
        case .unique: "unique"
        case .foreignKey: "foreign_key"
        case .expression: "expression"
        case .rowCount: "row_count"
        case .exists: "exists"
        }
    }

    /// The columns that it names.
    package var columns: [String] {
        switch self {
        case .notNull(let column), .between(let column, _), .set(let column, _, _), .matches(let column, _, _),
            .length(let column, _), .exists(let column):
            [column]
        case .unique(let columns, _): columns
        case .foreignKey(let key): key.columns
        case .expression, .rowCount: []
        }
    }

    /// Whether one row by itself tells.
    package var isOfRow: Bool {
        switch self {
        case .notNull, .between, .set, .matches, .length: true
        case .unique, .foreignKey, .expression, .rowCount, .exists: false
        }
    }

    /// Whether it looks at what a value is, not only at whether there is one.
    package var isOfValue: Bool {
        switch self {
        case .between, .set, .matches, .length: true
        default: false
        }
    }
}

/// What a table is expected to be, and what was left out of it.
package struct TableQuality: Hashable, Sendable {
    /// A soft expectation of a suite that isn't checked.
    package struct Unmapped: Hashable, Sendable {
        package var origin: String
        package var reason: String

        package init(origin: String, reason: String) {
            self.origin = origin
            self.reason = reason
        }
    }

    package var expectations: [Expectation] = []
    package var unmapped: [Unmapped] = []

    package init(_ expectations: [Expectation] = [], unmapped: [Unmapped] = []) {
        self.expectations = expectations
        self.unmapped = unmapped
    }

    package var isEmpty: Bool { expectations.isEmpty && unmapped.isEmpty }
}
