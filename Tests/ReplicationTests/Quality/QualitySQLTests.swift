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
        "(a) or (b)", "a = E'b'\n'c\\'' or d", "a = 'b' -- it's\n'c\\' or d",
        "e'a' -- it's\r\t'b\\') or (c = '",
    ])
    func expressions(text: String) throws { try QualitySQL.check(expression: text) }

    @Test(arguments: [
        "", " ", "-- nothing", "a; drop table x", "a) or (b", "(a", "a)", "a /* open", "'open", "\"open", "$$open",
        "U&'x'",
        // A text goes on behind a line end, and its backslashes with it.
        #"E'a'"# + "\n" + #"'b\'' IS NULL) AS x FROM t) AS q; COMMIT; DROP TABLE y; SELECT 1,0 FROM (SELECT (1 -- '"#,
        "1) q; commit; drop table x; select (1", "a\0b",
    ])
    func noExpressions(text: String) {
        #expect(throws: ColumnTest.Misfit.self) { try QualitySQL.check(expression: text) }
    }

    /// A window function or an aggregate stands in a SELECT's list alone.
    @Test(arguments: ["postgres", "duckdb"]) func keysOfExpressions(engine: String) throws {
        let sql = QualitySQL(table(), layout(), engine: engine)
        let keys = try #require(sql.expressionKeys("count(*) over () > 1", limit: 3))
        let place = try #require(keys.firstRange(of: "count(*) over ()"))
        #expect(!keys[..<place.lowerBound].contains("WHERE") && keys.contains("WHERE NOT t.x ORDER BY t.c0 LIMIT 3"))
    }

    /// By its characters' parts: what follows a quote may be written over it.
    @Test func theNameOfAPast() {
        var table = table()
        table.target = "a\"\u{301}; b"
        let sql = QualitySQL.count(ofPast: table)
        #expect(SQLWords(sql).words.last == .name(table.target, isQuoted: true), "\(sql)")
    }

    /// A value that hasn't come is no null.
    @Test(arguments: ["postgres", "duckdb"]) func nullsThatAreNone(engine: String) throws {
        let sql = QualitySQL(table(), layout(), engine: engine)
        let rows = RowExpectations(
            [.init(.notNull(Self.hostile)), .init(.length(Self.hostile, .init(max: 1)))], of: table())
        let counts = sql.counts(rows.rules)
        #expect(SQLWords(counts).words.contains(.name(MetadataNames.columns, isQuoted: true)))
        #expect(!bare(counts).contains("drop") && !SQLWords(counts).words.contains(.sign(";")))
        #expect(sql.failingKeys(rows.rules[0], limit: 3)?.contains("t.m") == true)
        #expect(sql.failingKeys(rows.rules[1], limit: 3)?.contains("t.m") == false)
    }

    @Test func hashesInReferences() throws {
        let key = Expectation.ForeignKey([Self.hostile], table: "x", to: [Self.hostile])
        for (own, others) in [([], []), ([Self.hostile], [Self.hostile])] as [(Set<String>, Set<String>)] {
            _ = try QualitySQL.Reference(key, of: table(), to: table(), hashed: (own, others))
        }
        #expect(throws: ColumnTest.Misfit.self) {
            try QualitySQL.Reference(key, of: table(), to: table(), hashed: ([Self.hostile], []))
        }
        #expect(throws: ColumnTest.Misfit.self) {
            try QualitySQL.Reference(key, of: table(), to: table(), hashed: ([], [Self.hostile]))
        }
    }

    /// Also under the name that it had when the file was written.
    @Test func hashesInRows() {
        var table = table()
        table.columns[1].formerNames = ["mail"]
        let rows = RowExpectations(
            [
                .init(.length("mail", .init(max: 1))), .init(.length(Self.hostile, .init(max: 1))),
                .init(.notNull("mail")),
            ], of: table, hashed: ["mail"])
        #expect(rows.misfits.map(\.index) == [0, 1] && rows.rules.map(\.index) == [2])
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
