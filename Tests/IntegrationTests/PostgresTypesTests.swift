import Agent
import Foundation
import JSON
import Replication
import Testing
import ThrowawayPostgres

/// Every type of Postgres with its extreme values, copied and streamed. The source says what must arrive: a Postgres
/// warehouse has each value's own text, DuckDB what docs/types.md promises, each side asked in its own SQL.
@Suite struct PostgresTypesTests {
    private static let cases = TypeCases.all

    // MARK: The source

    private static let moreThanTypes = """
        CREATE TABLE "Odd Relation" (id int PRIMARY KEY);
        DO $$ BEGIN CREATE ROLE visitor_of_types; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
        """

    private static func literal(_ value: String, _ type: TypeCase) -> String { "(\(value))::\(type.type)" }

    /// Row `n` of a table with all types has the `n`th value of each, and NULL where that has no more.
    private static func rows(from first: Int, into table: String) -> String {
        let count = (cases.map(\.values.count).max() ?? 0) + 1
        return (0..<count).map { n in
            let values = cases.map { $0.values.indices.contains(n) ? literal($0.values[n], $0) : "NULL" }
            return "INSERT INTO \(table) VALUES (\(first + n), \(values.joined(separator: ", ")));"
        }.joined(separator: "\n")
    }

    private static func every(_ name: String) -> String {
        "CREATE TABLE \(name) (id int PRIMARY KEY, \(cases.map { "\"\($0.name)\" \($0.type)" }.joined(separator: ", ")));"
    }

    private static let beyond = cases.filter { !$0.beyond.isEmpty }

    /// One value a row that DuckDB can't hold, and a row that it can.
    private static func beyondRows(from first: Int) -> String {
        var rows = ["INSERT INTO beyond (id) VALUES (\(first));"]
        for type in beyond {
            for value in type.beyond {
                rows.append(
                    "INSERT INTO beyond (id, \"\(type.name)\") VALUES (\(first + rows.count), \(literal(value, type)));"
                )
            }
        }
        return rows.joined(separator: "\n")
    }

    // MARK: Comparing

    private typealias Cells = [String: String?]

    /// Both sides' text of a value, made equal where only the printing differs.
    private static func normal(_ text: String?, _ form: TypeForm) -> String? {
        guard let text else { return nil }
        switch form {
        case .float: return Double(text).map { $0.isNaN ? "nan" : String($0.bitPattern) } ?? text
        case .decimal:
            // DuckDB has no 0 before the point of what is all fraction.
            return text.hasPrefix(".") ? "0" + text : text.hasPrefix("-.") ? "-0" + text.dropFirst() : text
        case .list(let element):
            guard case .array(let items)? = try? JSONValue(parsing: text) else { return text }
            return "["
                + items.map { $0.isNull ? "null" : "<\(normal($0.string ?? $0.serialized, element) ?? "")>" }
                .joined(separator: ",") + "]"
        case .row(let fields):
            guard case .array(let items)? = try? JSONValue(parsing: text), items.count == fields.count else {
                return text
            }
            return "("
                + zip(items, fields).map { item, field in
                    let text = item.isNull ? nil : normal(item.string ?? item.serialized, field.1)
                    return "\(field.0): \(text.map { "<\($0)>" } ?? "null")"
                }.joined(separator: ",") + ")"
        case .document:
            // Raw has it compact and without what JSON calls the same, and its null as NULL.
            guard let value = try? JSONValue(parsing: text) else { return text }
            return value.isNull ? nil : value.serialized
        case .nested: return (try? JSONValue(parsing: text))?.serialized ?? text
        case .map:
            guard case .object(let members)? = try? JSONValue(parsing: text) else { return text }
            return members.map { "\($0.key)=\($0.value.serialized)" }.sorted().joined(separator: ",")
        default: return text
        }
    }

    private static func expression(_ type: TypeCase, _ engine: Engine) -> String {
        (engine == .duckdb ? type.form : .text).source("t.\"\(type.name)\"")
    }

    private static func found(_ type: TypeCase, _ engine: Engine) -> String {
        engine == .duckdb ? type.form.duckdb("t.\"\(type.name)\"") : expression(type, engine)
    }

    /// For each column the text of its values by their rows' ids, as the source has them.
    private static func wanted(
        _ types: [TypeCase], _ table: String, _ source: SourceDatabase, _ engine: Engine, isHistory: Bool
    ) async throws -> [Cells] {
        let columns = types.enumerated().map { n, type in
            "SELECT \(n) AS n, t.id, (\(expression(type, engine)))::text AS v FROM public.\(table) t"
        }
        let text = try await source.sql(
            """
            SET search_path = pg_catalog; SET TimeZone = 'UTC'; SET jit = off;
            SELECT coalesce(json_agg(json_build_array(n, id, v)), '[]') FROM (\(columns.joined(separator: " UNION ALL "))) AS cells
            """)
        var rows: [[(String?, String?)]] = Array(repeating: [], count: types.count)
        for cell in try JSONValue(parsing: text).array ?? [] {
            guard let cell = cell.array, let n = cell[0].int64 else { continue }
            rows[Int(n)].append((cell[1].int64.map(String.init), cell[2].string))
        }
        return zip(types, rows).map { cells($0, engine, $1, isHistory: isHistory) }
    }

    private static func cells(
        _ type: TypeCase, _ engine: Engine, _ rows: [(String?, String?)], isHistory: Bool
    ) -> Cells {
        var cells: Cells = [:]
        for row in rows {
            let text =
                switch engine {
                case .duckdb: normal(row.1, isHistory ? type.form.inHistory : type.form)
                // History reads JSON out of raw, without what Postgres takes no JSON apart for.
                case .postgres where isHistory && type.form.isJSON:
                    normal(row.1?.replacing("\\u0000", with: "\u{FFFD}"), .document)
                case .postgres: row.1
                }
            cells[row.0 ?? "∅"] = .some(text)
        }
        return cells
    }

    private static func short(_ text: String?) -> String {
        guard let text else { return "NULL" }
        return text.count > 120 ? "\(text.prefix(100))… (\(text.utf8.count) bytes)" : text
    }

    /// - Parameter leavingOut: names of columns that this view has in another form.
    private func expectEqual(
        _ source: SourceDatabase, _ run: PipelineRun, _ table: String, _ types: [TypeCase], in view: String,
        filter: String = "", leavingOut: Set<String> = [], onlyHeld: Bool = false, _ what: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let isHistory = !filter.isEmpty
        let types = types.filter { !leavingOut.contains($0.name) }
        let wanted = try await Self.wanted(types, table, source, run.engine, isHistory: isHistory)
        // A few columns at a time: values are large, and the engine's memory is small.
        let found = try await run.looking { warehouse, _ in
            var found: [Cells] = []
            while found.count < types.count {
                var room = 16
                let few = types[found.count...].prefix { type in
                    defer { room -= type.form.isRow ? 3 : 1 }
                    return room > 0
                }
                let columns = few.map { Self.found($0, run.engine) }.joined(separator: ", ")
                let rows = try await warehouse.query(
                    "SELECT CAST(t.id AS VARCHAR), \(columns) FROM \(view).\(table) t \(filter)", rows_max: 10_000
                ).rows
                for (n, type) in few.enumerated() {
                    found.append(Self.cells(type, run.engine, rows.map { ($0[0], $0[n + 1]) }, isHistory: isHistory))
                }
            }
            return found
        }
        for (n, type) in types.enumerated() {
            let found = found[n]
            let wanted = onlyHeld ? wanted[n].filter { found.keys.contains($0.key) } : wanted[n]
            var differences: [String] = []
            for id in Set(wanted.keys).union(found.keys).sorted() where wanted[id] != found[id] {
                let (a, b) = (wanted[id].map(Self.short) ?? "no row", found[id].map(Self.short) ?? "no row")
                differences.append("\(id): \(a) is \(b)")
            }
            #expect(
                differences.isEmpty, "\(run.engine) \(what), \(view).\(table).\(type.name): \(differences.prefix(4))",
                sourceLocation: sourceLocation)
        }
    }

    private func schema(_ run: PipelineRun) async throws -> WarehouseLayout { try run.setup.layout }

    private func quarantined(_ run: PipelineRun) async throws -> [String] {
        try await run.looking { warehouse, _ in try await warehouse.quarantine().map(\.entry.reason) }
    }

    // MARK: Tests

    @Test(arguments: Engine.allCases) func everyTypeArrives(engine: Engine) async throws {
        let source = try await SourceDatabase(
            "types_\(engine.rawValue)",
            """
            \(TypeCases.types)
            \(Self.moreThanTypes)
            \(Self.every("every"))
            \(Self.every("whole"))
            ALTER TABLE whole REPLICA IDENTITY FULL;
            \(Self.rows(from: 1, into: "every"))
            \(Self.rows(from: 1, into: "whole"))
            """)
        let missing = try await source.sql(
            """
            SELECT string_agg(typname, ' ') FROM pg_type t WHERE typnamespace = 'pg_catalog'::regnamespace \
            AND typtype IN ('b', 'r', 'm') AND typname !~ '^_' \
            AND typname NOT IN ('gtsvector', 'pg_node_tree', 'pg_ndistinct', 'pg_dependencies', 'pg_mcv_list', \
            'pg_brin_bloom_summary', 'pg_brin_minmax_multi_summary') \
            AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = 'every'::regclass AND a.atttypid = t.oid)
            """)
        #expect(missing.trimmingCharacters(in: .whitespacesAndNewlines) == "", "types that this test leaves out")

        let run = try await source.pipeline(engine)
        let layout = try await schema(run)
        let tables = ["every", "whole"]
        /// Raw has no bounds of arrays, as `to_jsonb` has none.
        let unlikeHistory: Set<String> = engine == .postgres ? ["a_bounds", "a_matrix"] : []
        func expectAll(_ what: String) async throws {
            #expect(try await quarantined(run) == [], "\(what)")
            for table in tables {
                try await expectEqual(source, run, table, Self.cases, in: layout.live, what)
                try await expectEqual(
                    source, run, table, Self.cases, in: layout.history, filter: "WHERE t.is_current",
                    leavingOut: unlikeHistory, what)
            }
        }
        try await run.untilEnd()
        try await expectAll("copied")

        let count = (Self.cases.map(\.values.count).max() ?? 0) + 1
        let columns = Self.cases.map { "\"\($0.name)\"" }.joined(separator: ", ")
        for table in tables {
            // Each row gets the next one's values; a row of values becomes one of NULLs and the other way round.
            try await source.sql(
                """
                \(Self.rows(from: 1001, into: table))
                BEGIN;
                UPDATE \(table) t SET (\(columns)) = (SELECT \(columns) FROM \(table) o WHERE o.id = 1001 + t.id % \(count)) \
                WHERE id < 1000;
                UPDATE \(table) SET i4 = 0 WHERE id = 1003;
                UPDATE \(table) SET id = id + 5000 WHERE id IN (2, 1002);
                DELETE FROM \(table) WHERE id IN (3, 1004);
                COMMIT;
                """)
        }
        try await run.untilEnd()
        try await expectAll("streamed")
        try await expectDeclared(source, run, "every", layout)
    }

    private func expectDeclared(
        _ source: SourceDatabase, _ run: PipelineRun, _ table: String, _ layout: WarehouseLayout
    ) async throws {
        let list = try await source.sql(
            """
            SET search_path = pg_catalog;
            SELECT json_object_agg(attname, format_type(atttypid, atttypmod)) FROM pg_attribute \
            WHERE attrelid = 'public.\(table)'::regclass AND attnum > 0
            """)
        let declared = try JSONValue(parsing: list)
        let query =
            run.engine == .duckdb
            ? """
            SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name = '\(layout.current)' AND table_name = '\(table)'
            """
            : """
            SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute \
            WHERE attrelid = '\(layout.current).\(table)'::regclass AND attnum > 0
            """
        let rows = try await run.looking { warehouse, _ in try await warehouse.query(query, rows_max: 1000).rows }
        let found = Dictionary(rows.map { ($0[0] ?? "", $0[1]) }, uniquingKeysWith: { a, _ in a })
        for type in Self.cases {
            let wanted = run.engine == .duckdb ? type.duckdb : type.declared ?? declared[type.name]?.string
            #expect(found[type.name] == wanted, "\(type.name)")
        }
    }

    /// A value that an engine can't hold costs its own row and no other, and says which column it is.
    @Test(arguments: Engine.allCases) func whatAnEngineCantHoldIsPutAside(engine: Engine) async throws {
        let source = try await SourceDatabase(
            "beyond_\(engine.rawValue)",
            """
            \(TypeCases.types)
            CREATE TABLE beyond (id int PRIMARY KEY, \(Self.beyond.map { "\"\($0.name)\" \($0.type)" }.joined(separator: ", ")));
            \(Self.beyondRows(from: 1))
            """)
        let run = try await source.pipeline(engine)
        let layout = try await schema(run)
        let values = Self.beyond.map(\.beyond.count).reduce(0, +)
        for (step, what) in [(1, "copied"), (2, "streamed")] {
            if step == 2 { try await source.sql(Self.beyondRows(from: 1001)) }
            try await run.untilEnd()
            try await expectEqual(
                source, run, "beyond", Self.beyond, in: layout.live, onlyHeld: engine == .duckdb, what)
            let kept = try await run.looking { warehouse, _ in
                try await warehouse.query("SELECT count(*) FROM \(layout.live).beyond", rows_max: 1).rows[0][0]
            }
            let reasons = try await quarantined(run)
            if engine == .duckdb {
                #expect(kept == String(step), "\(what): what can be held is there")
                #expect(reasons.count == step * values, "\(what): \(reasons)")
                // The engine's own refusal of half a surrogate pair doesn't name the column.
                for type in Self.beyond where type.name != "json" {
                    #expect(
                        reasons.count { $0.contains(type.name) } >= step * type.beyond.count,
                        "\(type.name) is named: \(reasons)")
                }
            } else {
                #expect(reasons == [])
                #expect(kept == String(step * (values + 1)))
            }
        }
        // The row's next value that can be held brings it.
        try await source.sql(
            "UPDATE beyond SET \(Self.beyond.map { "\"\($0.name)\" = NULL" }.joined(separator: ", "))")
        try await run.untilEnd()
        try await expectEqual(source, run, "beyond", Self.beyond, in: layout.live, "mended")
    }

    @Test(arguments: Engine.allCases) func everyTypeCanBeAKey(engine: Engine) async throws {
        let keys = (Self.cases + TypeCases.compositeKeys).filter {
            $0.isKey && !$0.values.contains { $0.contains("repeat('xyz") || $0.contains("131072") }
        }
        .map { type in
            // What is longer than an index entry is no key.
            TypeCase(
                type.name, type.type,
                type.values.filter { !$0.contains("250000") && !$0.contains("20000") && !$0.contains("16382") },
                duckdb: type.duckdb, form: type.form, declared: type.declared)
        }
        var sql = "\(TypeCases.types)\n\(Self.moreThanTypes)\n"
        for type in keys {
            sql +=
                "CREATE TABLE \"key_\(type.name)\" (part int, \"\(type.name)\" \(type.type), n int, PRIMARY KEY (\"\(type.name)\", part));\n"
            for (n, value) in type.values.enumerated() {
                sql += "INSERT INTO \"key_\(type.name)\" VALUES (1, \(Self.literal(value, type)), \(n));\n"
            }
        }
        let source = try await SourceDatabase("keys_\(engine.rawValue)", sql)
        let run = try await source.pipeline(engine)
        let layout = try await schema(run)
        func expectAll(_ what: String) async throws {
            #expect(try await quarantined(run) == [], "\(what)")
            let rows = try await run.looking { warehouse, _ in
                var rows: [[[String?]]] = []
                for type in keys {
                    rows.append(
                        try await warehouse.query(
                            "SELECT t.part, t.n, \(Self.found(type, engine)) FROM \(layout.live).\"key_\(type.name)\" t",
                            rows_max: 1000
                        ).rows)
                }
                return rows
            }
            for (index, type) in keys.enumerated() {
                let text = try await source.sql(
                    """
                    SET search_path = pg_catalog; SET TimeZone = 'UTC'; SET jit = off;
                    SELECT coalesce(json_agg(json_build_array(t.part || ' ' || t.n, (\(Self.expression(type, engine)))::text)), '[]') \
                    FROM public."key_\(type.name)" t
                    """)
                let wanted = try JSONValue(parsing: text).array?.map {
                    "\($0.array?[0].string ?? "") \(engine == .duckdb ? Self.normal($0.array?[1].string, type.form) ?? "" : $0.array?[1].string ?? "")"
                }.sorted()
                let found = rows[index].map {
                    "\($0[0] ?? "") \($0[1] ?? "") \(engine == .duckdb ? Self.normal($0[2], type.form) ?? "" : $0[2] ?? "")"
                }.sorted()
                #expect(
                    wanted == found,
                    "\(engine) \(what), \(type.name): \(wanted?.map(Self.short) ?? []) is \(found.map(Self.short))")
            }
        }
        try await run.untilEnd()
        try await expectAll("copied")
        var changes = "BEGIN;\n"
        for type in keys {
            let table = "\"key_\(type.name)\""
            for (n, value) in type.values.enumerated() {
                changes += "INSERT INTO \(table) VALUES (2, \(Self.literal(value, type)), \(n));\n"
            }
            changes += """
                UPDATE \(table) SET n = n + 10 WHERE part = 1;
                UPDATE \(table) SET part = 3 WHERE part = 1 AND n = 10;
                UPDATE \(table) SET part = 4 WHERE part = 2 AND n = 0;
                DELETE FROM \(table) WHERE part = 2 AND n = 1;

                """
        }
        try await source.sql(changes + "COMMIT;")
        try await run.untilEnd()
        try await expectAll("streamed")
    }

    /// A key that changes to another text that its type calls equal is one row still.
    @Test(arguments: Engine.allCases) func equalKeysOfOtherText(engine: Engine) async throws {
        let types: [(String, String, String)] = [
            ("numeric", "'1.0'", "'1.00'"), ("numeric(10,2)[]", "'{1.0}'", "'[0:0]={1.00}'"),
            ("numrange", "'[1.0,2)'", "'[1.00,2.0)'"),
            ("nummultirange", "'{[1.0,2)}'", "'{[1.00,2.0)}'"), ("double precision", "'0'", "'-0'"),
            ("interval", "'1 mon'", "'30 days'"),
            ("jsonb", "'{\"a\": 1.0}'", "'{\"a\": 1.00}'"), ("char(4)", "'a'", "'a  '"),
        ]
        var sql = ""
        for (n, type) in types.enumerated() {
            sql += "CREATE TABLE k\(n) (id \(type.0) PRIMARY KEY, v int); INSERT INTO k\(n) VALUES (\(type.1), 1);\n"
        }
        let source = try await SourceDatabase("equal_\(engine.rawValue)", sql)
        let run = try await source.pipeline(engine)
        let layout = try await schema(run)
        try await run.untilEnd()
        for n in types.indices {
            try await source.sql("UPDATE k\(n) SET id = \(types[n].2), v = 2; UPDATE k\(n) SET v = 3")
        }
        try await run.untilEnd()
        for (n, type) in types.enumerated() {
            let rows = try await run.looking { warehouse, _ in
                try await warehouse.query("SELECT v FROM \(layout.live).k\(n)", rows_max: 10).rows.map { $0[0] }
            }
            #expect(rows == ["3"], "\(type)")
            if engine == .postgres {
                let text = try await run.looking { warehouse, _ in
                    try await warehouse.query("SELECT id::text FROM \(layout.live).k\(n)", rows_max: 10).rows[0][0]
                }
                let wanted = try await source.sql("SET TimeZone = 'UTC'; SELECT id::text FROM k\(n)")
                #expect(text == wanted.trimmingCharacters(in: .newlines), "\(type)")
            }
        }
        #expect(try await quarantined(run) == [])
    }

    /// Arrays whose declaration says less than their values have.
    @Test func dimensionsCanBeSaidInThePipelineFile() async throws {
        let source = try await SourceDatabase(
            "grids",
            """
            CREATE TABLE grids (id int PRIMARY KEY, cells int[], more int[], plain int[]);
            INSERT INTO grids VALUES (1, '{{1,2},{3,NULL}}', '{{1,2}}', '{1}'), (2, '{}', '{5}', '{}');
            """)
        let run = try await source.pipeline(
            .duckdb,
            rest: """
                tables:
                  - source: public.grids
                    columns: { types: { cells: "integer[][]", more: text } }
                """)
        try await run.untilEnd()
        try await source.sql(
            "INSERT INTO grids VALUES (3, '{{7}}', '[0:0]={1}', NULL); UPDATE grids SET plain = '{2}' WHERE id = 1")
        try await run.untilEnd()
        let layout = try await schema(run)
        let rows = try await run.looking { warehouse, _ in
            try await warehouse.query(
                "SELECT id, typeof(cells), cells::VARCHAR, more, plain::VARCHAR FROM \(layout.live).grids ORDER BY id",
                rows_max: 9
            ).rows.map { $0.map { $0 ?? "NULL" }.joined(separator: "|") }
        }
        #expect(
            rows == [
                "1|INTEGER[][]|[[1, 2], [3, NULL]]|{{1,2}}|[2]", "2|INTEGER[][]|[]|{5}|[]",
                "3|INTEGER[][]|[[7]]|[0:0]={1}|NULL",
            ])
        #expect(try await quarantined(run) == [])
    }

    /// Types that the warehouse has are used there, by their own names.
    @Test func typesOfTheWarehouseAreUsed() async throws {
        let sql = """
            CREATE TABLE own (id citext PRIMARY KEY, h hstore, m mood, ms mood[], o "Odd Type", os "Odd Type"[], p place, r spans, \
            hs hstore[], cs citext[], rs "Inner Row"[], w outer_row);
            """
        let values = """
            'a=>1, b=>NULL', 'so so', '{ok,NULL}', 'One', '{two}', ROW('a,b', 1, '(1,2)', '{x}'), '[1.5,2)', \
            ARRAY['a=>1'::hstore], '{A,b}', ARRAY[ROW('a "b"', 1, 12345678901234567.125)::"Inner Row", NULL], \
            \(TypeCases.composites.first { $0.name == "outer" }?.values.first ?? "NULL")
            """
        let source = try await SourceDatabase(
            "own_types",
            "\(TypeCases.types)\n\(sql)\nINSERT INTO own VALUES ('Bob', \(values)); INSERT INTO own (id) VALUES ('ann');"
        )
        try await source.server.psql("CREATE DATABASE own_types_warehouse")
        try await source.server.psql(TypeCases.types, database: "own_types_warehouse")
        var run = try await source.pipeline(.postgres)
        run.yaml = run.yaml.replacing(
            "url: \"\(try await SharedServer.shared.url())\"",
            with: "url: \"\(source.server.url(database: "own_types_warehouse"))\"")
        let layout = try await schema(run)
        func expectEqual(_ what: String) async throws {
            let row = """
                id::text, h::text, m::text, ms::text, o::text, os::text, p::text, r::text, hs::text, cs::text, rs::text, w::text
                """
            let wanted = try await source.sql(
                "SET TimeZone = 'UTC'; SELECT json_agg(json_build_array(\(row)) ORDER BY id::text) FROM own")
            for view in ["\(layout.live).own", "(SELECT * FROM \(layout.history).own WHERE is_current) AS own"] {
                let found = try await run.looking { warehouse, _ in
                    try await warehouse.query("SELECT \(row) FROM \(view) ORDER BY id::text", rows_max: 10).rows
                }
                #expect(
                    try JSONValue(parsing: wanted).array?.map { $0.array?.map(\.string) } == found, "\(what): \(view)")
            }
        }
        try await run.untilEnd()
        try await expectEqual("copied")
        try await source.sql(
            "UPDATE own SET id = 'BOB' WHERE id = 'bob'; INSERT INTO own VALUES ('Eve', \(values)); DELETE FROM own WHERE id = 'ANN'"
        )
        try await run.untilEnd()
        try await expectEqual("streamed")
        let types = try await run.looking { warehouse, _ in
            try await warehouse.query(
                """
                SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '\(layout.current).own'::regclass \
                AND attnum BETWEEN 1 AND 12 ORDER BY attnum
                """, rows_max: 20
            ).rows.map { $0[0] ?? "" }
        }
        #expect(
            types == [
                "public.citext", "public.hstore", "public.mood", "public.mood[]", "public.\"Odd Type\"",
                "public.\"Odd Type\"[]",
                "public.place", "public.spans", "public.hstore[]", "public.citext[]", "public.\"Inner Row\"[]",
                "public.outer_row",
            ])
    }
}
