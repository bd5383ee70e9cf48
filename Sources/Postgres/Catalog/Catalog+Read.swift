extension Catalog {
    /// Which tables to read.
    package enum Selection: Sendable {
        /// Ordinary and partitioned tables, partitions included, outside the system's schemas.
        case allUserTables
        /// These, whatever kind of relation they are.
        case named([CatalogTable.Name])
    }

    /// Reads everything in one round trip with two queries, whatever the number of tables. Without
    /// parameters, so that it works on a replication connection and inside an exported snapshot too.
    package static func read(_ selection: Selection, from session: Session) throws -> Catalog {
        let tables = try tablesSQL(selection)
        let purpose = "read the catalog"
        let answers = try session.script(
            "\(columnsSQL(tables, session.serverVersion));\n\(typesSQL(tables))", for: purpose
        )
        guard answers.count == 2 else {
            throw PostgresError(kind: .permanent, message: "the server left an answer out", purpose: purpose)
        }
        let types = parseTypes(answers[1])
        let found = parseTables(answers[0], types)
        var missing: [CatalogTable.Name] = []
        if case .named(let names) = selection {
            let present = Set(found.map(\.name))
            missing = names.filter { !present.contains($0) }
        }
        return Catalog(tables: found, types: types, missing: missing)
    }

    // MARK: SQL

    /// The common table `wanted(oid)`.
    private static func tablesSQL(_ selection: Selection) throws(QuotingError) -> String {
        switch selection {
        case .allUserTables:
            return """
                wanted(oid) AS (
                    SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
                      AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
                )
                """
        case .named(let names):
            let schemas = try quoteLiteral(arrayText(names.map(\.schema)))
            let tables = try quoteLiteral(arrayText(names.map(\.name)))
            return """
                wanted(oid) AS (
                    SELECT DISTINCT c.oid
                    FROM unnest(\(schemas)::text[], \(tables)::text[]) AS asked(nspname, relname)
                    JOIN pg_catalog.pg_namespace n ON n.nspname = asked.nspname
                    JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = asked.relname
                    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
                )
                """
        }
    }

    /// One row per column, the table's own facts repeated; one row of nulls for a table without columns.
    private static func columnsSQL(_ tables: String, _ serverVersion: Int) -> String {
        // Generated columns came with 12, and so did the function that finds the root.
        let generated = serverVersion >= 120000 ? "a.attgenerated <> ''" : "false"
        // Kept since 11, as an array of one.
        let missing =
            serverVersion >= 110000 ? "CASE WHEN a.atthasmissing THEN (a.attmissingval::text::text[])[1] END" : "NULL"
        let root = serverVersion >= 120000 ? "pg_catalog.pg_partition_root(c.oid)" : "NULL"
        func place(in index: String) -> String {
            """
            (SELECT k.place FROM unnest(\(index).indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
             WHERE k.attnum = a.attnum AND k.place <= \(index).indnkeyatts)
            """
        }
        return """
            WITH \(tables)
            SELECT c.oid AS table_oid, n.nspname AS schema, c.relname AS table, c.relkind,
                c.relpersistence = 'p' AS is_logged,
                c.relispartition, root_n.nspname AS root_schema, root.relname AS root_table, c.relreplident,
                NOT pk.indimmediate AS pk_deferrable,
                a.attnum, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, a.atttypid, a.atttypmod,
                a.attnotnull, a.atthasdef AND NOT \(generated) AS has_default, a.attidentity <> '' AS is_identity,
                \(generated) AS is_generated,
                \(place(in: "pk")) AS pk_place, \(place(in: "ri")) AS identity_place,
                a.attndims, \(missing) AS missing
            FROM wanted
            JOIN pg_catalog.pg_class c ON c.oid = wanted.oid
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
            LEFT JOIN pg_catalog.pg_class root ON c.relispartition AND root.oid = \(root)
            LEFT JOIN pg_catalog.pg_namespace root_n ON root_n.oid = root.relnamespace
            LEFT JOIN pg_catalog.pg_index pk ON pk.indrelid = c.oid AND pk.indisprimary
            LEFT JOIN pg_catalog.pg_index ri ON ri.indrelid = c.oid AND ri.indisreplident
            LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            ORDER BY n.nspname, c.relname, a.attnum
            """
    }

    /// One row per label or field of each type, or one with null members. int2vector and oidvector call
    /// themselves arrays and are written without braces: they count as base types.
    private static func typesSQL(_ tables: String) -> String {
        """
        WITH RECURSIVE \(tables),
        used(oid) AS (
            SELECT a.atttypid FROM wanted
            JOIN pg_catalog.pg_attribute a ON a.attrelid = wanted.oid AND a.attnum > 0 AND NOT a.attisdropped
            UNION
            SELECT inner_type.oid FROM used JOIN pg_catalog.pg_type t ON t.oid = used.oid
            CROSS JOIN LATERAL (
                SELECT t.typbasetype WHERE t.typbasetype <> 0
                UNION ALL SELECT t.typelem WHERE t.typcategory = 'A' AND t.typelem <> 0
                UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid
                UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a
                    WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
            ) AS inner_type(oid)
        )
        SELECT t.oid, n.nspname, t.typname, pg_catalog.format_type(t.oid, NULL) AS type,
            CASE WHEN t.typtype = 'b' AND t.typcategory = 'A' AND t.typelem <> 0 AND t.oid NOT IN (22, 30)
                THEN 'A' ELSE t.typtype::text END AS kind,
            CASE WHEN t.typtype = 'b' AND t.typcategory = 'A' THEN t.typelem ELSE r.rngsubtype END AS element_oid,
            t.typbasetype, pg_catalog.format_type(t.typbasetype, t.typtypmod) AS base_type, t.typtypmod,
            member.name, member.type_oid, member.typmod,
            pg_catalog.format_type(member.type_oid, member.typmod) AS member_type, member.dimensions
        FROM used
        JOIN pg_catalog.pg_type t ON t.oid = used.oid
        JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
        LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid
        LEFT JOIN LATERAL (
            SELECT e.enumsortorder::float8 AS place, e.enumlabel::text AS name,
                NULL::oid AS type_oid, NULL::int4 AS typmod, NULL::int4 AS dimensions
            FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid
            UNION ALL
            SELECT a.attnum, a.attname::text, a.atttypid, a.atttypmod, a.attndims FROM pg_catalog.pg_attribute a
            WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
        ) AS member ON true
        ORDER BY t.oid, member.place
        """
    }

    // MARK: Answers

    private static func parseTypes(_ rows: Rows) -> [UInt32: CatalogType] {
        var types: [UInt32: CatalogType] = [:]
        for row in 0..<rows.count {
            func text(_ column: Int) -> String { rows.string(row, column) ?? "" }
            func oid(_ column: Int) -> UInt32? { rows.integer(row, column).map { UInt32(truncatingIfNeeded: $0) } }
            func typmod(_ column: Int) -> Int32 { Int32(rows.integer(row, column) ?? -1) }
            guard let typeOID = oid(0) else { continue }
            let kind = CatalogType.Kind(rawValue: text(4)) ?? .base
            var type =
                types[typeOID]
                ?? CatalogType(
                    oid: typeOID, schema: text(1), name: text(2), type: text(3), kind: kind,
                    elementOID: kind == .array || kind == .range ? oid(5) : nil,
                    baseOID: kind == .domain ? oid(6) : nil, baseType: kind == .domain ? text(7) : nil,
                    baseTypmod: typmod(8),
                    labels: [], fields: []
                )
            if let name = rows.string(row, 9) {
                if let memberOID = oid(10) {
                    type.fields.append(
                        .init(
                            name: name, type: text(12), typeOID: memberOID, typmod: typmod(11),
                            dimensions: Int(rows.integer(row, 13) ?? 0)))
                } else {
                    type.labels.append(name)
                }
            }
            types[typeOID] = type
        }
        return types
    }

    private static func parseTables(_ rows: Rows, _ types: [UInt32: CatalogType]) -> [CatalogTable] {
        var tables: [CatalogTable] = []
        var start = 0
        while start < rows.count {
            var end = start + 1
            while end < rows.count, rows.string(end, 0) == rows.string(start, 0) { end += 1 }
            tables.append(parseTable(rows, start..<end, types))
            start = end
        }
        return tables
    }

    /// The rows of one table.
    private static func parseTable(
        _ rows: Rows,
        _ range: Range<Int>,
        _ types: [UInt32: CatalogType]
    ) -> CatalogTable {
        let first = range.lowerBound
        func text(_ column: Int) -> String { rows.string(first, column) ?? "" }
        func names(placedBy column: Int) -> [String] {
            range.compactMap { row in rows.integer(row, column).map { ($0, rows.string(row, 11) ?? "") } }
                .sorted { $0.0 < $1.0 }.map(\.1)
        }
        return CatalogTable(
            oid: UInt32(truncatingIfNeeded: rows.integer(first, 0) ?? 0),
            name: .init(schema: text(1), name: text(2)),
            kind: CatalogTable.Kind(rawValue: text(3)) ?? .table,
            isLogged: rows.bool(first, 4),
            isPartition: rows.bool(first, 5),
            partitionRoot: rows.string(first, 7).map { .init(schema: text(6), name: $0) },
            columns: range.compactMap { parseColumn(rows, $0, types) },
            primaryKey: names(placedBy: 19),
            isPrimaryKeyDeferrable: rows.bool(first, 9),
            replicaIdentity: CatalogTable.ReplicaIdentity(rawValue: text(8)) ?? .nothing,
            identityIndex: names(placedBy: 20)
        )
    }

    private static func parseColumn(_ rows: Rows, _ row: Int, _ types: [UInt32: CatalogType]) -> CatalogColumn? {
        guard let number = rows.integer(row, 10), let oid = rows.integer(row, 13) else { return nil }
        let typeOID = UInt32(truncatingIfNeeded: oid)
        let type = rows.string(row, 12) ?? ""
        let typmod = Int32(rows.integer(row, 14) ?? -1)
        var base = (type: type, oid: typeOID, typmod: typmod)
        while let domain = types[base.oid], let next = domain.baseOID, let nextType = domain.baseType {
            base = (nextType, next, domain.baseTypmod)
        }
        let kind = types[base.oid]?.kind ?? .base
        let elementOID = kind == .array ? types[base.oid]?.elementOID : nil
        return CatalogColumn(
            number: Int16(number), name: rows.string(row, 11) ?? "", type: type, typeOID: typeOID, typmod: typmod,
            baseType: base.type, baseTypeOID: base.oid, baseTypmod: base.typmod, kind: kind,
            elementType: elementOID.flatMap { types[$0]?.type }, elementTypeOID: elementOID,
            isNotNull: rows.bool(row, 15), hasDefault: rows.bool(row, 16), missingValue: rows.string(row, 22),
            isIdentity: rows.bool(row, 17),
            isGenerated: rows.bool(row, 18), dimensions: Int(rows.integer(row, 21) ?? 0),
            replicatedType: ReplicatedTypes(types: types).name(
                base.type, base.oid, dimensions: Int(rows.integer(row, 21) ?? 0))
        )
    }
}
