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
            let rows = StagedRows(staged: staged, batch: batch, first: first)
            let taken = try copyRows(
                rows, staged.rows.count, of: batch, into: name,
                columns: Self.stageColumns + table.columns.count, forms: try stageForms(sql, name),
                for: sql.purpose("stage rows of"))
            guard taken == staged.rows.count else {
                throw ReplicationError(
                    .invariant,
                    "\(table.source): of \(staged.rows.count) rows the warehouse says that \(taken) were staged",
                    table: table.source)
            }
        }
    }

    /// `_ord` to `_map`.
    private static let stageColumns = 8

    private struct StagedRows: CopiedRows {
        let staged: StagedTable
        let batch: ChangeBatch
        let first: Int64
        let isKey: [Bool]

        init(staged: StagedTable, batch: ChangeBatch, first: Int64) {
            self.staged = staged
            self.batch = batch
            self.first = first
            isKey = staged.definition.columns.indices.map { staged.definition.key.contains($0) }
        }

        func write(_ index: Int, to encoder: some RowEncoder) -> Bool {
            if index == staged.rows.count / 2 { CrashPoint.staging.reach() }
            let row = staged.rows[index]
            encoder.number(first + Int64(index))
            encoder.smallNumber(Int16(row.mode.rawValue))
            encoder.flag(row.isDeleted)
            encoder.moment(row.time_us)
            encoder.version(row.version)
            if row.registers < 0 {
                encoder.null()
            } else {
                let map = staged.columnVersions(row)
                if map.isEmpty { encoder.null() } else { encoder.text(map.json) }
            }
            let width = row.image < 0 ? 0 : Int(row.width)
            let keyOnly = row.mode == .keep
            let columns = staged.definition.columns
            for column in columns.indices {
                if column >= width || keyOnly && !isKey[column] {
                    encoder.null()
                } else {
                    let field = batch.fields[Int(row.image) + column]
                    guard encoder.field(field, columns[column].type, column) else { return false }
                }
            }
            return true
        }
    }

    /// How the stage's columns take values. It is ours alone: they stay as they were made.
    private func stageForms(_ sql: TableSQL, _ name: String) throws -> [BinaryForm]? {
        if let known = stageFormsKnown[name] { return known }
        let rows = try session.query(
            try BinaryForm.query("\(try quoteLiteral(name))::regclass", sql.columns.indices.map { "c\($0)" }),
            for: sql.purpose("look at the stage of"))
        let forms = BinaryForm.read(rows)
        stageFormsKnown[name] = .some(forms)
        return forms
    }

    /// The table's staging table, made if need be.
    func stageTable(_ sql: TableSQL, adding count: Int = 0) throws -> String {
        let source = sql.definition.source
        let key = "rows \(source.schema.utf8.count) \(source.schema) \(source.table)"
        return try temporary(key, shape: sql.shape, adding: count) {
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
