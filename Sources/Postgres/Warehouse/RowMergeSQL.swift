import Replication

/// The statements that write staged rows to current. Inserts go in the key's order, so that agents which share a table
/// meet each other's rows in one order.
struct RowMergeSQL {
    let sql: TableSQL
    let stage: String
    /// The patches, if this merge has some; rows with one are left to `patchRows`.
    let patch: String?
    /// The first row of this merge: the stage still holds those of others.
    let first: Int64
    /// A literal.
    let loadedAt: String

    private static let version = "\(TableSQL.epoch), \(TableSQL.commit), \(TableSQL.seq)"
    private var flags: String {
        "\(sql.isDeleted), \(sql.deletedAt), \(sql.updatedAt), \(sql.loadedAt), \(Self.version)"
    }
    private static let stagedVersion = "(s._e, s._c, s._s)"
    private var stagedFlags: String {
        "s._is_deleted, CASE WHEN s._is_deleted THEN s._time END, s._time, \(loadedAt), s._e, s._c, s._s"
    }
    private var keys: String { sql.keyColumns.joined(separator: ", ") }
    private var stagedKeys: String { sql.definition.key.map { "s.c\($0)" }.joined(separator: ", ") }

    private func staged(_ mode: StagedRow.Mode?) -> String {
        var conditions = ["s._ord >= \(first)"]
        if let mode { conditions.append("s._mode = \(mode.rawValue)") }
        if let patch { conditions.append("NOT EXISTS (SELECT FROM \(patch) p WHERE p._ord = s._ord)") }
        return conditions.joined(separator: " AND ")
    }

    /// `is_deleted = excluded.is_deleted, …`, the map included.
    private var excludedFlags: String {
        [
            sql.isDeleted, sql.deletedAt, sql.updatedAt, sql.loadedAt, TableSQL.epoch, TableSQL.commit, TableSQL.seq,
            TableSQL.map,
        ].map { "\($0) = excluded.\($0)" }.joined(separator: ", ")
    }

    private var isNewer: String {
        TableSQL.isOlder("t", than: "(\(TableSQL.versionColumns("excluded")))")
    }

    /// Key columns whose equal values may look different: a newer event brings its own look.
    private var keysToWrite: [Int] {
        sql.definition.key.filter { KeyTemplate.needsGroup(sql.definition.columns[$0].type) }
    }

    /// Whole rows: inserted, or written over an older row.
    func upsert(isAlone: Bool) -> String {
        let columns = sql.columns
        let written = columns.indices.filter { !sql.definition.key.contains($0) || keysToWrite.contains($0) }
            .map { "\(columns[$0]) = excluded.\(columns[$0]), " }.joined()
        return """
            INSERT INTO \(sql.current) AS t (\(columns.joined(separator: ", ")), \(flags), \(TableSQL.map)) \
            SELECT \(columns.indices.map { "s.c\($0)" }.joined(separator: ", ")), \(stagedFlags), s._map \
            FROM \(stage) s WHERE \(staged(isAlone ? nil : .full)) ORDER BY \(stagedKeys) \
            ON CONFLICT (\(keys)) DO UPDATE SET \(written)\(excludedFlags) WHERE \(isNewer)
            """
    }

    /// Deletes of rows that are there: an update, as adopted tables may not take a row of nothing but its key.
    var markDeleted: String {
        let looks = keysToWrite.map { "\(sql.columns[$0]) = s.c\($0), " }.joined()
        return """
            UPDATE \(sql.current) AS t SET \(looks)(\(flags), \(TableSQL.map)) = ROW(\(stagedFlags), NULL) \
            FROM \(stage) s WHERE \(staged(.keep)) AND \(sql.sameKey("t", "s")) \
            AND \(TableSQL.isOlder("t", than: Self.stagedVersion))
            """
    }

    /// Deletes of rows never seen.
    var insertDeleted: String {
        """
        INSERT INTO \(sql.current) AS t (\(keys), \(flags)) SELECT \(stagedKeys), \(stagedFlags) FROM \(stage) s \
        WHERE \(staged(.keep)) AND NOT EXISTS (SELECT FROM \(sql.current) t WHERE \(sql.sameKey("t", "s"))) \
        ORDER BY \(stagedKeys) ON CONFLICT (\(keys)) DO UPDATE SET \(excludedFlags) WHERE \(isNewer)
        """
    }

    /// Rows with unknown columns whose key is new; the others have a patch.
    var insertMasked: String {
        """
        INSERT INTO \(sql.current) (\(sql.columns.joined(separator: ", ")), \(flags), \(TableSQL.map)) \
        SELECT \(sql.columns.indices.map { "s.c\($0)" }.joined(separator: ", ")), \(stagedFlags), s._map \
        FROM \(stage) s WHERE \(staged(.masked)) ORDER BY \(stagedKeys) ON CONFLICT (\(keys)) DO NOTHING
        """
    }

    /// Numbers of rows without a patch that aren't what current has now. An equal version alone doesn't tell: the row may
    /// have come before.
    var refused: String {
        """
        SELECT s._ord FROM \(stage) s LEFT JOIN \(sql.current) t ON \(sql.sameKey("t", "s")) WHERE \(staged(nil)) \
        AND ((\(TableSQL.versionColumns("t"))) = \(Self.stagedVersion) AND t.\(sql.loadedAt) = \(loadedAt)) IS NOT TRUE
        """
    }

    /// What current has in the place of the rows of these numbers: `$1`, an array.
    var newer: String {
        """
        SELECT s._ord, CASE WHEN isfinite(t.\(sql.updatedAt)) \
        THEN (extract(epoch FROM t.\(sql.updatedAt)) * 1000000)::bigint END, t.\(TableSQL.seq) = 0 \
        FROM \(stage) s JOIN \(sql.current) t ON \(sql.sameKey("t", "s")) WHERE s._ord = ANY ($1::bigint[])
        """
    }

    /// Rows that are there, column by column as their patch says.
    func patchRows(_ kind: RowPatch.Kind) -> String {
        var written = sql.columns.enumerated().map { index, column in
            """
            \(column) = CASE get_byte(p._take, \(index)) WHEN \(RowPatch.fromStage) THEN s.c\(index) \
            WHEN \(RowPatch.null) THEN NULL ELSE t.\(column) END
            """
        }
        written.append("\(TableSQL.map) = p._map")
        if kind == .advance {
            written.append("(\(flags)) = ROW(\(stagedFlags))")
        } else {
            written.append("\(sql.loadedAt) = \(loadedAt)")
        }
        return """
            UPDATE \(sql.current) AS t SET \(written.joined(separator: ", ")) \
            FROM \(stage) s JOIN \(patch ?? stage) p ON p._ord = s._ord \
            WHERE s._ord >= \(first) AND p._kind = '\(kind.letter)' AND \(sql.sameKey("t", "s"))
            """
    }
}
