import Testing

@testable import PipelineFile

@Suite struct NamesTests {
    @Test(arguments: [
        ("*.*", "public.orders", true), ("*.*", "orders", false), ("public.*", "public.orders", true),
        ("public.*", "publicx.orders", false), ("*.orders", "a.b.orders", true),
        ("public.order?", "public.orders", true),
        ("public.order?", "public.order", false), ("public.Orders", "public.orders", false), ("*", "", true),
        ("", "", true),
        ("?", "", false), ("a*b*c", "aXbXbXc", true), ("a*b*c", "aXbXb", false), ("s.\\*", "s.*", true),
        ("s.\\*", "s.x", false), ("s.my.\"tab\"", "s.my.\"tab\"", true), ("s.?", "s.é", true), ("s.[a]", "s.[a]", true),
        ("s.[a]", "s.a", false), ("s.**x", "s.abx", true), ("a\\", "a\\", true),
    ])
    func globs(pattern: String, name: String, matches: Bool) {
        #expect(Glob(pattern).matches(name) == matches)
    }

    @Test func globsDontExplode() {
        let pattern = String(repeating: "a*", count: 200) + "b"
        #expect(!Glob(pattern).matches(String(repeating: "a", count: 5_000)))
    }

    @Test(arguments: [
        ("shop.public.*", "^shop\\.public\\..*$"), ("a?b-c_d", "^a.b-c_d$"), ("plain", "^plain$"),
        ("a+(b)", "^a\\+\\(b\\)$"),
    ])
    func regularExpressions(pattern: String, regex: String) {
        #expect(Glob(pattern).regularExpression == regex)
    }

    @Test func literals() {
        #expect(Glob("a.b").literal == "a.b")
        #expect(Glob("a\\*").literal == "a*")
        #expect(Glob("a*").literal == nil)
    }

    @Test func excludeWins() {
        let selector = TableSelector(include: ["public.*", "crm.people"], exclude: ["*.secret*"])
        #expect(selector.chooses("public.orders"))
        #expect(selector.chooses("crm.people"))
        #expect(!selector.chooses("crm.deals"))
        #expect(!selector.chooses("public.secrets"))
    }

    @Test(
        arguments: [
            ("public", "t", "t"), ("dbo", "t", "t"), ("crm", "t", "crm__t"), ("Public", "t", "Public__t"),
            (nil, "t", "t"),
        ] as [(String?, String, String)])
    func targets(schema: String?, table: String, target: String) {
        #expect(TargetName.standard(schema: schema, table: table) == target)
        #expect(TargetName.standard(schema: schema, table: table, soleSchema: true) == table)
    }

    @Test func collidingTargets() {
        let targets = [
            ("a.b", "a__b"), ("public.a__b", "a__b"), ("public.X", "X"), ("public.x", "x"), ("public.y", "y"),
        ]
        .map { (source: $0.0, target: $0.1) }
        #expect(TargetName.collisions(targets, ignoringCase: false).map(\.sources) == [["a.b", "public.a__b"]])
        #expect(
            TargetName.collisions(targets, ignoringCase: true).map(\.sources) == [
                ["public.X", "public.x"], ["a.b", "public.a__b"],
            ])
    }

    @Test(arguments: [
        ("default", ["is_deleted", "deleted_at", "_source_updated_at", "_loaded_at"]),
        ("fivetran", ["_fivetran_deleted", "deleted_at", "_source_updated_at", "_fivetran_synced"]),
        ("airbyte", ["is_deleted", "_ab_cdc_deleted_at", "_ab_cdc_updated_at", "_airbyte_extracted_at"]),
        ("peerdb", ["_PEERDB_IS_DELETED", "deleted_at", "_source_updated_at", "_PEERDB_SYNCED_AT"]),
        ("{ is_deleted: gone, _loaded_at: at }", ["gone", "deleted_at", "_source_updated_at", "at"]),
    ])
    func metadataColumns(yaml: String, names: [String]) throws {
        #expect(try parse(minimal("metadata_columns: \(yaml)")).metadataColumns.names == names)
    }

    @Test func aTablesMapChangesThePipelines() throws {
        let pipeline = try parse(
            minimal("metadata_columns: fivetran\ntables: [{ source: a.b, metadata_columns: { deleted_at: gone_at } }]"))
        #expect(
            pipeline.metadataColumns(source: "a.b").names
                == ["_fivetran_deleted", "gone_at", "_source_updated_at", "_fivetran_synced"])
    }

    @Test func collisionsAndWhatMendsThem() throws {
        let none = MetadataColumns.standard.collision(
            source: "a.b", columns: ["id", "Is_Deleted"], ignoringCase: false)
        #expect(none == nil)
        let columns = ["id", "Is_Deleted", "_loaded_at", "_millrace_loaded_at", "_version_seq"]
        let collision = try #require(
            MetadataColumns.standard.collision(source: "my db.b", columns: columns, ignoringCase: true))
        #expect(collision.columns == ["Is_Deleted", "_loaded_at", "_version_seq"])
        #expect(
            collision.remedy == """
                tables:
                  - source: "my db.b"
                    metadata_columns: { is_deleted: _millrace_is_deleted, _loaded_at: _millrace_loaded_at_ }
                    columns: { exclude: [_version_seq] }
                """)
        // What it prints is a pipeline file's, and mends it.
        let mended = try parse(minimal(collision.remedy))
        let left = columns.filter { !(mended.tables.first?.columns.exclude.contains($0) ?? false) }
        #expect(
            mended.metadataColumns(source: "my db.b").collision(source: "my db.b", columns: left, ignoringCase: true)
                == nil)
    }

    @Test(arguments: [
        ("", 63, false), ("a\0b", 63, false), (String(repeating: "a", count: 64), 63, false), ("a.\"b é", 63, true),
    ])
    func identifiers(name: String, bytes_max: Int, isFine: Bool) {
        #expect((Identifier.problem(name, bytes_max: bytes_max) == nil) == isFine)
    }

    @Test(arguments: [
        ("", "", 0), ("abc", "abc", 0), ("abc", "acb", 1), ("abc", "ab", 1), ("abc", "xabc", 1),
        ("kitten", "sitting", 3),
    ])
    func distances(left: String, right: String, distance: Int) {
        #expect(editDistance(left, right) == distance)
        #expect(editDistance(right, left) == distance)
    }

    @Test func nearest() {
        #expect(nearestName(to: "brokrs", among: ["topics", "brokers"]) == "brokers")
        #expect(nearestName(to: "Topics", among: ["topics", "brokers"]) == "topics")
        #expect(nearestName(to: "xyz", among: ["topics", "brokers"]) == nil)
        #expect(nearestName(to: String(repeating: "x", count: 10_000), among: ["topics"]) == nil)
    }
}
