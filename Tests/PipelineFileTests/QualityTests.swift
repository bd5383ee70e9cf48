import PipelineFile
import Replication
import Testing

@Suite struct QualityTests {
    private func quality(_ entries: String) throws -> [Expectation] {
        try parse(minimal("tables:\n  - source: public.orders\n    quality:\n\(entries)")).tables[0].quality
            .expectations
    }

    /// The first entry is on line 9.
    private func problem(_ entry: String, columns: String = "") -> [String] {
        problems(minimal("tables:\n  - source: public.orders\n    quality:\n      - \(entry)\n\(columns)"))
    }

    @Test func everyKind() throws {
        let read = try quality(
            """
                  - { expect: not_null, column: order_id, severity: hard, on_fail: hold }
                  - { expect: between, column: total, min: 0, max: 100000.50, severity: hard }
                  - { expect: in_set, column: status, values: [pending, "", 7, true], severity: soft }
                  - { expect: not_in_set, column: status, values: ["null"], on_fail: warn, mostly: 0.95 }
                  - { expect: unique, columns: [a, b] }
                  - { expect: unique, column: a, on_fail: stop }
                  - { expect: matches, column: code, regex: '^[A-Z]{3}$', on_fail: quarantine_row }
                  - { expect: not_matches, column: code, regex: 'x' }
                  - { expect: length, column: code, max: 3 }
                  - { expect: row_count, min: 1, max: 10, max_change: 0.5 }
                  - { expect: row_count, max_change: 2 }
                  - { expect: foreign_key, column: customer, references: public.customers }
                  - { expect: foreign_key, columns: [x, y], references: public.points, to: [px, py] }
                  - { expect: expression, sql: "total >= paid" }
            """)
        typealias Check = Expectation.Check
        #expect(
            read.map(\.check) == [
                .notNull("order_id"), .between("total", .init(min: .init("0"), max: .init("100000.50"))),
                .set("status", values: ["pending", "", "7", "true"], isIn: true),
                .set("status", values: ["null"], isIn: false), .unique(["a", "b"], .any), .unique(["a"], .any),
                .matches("code", try RowPattern("^[A-Z]{3}$"), isMatch: true),
                .matches("code", try RowPattern("x"), isMatch: false), .length("code", .init(max: 3)),
                .rowCount(.init(min: 1, max: 10, change_max: Share("0.5"))), .rowCount(.init(change_max: Share("2"))),
                .foreignKey(.init(["customer"], table: "public.customers")),
                .foreignKey(.init(["x", "y"], table: "public.points", to: ["px", "py"])), .expression("total >= paid"),
            ])
        #expect(read.map(\.onFail).prefix(7) == [.hold, .hold, .warn, .warn, .hold, .stop, .quarantineRow])
        #expect(read.map(\.severity).prefix(4) == [.hard, .hard, .soft, .hard])
        #expect(read[3].mostly == Share("0.95") && read[0].mostly == .all)
        #expect(read[0].origin == "tables[0].quality[0] (line 9)" && read[2].origin == "tables[0].quality[2] (line 11)")
    }

    @Test(arguments: [
        ("{ column: a }", "tables[0].quality[0].expect: what is expected isn't said"),
        ("not_null", "tables[0].quality[0]: this must be a mapping, not a single value"),
        (
            "{ expect: not_nul, column: a }",
            "tables[0].quality[0].expect: not_nul is none of not_null, unique, between, in_set, not_in_set, matches, not_matches, length, row_count, foreign_key, expression"
        ),
        ("{ expect: not_null }", "tables[0].quality[0].column: not_null needs column"),
        ("{ expect: not_null, column: a, min: 1 }", "tables[0].quality[0].min: there is no such key"),
        ("{ expect: not_null, column: a, colum: b }", "tables[0].quality[0].colum: there is no such key"),
        ("{ expect: not_null, column: [a] }", "tables[0].quality[0].column: this must be a single value, not a list"),
        (
            "{ expect: not_null, column: a, severity: medium }",
            "tables[0].quality[0].severity: medium is none of hard, soft"
        ),
        (
            "{ expect: not_null, column: a, on_fail: halt }",
            "tables[0].quality[0].on_fail: halt is none of hold, quarantine_row, stop, warn"
        ),
        (
            "{ expect: not_null, column: a, severity: soft, on_fail: hold }",
            "tables[0].quality[0].on_fail: a soft expectation warns, and hold does more"
        ),
        (
            "{ expect: unique, column: a, on_fail: quarantine_row }",
            "tables[0].quality[0].on_fail: no single row fails unique, so none can be put aside"
        ),
        (
            "{ expect: not_null, column: a, on_fail: quarantine_row, mostly: 0.9 }",
            "tables[0].quality[0].mostly: quarantine_row puts each failing row aside, so none is left to be allowed"
        ),
        (
            "{ expect: not_null, column: a, mostly: 1.1 }",
            "tables[0].quality[0].mostly: this must be a number from 0 to 1 with up to nine digits, not 1.1"
        ),
        ("{ expect: row_count, min: 1, mostly: 1 }", "tables[0].quality[0].mostly: there is no such key"),
        ("{ expect: between, column: a }", "tables[0].quality[0].min: between needs min, max or both"),
        ("{ expect: between, column: a, min: 10, max: 9.99 }", "tables[0].quality[0].min: 10 is above max, 9.99"),
        (
            "{ expect: between, column: a, min: 2024-02-01, max: 2024-01-01 }",
            "tables[0].quality[0].min: 2024-02-01 is above max, 2024-01-01"
        ),
        ("{ expect: length, column: a, min: -1 }", "tables[0].quality[0].min: -1 is outside of 0 to 9007199254740992"),
        ("{ expect: length, column: a, min: 3, max: 2 }", "tables[0].quality[0].min: 3 is above max, 2"),
        ("{ expect: row_count }", "tables[0].quality[0].min: row_count needs min, max or both"),
        (
            "{ expect: row_count, max_change: -1 }",
            "tables[0].quality[0].max_change: this must be a number from 0 to 1000 with up to nine digits, not -1"
        ),
        ("{ expect: in_set, column: a }", "tables[0].quality[0].values: in_set needs values"),
        ("{ expect: in_set, column: a, values: [] }", "tables[0].quality[0].values: there are no values"),
        (
            "{ expect: in_set, column: a, values: x }",
            "tables[0].quality[0].values: this must be a list, not a single value"
        ),
        (
            "{ expect: in_set, column: a, values: [x, null] }",
            "tables[0].quality[0].values[1]: null passes everything but not_null"
        ),
        (
            "{ expect: in_set, column: a, values: [[x]] }",
            "tables[0].quality[0].values[0]: this must be a single value, not a list"
        ),
        ("{ expect: matches, column: a }", "tables[0].quality[0].regex: matches needs regex"),
        (
            "{ expect: matches, column: a, regex: '(?=b)' }",
            "tables[0].quality[0].regex: at character 1: looking around isn't possible in DuckDB"
        ),
        (
            "{ expect: unique, column: a, columns: [b] }",
            "tables[0].quality[0].columns: column and columns are both given"
        ),
        ("{ expect: unique, columns: [] }", "tables[0].quality[0].columns: this names no column"),
        ("{ expect: unique, columns: [a, a] }", "tables[0].quality[0].columns[1]: a is here twice"),
        ("{ expect: foreign_key, column: a }", "tables[0].quality[0].references: foreign_key needs references"),
        (
            "{ expect: foreign_key, column: a, references: customers }",
            "tables[0].quality[0].references: customers is no schema.table"
        ),
        (
            "{ expect: foreign_key, column: a, references: b.c, to: [x, y] }",
            "tables[0].quality[0].to: 2 columns are no key for 1"
        ),
        ("{ expect: expression }", "tables[0].quality[0].sql: expression needs sql"),
        ("{ expect: expression, sql: 'a; drop table x' }", "tables[0].quality[0].sql: the expression isn't one"),
    ])
    func wrong(entry: String, problem: String) {
        #expect(self.problem(entry) == ["9: \(problem)"])
    }

    @Test func otherForms() {
        let head = "tables:\n  - source: public.orders\n    quality: "
        #expect(problems(minimal(head + "[]")).isEmpty)
        #expect(
            problems(minimal(head + "{ expect: not_null }")) == [
                "8: tables[0].quality: this must be a list, not a mapping"
            ])
        #expect(
            problem("{ expect: not_null, column: card }", columns: "    columns: { exclude: [card] }") == [
                "9: tables[0].quality[0]: the column card is excluded, and not_null has nothing to look at"
            ])
        #expect(
            problem("{ expect: length, column: email, max: 9 }", columns: "    columns: { hash: [email] }") == [
                "9: tables[0].quality[0]: the column email is hashed, and length would see the hashes"
            ])
        #expect(problem("{ expect: unique, column: email }", columns: "    columns: { hash: [email] }").isEmpty)
        #expect(
            problem(
                "{ expect: between, column: n, min: x }", columns: "    columns: { types: { n: \"numeric(9,2)\" } }")
                == [
                    "9: tables[0].quality[0]: what is given is no number, as the column n holds them"
                ])
        #expect(
            problems(
                minimal("layers: { current: false }\n\(head)[{ expect: not_null, column: a }]"))
                == ["9: tables[0].quality: expectations are held against current, and layers.current is false"])
        let file = minimal("\(head)[{ expect: foreign_key, column: a, references: other.b }]").replacing(
            "source:\n", with: "source:\n  include: [\"public.*\"]\n", maxReplacements: 1)
        #expect(
            problems(file) == [
                "9: tables[0].quality[0]: other.b isn't replicated: source.include and source.exclude don't choose it"
            ])
        let many = String(repeating: "      - { expect: not_null, column: a }\n", count: 1_001)
        #expect(
            problems(minimal("tables:\n  - source: public.orders\n    quality:\n\(many)")).first?.contains(
                "at most 1000") == true)
    }

    @Test func everyProblemHasAWayOut() {
        do {
            _ = try parse(
                minimal(
                    "tables: [{ source: a.b, quality: [{ expect: not_nul, column: a }, { expect: between, column: a }] }]"
                ))
            Issue.record("that was taken")
        } catch {
            #expect((error as? PipelineFileError)?.problems.map(\.remedy) == ["expect: not_null", "min: 0"])
        }
    }
}
