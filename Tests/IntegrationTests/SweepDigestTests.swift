import Foundation
import Replication
import Testing

@testable import Agent

/// An engine, and how rows become hashes there.
enum SweepWay: String, CaseIterable {
    case duckdb
    case postgres
    case records

    var engine: Engine { self == .duckdb ? .duckdb : .postgres }
    var dialect: SweepDialect { self == .duckdb ? .duckdb : .postgres }
    var hashing: RowHash { self == .records ? .records : .texts }
}

/// Digests that both databases make of every type of Postgres with its extreme values: equal after a copy and after
/// changes, and other ones as soon as a cell is another.
@Suite struct SweepDigestTests {
    private static let cases = TypeCases.all
    private static let every = "public.every"

    // MARK: The source

    private static let schema = """
        \(TypeCases.types)
        CREATE TABLE "Odd Relation" (id int PRIMARY KEY);
        DO $$ BEGIN CREATE ROLE visitor_of_types; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
        CREATE TABLE every (id int PRIMARY KEY, \(cases.map { "\"\($0.name)\" \($0.type)" }.joined(separator: ", ")));
        """

    /// Row `n` has the `n`th value of each type, and NULL where that has no more.
    private static func rows(from first: Int) -> String {
        let count = (cases.map(\.values.count).max() ?? 0) + 1
        return (0..<count).map { n in
            let values = cases.map { $0.values.indices.contains(n) ? "(\($0.values[n]))::\($0.type)" : "NULL" }
            return "INSERT INTO every VALUES (\(first + n), \(values.joined(separator: ", ")));"
        }.joined(separator: "\n")
    }

    private func everyType(_ name: String, _ way: SweepWay) async throws -> (SourceDatabase, PipelineRun) {
        let source = try await SourceDatabase("\(name)_\(way.rawValue)", Self.schema + Self.rows(from: 1))
        let run = try await source.pipeline(way.engine)
        try await run.untilEnd()
        return (source, run)
    }

    // MARK: Digests

    private func columns(_ run: PipelineRun, _ table: String, hashed: Set<String> = []) async throws -> [SweepColumn] {
        let known = try await run.looking { warehouse, _ in try await warehouse.knownTables() }
        let definition = try #require(known.first { $0.target == table })
        return definition.columns.map { SweepColumn($0, isHashed: hashed.contains($0.name)) }
    }

    /// What the source's own SQL gives, by a session that has nothing but the settings.
    private func ask(_ source: SourceDatabase, _ queries: [String]) async throws -> [[String]] {
        let settings = SweepDialect.postgres.settings.map { $0 + ";\n" }.joined()
        let answers = queries.map { "\($0);\n\\echo ~\n" }.joined()
        // What psql gives comes without its last line's end.
        let text = try await source.sql("SET jit = off;\n" + settings + answers) + "\n"
        let results = text.components(separatedBy: "~\n").dropLast()
        return results.map { $0.split(separator: "\n").map(String.init) }
    }

    private func sourceSets(_ source: SourceDatabase, _ queries: [String]) async throws -> [SetDigest] {
        try await ask(source, queries).map { lines in
            try #require(lines.count == 1)
            let cells = lines[0].split(separator: "|").map { Optional(String($0)) }
            return try #require(SetDigest(row: cells), "\(lines)")
        }
    }

    private func warehouseSets(_ run: PipelineRun, _ queries: [String]) async throws -> [SetDigest] {
        try await run.looking { warehouse, _ in
            var sets: [SetDigest] = []
            for query in queries {
                let rows = try await warehouse.query(query, rows_max: 1).rows
                sets.append(try #require(SetDigest(row: rows[0]), "\(rows)"))
            }
            return sets
        }
    }

    /// Each column alone, behind the key.
    private func alone(_ columns: [SweepColumn], _ way: SweepWay) -> [RowDigest] {
        let keys = columns.filter(\.isKey)
        return columns.filter { !$0.isKey }.map { RowDigest(keys + [$0], warehouse: way.dialect, hashing: way.hashing) }
    }

    private func name(_ digest: RowDigest) -> String { digest.columns.last?.name ?? "" }

    private func expectEqual(
        _ source: SourceDatabase, _ run: PipelineRun, _ digests: [RowDigest], _ relation: String, _ what: String
    ) async throws {
        let live = "\(try run.setup.layout.live).every"
        let there = try await sourceSets(source, digests.map { $0.set(of: relation, on: .source) })
        let here = try await warehouseSets(run, digests.map { $0.set(of: live, on: .warehouse) })
        for (index, digest) in digests.enumerated() where there[index] != here[index] {
            let query = digest.rows(of: relation, on: .source)
            let wanted = try await ask(source, [query])[0].sorted()
            let found = try await run.looking { warehouse, _ in
                try await warehouse.query(digest.rows(of: live, on: .warehouse), rows_max: 1000).rows
            }.map { $0.map { $0 ?? "NULL" }.joined(separator: "|") }.sorted()
            let different = zip(wanted, found).filter { $0 != $1 }.map { "\($0) is \($1)" }
            Issue.record("\(what), \(name(digest)): \(different.prefix(3))")
        }
    }

    // MARK: Tests

    @Test(arguments: SweepWay.allCases) func everyTypeHasTheSameDigestOnBothSides(way: SweepWay) async throws {
        let engine = way.engine
        let (source, run) = try await everyType("sweep_equal", way)
        let columns = try await columns(run, "every")
        let digests = alone(columns, way)
        #expect(digests.count == Self.cases.count)
        try #require(digests.flatMap(\.uncovered) == [])
        let whole = RowDigest(columns, warehouse: way.dialect, hashing: way.hashing)
        try await expectEqual(source, run, digests + [whole], Self.every, "copied")

        // As keys their texts are whole. json of Postgres has no order, and jsonb none of its \u0000.
        let keys = columns.filter { !$0.isKey && (engine == .duckdb || $0.type != .json) }.map {
            RowDigest([SweepColumn($0.name, $0.type, isKey: true)], warehouse: way.dialect, hashing: way.hashing)
        }
        try await expectEqual(source, run, keys, Self.every, "keys")

        // Values that print differently have different hashes, and rows add up to the set.
        let texts = digests.map { digest in
            let column = "t.\"\(name(digest))\""
            let hashes = RowDigest([digest.columns[1]], of: digest).rows(of: Self.every, on: .source)
            return """
                SELECT (SELECT count(DISTINCT h) FROM (\(hashes)) AS hashes), \
                count(DISTINCT format('%s', \(column))) FILTER (WHERE num_nulls(\(column)) = 0) + 1 FROM \(Self.every) AS t
                """
        }
        for (digest, lines) in zip(digests, try await ask(source, texts)) {
            let counts = lines[0].split(separator: "|")
            #expect(counts[0] == counts[1], "\(way): distinct hashes of \(name(digest))")
        }
        let sum = try await ask(source, [whole.rows(of: Self.every, on: .source)])[0].map { line in
            try #require(SetDigest(hash: String(line.split(separator: "|")[1])), "\(line)")
        }.reduce(.empty, +)
        #expect(try await sourceSets(source, [whole.set(of: Self.every, on: .source)]) == [sum])

        try await source.sql(
            """
            \(Self.rows(from: 1001))
            UPDATE every t SET \(Self.cases.map { "\"\($0.name)\" = o.\"\($0.name)\"" }.joined(separator: ", ")) \
            FROM every o WHERE t.id < 1000 AND o.id = t.id + 1001;
            DELETE FROM every WHERE id = 1002;
            """)
        try await run.untilEnd()
        try await expectEqual(source, run, digests + [whole], Self.every, "streamed")
    }

    @Test(arguments: SweepWay.allCases) func anyCellThatIsAnotherIsSeen(way: SweepWay) async throws {
        let engine = way.engine
        let (source, run) = try await everyType("sweep_cells", way)
        let live = "\(try run.setup.layout.live).every"
        let digests = alone(try await columns(run, "every"), way)
        try #require(digests.flatMap(\.uncovered) == [])
        let there = try await sourceSets(source, digests.map { $0.set(of: Self.every, on: .source) })

        /// Digests of what `relation` makes of a column's rows.
        func changed(_ digests: [RowDigest], _ relation: (String) -> String) async throws -> [SetDigest] {
            let queries = digests.map { $0.set(of: "(\(relation("\"\(name($0))\"")))", on: .warehouse) }
            return try await warehouseSets(run, queries)
        }
        #expect(try await changed(digests) { "SELECT id, \($0) FROM \(live)" } == there)
        let swapped = try await changed(digests) {
            "SELECT CASE id WHEN 1 THEN 2 WHEN 2 THEN 1 ELSE id END AS id, \($0) FROM \(live)"
        }
        let emptied = try await changed(digests) { "SELECT id, CASE WHEN id <> 1 THEN \($0) END AS \($0) FROM \(live)" }
        for (index, digest) in digests.enumerated() {
            #expect(swapped[index] != there[index], "\(way): cells of \(name(digest)) changed places")
            #expect(emptied[index] != there[index], "\(way): NULL in \(name(digest))")
        }

        // Without a key: two equal rows that became two equal other ones.
        let keyless = digests.map { RowDigest([$0.columns[1]], warehouse: way.dialect, hashing: way.hashing) }
        let first = try await changed(keyless) { name in
            "SELECT \(name) FROM \(live) WHERE id = 1 UNION ALL SELECT \(name) FROM \(live) WHERE id = 1"
        }
        let second = try await changed(keyless) { name in
            "SELECT \(name) FROM \(live) WHERE id = 2 UNION ALL SELECT \(name) FROM \(live) WHERE id = 2"
        }
        for (index, digest) in keyless.enumerated() {
            #expect(first[index] != second[index], "\(way): twins of \(name(digest))")
            #expect(first[index].rows == 2 && first[index].high != 0, "\(way): twins of \(name(digest)) cancel")
        }

        // One cell of each column in the table itself.
        let current = "\(try run.setup.layout.current).every"
        let columns = Self.cases.map { "\"\($0.name)\" = o.\"\($0.name)\"" }.joined(separator: ", ")
        func update(_ table: String) -> String {
            "UPDATE \(table) SET \(columns) FROM \(table) AS o WHERE every.id = 1 AND o.id = 2"
        }
        switch engine {
        case .duckdb:
            try await ForeignSQL.duckdb(
                run.folder.path("\(run.name).duckdb"), update("\(run.name).\(current)"))
        case .postgres: try await ForeignSQL.postgres(SharedServer.shared.url(), update(current))
        }
        let after = try await warehouseSets(run, digests.map { $0.set(of: live, on: .warehouse) })
        for (index, digest) in digests.enumerated() {
            #expect(after[index] != there[index], "\(way): a cell of \(name(digest))")
        }
    }

    /// Text that moves from one column to the next is another row, and so is NULL in the place of nothing.
    @Test(arguments: SweepWay.allCases) func neighboursDontRunTogether(way: SweepWay) async throws {
        let engine = way.engine
        let source = try await SourceDatabase(
            "sweep_near_\(way.rawValue)",
            """
            CREATE TYPE pair AS (a text, b text);
            CREATE TABLE near (a text, b text, c int, d int, e text[], f pair);
            ALTER TABLE near REPLICA IDENTITY FULL;
            INSERT INTO near (a, b, c, d) SELECT a, b, c, d FROM
                unnest(ARRAY['', '1:', ':', ',', 'x', 'xy', '1:x', '1:x1:y', NULL]) AS a,
                unnest(ARRAY['', '1:', ':', ',', 'y', 'yx', '1:y', '1', NULL]) AS b,
                unnest(ARRAY[1, 12, NULL]) AS c, unnest(ARRAY[1, 21, NULL]) AS d;
            INSERT INTO near (e, f) SELECT ARRAY[a, b], ROW(a, b)::pair FROM
                unnest(ARRAY['', '1:', ':', ',', 'x', 'xy', '1:x', '1:x1:y', NULL]) AS a,
                unnest(ARRAY['', '1:', ':', ',', 'y', 'yx', '1:y', '1', NULL]) AS b;
            INSERT INTO near (e, f) VALUES ('{}', NULL), ('{NULL}', NULL), ('{""}', NULL), (NULL, ROW(NULL, NULL)),
                ('{{a,b},{c,d}}', NULL);
            DELETE FROM near WHERE array_ndims(e) = 2 AND '\(engine)' = 'duckdb';
            """)
        let run = try await source.pipeline(engine)
        try await run.untilEnd()
        let digest = RowDigest(try await columns(run, "near"), warehouse: way.dialect, hashing: way.hashing)
        let there = try await ask(source, [digest.rows(of: "public.near", on: .source)])[0].sorted()
        #expect(Set(there).count == there.count)
        let here = try await run.looking { warehouse, layout in
            try await warehouse.query(digest.rows(of: "\(layout.live).near", on: .warehouse), rows_max: 9999).rows
        }.map { $0[0] ?? "" }.sorted()
        #expect(there == here)
    }

    /// NaN of other bits, json's null and blanks inside of others, a map in another order, and numbers at random.
    @Test(arguments: SweepWay.allCases) func oddValues(way: SweepWay) async throws {
        let engine = way.engine
        let source = try await SourceDatabase(
            "sweep_odd_\(way.rawValue)",
            """
            CREATE EXTENSION hstore;
            CREATE TYPE noted AS (j json, b jsonb, js json[]);
            CREATE TABLE odd (id int PRIMARY KEY, f8 float8, f4 real, js json[], bs jsonb[], row noted, rows noted[],
                map hstore, num numeric, dec numeric(38,19), part numeric(3,3), ts timestamp, tz timestamptz, ti time,
                d date, span interval, f8s float8[], tzs timestamptz[]);
            INSERT INTO odd (id, f8, f4, js, bs, row, rows, map) VALUES
                (1, 'Infinity'::float8 - 'Infinity', 'Infinity'::real - 'Infinity', ARRAY['null', ' [1, 2 ] ', NULL]::json[],
                    ARRAY['null', '[1]']::jsonb[], ROW(' null ', 'null', ARRAY['null']::json[]),
                    ARRAY[ROW(E'\\n{}\\t', '1', NULL), NULL]::noted[], 'zz=>1, a=>2, aaa=>NULL, b=>""'),
                (2, NULL, NULL, '{}', '{NULL}', NULL, '{}', '');
            SELECT setseed(0.5);
            INSERT INTO odd SELECT 10 + i, sign(random() - 0.5) * random() * 10::float8 ^ (random() * 600 - 300),
                (sign(random() - 0.5) * random() * 10::float8 ^ (random() * 70 - 35))::real, NULL, NULL, NULL, NULL, NULL,
                (random() - 0.5)::numeric * 10::numeric ^ (random() * 60 - 30)::int,
                (random() - 0.5)::numeric * 10::numeric ^ (random() * 18)::int, trunc((random() - 0.5)::numeric, 3),
                timestamp '4700-01-01 BC' + random() * interval '290000 years', to_timestamp((random() - 0.3) * 1e11),
                time '0:00' + random() * interval '1 day', date '4700-01-01 BC' + (random() * 2e9)::int,
                (random() - 0.5) * interval '9 years 300 days 11:12:13.14' - (random() * 30) * interval '1 month -31 days',
                ARRAY[random(), 1 / (random() - 0.5)], ARRAY[to_timestamp(random() * 1e9), NULL]
                FROM generate_series(1, 2000) AS i;
            """)
        let run = try await source.pipeline(engine)
        try await run.untilEnd()
        let live = "\(try run.setup.layout.live).odd"
        let digests = alone(try await columns(run, "odd"), way)
        let there = try await sourceSets(source, digests.map { $0.set(of: "public.odd", on: .source) })
        let here = try await warehouseSets(run, digests.map { $0.set(of: live, on: .warehouse) })
        for (index, digest) in digests.enumerated() {
            #expect(there[index].rows == 2002)
            #expect(there[index] == here[index], "\(way): \(name(digest))")
        }
        if engine == .duckdb, let map = digests.firstIndex(where: { name($0) == "map" }) {
            let turned = "(SELECT id, map_from_entries(list_reverse(map_entries(map))) AS map FROM \(live))"
            #expect(try await warehouseSets(run, [digests[map].set(of: turned, on: .warehouse)]) == [there[map]])
        }
    }

    /// Postgres' own hash is the same of a bigint or a time whose halves give the same, and of -0 and 0, 1.0 and 1.00.
    @Test func whatAServersHashFolds() async throws {
        let source = try await SourceDatabase("sweep_folds", "")
        let twins: [(ColumnType, String, String)] = [
            (.bigint, "1::bigint", "4294967296::bigint"),
            (.timestamptz, "'epoch'::timestamptz + '1 us'", "'epoch'::timestamptz + 4294967296 * '1 us'::interval"),
            (.timestamp(digits: 6), "timestamp '2000-01-01' + '1 us'", "timestamp '2000-01-01 01:11:34.967296'"),
            (.time, "time '00:00:00.000001'", "time '01:11:34.967296'"),
            (.double, "0::float8", "'-0'::float8"), (.real, "0::real", "'-0'::real"),
            (.numeric(precision: nil, scale: 0), "1.0", "1.00"),
            (.interval, "'1 day'::interval", "'24 hours'::interval"),
            (.text, "''", "NULL::text"), (.boolean, "false", "NULL::boolean"),
        ]
        for (type, a, b) in twins {
            let digest = RowDigest([SweepColumn("v", type)], warehouse: .postgres, hashing: .records)
            let sets = try await sourceSets(source, [a, b].map { digest.set(of: "(SELECT \($0) AS v)", on: .source) })
            #expect(sets[0] != sets[1], "\(a) and \(b)")
        }
        // Rows that exchange a cell, which a sum of the columns' hashes doesn't see.
        let pair = RowDigest(
            [SweepColumn("a", .integer), SweepColumn("b", .text)], warehouse: .postgres, hashing: .records)
        let rows = ["(VALUES (1, 'x'), (2, 'y')) AS v (a, b)", "(VALUES (1, 'y'), (2, 'x')) AS v (a, b)"]
        let exchanged = try await sourceSets(source, rows.map { pair.set(of: "(SELECT a, b FROM \($0))", on: .source) })
        #expect(exchanged[0] != exchanged[1])
    }

    /// Two of the same machine: they may.
    @Test func serversThatHashAlike() async throws {
        let source = try await SourceDatabase("sweep_alike", "")
        let read: (String) async throws -> [[String?]] = { sql in
            try await ask(source, [sql])[0].map { [$0] }
        }
        #expect(try await RowHash.common(engine: "postgres", read, read) == .records)
    }

    /// A source that has its texts in other bytes.
    @Test(arguments: SweepWay.allCases) func aSourceThatIsNotUTF8(way: SweepWay) async throws {
        let engine = way.engine
        let name = "sweep_latin_\(way.rawValue)"
        let server = try await SourceServers.shared.server()
        try await server.psql("CREATE DATABASE \(name) ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        let source = SourceDatabase(name, on: server)
        try await source.sql(
            """
            SET client_encoding = 'UTF8';
            CREATE TYPE word AS (w text, n int);
            CREATE TABLE words (id int PRIMARY KEY, w text, v varchar(9), j jsonb, ws text[], r word, mail text, h bytea);
            INSERT INTO words VALUES (1, 'äö', 'ü', '{"ß": "é"}', '{à,b}', ROW('ñ', 1), 'å@b', '\\xe4');
            """)
        let run = try await source.pipeline(
            engine, rest: "tables:\n  - { source: public.words, columns: { hash: [mail] } }")
        try await run.untilEnd()
        let columns = try await columns(run, "words", hashed: ["mail"])
        for column in columns {
            let digest = RowDigest([column], warehouse: way.dialect, isSourceUTF8: false, hashing: way.hashing)
            let there = try await sourceSets(source, [digest.set(of: "public.words", on: .source)])
            let live = "\(try run.setup.layout.live).words"
            let here = try await warehouseSets(run, [digest.set(of: live, on: .warehouse)])
            #expect(there == here, "\(way): \(column.name)")
        }
    }

    /// What the digest can't say is still there to be looked at.
    @Test(arguments: SweepWay.allCases) func valuesCanBeFetched(way: SweepWay) async throws {
        let engine = way.engine
        let (source, run) = try await everyType("sweep_values", way)
        let columns = try await columns(run, "every")
        let digest = RowDigest(columns, warehouse: way.dialect, hashing: way.hashing)
        let live = "\(try run.setup.layout.live).every"
        let wanted = try await ask(
            source, ["SELECT count(*) FROM (\(digest.values(of: Self.every, on: .source, columns))) AS v"])
        let found = try await run.looking { warehouse, _ in
            try await warehouse.query(
                digest.values(of: live, on: .warehouse, columns, where: "t.id = 1"), rows_max: 1000)
        }
        #expect(wanted[0] == ["\((Self.cases.map(\.values.count).max() ?? 0) + 1)"])
        #expect(found.rows.count == 1 && found.rows[0].count == columns.count + 1)
        #expect(found.rows[0].allSatisfy { $0 != nil })
    }

    /// Names that quoting trips over, or that the SQL uses itself; hashed columns; some of the rows.
    @Test(arguments: SweepWay.allCases) func namesAndHashes(way: SweepWay) async throws {
        let engine = way.engine
        let names = [
            "e0", "_x0", "u0", "_m0", "_p0", "__X0", "t", "h", "s", "hashes", "A b", "q\"u'o\\te", "a,b", "$1",
            "ü\u{301}", "select",
            "__m0",
        ]
        let quoted = names.map { "\"\($0.replacing("\"", with: "\"\""))\"" }
        let types = [
            ("pair[]", "ARRAY[ROW(1, '{a,NULL}', NULL)::pair, NULL]"), ("text[]", "ARRAY['x', 'it''s']"),
            ("hstore", "'a=>1'"), ("int[][]", "'{{1,2},{3,4}}'"), ("pair", "ROW(2, '{}', '{b}')::pair"),
        ]
        let declared = quoted.enumerated().map { "\($1) \(types[$0 % types.count].0)" }
        let values = quoted.indices.map { types[$0 % types.count].1 }
        let source = try await SourceDatabase(
            "sweep_names_\(way.rawValue)",
            """
            CREATE EXTENSION hstore;
            CREATE TYPE pair AS ("a""b" int, "x0" text[], e0 text[]);
            CREATE TABLE names (\(declared.joined(separator: ", ")), key text PRIMARY KEY, ok boolean, code char(5), mail text, ip inet, n int);
            INSERT INTO names SELECT \(values.joined(separator: ", ")), k, k > 'b', k, k || '@x', '10.0.0.1', length(k)
            FROM unnest(ARRAY['a', 'b', 'c,', '1:a', '']) AS k;
            INSERT INTO names (key) VALUES ('all null');
            """)
        let hashed: Set<String> = ["ok", "code", "mail", "ip", "n"]
        let run = try await source.pipeline(
            engine,
            rest: """
                tables:
                  - { source: public.names, columns: { hash: [\(hashed.sorted().joined(separator: ", "))] } }
                """)
        try await run.untilEnd()
        let live = "\(try run.setup.layout.live).names"
        let digests = alone(try await columns(run, "names", hashed: hashed), way)
        #expect(digests.count == names.count + hashed.count)
        for filter in [nil, #"t."key" >= 'b' OR t."key" = ''"#, "1 = 0"] {
            let there = try await sourceSets(
                source, digests.map { $0.set(of: "public.names", on: .source, where: filter) })
            let here = try await warehouseSets(run, digests.map { $0.set(of: live, on: .warehouse, where: filter) })
            for (index, digest) in digests.enumerated() {
                #expect(there[index] == here[index], "\(way): \(name(digest)) of \(filter ?? "all")")
                #expect(filter != "1 = 0" || there[index] == .empty)
            }
        }
        // A column of texts can have what the source's type can't.
        for digest in digests where hashed.contains(name(digest)) {
            let there = try await sourceSets(source, [digest.set(of: "public.names", on: .source)])
            for text in ["''", "','", "'x'"] {
                let spoilt = "(SELECT \"key\", coalesce(\(name(digest)), \(text)) AS \(name(digest)) FROM \(live))"
                #expect(try await warehouseSets(run, [digest.set(of: spoilt, on: .warehouse)]) != there)
            }
        }
    }
}

/// Ranges of integer keys are the same in both databases, also below zero and at the types' ends.
@Suite struct SweepRangeTests {
    @Test(arguments: SweepWay.allCases) func rangesAreTheSame(way: SweepWay) async throws {
        let engine = way.engine
        let source = try await SourceDatabase(
            "sweep_ranges_\(way.rawValue)",
            """
            CREATE TABLE edges (id bigint PRIMARY KEY, n int);
            INSERT INTO edges VALUES (-9223372036854775808, 1), (9223372036854775807, 2), (-1, 3), (0, 4), (1, 5);
            INSERT INTO edges SELECT i, i FROM generate_series(-5000, -4000) i;
            INSERT INTO edges SELECT i * 1000003, i FROM generate_series(10, 900) i;
            """)
        let run = try await source.pipeline(engine)
        try await run.untilEnd()
        let known = try await run.looking { warehouse, _ in try await warehouse.knownTables() }
        let definition = try #require(known.first { $0.target == "edges" })
        let digest = RowDigest(
            definition.columns.map { SweepColumn($0) }, warehouse: way.dialect, hashing: way.hashing)
        let live = "\(try run.setup.layout.live).edges"
        func theirs(_ sql: String) async throws -> [[String]] {
            let settings = SweepDialect.postgres.settings.map { $0 + ";\n" }.joined()
            return try await source.sql(settings + sql).split(separator: "\n").map {
                $0.split(separator: "|").map(String.init)
            }
        }
        func mine(_ sql: String) async throws -> [[String]] {
            try await run.looking { warehouse, _ in
                try await warehouse.query(sql, rows_max: 10_000).rows.map { $0.map { $0 ?? "" } }
            }
        }
        let bounds = try #require(digest.bounds(of: "public.edges", on: .source))
        let cells = try await theirs(bounds)[0].compactMap { Int64($0) }
        #expect(cells == [.min, .max])
        for parts in [RowBuckets.ranges(from: cells[0], to: cells[1]), .range(bits: 10), .range(bits: 0), .hash] {
            let there = try await theirs(digest.buckets(of: "public.edges", on: .source, by: parts)).sorted {
                $0[0] < $1[0]
            }
            let here = try await mine(digest.buckets(of: live, on: .warehouse, by: parts)).sorted { $0[0] < $1[0] }
            #expect(there == here, "\(way), \(parts)")
            // Those of some buckets are all of theirs, and no others.
            let some = there.map { $0[0] }.enumerated().filter { $0.offset % 3 == 0 }.map(\.element)
            let wanted = there.filter { some.contains($0[0]) }.reduce(0) { $0 + (Int($1[1]) ?? 0) }
            for rows in [
                try await theirs(digest.rows(of: "public.edges", on: .source, buckets: some, by: parts)),
                try await mine(digest.rows(of: live, on: .warehouse, buckets: some, by: parts)),
            ] {
                #expect(rows.count == wanted, "\(way), \(parts)")
                for row in rows { #expect(some.contains(parts.name(ofKey: [row[0]], hash: row[1]) ?? "")) }
            }
        }
    }

    /// Several connections read one snapshot of the warehouse, whatever was written since: each row once. Where they can't, the
    /// one that has it does.
    @Test func severalConnectionsReadOneSnapshot() async throws {
        let source = try await SourceDatabase(
            "sweep_shared",
            """
            CREATE TABLE shared (id int PRIMARY KEY, note text);
            INSERT INTO shared SELECT i, repeat(md5(i::text), 8) FROM generate_series(1, 2000) i;
            """)
        let run = try await source.pipeline(.postgres)
        try await run.untilEnd()
        let digest = RowDigest(
            [SweepColumn("id", .integer, isKey: true), SweepColumn("note", .text)], warehouse: .postgres,
            hashing: .records)
        try await run.looking { warehouse, layout in
            let relation = "\(layout.current).shared"
            let here = try await warehouse.snapshot()
            let whole = try SetDigest.buckets(
                try await here.rows(digest.buckets(of: relation, on: .warehouse, by: .range(bits: 5))))
            #expect(whole.values.reduce(0) { $0 + $1.rows } == 2000)
            try await ForeignSQL.postgres(
                SharedServer.shared.url(),
                """
                UPDATE \(relation) SET note = 'later' WHERE id % 3 = 0; DELETE FROM \(relation) WHERE id % 7 = 0;
                INSERT INTO \(relation) (id, note) SELECT i, 'later' FROM generate_series(3000, 4000) i;
                """)
            let scan = try #require(try await BlockScan(of: relation, here, workers: 3, step: 5))
            #expect(try await scan.buckets(digest, by: .range(bits: 5), where: nil) == whole)
            #expect(try await BlockScan(of: relation, here, workers: 3) == nil, "it has one range")
            #expect(try await BlockScan(of: relation, here, workers: 1, step: 5) == nil)

            // Somebody waits for the table behind the snapshot's lock, and the others would wait behind them.
            async let altered: Void = ForeignSQL.postgres(
                SharedServer.shared.url(), "ALTER TABLE \(relation) ADD COLUMN more int")
            try await PostgresSourceTests.until("the statement waits") {
                try await here.rows(
                    "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = '\(relation)'::regclass")
                    == [["1"]]
            }
            let stuck = await #expect(throws: ReplicationError.self) {
                try await scan.buckets(digest, by: .range(bits: 5), where: nil)
            }
            #expect(stuck?.message.contains("lock") == true, "\(String(describing: stuck))")
            #expect(try await scan.buckets(digest, by: .range(bits: 5), where: nil, elseBy: here) == whole)
            await here.close()
            try await altered
            // What shared it is gone with it.
            await #expect(throws: ReplicationError.self) {
                try await scan.buckets(digest, by: .range(bits: 5), where: nil)
            }
        }
    }

    @Test func rangesAreFew() {
        for (low, high) in [(0, 0), (1, 5_000_000), (-3, 4095), (.min, .max), (.max, .max)] as [(Int64, Int64)] {
            guard case .range(let bits) = RowBuckets.ranges(from: low, to: high) else { return }
            #expect((high >> bits) - (low >> bits) < RowBuckets.ranges_max)
        }
    }
}
