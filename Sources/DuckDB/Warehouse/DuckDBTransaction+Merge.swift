import CrashPoint
import Replication

extension DuckDBTransaction {
    /// What becomes of a row of current that a staged row meets. All but the last put a new row in its place: an
    /// UPDATE would have the engine write whole columns of each row group anew that has such a row.
    private enum Verdict: UInt8 {
        /// All of it from the stage.
        case replace = 0
        /// As the patch says, with the staged version.
        case patch = 1
        /// As the patch says, with the stored version.
        case fill = 2
        /// A delete: flags, times and version are new, the values stay.
        case mark = 3
        case skip = 4
    }

    private struct Tally {
        var replaced = 0
        /// Patched and filled.
        var mixed = 0
        var filled = 0
        var marked = 0
        var skipped = 0
        var superseded: [Int] = []
        /// Rows that pass without an event of their own.
        var uncounted = 0
        var renewed: Int { replaced + mixed + marked }
    }

    func merge(
        _ staged: StagedTable, _ batch: ChangeBatch, patches: [RowPatch], loadedAt_us: Int64
    ) throws -> MergeAnswer {
        CrashPoint.staged.reach()
        let found = try matches ?? match(staged, whole: false)
        matches = nil
        return try ReplicationError.translating(staged.definition.source) {
            let stage = try staging.stage(staged.definition, layout, session)
            let purpose = stage.sql.purpose("merging rows into")
            let tally = try judge(found, staged, patches, purpose)
            // Rows that meet none, and those that replace one, come from the stage alone, unless there are columns that
            // aren't ours. The inserts come first, as they read values of rows that go: those are known by their row ids.
            let carried = stage.sql.others.isEmpty ? 0 : tally.replaced
            let others = tally.mixed + tally.marked + tally.skipped + carried
            let plain = staged.rows.count - others
            var inserted = 0
            if plain > 0 {
                inserted = try run(insertPlain(stage, leavingOut: others > 0), [.int64(loadedAt_us)], purpose)
            }
            var removed = 0
            let kinds = RowIDKind.present(in: found.rowIDs)
            let newer = tally.superseded.isEmpty || !layout.hasRaw ? [:] : try newerRows(stage.sql, kinds, purpose)
            for kind in kinds {
                let ids = [Parameter.int64(kind.ids.lowerBound), .int64(kind.ids.upperBound)]
                if carried > 0 { inserted += try run(insertCarrying(stage), [.int64(loadedAt_us)] + ids, purpose) }
                if tally.mixed > 0 { inserted += try run(insertMixed(stage), [.int64(loadedAt_us)] + ids, purpose) }
                if tally.marked > 0 {
                    inserted += try run(insertMarked(stage.sql), [.int64(loadedAt_us)] + ids, purpose)
                }
            }
            for kind in kinds where tally.renewed > 0 {
                removed += try run(
                    """
                    DELETE FROM \(stage.sql.current) WHERE rowid IN (SELECT rid FROM \(StagingTables.verdicts) v \
                    WHERE kind < \(Verdict.skip.rawValue) AND \(RowIDKind.condition))
                    """, [.int64(kind.ids.lowerBound), .int64(kind.ids.upperBound)], purpose)
            }
            if !found.ords.isEmpty { _ = try run("DELETE FROM \(StagingTables.verdicts)", [], purpose) }
            _ = try run("DELETE FROM \(stage.table)", [], purpose)
            stage.isFilled = false
            let due = plain + tally.mixed + tally.marked + carried
            guard inserted == due, removed == tally.renewed else {
                throw ReplicationError(
                    .invariant,
                    """
                    \(staged.definition.source): the engine wrote \(inserted) rows and removed \(removed) where \(due) \
                    and \(tally.renewed) were due
                    """, table: staged.definition.source)
            }
            // Rows of no event that pass are no event's.
            var answer = MergeAnswer(
                applied: inserted - tally.filled - tally.uncounted, superseded: tally.superseded, filled: tally.filled)
            for row in tally.superseded { answer.newer[row] = newer[row] }
            return answer
        }
    }

    /// What the rows are that stay, by the number of the staged row that they meet.
    private func newerRows(_ sql: TableSQL, _ kinds: [RowIDKind], _ purpose: String) throws -> [Int: NewerRow] {
        var newer: [Int: NewerRow] = [:]
        for kind in kinds {
            try session.forEachChunk(
                """
                SELECT v.ord, epoch_us(o.\(sql.updatedAt)), o.\(TableSQL.seq) = 0 FROM \(StagingTables.verdicts) v \
                JOIN \(sql.current) o ON o.rowid = v.rid \
                WHERE v.kind IN (\(Verdict.fill.rawValue), \(Verdict.skip.rawValue)) AND \(RowIDKind.condition)
                """, [.int64(kind.ids.lowerBound), .int64(kind.ids.upperBound)], purpose: purpose
            ) { chunk in
                for row in 0..<chunk.rowCount {
                    newer[Int(chunk.int32(0, row))] = NewerRow(
                        time_us: chunk.integer(1, row) ?? .min, isRead: !chunk.isNull(2, row) && chunk.bool(2, row))
                }
            }
        }
        return newer
    }

    private func run(_ sql: String, _ parameters: [Parameter], _ purpose: String) throws -> Int {
        try staging.statements.execute(sql, parameters, purpose: purpose)
    }

    /// Compares versions and writes the verdicts where the engine can join them.
    private func judge(
        _ found: StageMatches, _ staged: StagedTable, _ patches: [RowPatch], _ purpose: String
    ) throws -> Tally {
        var tally = Tally()
        var patchOf: [Int: Int] = [:]
        for (index, patch) in patches.enumerated() { patchOf[patch.row] = index }
        var uncounted = staged.rows.count { !$0.counts }
        guard !found.ords.isEmpty else {
            tally.uncounted = uncounted
            return tally
        }
        let appender = try Appender(
            session, into: .temporary(StagingTables.verdicts),
            [
                .init("ord", .int32), .init("rid", .int64), .init("kind", .uint8), .init("take", .varchar),
                .init("map", .varchar), .init("time", .timestamptz), .init("epoch", .int64), .init("commit", .int64),
                .init("seq", .int64),
            ], purpose: purpose)
        let markKey = Self.keyIsExact(staged.definition) ? nil : Self.takingKey(staged.definition)
        var seen = [Bool](repeating: false, count: staged.rows.count)
        for index in found.ords.indices {
            let ord = Int(found.ords[index])
            let row = staged.rows[ord]
            guard !seen[ord] else { throw severalRows(staged.definition) }
            seen[ord] = true
            let patch = patchOf[ord].map { patches[$0] }
            var verdict = Self.verdict(row, patch, stored: found.versions[index])
            if verdict == .mark, markKey != nil { verdict = .patch }
            switch verdict {
            case .replace: tally.replaced += 1
            case .patch: tally.mixed += 1
            case .mark:
                tally.marked += 1
                if row.time_us != .min { appender.set(5, int64: row.time_us) }
                appender.set(6, int64: row.version.epoch)
                appender.set(7, int64: row.version.commit)
                appender.set(8, int64: row.version.seq)
            case .fill:
                tally.mixed += 1
                tally.filled += 1
            case .skip: tally.skipped += 1
            }
            if verdict == .fill || verdict == .skip {
                if row.counts { tally.superseded.append(ord) } else { uncounted -= 1 }
            }
            appender.set(0, int32: found.ords[index])
            appender.set(1, int64: found.rowIDs[index])
            appender.set(2, uint8: verdict.rawValue)
            if verdict == .patch || verdict == .fill, let take = patch?.take ?? markKey {
                try take.withUnsafeBytes { try appender.set(3, utf8: $0) }
                if let map = patch?.columnVersions { try appender.set(4, string: map) }
            }
            try appender.endRow()
        }
        try appender.close()
        tally.uncounted = uncounted
        return tally
    }

    private static func verdict(_ row: StagedRow, _ patch: RowPatch?, stored: Version) -> Verdict {
        if let patch {
            switch patch.kind {
            case .advance: return .patch
            case .fill: return .fill
            case .skip: return .skip
            }
        }
        guard stored < row.version else { return .skip }
        return row.mode == .keep ? .mark : .replace
    }

    /// Whether equal keys are the same keys; `0.0` and `-0.0` are equal, and so are a month and 30 days.
    private static func keyIsExact(_ definition: TableDefinition) -> Bool {
        definition.key.allSatisfy { index in
            switch ColumnForm(definition.columns[index]).kind {
            case .float, .double, .interval, .list, .map: false
            default: true
            }
        }
    }

    private static func takingKey(_ definition: TableDefinition) -> [UInt8] {
        definition.columns.indices.map { definition.key.contains($0) ? RowPatch.fromStage : RowPatch.fromStored }
    }

    /// Only in a table that we didn't make.
    private func severalRows(_ definition: TableDefinition) -> ReplicationError {
        ReplicationError(
            .configuration,
            "\(layout.current).\(definition.target) has several rows with one key (\(keyNames(definition)))",
            remedy: "remove the duplicates, or set existing: replace for \(definition.source)",
            table: definition.source)
    }

    private func keyNames(_ definition: TableDefinition) -> String {
        definition.key.map { definition.columns[$0].name }.joined(separator: ", ")
    }

    // MARK: Statements

    /// In the order of `currentColumns`, for the tables that have a key.
    private func insertPlain(_ stage: StagingTables.Stage, leavingOut: Bool) -> String {
        let sql = stage.sql
        let kinds = sql.others.isEmpty ? " WHERE kind <> \(Verdict.replace.rawValue)" : ""
        let others =
            leavingOut ? " ANTI JOIN (SELECT ord FROM \(StagingTables.verdicts)\(kinds)) v ON v.ord = s.s_ord" : ""
        return """
            INSERT INTO \(sql.current) (\(columnList(sql))) SELECT \(plainValues(sql)) \
            FROM \(stage.table) s\(others)
            """
    }

    private func plainValues(_ sql: TableSQL) -> String {
        let values =
            sql.forms.enumerated().map { $0.element.converted("s.c\($0.offset)") } + [
                "s.s_deleted", "CASE WHEN s.s_deleted THEN s.s_time END", "s.s_time", Self.loadedAt,
                "s.s_epoch", "s.s_commit", "s.s_seq", "s.s_map",
            ]
        return values.joined(separator: ", ")
    }

    /// Rows that replace one, with what isn't ours from that one.
    private func insertCarrying(_ stage: StagingTables.Stage) -> String {
        let sql = stage.sql
        return """
            INSERT INTO \(sql.current) (\(columnList(sql))\(otherColumns(sql))) \
            SELECT \(plainValues(sql))\(otherColumns(sql, of: "o.")) \
            FROM \(StagingTables.verdicts) v JOIN \(sql.current) o ON o.rowid = v.rid \
            JOIN \(stage.table) s ON s.s_ord = v.ord \
            WHERE v.kind = \(Verdict.replace.rawValue) AND \(RowIDKind.condition)
            """
    }

    private func otherColumns(_ sql: TableSQL, of row: String = "") -> String {
        sql.others.map { ", \(row)\($0)" }.joined()
    }

    /// Rows of which some values come from the stored one.
    private func insertMixed(_ stage: StagingTables.Stage) -> String {
        let sql = stage.sql
        let isFill = "v.kind = \(Verdict.fill.rawValue)"
        let key = Set(sql.definition.key)
        var values: [String] = []
        for (index, form) in sql.forms.enumerated() {
            let stored = "o.\(sql.column(index))"
            let new = form.converted("s.c\(index)")
            if key.contains(index) {
                values.append("CASE WHEN \(isFill) THEN \(stored) ELSE \(new) END")
            } else {
                values.append(
                    """
                    CASE WHEN substr(v.take, \(index + 1), 1) = '1' THEN \(new) \
                    WHEN substr(v.take, \(index + 1), 1) = '0' THEN \(stored) END
                    """)
            }
        }
        let metadata: [(stored: String, new: String)] = [
            (sql.isDeleted, "s.s_deleted"), (sql.deletedAt, "CASE WHEN s.s_deleted THEN s.s_time END"),
            (sql.updatedAt, "s.s_time"), (sql.loadedAt, Self.loadedAt), (TableSQL.epoch, "s.s_epoch"),
            (TableSQL.commit, "s.s_commit"), (TableSQL.seq, "s.s_seq"),
        ]
        values += metadata.map { "CASE WHEN \(isFill) THEN o.\($0.stored) ELSE \($0.new) END" }
        values.append("v.map")
        return """
            INSERT INTO \(sql.current) (\(columnList(sql))\(otherColumns(sql))) \
            SELECT \(values.joined(separator: ", "))\(otherColumns(sql, of: "o.")) \
            FROM \(StagingTables.verdicts) v JOIN \(sql.current) o ON o.rowid = v.rid \
            JOIN \(stage.table) s ON s.s_ord = v.ord \
            WHERE v.kind IN (\(Verdict.patch.rawValue), \(Verdict.fill.rawValue)) AND \(RowIDKind.condition)
            """
    }

    /// Rows that are deleted, with the values they have.
    private func insertMarked(_ sql: TableSQL) -> String {
        let values =
            sql.definition.columns.indices.map { "o.\(sql.column($0))" } + [
                "true", "v.time", "v.time", Self.loadedAt, "v.epoch", "v.commit", "v.seq", "NULL",
            ]
        return """
            INSERT INTO \(sql.current) (\(columnList(sql))\(otherColumns(sql))) \
            SELECT \(values.joined(separator: ", "))\(otherColumns(sql, of: "o.")) \
            FROM \(StagingTables.verdicts) v JOIN \(sql.current) o ON o.rowid = v.rid \
            WHERE v.kind = \(Verdict.mark.rawValue) AND \(RowIDKind.condition)
            """
    }

    /// A parameter, so that a statement's text stays the same from batch to batch.
    static let loadedAt = "make_timestamptz(?::BIGINT)"

    func columnList(_ sql: TableSQL) -> String {
        sql.currentColumns.map { SQLName.quoted($0.name) }.joined(separator: ", ")
    }

    // MARK: Truncates and sparse rows

    func truncate(_ table: TableDefinition, version: Version, time_us: Int64, loadedAt_us: Int64) throws -> Int {
        try ReplicationError.translating(table.source) {
            let sql = try staging.sql(table, layout, session)
            let time = TableSQL.moment(time_us)
            // An adopted table's rows that were deleted before keep what is known of that.
            let isKnown = "\(sql.isDeleted) AND \(TableSQL.epoch) IS NULL"
            let deletedAt = version.isResync ? "CASE WHEN \(isKnown) THEN \(sql.deletedAt) ELSE \(time) END" : time
            let updatedAt = version.isResync ? "CASE WHEN \(isKnown) THEN \(sql.updatedAt) ELSE \(time) END" : time
            return try session.execute(
                """
                UPDATE \(sql.current) SET \(sql.isDeleted) = true, \(sql.deletedAt) = \(deletedAt), \
                \(sql.updatedAt) = \(updatedAt), \(sql.loadedAt) = \(TableSQL.moment(loadedAt_us)), \
                \(TableSQL.epoch) = \(version.epoch), \(TableSQL.commit) = \(version.commit), \
                \(TableSQL.seq) = \(version.seq), \(TableSQL.map) = NULL WHERE \(TableSQL.isOlder("", than: version))
                """, purpose: sql.purpose("truncating"))
        }
    }

    func sparseRows(_ table: TableDefinition, above version: Version) throws -> [SparseRow] {
        try ReplicationError.translating(table.source) {
            let sql = try staging.sql(table, layout, session)
            let key = KeyText(sql)
            var rows: [SparseRow] = []
            try session.forEachChunk(
                """
                SELECT \(TableSQL.epoch), \(TableSQL.commit), \(TableSQL.seq), \(TableSQL.map), \(key.columns) \
                FROM \(sql.current) WHERE \(sql.isDeleted) IS NOT TRUE AND \(TableSQL.map) IS NOT NULL \
                AND \(TableSQL.epoch) IS NOT NULL AND NOT \(TableSQL.isOlder("", than: version)) \
                AND (\(TableSQL.epoch), \(TableSQL.commit), \(TableSQL.seq)) \
                <> (\(version.epoch)::BIGINT, \(version.commit)::BIGINT, \(version.seq)::BIGINT)
                """, purpose: sql.purpose("reading incomplete rows of")
            ) { chunk in
                for row in 0..<chunk.rowCount {
                    guard let map = ColumnVersions(json: chunk.string(3, row)) else { continue }
                    rows.append(
                        SparseRow(
                            key: key.json(chunk, row, from: 4), version: chunk.version(0, row), columnVersions: map))
                }
            }
            return rows
        }
    }
}

/// Rows that the transaction itself wrote have row ids from `local_min` on. A join by row id over rows of both kinds
/// loses some of them or crashes the engine (seen in DuckDB 2.0.0, with one delete or join over both; never with each
/// kind by itself), so every such statement runs once for each kind.
private enum RowIDKind: CaseIterable {
    case stored, local

    /// The engine's MAX_ROW_ID.
    private static let local_min: Int64 = 36_028_797_018_960_000

    var ids: ClosedRange<Int64> { self == .stored ? 0...(Self.local_min - 1) : Self.local_min...Int64.max }

    static func present(in rowIDs: some Sequence<Int64>) -> [RowIDKind] {
        var (stored, local) = (false, false)
        for id in rowIDs { if id < local_min { stored = true } else { local = true } }
        return allCases.filter { $0 == .stored ? stored : local }
    }

    /// Two parameters: the least and the greatest id.
    static let condition = "v.rid BETWEEN ? AND ?"
}

/// The key of a row of current as JSON, in values that raw's would decode to as well.
private struct KeyText {
    private let forms: [ColumnForm]
    /// To be selected.
    let columns: String

    init(_ sql: TableSQL) {
        forms = sql.definition.key.map { sql.forms[$0] }
        columns = sql.definition.key.map { index in
            switch sql.forms[index].kind {
            case .blob: "'\\x' || lower(hex(\(sql.column(index))))"
            case .list: "CAST(to_json(\(sql.column(index))) AS VARCHAR)"
            default: "CAST(\(sql.column(index)) AS VARCHAR)"
            }
        }.joined(separator: ", ")
    }

    func json(_ chunk: borrowing ChunkReader, _ row: Int, from first: Int) -> String {
        var text = "{"
        for (index, form) in forms.enumerated() {
            if index > 0 { text += "," }
            text += JSONText.quoted(form.name) + ":"
            guard let value = chunk.text(first + index, row) else {
                text += "null"
                continue
            }
            switch form.kind {
            case .bool, .int16, .int32, .int64, .json, .list: text += value
            // One that is all fraction comes without the 0 before its point.
            case .decimal: text += value.replacing(#/^(-?)\./#) { "\($0.output.1)0." }
            case .date, .timestamp, .timestamptz: text += JSONText.quoted(EraText.postgres(value))
            default: text += JSONText.quoted(value)
            }
        }
        return text + "}"
    }
}
