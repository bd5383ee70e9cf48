import CrashPoint
import Replication

/// Rows whose keys current doesn't have go into it straight from the batch, without a staging table. Their keys alone are
/// looked up before: current has no index that could tell.
extension DuckDBTransaction {
    func insertNew(_ staged: StagedTable, _ rows: [Int], _ batch: ChangeBatch, loadedAt_us: Int64) throws -> Bool {
        let table = staged.definition.source
        guard rows.count >= insertNew_min, !staging.insertPauses.takes(table) else { return false }
        return try ReplicationError.translating(table) {
            let stage = try staging.stage(staged.definition, layout, session)
            // What the engine has to convert is converted on the way out of a staging table.
            guard stage.sql.forms.allSatisfy(\.isStagedAsItIs) else { return false }
            guard try areNew(staged, rows, batch, stage) else {
                staging.insertPauses.note(met: table)
                return false
            }
            staging.insertPauses.note(inserted: table)
            try insert(staged, rows, batch, stage, loadedAt_us)
            CrashPoint.staged.reach()
            return true
        }
    }

    /// Whether current has none of the rows' keys.
    private func areNew(
        _ staged: StagedTable, _ rows: [Int], _ batch: ChangeBatch, _ stage: StagingTables.Stage
    ) throws -> Bool {
        let purpose = stage.sql.purpose("looking for keys in")
        if try session.int64("SELECT 1 FROM \(stage.sql.current) LIMIT 1", purpose: purpose) == nil { return true }
        try staging.ensureKeys(stage, session, purpose: purpose)
        let appender = try Appender(session, into: .temporary(stage.keyTable), stage.keyColumns, purpose: purpose)
        let key = staged.definition.key
        var hasNull = false
        for index in rows {
            let row = staged.rows[index]
            for (place, column) in key.enumerated() {
                let field = column < Int(row.width) ? batch.fields[Int(row.image) + column] : .absent
                hasNull = hasNull || field.kind == .null || !field.isKnown
                try stage.keyWriter.write(field, place, batch.arena, to: appender)
            }
            try appender.endRow()
        }
        try appender.close()
        let same = key.enumerated().map { "t.\(stage.sql.column($0.element)) = s.k\($0.offset)" }
        let found = try session.int64(
            """
            SELECT 1 FROM \(stage.keyTable) s JOIN \(stage.sql.current) t ON \(same.joined(separator: " AND ")) LIMIT 1
            """, purpose: purpose)
        try session.execute("DELETE FROM \(stage.keyTable)", purpose: purpose)
        return found == nil && !hasNull
    }

    private func insert(
        _ staged: StagedTable, _ rows: [Int], _ batch: ChangeBatch, _ stage: StagingTables.Stage, _ loadedAt_us: Int64
    ) throws {
        let sql = stage.sql
        let count = sql.forms.count
        let appender = try Appender(
            session, into: AppenderTarget(schema: layout.current, table: sql.definition.target), stage.currentColumns,
            purpose: sql.purpose("inserting rows into"))
        try batch.fields.withUnsafeBufferPointer { fields in
            for (place, index) in rows.enumerated() {
                if place == rows.count / 2 { CrashPoint.staging.reach() }
                let row = staged.rows[index]
                for column in 0..<min(Int(row.width), count) {
                    try stage.writer.write(fields[Int(row.image) + column], column, batch.arena, to: appender)
                }
                appender.set(count, bool: false)
                if row.time_us != .min { appender.set(count + 2, int64: row.time_us) }
                appender.set(count + 3, int64: loadedAt_us)
                appender.set(count + 4, int64: row.version.epoch)
                appender.set(count + 5, int64: row.version.commit)
                appender.set(count + 6, int64: row.version.seq)
                try appender.endRow()
            }
        }
        try appender.close()
    }
}
