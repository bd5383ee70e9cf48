import Testing

@testable import Replication

/// Expectations on one row's fields.
@Suite struct ColumnTestTests {
    private typealias Check = Expectation.Check

    private static func between(_ min: String?, _ max: String?, strict: Bool = false) -> Check {
        .between("c", .init(min: min.map { .init($0, isStrict: strict) }, max: max.map { .init($0, isStrict: strict) }))
    }
    private static func isIn(_ values: String...) -> Check { .set("c", values: values, isIn: true) }
    private static func isNotIn(_ values: String...) -> Check { .set("c", values: values, isIn: false) }

    /// A text stands for Postgres' text of the type.
    private func verdict(_ check: Check, _ type: ColumnType, _ text: String?) throws -> RowVerdict {
        let sample = Sample()
        return try verdict(check, type, text.map { sample.text($0) } ?? .null, sample)
    }

    private func verdict(_ check: Check, _ type: ColumnType, _ field: Field, _ sample: Sample) throws -> RowVerdict {
        var desk = RowDesk()
        return try ColumnTest(check, type).verdict(field, in: sample.arena, &desk)
    }

    struct Case: Sendable {
        var check: Expectation.Check
        var type: ColumnType
        var passing: [String]
        var failing: [String]

        init(_ check: Expectation.Check, _ type: ColumnType, passing: [String], failing: [String]) {
            self.check = check
            self.type = type
            self.passing = passing
            self.failing = failing
        }
    }

    static let cases: [Case] =
        [
            Case(between("0", "10"), .integer, passing: ["0", "10", "5"], failing: ["-1", "11"]),
            Case(between("0", "10", strict: true), .integer, passing: ["1", "9"], failing: ["0", "10"]),
            Case(between("0.5", "2.5"), .bigint, passing: ["1", "2"], failing: ["0", "3"]),
            Case(between("-0.5", nil), .bigint, passing: ["0", "9223372036854775807"], failing: ["-1"]),
            Case(
                between("9223372036854775807", nil, strict: true), .bigint, passing: [],
                failing: ["9223372036854775807"]),
            Case(between("1e30", nil), .bigint, passing: [], failing: ["9223372036854775807"]),
            Case(between(nil, "1e30"), .bigint, passing: ["9223372036854775807", "-9223372036854775808"], failing: []),
            Case(
                between("0.1", "100000000000000000000.01"), .numeric(precision: nil, scale: 0),
                passing: ["0.1", "0.10", "100000000000000000000.01", "1e2"],
                failing: ["0.09999999999999999999999", "100000000000000000000.0100001", "NaN", "Infinity", "-1"]),
            Case(
                between("0", nil), .numeric(precision: nil, scale: 0), passing: ["Infinity", "-0"],
                failing: ["NaN", "-Infinity"]),
            Case(
                between("0.1", "1", strict: true), .numeric(precision: 12, scale: 2), passing: ["0.11", "0.99"],
                failing: ["0.10", "1.00"]),
            Case(between("0.1", "0.1"), .double, passing: ["0.1"], failing: ["0.10000000000000002", "0", "NaN"]),
            Case(between("0.1", "0.1"), .real, passing: ["0.1"], failing: ["0.11"]),
            Case(
                between(nil, "0"), .double, passing: ["-0", "-Infinity", "-1e300"],
                failing: ["5e-324", "Infinity", "NaN"]),
            Case(
                between("2024-01-01", "2024-12-31"), .date, passing: ["2024-01-01", "2024-12-31"],
                failing: ["2023-12-31", "2025-01-01", "infinity", "-infinity", "0044-03-15 BC"]),
            Case(
                between("2024-01-01", "2024-01-01T12:00:00.5"), .timestamp(digits: 6),
                passing: ["2024-01-01 00:00:00", "2024-01-01 12:00:00.5"], failing: ["2024-01-01 12:00:00.500001"]),
            Case(
                between("2024-01-01T00:00:00+02:00", nil), .timestamptz,
                passing: ["2023-12-31 22:00:00+00", "infinity"],
                failing: ["2023-12-31 21:59:59.999999+00"]),
            Case(
                between("2024-01-01", nil), .timestamptz, passing: ["2024-01-01 00:00:00+00"],
                failing: ["2024-01-01 00:30:00+01"]),
            Case(between("08:00", "24:00:00"), .time, passing: ["08:00:00", "24:00:00"], failing: ["07:59:59.999999"]),
            Case(between("b", "ä"), .text, passing: ["b", "z", "bb", "ä"], failing: ["", "a", "B", "äa", "€"]),
            Case(isIn("1", "2.0", "3.5"), .smallint, passing: ["1", "2"], failing: ["3", "0"]),
            Case(
                isIn("1.50", "NaN", "1e2"), .numeric(precision: nil, scale: 0),
                passing: ["1.5", "1.500", "NaN", "100"],
                failing: ["1.51", "Infinity"]),
            Case(
                isNotIn("Infinity", "0"), .numeric(precision: nil, scale: 0), passing: ["1", "NaN"],
                failing: ["0.00", "-0", "Infinity"]),
            Case(isIn("NaN", "0.1"), .real, passing: ["NaN", "0.1"], failing: ["0.2", "Infinity"]),
            Case(isIn("true"), .boolean, passing: ["t", "true"], failing: ["f"]),
            Case(isIn("0"), .boolean, passing: ["f"], failing: ["t"]),
            Case(isIn("", "a", "A'\"\\"), .text, passing: ["", "a", "A'\"\\"], failing: ["A", "a ", " "]),
            Case(isNotIn("paid"), .other("order_status"), passing: ["pending", "Paid"], failing: ["paid"]),
            Case(
                isIn("ab", "c  "), .other("character(5)"), passing: ["ab   ", "ab", "c    "], failing: ["abc  ", " ab"]),
            Case(
                isIn("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"), .uuid,
                passing: ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"],
                failing: ["b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
            Case(isIn("2024-01-01", "infinity"), .date, passing: ["2024-01-01", "infinity"], failing: ["2024-01-02"]),
            Case(.length("c", .init(min: 1, max: 2)), .text, passing: ["a", "ä€", "𝄞𝄞"], failing: ["", "abc"]),
            Case(.length("c", .init(min: 2, max: 2)), .other("character(5)"), passing: ["ab   "], failing: ["a    "]),
        ] + patterns

    private static let patterns: [Case] = [true, false].compactMap { isMatch in
        guard let letters = try? RowPattern("^[a-z]+$") else { return nil }
        let check = Expectation.Check.matches("c", letters, isMatch: isMatch)
        let long = RowPattern.text_bytes_max + 1
        return isMatch
            ? Case(check, .text, passing: ["abc"], failing: ["", "aB", String(repeating: "a", count: long)])
            : Case(check, .text, passing: ["", "aB"], failing: ["abc", String(repeating: "A", count: long)])
    }

    @Test(arguments: cases.indices) func passAndFail(index: Int) throws {
        let one = Self.cases[index]
        for text in one.passing {
            #expect(try verdict(one.check, one.type, text) == .pass, "\(one.check) of \(one.type): \(text.prefix(80))")
        }
        for text in one.failing {
            #expect(try verdict(one.check, one.type, text) == .fail, "\(one.check) of \(one.type): \(text.prefix(80))")
        }
    }

    @Test func nullPassesAllButNotNull() throws {
        for one in Self.cases { #expect(try verdict(one.check, one.type, nil) == .null) }
        #expect(try verdict(.notNull("c"), .text, nil) == .fail)
        #expect(try verdict(.notNull("c"), .jsonb, "null") == .pass, "JSON's null is a value")
        for type in [ColumnType.json, .bytea, .array(.integer), .unknown, .interval] {
            #expect(try verdict(.notNull("c"), type, "x") == .pass)
        }
    }

    @Test func whatTheEventDoesNotHaveIsUnknown() throws {
        for check in Self.cases.map(\.check) + [.notNull("c")] {
            let type = Self.cases.first { $0.check == check }?.type ?? .text
            for field in [Field.unchanged, .absent] { #expect(try verdict(check, type, field, Sample()) == .unknown) }
        }
        #expect(try verdict(Self.between("0", "1"), .integer, "no number") == .unknown)
    }

    /// Values come as what the decoder made of them, too.
    @Test func decodedFields() throws {
        let sample = Sample()
        func one(_ check: Check, _ type: ColumnType, _ field: Field) throws -> RowVerdict {
            try verdict(check, type, field, sample)
        }
        #expect(try one(Self.between("0", "10"), .integer, .int(10)) == .pass)
        #expect(try one(Self.between("0", "10"), .integer, .int(11)) == .fail)
        #expect(try one(Self.between("0", "10"), .numeric(precision: 9, scale: 2), .int(10)) == .pass)
        #expect(try one(Self.between("0", "10"), .numeric(precision: 9, scale: 2), .double(10.01)) == .fail)
        #expect(try one(Self.between("0.1", nil), .real, .double(0.1)) == .pass)
        #expect(try one(Self.between("0.1", nil), .double, .double(.nan)) == .fail)
        #expect(try one(Self.isIn("true"), .boolean, .bool(true)) == .pass)
        let day = Field(kind: .date, bits: 19_723)
        #expect(try one(Self.between("2024-01-01", "2024-01-01"), .date, day) == .pass)
        #expect(try one(Self.between("2024-01-02", nil), .date, day) == .fail)
        #expect(try one(Self.between("2024-01-02", nil), .date, Field(kind: .date, bits: .max)) == .pass)
        #expect(try one(Self.between(nil, "1970-01-01"), .timestamptz, Field(kind: .timestamptz, bits: 1)) == .fail)
        #expect(try one(Self.isIn("24:00"), .time, Field(kind: .time, bits: 86_400_000_000)) == .pass)
    }

    @Test(arguments: [
        (between("x", nil), ColumnType.integer, "no whole number"),
        (between("NaN", nil), .numeric(precision: nil, scale: 0), "no number"),
        (between("Infinity", nil), .double, "no number"), (between("1e400", nil), .double, "no number"),
        (between("2024-02-30", nil), .date, "no date"), (between("2024-01-01 12:00", nil), .date, "no date"),
        (between("2024-01-01T00:00:00+02", nil), .timestamp(digits: 6), "no timestamp without a zone"),
        (between("true", nil), .boolean, "no order"), (between("a", nil), .other("mood"), "no order"),
        (between("12:00+01", nil), .timetz, "no order"), (isIn("maybe"), .boolean, "no boolean"),
        (isIn("123"), .uuid, "no uuid"),
        (between(nil, "5000-01-01 BC"), .date, "no date"),
        (between(nil, "5000-01-01 BC"), .timestamptz, "no timestamp"),
        (isIn("1"), .jsonb, "doesn't compare"), (isIn("1"), .array(.integer), "doesn't compare"),
        (isIn("1"), .unknown, "isn't known"),
        (.length("c", .init(min: 1)), .integer, "for texts"),
        (.matches("c", try! RowPattern("a"), isMatch: true), .date, "for texts"),
    ])
    func misfits(check: Expectation.Check, type: ColumnType, why: String) {
        let misfit = #expect(throws: ColumnTest.Misfit.self) { try ColumnTest(check, type) }
        #expect(misfit?.message.contains(why) == true, "\(misfit?.message ?? "")")
    }

    /// A value may come from a file that is nobody's to read.
    @Test func messagesHaveNoValues() {
        for check in [Self.between("4111x", nil), Self.isIn("1", "4111x"), Self.isNotIn("4111x")] {
            let misfit = #expect(throws: ColumnTest.Misfit.self) { try ColumnTest(check, .integer) }
            #expect(misfit?.message.contains("4111x") == false && misfit?.remedy?.contains("4111x") == false)
        }
        let misfit = #expect(throws: ColumnTest.Misfit.self) { try ColumnTest(Self.isIn("1", "x", "3"), .integer) }
        #expect(misfit?.message.hasPrefix("of 3 values, number 2: ") == true)
    }

    @Test func aRowOfABatch() throws {
        let table = TableDefinition(
            source: TableID(schema: "public", table: "t"), target: "t",
            columns: [
                Column(name: "id", type: .bigint, isKey: true), Column(name: "a", type: .text),
                Column(name: "b", type: .integer),
            ], key: [0])
        let rows = RowExpectations(
            [
                .init(.notNull("a")), .init(.unique(["id"], .any)), .init(Self.rename(Self.between("0", "9"), "b")),
                .init(.notNull("nope")), .init(Self.rename(Self.between("x", nil), "b")),
            ], of: table)
        #expect(rows.rules.map(\.index) == [0, 2] && rows.rules.map(\.column) == [1, 2])
        #expect(rows.misfits.map(\.index) == [3, 4])
        #expect(rows.misfits[0].misfit.message == "public.t has no column nope")
        let batch = ChangeBatch()
        batch.fields = [.int(1), .stretch(.text, batch.arena.append("x")), .int(10), .int(2), .null]
        var desk = RowDesk()
        var verdicts: [RowVerdict] = []
        rows.judge(0, width: 3, in: batch, &desk) { verdicts.append($1) }
        #expect(verdicts == [.pass, .fail])
        verdicts = []
        // An image from before there was b.
        rows.judge(3, width: 2, in: batch, &desk) { verdicts.append($1) }
        #expect(verdicts == [.fail, .unknown])
    }

    private static func rename(_ check: Check, _ name: String) -> Check {
        guard case .between(_, let bounds) = check else { return check }
        return .between(name, bounds)
    }
}
