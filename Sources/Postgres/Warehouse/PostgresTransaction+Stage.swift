import CrashPoint
import Replication

extension PostgresTransaction {
    /// Brings rows into the table's staging table. Its columns have current's own types, so that a value that current
    /// refuses is refused here already; they are called c0, c1 …, as names are the source's to choose.
    func stage(_ staged: StagedTable, _ batch: ChangeBatch) throws {
        let table = staged.definition
        try translating(table) {
            let sql = try TableSQL(table, layout)
            let name = try stageTable(sql, adding: staged.rows.count)
            let first = takeOrdinals(staged.rows.count)
            stagedAt[table.source] = first
            guard !staged.rows.isEmpty else { return }
            let columns = table.columns
            let isKey = columns.indices.map { table.key.contains($0) }
            try session.copyIn("COPY \(name) FROM STDIN", for: sql.purpose("stage rows of")) { writer in
                let encoder = FieldEncoder(writer: writer, batch: batch, scratch: scratch)
                for (index, row) in staged.rows.enumerated() {
                    if index == staged.rows.count / 2 { CrashPoint.staging.reach() }
                    writer.field(first + Int64(index))
                    writer.field(Int64(row.mode.rawValue))
                    writer.field(row.isDeleted)
                    encoder.moment(row.time_us)
                    encoder.version(row.version)
                    if row.registers < 0 {
                        writer.null()
                    } else {
                        let map = staged.columnVersions(row)
                        if map.isEmpty { writer.null() } else { writer.field(map.json) }
                    }
                    let width = row.image < 0 ? 0 : Int(row.width)
                    let keyOnly = row.mode == .keep
                    for column in 0..<columns.count {
                        if column >= width || keyOnly && !isKey[column] {
                            writer.null()
                        } else {
                            encoder.field(batch.fields[Int(row.image) + column], columns[column].type)
                        }
                    }
                    try writer.endLine()
                }
            }
        }
    }

    /// The table's staging table, made if need be.
    func stageTable(_ sql: TableSQL, adding count: Int = 0) throws -> String {
        let source = sql.definition.source
        let key = "rows \(source.schema.utf8.count) \(source.schema) \(source.table)"
        return try temporary(key, shape: sql.columns, adding: count) {
            """
            CREATE TEMP TABLE \($0) AS SELECT 0::bigint AS _ord, 0::smallint AS _mode, \
            false AS _is_deleted, NULL::timestamptz AS _time, 0::bigint AS _e, 0::bigint AS _c, 0::bigint AS _s, \
            NULL::text AS _map\(Self.aliases(sql)) FROM \(sql.current) t WITH NO DATA
            """
        }
    }

    /// `, t."id" AS c0, …`
    static func aliases(_ sql: TableSQL) -> String {
        sql.columns.enumerated().map { ", t.\($1) AS c\($0)" }.joined()
    }

    func storedRows(_ staged: StagedTable, sparse: Bool) throws -> [StoredRow] {
        let table = staged.definition
        return try translating {
            let sql = try TableSQL(table, layout)
            let first = stagedAt[table.source] ?? 0
            let reached = """
                s._mode = 2\(sparse ? " OR t.\(TableSQL.map) IS NOT NULL" : "")
                """
            let rows = try session.query(
                """
                SELECT s._ord, \(TableSQL.versionColumns("t")), t.\(sql.isDeleted), t.\(TableSQL.map), s._mode \
                FROM \(try stageTable(sql)) s JOIN \(sql.current) t ON \(sql.sameKey("t", "s")) \
                WHERE s._ord >= \(first) AND (\(reached)) \
                ORDER BY \(sql.keyColumns.map { "t.\($0)" }.joined(separator: ", ")) FOR UPDATE OF t
                """, for: sql.purpose("read rows of"))
            var found: [StoredRow] = []
            for row in 0..<rows.count {
                let index = Int(rows.integer(row, 0) ?? 0) - Int(first)
                let version = rows.version(row, 1)
                // A map on an older row goes with the row.
                guard rows.text(row, 6) == "2" || version >= staged.rows[index].version else { continue }
                found.append(
                    StoredRow(
                        row: index, version: version, isDeleted: rows.bool(row, 4),
                        columnVersions: try columnVersions(rows.string(row, 5), of: table)))
            }
            return found
        }
    }

    func columnVersions(_ json: String?, of table: TableDefinition) throws -> ColumnVersions {
        guard let json else { return ColumnVersions() }
        guard let map = ColumnVersions(json: json) else {
            throw ReplicationError(
                .permanent,
                "\(table.source): \(MetadataNames.columns) of a row of \(layout.current).\(table.target) was changed by others",
                remedy: "set it to null in that row", table: table.source)
        }
        return map
    }
}
