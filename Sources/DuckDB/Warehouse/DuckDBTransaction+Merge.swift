import Replication

extension DuckDBTransaction {
    /// What becomes of a row of current that a staged row meets.
    private enum Verdict: UInt8 {
        /// All of it from the stage.
        case replace = 0
        /// A delete: the key from the stage, the other values as they are.
        case keep = 1
        /// As the patch says, with the staged version.
        case patch = 2
        /// As the patch says, with the stored version.
        case fill = 3
        case skip = 4
    }

    private struct Tally {
        var replaced = 0
        /// Kept, patched and filled.
        var mixed = 0
        var filled = 0
        var skipped = 0
        var superseded: [Int] = []
        /// Rows that pass without an event of their own.
        var uncounted = 0
        var written: Int { replaced + mixed }
    }

    func merge(
        _ staged: StagedTable, _ batch: ChangeBatch, patches: [RowPatch], loadedAt_us: Int64
    ) throws -> MergeAnswer {
        let found = try matches ?? match(staged, whole: false)
        matches = nil
        return try ReplicationError.translating(staged.definition.source) {
            let stage = try staging.stage(staged.definition, layout, session)
            let purpose = stage.sql.purpose("merging rows into")
            let tally = try judge(found, staged, patches, purpose)
            // Rows that meet none, and those that replace one, come from the stage alone. The inserts come first,
            // as they read values of rows that go: those are known by their row ids.
            let plain = staged.rows.count - tally.mixed - tally.skipped
            var inserted = 0
            if plain > 0 {
                let others = tally.mixed + tally.skipped > 0
                inserted = try session.execute(
                    insertPlain(stage, loadedAt_us, leavingOut: others), purpose: purpose)
            }
            if tally.mixed > 0 {
                inserted += try session.execute(insertMixed(stage, loadedAt_us), purpose: purpose)
            }
            var deleted = 0
            if tally.written > 0 {
                deleted = try session.execute(
                    """
                    DELETE FROM \(stage.sql.current) WHERE rowid IN \
                    (SELECT rid FROM \(StagingTables.verdicts) WHERE kind < \(Verdict.skip.rawValue))
                    """, purpose: purpose)
            }
            if !found.ords.isEmpty {
                try session.execute("DELETE FROM \(StagingTables.verdicts)", purpose: purpose)
            }
            try session.execute("DELETE FROM \(stage.table)", purpose: purpose)
            guard inserted == plain + tally.mixed, deleted == tally.written else {
                throw ReplicationError(
                    .invariant,
                    """
                    \(staged.definition.source): the engine wrote \(inserted) rows and removed \(deleted) where \
                    \(plain + tally.mixed) and \(tally.written) were due
                    """, table: staged.definition.source)
            }
            // Rows of no event that were new pass too.
            return MergeAnswer(
                applied: inserted - tally.filled - tally.uncounted, superseded: tally.superseded, filled: tally.filled)
        }
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
                .init("map", .varchar),
            ], purpose: purpose)
        var seen = [Bool](repeating: false, count: staged.rows.count)
        for index in found.ords.indices {
            let ord = Int(found.ords[index])
            let row = staged.rows[ord]
            guard !seen[ord] else { throw severalRows(staged.definition) }
            seen[ord] = true
            let patch = patchOf[ord].map { patches[$0] }
            let verdict = Self.verdict(row, patch, stored: found.versions[index])
            switch verdict {
            case .replace: tally.replaced += 1
            case .keep, .patch: tally.mixed += 1
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
            if let patch, verdict == .patch || verdict == .fill {
                try patch.take.withUnsafeBytes { try appender.set(3, utf8: $0) }
                if let map = patch.columnVersions { try appender.set(4, string: map) }
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
        return row.mode == .keep ? .keep : .replace
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
    private func insertPlain(_ stage: StagingTables.Stage, _ loadedAt_us: Int64, leavingOut: Bool) -> String {
        let sql = stage.sql
        let values = sql.forms.enumerated().map { $0.element.converted("s.c\($0.offset)") } + [
            "s.s_deleted", "CASE WHEN s.s_deleted THEN s.s_time END", "s.s_time", TableSQL.moment(loadedAt_us),
            "s.s_epoch", "s.s_commit", "s.s_seq", "s.s_map",
        ]
        let others =
            leavingOut
            ? """
             ANTI JOIN (SELECT ord FROM \(StagingTables.verdicts) \
            WHERE kind <> \(Verdict.replace.rawValue)) v ON v.ord = s.s_ord
            """ : ""
        return """
            INSERT INTO \(sql.current) (\(columnList(sql))) SELECT \(values.joined(separator: ", ")) \
            FROM \(stage.table) s\(others)
            """
    }

    /// Rows of which some values come from the stored one.
    private func insertMixed(_ stage: StagingTables.Stage, _ loadedAt_us: Int64) -> String {
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
                    CASE WHEN v.kind = \(Verdict.keep.rawValue) THEN \(stored) \
                    WHEN substr(v.take, \(index + 1), 1) = '1' THEN \(new) \
                    WHEN substr(v.take, \(index + 1), 1) = '0' THEN \(stored) END
                    """)
            }
        }
        let metadata: [(stored: String, new: String)] = [
            (sql.isDeleted, "s.s_deleted"), (sql.deletedAt, "CASE WHEN s.s_deleted THEN s.s_time END"),
            (sql.updatedAt, "s.s_time"), (sql.loadedAt, TableSQL.moment(loadedAt_us)),
            (TableSQL.epoch, "s.s_epoch"), (TableSQL.commit, "s.s_commit"), (TableSQL.seq, "s.s_seq"),
        ]
        values += metadata.map { "CASE WHEN \(isFill) THEN o.\($0.stored) ELSE \($0.new) END" }
        values.append("v.map")
        return """
            INSERT INTO \(sql.current) (\(columnList(sql))) SELECT \(values.joined(separator: ", ")) \
            FROM \(StagingTables.verdicts) v JOIN \(sql.current) o ON o.rowid = v.rid \
            JOIN \(stage.table) s ON s.s_ord = v.ord \
            WHERE v.kind IN (\(Verdict.keep.rawValue), \(Verdict.patch.rawValue), \(Verdict.fill.rawValue))
            """
    }

    func columnList(_ sql: TableSQL) -> String {
        sql.currentColumns.map { SQLName.quoted($0.name) }.joined(separator: ", ")
    }

    // MARK: Truncates and sparse rows

    func truncate(_ table: TableDefinition, version: Version, time_us: Int64, loadedAt_us: Int64) throws -> Int {
        try ReplicationError.translating(table.source) {
            let sql = try staging.sql(table, layout, session)
            let time = TableSQL.moment(time_us)
            return try session.execute(
                """
                UPDATE \(sql.current) SET \(sql.isDeleted) = true, \(sql.deletedAt) = \(time), \
                \(sql.updatedAt) = \(time), \(sql.loadedAt) = \(TableSQL.moment(loadedAt_us)), \
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
            case .bool, .int16, .int32, .int64, .decimal, .json, .list: text += value
            case .date, .timestamp, .timestamptz: text += JSONText.quoted(EraText.postgres(value))
            default: text += JSONText.quoted(value)
            }
        }
        return text + "}"
    }
}
