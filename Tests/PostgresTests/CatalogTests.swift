import Replication
import Testing
import ThrowawayPostgres

@testable import Postgres

@Suite struct CatalogTests {
    static let schema = #"""
        CREATE SCHEMA shop; CREATE SCHEMA "Odd ""schema";
        CREATE EXTENSION hstore SCHEMA public;
        CREATE TYPE shop.mood AS ENUM ('sad', 'ok', 'happy');
        ALTER TYPE shop.mood ADD VALUE 'meh' BEFORE 'ok';
        CREATE DOMAIN shop.money AS numeric(12,2) NOT NULL;
        CREATE DOMAIN shop.price AS shop.money CHECK (VALUE > 0);
        CREATE TYPE shop.point3 AS (x float8, y numeric(5,1), tags shop.mood[]);
        CREATE TABLE shop.items(
            gone int, b int, a varchar(10), label text NOT NULL DEFAULT 'x', price shop.price, prices shop.price[],
            mood shop.mood, moods shop.mood[], place shop.point3, attributes public.hstore, at timestamptz(3),
            amount numeric(12,2), period tstzrange, key int GENERATED ALWAYS AS IDENTITY,
            twice int GENERATED ALWAYS AS (b * 2) STORED, matrix int[][], name name, flags bit(3),
            PRIMARY KEY (a, b) INCLUDE (label));
        ALTER TABLE shop.items DROP COLUMN gone;
        CREATE TABLE shop.events(id bigint, day date, note text) PARTITION BY RANGE (day);
        CREATE TABLE shop.events_2024 PARTITION OF shop.events
            FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY LIST (id);
        CREATE TABLE shop.events_2024_1 PARTITION OF shop.events_2024 FOR VALUES IN (1);
        CREATE TABLE shop.deferred(id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED);
        CREATE TABLE shop.by_index(x int NOT NULL, y int NOT NULL, z int);
        CREATE UNIQUE INDEX by_index_yx ON shop.by_index(y, x);
        ALTER TABLE shop.by_index REPLICA IDENTITY USING INDEX by_index_yx;
        CREATE TABLE shop.whole(a int, b int GENERATED ALWAYS AS (a) STORED);
        ALTER TABLE shop.whole REPLICA IDENTITY FULL;
        CREATE TABLE shop.none(a int); ALTER TABLE shop.none REPLICA IDENTITY NOTHING;
        CREATE UNLOGGED TABLE shop.scratch(a int);
        CREATE TABLE shop.empty();
        CREATE VIEW shop.seen AS SELECT a FROM shop.none;
        CREATE TABLE "Odd ""schema"."T'a\b"("C ol" int PRIMARY KEY);
        """#

    static let url = Task {
        let cluster = try await SharedCluster.cluster
        try await cluster.psql("CREATE DATABASE catalog")
        try await cluster.psql(schema, database: "catalog")
        return cluster.url(database: "catalog")
    }

    private struct Missing: Error {}

    private func required<Value>(_ value: Value?) throws -> Value {
        guard let value else { throw Missing() }
        return value
    }

    private func read(_ selection: Catalog.Selection) async throws -> Catalog {
        try await withSession(try await Self.url.value) { try Catalog.read(selection, from: $0) }
    }

    @Test func allUserTables() async throws {
        let catalog = try await read(.allUserTables)
        #expect(
            catalog.tables.map(\.name.description) == [
                #"Odd "schema.T'a\b"#, "shop.by_index", "shop.deferred", "shop.empty", "shop.events",
                "shop.events_2024",
                "shop.events_2024_1", "shop.items", "shop.none", "shop.scratch", "shop.whole",
            ])
        #expect(catalog.missing.isEmpty)
    }

    @Test func namedTables() async throws {
        let catalog = try await read(
            .named([
                .init(schema: "shop", name: "seen"), .init(schema: #"Odd "schema"#, name: #"T'a\b"#),
                .init(schema: "shop", name: "nope"), .init(schema: "shop", name: "Items"),
            ]))
        #expect(catalog.tables.map(\.name.name) == [#"T'a\b"#, "seen"])
        #expect(catalog.missing.map(\.description) == ["shop.nope", "shop.Items"])
        #expect(catalog.tables[0].primaryKey == ["C ol"] && catalog.tables[1].kind == .view)
    }

    @Test func columnsAndTheirTypes() async throws {
        let catalog = try await read(.named([.init(schema: "shop", name: "items")]))
        let items = try #require(catalog.table("shop", "items"))
        #expect(
            items.primaryKey == ["a", "b"] && items.identityColumns == ["a", "b"] && !items.isPrimaryKeyDeferrable)
        #expect(items.columns.map(\.number) == Array(2...18))
        func column(_ name: String) throws -> CatalogColumn {
            let column = items.column(name)
            return try required(column)
        }

        #expect(try column("a").type == "character varying(10)" && column("a").isNotNull && column("a").typmod == 14)
        #expect(try column("label").hasDefault && column("label").isNotNull)
        let price = try column("price")
        #expect(price.type == "shop.price" && price.baseType == "numeric(12,2)" && price.baseTypeOID == 1700)
        #expect(price.baseTypmod == (12 << 16 | 2) + 4 && price.kind == .base && price.typmod == -1)
        let prices = try column("prices")
        #expect(prices.kind == .array && prices.elementType == "shop.price" && prices.type == "shop.price[]")
        #expect(try column("mood").kind == .enum && column("moods").elementType == "shop.mood")
        #expect(try column("place").kind == .composite && column("period").kind == .range)
        #expect(try column("attributes").type == "public.hstore")
        #expect(try column("at").type == "timestamp(3) with time zone" && column("amount").type == "numeric(12,2)")
        #expect(try column("key").isIdentity && !column("key").hasDefault && !column("key").isGenerated)
        #expect(try column("twice").isGenerated && !column("twice").hasDefault)
        #expect(try column("matrix").elementType == "integer" && column("name").kind == .base)
        #expect(try column("name").elementType == nil && column("flags").type == "bit(3)")

        func type(_ name: String) throws -> CatalogType {
            let type = catalog.types.values.first { $0.name == name }
            return try required(type)
        }
        #expect(try type("mood").labels == ["sad", "meh", "ok", "happy"])
        #expect(try type("point3").fields.map(\.name) == ["x", "y", "tags"])
        #expect(try type("point3").fields.map(\.type) == ["double precision", "numeric(5,1)", "shop.mood[]"])
        #expect(try type("_mood").elementOID == type("mood").oid)
        #expect(try type("price").baseOID == type("money").oid && type("money").baseType == "numeric(12,2)")
        #expect(try type("tstzrange").elementOID == 1184)
    }

    /// Composites with their fields, behind domains, in arrays and in each other.
    @Test func compositesHaveTheirFields() async throws {
        let cluster = try await SharedCluster.cluster
        try await cluster.psql("CREATE DATABASE composites")
        let doubling = (2...14).map { "CREATE TYPE t\($0) AS (a t\($0 - 1), b t\($0 - 1));" }.joined(separator: "\n")
        try await cluster.psql(
            #"""
            CREATE DOMAIN cents AS numeric(12,2);
            CREATE TYPE "in{ner" AS ("a "", b" text, gone int, price cents, grid int[][], prices cents[]);
            ALTER TYPE "in{ner" DROP ATTRIBUTE gone;
            CREATE DOMAIN behind AS "in{ner";
            CREATE TYPE outside AS (one behind, many "in{ner"[], at timestamp(3));
            CREATE TYPE row_without AS ();
            CREATE TYPE row_of_case AS (a int, "A" int);
            CREATE TYPE t1 AS (a int, b row_without, c row_of_case);
            \#(doubling)
            CREATE TABLE other (x int, gone int, y text); ALTER TABLE other DROP COLUMN gone;
            CREATE TABLE all_of (i "in{ner", o outside, os outside[], d behind, t other, w row_without, r row_of_case[],
                t1 t1, t14 t14);
            """#, database: "composites")
        let catalog = try await withSession(cluster.url(database: "composites")) {
            try Catalog.read(.named([.init(schema: "public", name: "all_of")]), from: $0)
        }
        let told = try #require(catalog.table("public", "all_of")).columns.map(\.replicatedType)
        let inner =
            #"public."in{ner"{"a "", b" text,"price" numeric(12,2),"grid" integer[][],"prices" numeric(12,2)[]}"#
        let outside = #"public.outside{"one" \#(inner),"many" \#(inner)[],"at" timestamp(3)}"#
        #expect(
            Array(told.prefix(8)) == [
                inner, outside, outside + "[]", inner, #"public.other{"x" integer,"y" text}"#, "public.row_without",
                "public.row_of_case[]", #"public.t1{"a" integer,"b" public.row_without,"c" public.row_of_case}"#,
            ])
        #expect(told.allSatisfy { ColumnType(stored: $0).stored == $0 })
        // Each level has twice the fields: what is too much stays text.
        #expect(told[8].hasPrefix("public.t14{") && told[8].utf8.count < 200_000)
        #expect(told[8].contains(#""a" public.t"#))
    }

    @Test func partitionsAndIdentities() async throws {
        let catalog = try await read(.allUserTables)
        func table(_ name: String) throws -> CatalogTable {
            let table = catalog.table("shop", name)
            return try required(table)
        }
        let root = CatalogTable.Name(schema: "shop", name: "events")
        #expect(
            try table("events").kind == .partitioned && !table("events").isPartition
                && table("events").partitionRoot == nil)
        #expect(try table("events_2024").partitionRoot == root && table("events_2024").kind == .partitioned)
        #expect(try table("events_2024_1").partitionRoot == root && table("events_2024_1").isPartition)
        #expect(try table("deferred").isPrimaryKeyDeferrable && table("deferred").identityColumns.isEmpty)
        #expect(try table("by_index").replicaIdentity == .index && table("by_index").identityIndex == ["y", "x"])
        #expect(try table("whole").replicaIdentity == .full && table("whole").identityColumns == ["a"])
        #expect(try table("none").replicaIdentity == .nothing && table("none").primaryKey.isEmpty)
        #expect(try !table("scratch").isLogged && table("none").isLogged)
        #expect(try table("empty").columns.isEmpty)
    }

    @Test func onAReplicationConnection() async throws {
        var settings = ConnectionSettings(url: try await Self.url.value)
        settings.isReplication = true
        let ours = settings
        let plain = try await read(.allUserTables)
        #expect(try await onThread { try Catalog.read(.allUserTables, from: Session(ours)) } == plain)
    }

    @Test func aNameWithNULIsRefused() async throws {
        await #expect(throws: QuotingError.self) { try await self.read(.named([.init(schema: "a\0", name: "b")])) }
    }
}
