import CrashPoint
import Replication

/// Rows of current that have the keys of staged rows, column-wise.
struct StageMatches {
    /// Index of the staged row.
    var ords: [Int32] = []
    var rowIDs: [Int64] = []
    var versions: [Version] = []
    /// Empty where only the versions were asked for.
    var isDeleted: [Bool] = []
    var maps: [String?] = []
}

extension DuckDBTransaction {
    func stage(_ staged: StagedTable, _ batch: ChangeBatch) throws {
        matches = nil
        hasNullKeys = false
        try ReplicationError.translating(staged.definition.source) {
            let stage = try staging.stage(staged.definition, layout, session)
            let purpose = stage.sql.purpose("staging rows of")
            if stage.isFilled { try session.execute("DELETE FROM \(stage.table)", purpose: purpose) }
            stage.isFilled = true
            let appender = try Appender(session, into: .temporary(stage.table), stage.columns, purpose: purpose)
            try batch.fields.withUnsafeBufferPointer { fields in
                for (ord, row) in staged.rows.enumerated() {
                    if ord == staged.rows.count / 2 { CrashPoint.staging.reach() }
                    try append(row, ord, staged, fields, batch.arena, stage, to: appender)
                }
            }
            try appender.close()
        }
    }

    private func append(
        _ row: StagedRow, _ ord: Int, _ staged: StagedTable, _ fields: UnsafeBufferPointer<Field>, _ arena: ByteArena,
        _ stage: StagingTables.Stage, to appender: Appender
    ) throws {
        let first = Int(row.image)
        let width = min(Int(row.width), stage.sql.forms.count)
        if row.mode != .keep {
            for column in 0..<width { try stage.writer.write(fields[first + column], column, arena, to: appender) }
        }
        for column in staged.definition.key {
            let field = column < width ? fields[first + column] : .absent
            if row.mode == .keep { try stage.writer.write(field, column, arena, to: appender) }
            if field.kind == .null || !field.isKnown { hasNullKeys = true }
        }
        setRow(
            ord, row.isDeleted, row.time_us, row.version, in: appender, after: stage.sql.forms.count)
        if row.registers >= 0, row.mode == .masked {
            let map = staged.columnVersions(row)
            if !map.isEmpty { try appender.set(stage.sql.forms.count + 6, string: map.json) }
        }
        try appender.endRow()
    }

    /// The staging table's columns behind the source's.
    func setRow(
        _ ord: Int, _ isDeleted: Bool, _ time_us: Int64, _ version: Version, in appender: Appender, after columns: Int
    ) {
        appender.set(columns, int32: Int32(truncatingIfNeeded: ord))
        appender.set(columns + 1, bool: isDeleted)
        if time_us != .min { appender.set(columns + 2, int64: time_us) }
        appender.set(columns + 3, int64: version.epoch)
        appender.set(columns + 4, int64: version.commit)
        appender.set(columns + 5, int64: version.seq)
    }

    func storedRows(_ staged: StagedTable, sparse: Bool) throws -> [StoredRow] {
        let found = try match(staged, whole: true)
        matches = found
        var stored: [StoredRow] = []
        for index in found.ords.indices {
            let row = staged.rows[Int(found.ords[index])]
            let isLateSparse = sparse && found.maps[index] != nil && found.versions[index] >= row.version
            guard row.mode == .masked || isLateSparse else { continue }
            var map = ColumnVersions()
            if let json = found.maps[index] {
                guard let parsed = ColumnVersions(json: json) else {
                    throw ReplicationError(
                        .permanent,
                        "\(staged.definition.source): \(MetadataNames.columns) of a row isn't a version map",
                        remedy: "somebody else wrote the column; copy the table anew", table: staged.definition.source)
                }
                map = parsed
            }
            stored.append(
                StoredRow(
                    row: Int(found.ords[index]), version: found.versions[index], isDeleted: found.isDeleted[index],
                    columnVersions: map))
        }
        return stored
    }

    /// Looks up the staged keys in current. The staged rows are the join's small side, and only the keys and
    /// versions of current are read.
    func match(_ staged: StagedTable, whole: Bool) throws -> StageMatches {
        var found = StageMatches()
        try ReplicationError.translating(staged.definition.source) {
            let stage = try staging.stage(staged.definition, layout, session)
            let sql = stage.sql
            let equals = hasNullKeys ? "IS NOT DISTINCT FROM" : "="
            let keys = staged.definition.key.map {
                "t.\(sql.column($0)) \(equals) \(sql.forms[$0].converted("s.c\($0)"))"
            }
            let more = whole ? ", t.\(sql.isDeleted), t.\(TableSQL.map)" : ""
            try staging.statements.forEachChunk(
                """
                SELECT s.s_ord, t.rowid, t.\(TableSQL.epoch), t.\(TableSQL.commit), t.\(TableSQL.seq)\(more) \
                FROM \(stage.table) s JOIN \(sql.current) t ON \(keys.joined(separator: " AND "))
                """, purpose: sql.purpose("comparing versions in")
            ) { chunk in
                for row in 0..<chunk.rowCount {
                    found.ords.append(chunk.int32(0, row))
                    found.rowIDs.append(chunk.int64(1, row))
                    found.versions.append(chunk.version(2, row))
                    if whole {
                        found.isDeleted.append(chunk.flag(5, row))
                        found.maps.append(chunk.text(6, row))
                    }
                }
            }
        }
        return found
    }
}
