import CrashPoint
import Replication

extension PostgresTransaction {
    func merge(
        _ staged: StagedTable, _ batch: ChangeBatch, patches: [RowPatch], loadedAt_us: Int64
    ) throws -> MergeAnswer {
        guard !staged.rows.isEmpty else { return MergeAnswer(applied: 0, superseded: [], filled: 0) }
        CrashPoint.staged.reach()
        let table = staged.definition
        return try translating(table) {
            let merge = RowMergeSQL(
                sql: try TableSQL(table, layout), stage: try stageTable(try TableSQL(table, layout)),
                patch: patches.isEmpty ? nil : try stagePatches(patches, of: table),
                first: stagedAt[table.source] ?? 0, loadedAt: try SQLText.moment(loadedAt_us))
            var isPatched = [Bool](repeating: false, count: patches.isEmpty ? 0 : staged.rows.count)
            for patch in patches { isPatched[patch.row] = true }
            var plain = PlainCounts()
            for (index, row) in staged.rows.enumerated() where patches.isEmpty || !isPatched[index] { plain.add(row) }

            var answer = MergeAnswer(applied: 0, superseded: [], filled: 0)
            try writePlain(merge, plain, staged, isPatched, &answer)
            if !patches.isEmpty { try writePatched(merge, patches, staged, &answer) }
            if layout.hasRaw, !answer.superseded.isEmpty { try readNewer(merge, &answer) }
            return answer
        }
    }

    /// How many rows without a patch there are of each mode.
    private struct PlainCounts {
        var full = 0
        var keep = 0
        var masked = 0
        /// Of all three, those that are answered for.
        var counting = 0

        mutating func add(_ row: StagedRow) {
            switch row.mode {
            case .full: full += 1
            case .keep: keep += 1
            case .masked: masked += 1
            }
            if row.counts { counting += 1 }
        }
    }

    // MARK: Rows that the version decides

    private func writePlain(
        _ merge: RowMergeSQL, _ plain: PlainCounts, _ staged: StagedTable, _ isPatched: [Bool],
        _ answer: inout MergeAnswer
    ) throws {
        let purpose = merge.sql.purpose("merge rows into")
        let total = plain.full + plain.keep + plain.masked
        guard total > 0 else { return }
        var written = 0
        if plain.full > 0 {
            written += try session.execute(merge.upsert(isAlone: plain.full == staged.rows.count), for: purpose)
        }
        if plain.keep > 0 {
            let updated = try session.execute(merge.markDeleted, for: purpose)
            written += updated
            if updated < plain.keep { written += try session.execute(merge.insertDeleted, for: purpose) }
        }
        if plain.masked > 0 {
            let inserted = try session.execute(merge.insertMasked, for: purpose)
            guard inserted == plain.masked else {
                throw ReplicationError(
                    .passing, "\(staged.definition.source): another agent wrote one of the rows at the same time")
            }
            written += inserted
        }
        if written == total {
            answer.applied += plain.counting
            return
        }
        let rows = try session.query(merge.refused, for: purpose)
        let refused = (0..<rows.count).compactMap { rows.integer($0, 0) }.map { Int($0) - Int(merge.first) }
        guard written + refused.count == total else {
            throw ReplicationError(
                .invariant,
                """
                \(staged.definition.source): of \(total) rows the warehouse says that \(written) were written and \
                \(refused.count) weren't
                """, table: staged.definition.source)
        }
        let superseded = refused.filter { staged.rows[$0].counts }
        answer.superseded += superseded
        answer.applied += plain.counting - superseded.count
    }

    private func readNewer(_ merge: RowMergeSQL, _ answer: inout MergeAnswer) throws {
        let numbers = answer.superseded.map { "\(merge.first + Int64($0))" }
        let rows = try session.query(
            merge.newer, [try arrayText(numbers)], for: merge.sql.purpose("look at newer rows of"))
        for row in 0..<rows.count {
            guard let number = rows.integer(row, 0) else { continue }
            answer.newer[Int(number - merge.first)] = NewerRow(
                time_us: rows.integer(row, 1) ?? .min, isRead: rows.string(row, 2) == "t")
        }
    }

    // MARK: Rows with a patch

    private func stagePatches(_ patches: [RowPatch], of table: TableDefinition) throws -> String {
        let name = try temporary("patches", shape: [], adding: patches.count) {
            """
            CREATE TEMP TABLE \($0) (_ord bigint PRIMARY KEY, _kind "char", _take bytea, _map text)
            """
        }
        let first = stagedAt[table.source] ?? 0
        try session.copyIn("COPY \(name) FROM STDIN", for: "stage patches") { writer in
            for patch in patches {
                writer.field(first + Int64(patch.row))
                writer.field(patch.kind.letter)
                patch.take.withUnsafeBytes { writer.bytea($0) }
                if let map = patch.columnVersions { writer.field(map) } else { writer.null() }
                try writer.endLine()
            }
        }
        return name
    }

    private func writePatched(
        _ merge: RowMergeSQL, _ patches: [RowPatch], _ staged: StagedTable, _ answer: inout MergeAnswer
    ) throws {
        let purpose = merge.sql.purpose("merge columns into")
        for kind in [RowPatch.Kind.advance, .fill] {
            let expected = patches.count { $0.kind == kind }
            guard expected > 0 else { continue }
            let written = try session.execute(merge.patchRows(kind), for: purpose)
            // Their rows were read and locked.
            guard written == expected else {
                throw ReplicationError(
                    .invariant,
                    "\(staged.definition.source): \(written) of \(expected) rows that are there were written",
                    table: staged.definition.source)
            }
            if kind == .fill { answer.filled += written }
        }
        for patch in patches where staged.rows[patch.row].counts {
            if patch.kind == .advance { answer.applied += 1 } else { answer.superseded.append(patch.row) }
        }
    }

    // MARK: Whole tables

    func truncate(_ table: TableDefinition, version: Version, time_us: Int64, loadedAt_us: Int64) throws -> Int {
        try translating {
            let sql = try TableSQL(table, layout)
            let time = try SQLText.moment(time_us)
            // An adopted table's rows that were deleted before keep what is known of that.
            let isKnown = "t.\(sql.isDeleted) AND t.\(TableSQL.epoch) IS NULL"
            let deletedAt = version.isResync ? "CASE WHEN \(isKnown) THEN t.\(sql.deletedAt) ELSE \(time) END" : time
            let updatedAt = version.isResync ? "CASE WHEN \(isKnown) THEN t.\(sql.updatedAt) ELSE \(time) END" : time
            return try session.execute(
                """
                UPDATE \(sql.current) AS t SET \(sql.isDeleted) = true, \(sql.deletedAt) = \(deletedAt), \
                \(sql.updatedAt) = \(updatedAt), \(sql.loadedAt) = \(try SQLText.moment(loadedAt_us)), \
                \(TableSQL.epoch) = \(version.epoch), \(TableSQL.commit) = \(version.commit), \
                \(TableSQL.seq) = \(version.seq), \(TableSQL.map) = NULL \
                WHERE \(TableSQL.isOlder("t", than: SQLText.version(version)))
                """, for: sql.purpose("truncate"))
        }
    }

    func sparseRows(_ table: TableDefinition, above version: Version) throws -> [SparseRow] {
        try translating {
            let sql = try TableSQL(table, layout)
            let key = try table.key.map { "\(try quoteLiteral(table.columns[$0].name)), t.\(sql.columns[$0])" }
            let rows = try session.query(
                """
                SELECT json_build_object(\(key.joined(separator: ", "))), \(TableSQL.versionColumns("t")), \
                t.\(TableSQL.map) FROM \(sql.current) t WHERE t.\(TableSQL.map) IS NOT NULL \
                AND t.\(sql.isDeleted) IS NOT TRUE AND (\(TableSQL.versionColumns("t"))) > \(SQLText.version(version))
                """, for: sql.purpose("read incomplete rows of"))
            return try (0..<rows.count).map { row in
                SparseRow(
                    key: rows.text(row, 0), version: rows.version(row, 1),
                    columnVersions: try columnVersions(rows.string(row, 4), of: table))
            }
        }
    }
}

extension RowPatch.Kind {
    var letter: String {
        switch self {
        case .advance: "a"
        case .fill: "f"
        case .skip: "s"
        }
    }
}
