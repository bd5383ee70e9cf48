import Testing

@testable import Replication

/// Names and values of files stand in SQL as quoted identifiers and literals alone.
@Suite struct QualitySQLTests {
    private static let hostile = "a\"b'; DROP TABLE x; --\\"

    private func table() -> TableDefinition {
        TableDefinition(
            source: TableID(schema: "public", table: Self.hostile), target: Self.hostile,
            columns: [
                Column(name: "k\"1", type: .bigint, isKey: true), Column(name: Self.hostile, type: .text),
                Column(name: "n", type: .numeric(precision: 5, scale: 2)),
            ], key: [0])
    }

    private func layout() -> WarehouseLayout { WarehouseLayout(pipeline: "p\"q") }

    /// The words outside of texts and quoted names.
    private func bare(_ sql: String) -> [String] {
        SQLWords(sql).words.compactMap { word in
            if case .name(let name, false) = word { name.lowercased() } else { nil }
        }
    }

    @Test(arguments: ["postgres", "duckdb"]) func hostileNamesAndValues(engine: String) throws {
        let table = table()
        let sql = QualitySQL(table, layout(), engine: engine)
        let rows = RowExpectations(
            [
                .init(.set(Self.hostile, values: [Self.hostile, "';--", "\\'"], isIn: true)),
                .init(.between(Self.hostile, .init(min: .init(Self.hostile), max: .init("ü';")))),
                .init(.matches(Self.hostile, try RowPattern("^';DROP \\\\"), isMatch: true)),
            ], of: table)
        #expect(rows.misfits.isEmpty)
        var statements = [sql.counts(rows.rules), sql.rowCount, sql.uniqueCounts([1], .any)]
        statements += rows.rules.compactMap { sql.failingKeys($0, limit: 5) }
        statements += [sql.uniqueKeys([0, 1], .none, limit: 5)].compactMap { $0 }
        let key = try QualitySQL.Reference(.init([Self.hostile], table: "x", to: [Self.hostile]), of: table, to: table)
        statements += [sql.foreignKeyCounts(key), sql.foreignKeyKeys(key, limit: 5)].compactMap { $0 }
        for statement in statements {
            #expect(!bare(statement).contains("drop"), "\(statement)")
            #expect(!SQLWords(statement).words.contains(.sign(";")), "\(statement)")
            #expect(SQLWords(statement).words.contains(.name(Self.hostile, isQuoted: true)), "\(statement)")
        }
        #expect(SQLWords(statements[0]).words.contains(.text(Self.hostile)))
    }

    /// Nothing but counts and keys is asked for.
    @Test(arguments: ["postgres", "duckdb"]) func keysAndNoOtherValue(engine: String) throws {
        let sql = QualitySQL(table(), layout(), engine: engine)
        let rows = RowExpectations([.init(.notNull(Self.hostile))], of: table())
        let keys = try #require(sql.failingKeys(rows.rules[0], limit: 3))
        #expect(keys.prefix { $0 != "F" }.contains("c0") && !keys.prefix { $0 != "F" }.contains("c1"))
        #expect(keys.hasSuffix("ORDER BY t.c0 LIMIT 3"))
        var keyless = table()
        keyless.key = []
        #expect(QualitySQL(keyless, layout(), engine: engine).failingKeys(rows.rules[0], limit: 3) == nil)
    }

    /// A bound that the column can't hold is moved, not rounded.
    @Test func boundsOfDecimals() throws {
        func failing(_ bounds: Expectation.Bounds) throws -> String {
            try ColumnTest(.between("n", bounds), .numeric(precision: 5, scale: 2)).failing("v", .duckdb)
        }
        let start = "v IS NOT NULL AND NOT coalesce("
        #expect(try failing(.init(min: .init("1.005"))) == start + "v > CAST('1' AS DECIMAL(5,2)), false)")
        #expect(try failing(.init(max: .init("-1.005"))) == start + "v <= CAST('-1.01' AS DECIMAL(5,2)), false)")
        #expect(try failing(.init(min: .init("1000"))) == start + "false, false)")
        #expect(try failing(.init(max: .init("1000"))) == start + "true, false)")
        #expect(try failing(.init(min: .init("-1000"))) == start + "true, false)")
    }

    @Test(arguments: [
        "total >= 0", "a = ')' or b = '('", "x in (select 1)", "a > 0 -- positive", "/* a ( */ b", "\"a;b\" > 0",
        "(a) or (b)",
    ])
    func expressions(text: String) throws { try QualitySQL.check(expression: text) }

    @Test(arguments: [
        "", " ", "-- nothing", "a; drop table x", "a) or (b", "(a", "a)", "a /* open", "'open", "\"open", "$$open",
        "U&'x'",
        "1) q; commit; drop table x; select (1", "a\0b",
    ])
    func noExpressions(text: String) {
        #expect(throws: ColumnTest.Misfit.self) { try QualitySQL.check(expression: text) }
    }

    @Test func referencesOfOtherTypes() {
        var other = table()
        other.columns[0].type = .text
        for key in [
            Expectation.ForeignKey(["n"], table: "x"), .init(["n", "k\"1"], table: "x"), .init(["gone"], table: "x"),
            .init(["n"], table: "x", to: ["gone"]),
        ] {
            #expect(throws: ColumnTest.Misfit.self) { try QualitySQL.Reference(key, of: table(), to: other) }
        }
    }
}
