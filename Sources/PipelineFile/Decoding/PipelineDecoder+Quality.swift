import Replication

extension PipelineDecoder {
    /// More are refused, of a table.
    static let expectations_max = 1_000

    func quality(_ table: Section, columns: Pipeline.Columns, selector: TableSelector?) -> TableQuality {
        var quality = TableQuality()
        if let node = table.node("quality") {
            if case .list(let items, _) = node {
                for (index, item) in items.prefix(Self.expectations_max).enumerated() {
                    let path = "\(table.path("quality"))[\(index)]"
                    guard let read = ExpectationDecoder(item, at: path, in: context)?.expectation() else { continue }
                    if let misfit = misfit(read.check, columns, selector) {
                        context.fail(item.mark, path, misfit.message, try: misfit.remedy)
                    }
                    quality.expectations.append(read)
                }
                if items.count > Self.expectations_max {
                    table.fail("quality", "a table has at most \(Self.expectations_max) expectations")
                }
            } else {
                table.fail(
                    "quality", "this must be a list, not \(node.kind)",
                    try: "quality: [{ expect: not_null, column: order_id }]")
            }
        }
        if let path = table.text("quality_suite") {
            let suite = ExpectationSuite(path: context.resolve(path: path.text), shown: path.shown).read()
            for problem in suite.problems {
                context.fail(path.mark, path.keyPath, problem.message, try: problem.remedy)
            }
            for expectation in suite.quality.expectations {
                guard let misfit = misfit(expectation.check, columns, selector) else {
                    quality.expectations.append(expectation)
                    continue
                }
                // A suite is somebody else's, and what it says softly is in nobody's way.
                guard expectation.severity == .hard else {
                    quality.unmapped.append(.init(origin: expectation.origin, reason: misfit.message))
                    continue
                }
                context.fail(
                    path.mark, path.keyPath, "\(expectation.origin): \(misfit.message)", try: misfit.remedy)
            }
            quality.unmapped += suite.quality.unmapped
        }
        return quality
    }

    /// What the file itself tells: columns that the warehouse doesn't have, has the hashes of, or has as another type, and
    /// tables that aren't replicated.
    private func misfit(
        _ check: Expectation.Check, _ columns: Pipeline.Columns, _ selector: TableSelector?
    ) -> ColumnTest.Misfit? {
        for column in check.columns {
            if columns.exclude.contains(column) {
                return .init(
                    "the column \(column) is excluded, and \(check.name) has nothing to look at",
                    try: "take the expectation out, or \(column) out of columns.exclude")
            }
            if columns.hash.contains(column), check.isOfValue {
                return .init(
                    "the column \(column) is hashed, and \(check.name) would see the hashes",
                    try: "take the expectation out, or \(column) out of columns.hash")
            }
            if check.isOfRow, let type = columns.types[column].flatMap({ ColumnType(sql: $0) }) {
                do throws(ColumnTest.Misfit) {
                    _ = try ColumnTest(check, type)
                } catch {
                    return error
                }
            }
        }
        if case .foreignKey(let key) = check, let selector, !selector.chooses(key.table) {
            return .init(
                "\(key.table) isn't replicated: source.include and source.exclude don't choose it",
                try: "add it to source.include")
        }
        return nil
    }
}

/// Reads one entry of `quality`.
struct ExpectationDecoder {
    /// What `expect` says.
    private enum Kind: String, CaseIterable {
        case notNull = "not_null"
        case unique, between
        case inSet = "in_set"
        case notInSet = "not_in_set"
        case matches
        case notMatches = "not_matches"
        case length
        case rowCount = "row_count"
        case foreignKey = "foreign_key"
        case expression

        /// Beside those that all have.
        var keys: [String] {
            switch self {
            case .notNull: ["column", "mostly"]
            case .unique: ["column", "columns", "mostly"]
            case .between, .length: ["column", "min", "max", "mostly"]
            case .inSet, .notInSet: ["column", "values", "mostly"]
            case .matches, .notMatches: ["column", "regex", "mostly"]
            case .rowCount: ["min", "max", "max_change"]
            case .foreignKey: ["column", "columns", "references", "to", "mostly"]
            case .expression: ["sql", "mostly"]
            }
        }
    }

    private let section: Section
    private let kind: Kind
    private let context: DecodingContext

    /// nil, with a problem, where it isn't told what is expected.
    init?(_ node: FileNode, at path: String, in context: DecodingContext) {
        self.context = context
        let every = Keys.expectation + Set(Kind.allCases.flatMap(\.keys)).sorted()
        guard case .map(let entries, _) = node else {
            _ = Section(node, at: path, keys: every, in: context)
            return nil
        }
        guard let expect = entries.first(where: { $0.key == "expect" }) else {
            context.fail(
                node.mark, Section.join(path, "expect"), "what is expected isn't said", try: "expect: not_null")
            return nil
        }
        // Its other keys are judged once the kind is known.
        let alone = Section(.map([expect], node.mark), at: path, keys: every, in: context)
        guard let kind = alone?.choice("expect", Kind.self),
            let section = Section(node, at: path, keys: Keys.expectation + kind.keys, in: context)
        else { return nil }
        self.kind = kind
        self.section = section
    }

    func expectation() -> Expectation? {
        let severity = section.choice("severity", Expectation.Severity.self)
        let onFail = section.choice("on_fail", Expectation.OnFail.self)
        let mostly = share("mostly")
        guard let check = check() else { return nil }
        let origin = "\(section.keyPath) (line \(section.mark.line))"
        let read = Expectation(
            check, severity: severity ?? .hard, onFail: onFail, mostly: mostly ?? .all, origin: origin)
        if let problem = read.contradiction {
            section.fail(problem.key, problem.message, try: problem.remedy)
            return nil
        }
        return read
    }

    private func check() -> Expectation.Check? {
        switch kind {
        case .notNull: return column().map { .notNull($0) }
        case .unique: return columns().map { .unique($0, .any) }
        case .between:
            let bounds = bounds()
            guard let column = column(), let bounds else { return nil }
            return .between(column, bounds)
        case .inSet, .notInSet:
            let values = values()
            guard let column = column(), let values else { return nil }
            return .set(column, values: values, isIn: kind == .inSet)
        case .matches, .notMatches:
            let pattern = pattern()
            guard let column = column(), let pattern else { return nil }
            return .matches(column, pattern, isMatch: kind == .matches)
        case .length:
            let range = counts(example: "max: 40")
            guard let column = column(), let range else { return nil }
            return .length(column, .init(min: range.min, max: range.max))
        case .rowCount: return rowCount()
        case .foreignKey: return foreignKey()
        case .expression:
            guard let sql = required("sql", "sql: total >= paid") else { return nil }
            do throws(ColumnTest.Misfit) {
                try QualitySQL.check(expression: sql.text)
            } catch {
                section.fail("sql", error.message, try: error.remedy)
                return nil
            }
            return .expression(sql.text)
        }
    }

    // MARK: Columns

    private func required(_ key: String, _ example: String) -> FileValue? {
        guard section.node(key) != nil else {
            section.fail(key, "\(kind.rawValue) needs \(key)", try: example)
            return nil
        }
        return section.text(key)
    }

    private func column() -> String? { required("column", "column: order_id")?.text }

    private func columns() -> [String]? {
        guard section.node("columns") != nil else { return column().map { [$0] } }
        if section.node("column") != nil {
            section.fail("columns", "column and columns are both given", try: "keep one of them")
            return nil
        }
        return names("columns")
    }

    private func names(_ key: String) -> [String]? {
        guard let values = section.texts(key, example: "[order_id, line]") else { return nil }
        guard !values.isEmpty else {
            section.fail(key, "this names no column", try: "\(key): [order_id]")
            return nil
        }
        var seen: Set<String> = []
        for value in values where !seen.insert(value.text).inserted {
            context.fail(value.mark, value.keyPath, "\(value.shown) is here twice", try: "keep one of them")
        }
        return values.map(\.text)
    }

    // MARK: Bounds and values

    private func bounds() -> Expectation.Bounds? {
        let (min, max) = (section.text("min"), section.text("max"))
        guard min != nil || max != nil else {
            if section.node("min") == nil, section.node("max") == nil {
                section.fail("min", "between needs min, max or both", try: "min: 0")
            }
            return nil
        }
        if let min, let max, isAbove(min.text, max.text) {
            section.fail("min", "\(min.shown) is above max, \(max.shown)", try: "min: the smaller of both")
            return nil
        }
        return .init(min: min.map { .init($0.text) }, max: max.map { .init($0.text) })
    }

    /// As far as both are numbers or moments; other bounds are their column's to compare.
    private func isAbove(_ min: String, _ max: String) -> Bool {
        let order = Array(min.utf8).withUnsafeBytes { one in
            Array(max.utf8).withUnsafeBytes { other -> Int? in
                guard let one = DecimalOrder(one), let other = DecimalOrder(other) else { return nil }
                return DecimalOrder.compare(one, other)
            }
        }
        if let order { return order > 0 }
        guard let one = Instant(min), let other = Instant(max) else { return false }
        return other < one
    }

    private func counts(example: String) -> (min: Int?, max: Int?)? {
        let range = 0...Int(1) << 53
        let (min, max) = (
            section.integer("min", in: range, example: 0), section.integer("max", in: range, example: 100)
        )
        guard min != nil || max != nil else {
            if section.node("min") == nil, section.node("max") == nil {
                section.fail("min", "\(kind.rawValue) needs min, max or both", try: example)
            }
            return nil
        }
        if let min, let max, min > max {
            section.fail("min", "\(min) is above max, \(max)", try: "min: \(max)")
            return nil
        }
        return (min, max)
    }

    private static let values_max = 10_000

    /// Other than elsewhere in the file, a value may be empty.
    private func values() -> [String]? {
        guard let node = section.node("values") else {
            section.fail("values", "\(kind.rawValue) needs values", try: "values: [pending, paid]")
            return nil
        }
        guard case .list(let items, _) = node else {
            section.fail("values", "this must be a list, not \(node.kind)", try: "values: [pending, paid]")
            return nil
        }
        guard !items.isEmpty else {
            section.fail("values", "there are no values", try: "values: [pending, paid]")
            return nil
        }
        guard items.count <= Self.values_max else {
            section.fail(
                "values", "there are more than \(Self.values_max) values", try: "expect: foreign_key, to a table")
            return nil
        }
        var values: [String] = []
        for (index, item) in items.enumerated() {
            let path = "\(section.path("values"))[\(index)]"
            switch item {
            case .scalar(let scalar):
                guard let value = context.value(of: scalar, at: path) else { continue }
                if value.text.utf8.contains(0) {
                    context.fail(value.mark, path, "this can't hold a NUL character")
                } else {
                    values.append(value.text)
                }
            case .null:
                context.fail(
                    item.mark, path, "null passes everything but not_null",
                    try: "leave it out, or \"null\" for the text")
            case .list, .map: context.fail(item.mark, path, "this must be a single value, not \(item.kind)")
            }
        }
        return values.count == items.count ? values : nil
    }

    private func pattern() -> RowPattern? {
        guard let value = required("regex", "regex: '^[A-Z]{3}$'") else { return nil }
        do {
            return try RowPattern(value.text)
        } catch {
            let message = value.isSubstituted ? "at character \(error.position): this can't be read" : error.description
            section.fail("regex", message, try: error.remedy)
            return nil
        }
    }

    private func share(_ key: String, isPart: Bool = true) -> Share? {
        guard let value = section.text(key) else { return nil }
        guard let share = Share(value.text), share.isPart || !isPart else {
            let range = isPart ? "0 to 1" : "0 to 1000"
            section.fail(
                key, "this must be a number from \(range) with up to nine digits, not \(value.shown)",
                try: "\(key): 0.95")
            return nil
        }
        return share
    }

    // MARK: Tables

    private func rowCount() -> Expectation.Check? {
        guard section.node("max_change") != nil else {
            return counts(example: "min: 1").map { .rowCount(.init(min: $0.min, max: $0.max)) }
        }
        let change = share("max_change", isPart: false)
        let hasCounts = section.node("min") != nil || section.node("max") != nil
        let range = hasCounts ? counts(example: "min: 1") : (nil, nil)
        guard let change, let range else { return nil }
        return .rowCount(.init(min: range.min, max: range.max, change_max: change))
    }

    private func foreignKey() -> Expectation.Check? {
        let columns = columns()
        let to: [String]?
        switch section.node("to") {
        case nil: to = nil
        case .list: to = names("to")
        default: to = section.text("to").map { [$0.text] }
        }
        guard let table = required("references", "references: public.customers") else { return nil }
        guard table.text.dropFirst().dropLast().contains(".") else {
            section.fail(
                "references", "\(table.shown) is no schema.table",
                try: table.isSubstituted ? "references: public.customers" : "references: public.\(table.text)")
            return nil
        }
        guard let columns else { return nil }
        if let to, to.count != columns.count {
            section.fail(
                "to", "\(to.count) columns are no key for \(columns.count)",
                try: "to: one for each of \(columns.joined(separator: ", "))")
            return nil
        }
        return .foreignKey(.init(columns, table: table.text, to: to))
    }
}

extension Expectation {
    /// What can't be asked for at once, and at which key.
    var contradiction: (key: String, message: String, remedy: String)? {
        if severity == .soft, onFail != .warn {
            return (
                "on_fail", "a soft expectation warns, and \(onFail.rawValue) does more",
                "severity: hard, or on_fail: warn"
            )
        }
        guard onFail == .quarantineRow else { return nil }
        if !check.isOfRow {
            return (
                "on_fail", "no single row fails \(check.name), so none can be put aside", "on_fail: hold, stop or warn"
            )
        }
        if !mostly.isAll {
            return (
                "mostly", "quarantine_row puts each failing row aside, so none is left to be allowed",
                "take mostly out, or on_fail: hold"
            )
        }
        return nil
    }
}
