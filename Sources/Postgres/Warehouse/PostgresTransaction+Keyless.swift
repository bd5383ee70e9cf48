import Replication

extension PostgresTransaction {
    func applyKeyless(
        _ table: TableDefinition, _ batch: ChangeBatch, inserts: [Int32], ends: [Int32], loadedAt_us: Int64
    ) throws -> KeylessAnswer {
        try translating(table) {
            var answer = KeylessAnswer(inserted: 0, superseded: [], ended: 0, repeated: [], unmatched: [])
            let sql = try TableSQL(table, layout)
            let loadedAt = try SQLText.moment(loadedAt_us)
            if !inserts.isEmpty { try insert(inserts, sql, batch, loadedAt, &answer) }
            if !ends.isEmpty { try end(ends, sql, batch, loadedAt, &answer) }
            return answer
        }
    }

    func retract(_ table: TableDefinition, _ batch: ChangeBatch, inserts: [Int32]) throws {
        guard !inserts.isEmpty else { return }
        try translating {
            let sql = try TableSQL(table, layout)
            let names = inserts.map { batch.events[Int($0)].id.text }
            let removed = try session.query(
                "DELETE FROM \(sql.current) WHERE \(TableSQL.rowID) = ANY ($1::uuid[])", [try arrayText(names)],
                for: sql.purpose("take rows back from")
            ).affected
            guard removed == inserts.count else {
                throw ReplicationError(
                    .invariant, "\(table.source): \(removed) of \(inserts.count) rows were taken back",
                    table: table.source)
            }
        }
    }

    // MARK: Inserts

    private func insert(
        _ inserts: [Int32], _ sql: TableSQL, _ batch: ChangeBatch, _ loadedAt: String, _ answer: inout KeylessAnswer
    ) throws {
        let (stage, first) = try stageKeyless(inserts, sql, batch)
        let columns = sql.columns.map { "\($0), " }.joined()
        let staged = sql.columns.indices.map { "s.c\($0), " }.joined()
        answer.inserted = try session.execute(
            """
            INSERT INTO \(sql.current) (\(columns)\(sql.isDeleted), \(sql.updatedAt), \(sql.loadedAt), \
            \(TableSQL.epoch), \(TableSQL.commit), \(TableSQL.seq), \(TableSQL.rowID), \(TableSQL.rowImage)) \
            SELECT \(staged)false, s._time, \(loadedAt), s._e, s._c, s._s, s._id, s._image FROM \(stage) s \
            WHERE s._ord >= \(first) ORDER BY s._ord ON CONFLICT (\(TableSQL.rowID)) DO NOTHING
            """, for: sql.purpose("insert into"))
        guard answer.inserted < inserts.count else { return }
        // A moment of loading is this batch's alone.
        let rows = try session.query(
            """
            SELECT s._ord FROM \(stage) s JOIN \(sql.current) t ON t.\(TableSQL.rowID) = s._id \
            WHERE s._ord >= \(first) AND t.\(sql.loadedAt) IS DISTINCT FROM \(loadedAt)
            """, for: sql.purpose("look at"))
        answer.superseded = (0..<rows.count).compactMap { rows.integer($0, 0) }.map { inserts[Int($0) - Int(first)] }
        guard answer.inserted + answer.superseded.count == inserts.count else {
            throw ReplicationError(
                .invariant,
                """
                \(sql.definition.source): of \(inserts.count) rows \(answer.inserted) were inserted and \
                \(answer.superseded.count) were there
                """, table: sql.definition.source)
        }
    }

    private func stageKeyless(
        _ inserts: [Int32], _ sql: TableSQL, _ batch: ChangeBatch
    ) throws -> (name: String, first: Int64) {
        let source = sql.definition.source
        let key = "keyless \(source.schema.utf8.count) \(source.schema) \(source.table)"
        let name = try temporary(key, shape: sql.shape, adding: inserts.count) {
            """
            CREATE TEMP TABLE \($0) AS SELECT 0::bigint AS _ord, NULL::uuid AS _id, \
            NULL::uuid AS _image, NULL::timestamptz AS _time, 0::bigint AS _e, 0::bigint AS _c, \
            0::bigint AS _s\(Self.aliases(sql)) FROM \(sql.current) t WITH NO DATA
            """
        }
        let first = takeOrdinals(inserts.count)
        let columns = sql.definition.columns
        try session.copyIn("COPY \(name) FROM STDIN", for: sql.purpose("stage rows of")) { writer in
            let encoder = FieldEncoder(writer: writer, batch: batch, scratch: scratch)
            for (place, index) in inserts.enumerated() {
                let event = batch.events[Int(index)]
                writer.field(first + Int64(place))
                encoder.uuid(event.id)
                encoder.uuid(event.imageAfter)
                encoder.moment(event.sourceTime_us)
                encoder.version(event.version)
                let width = event.after < 0 ? 0 : Int(event.width)
                for column in 0..<columns.count {
                    if column >= width {
                        writer.null()
                    } else {
                        encoder.field(batch.fields[Int(event.after) + column], columns[column].type)
                    }
                }
                try writer.endLine()
            }
        }
        return (name, first)
    }

    // MARK: Ends

    private func end(
        _ ends: [Int32], _ sql: TableSQL, _ batch: ChangeBatch, _ loadedAt: String, _ answer: inout KeylessAnswer
    ) throws {
        let repeated = try carriedOut(ends, sql, batch)
        answer.repeated = ends.filter { repeated.contains($0) }
        let open = repeated.isEmpty ? ends : ends.filter { !repeated.contains($0) }
        guard !open.isEmpty else { return }

        // Each end takes the oldest row that is left, so no image needs more rows than it has ends.
        var wanted: [EventID: Int] = [:]
        for index in open { wanted[batch.events[Int(index)].imageBefore, default: 0] += 1 }
        var candidates = try oldestRows(wanted, sql)
        var matches: [(row: String, event: Int32)] = []
        for index in open {
            let event = batch.events[Int(index)]
            if let oldest = candidates[event.imageBefore]?.last, oldest.version < event.version {
                candidates[event.imageBefore]?.removeLast()
                matches.append((oldest.id, index))
            } else {
                answer.unmatched.append(index)
            }
        }
        answer.ended = try write(matches, sql, batch, loadedAt)
    }

    /// Which of `ends` have ended a row before.
    private func carriedOut(_ ends: [Int32], _ sql: TableSQL, _ batch: ChangeBatch) throws -> Set<Int32> {
        let (probe, first) = try fillProbe(ends.count) { place, encoder in
            encoder.writer.null()
            encoder.uuid(batch.events[Int(ends[place])].id)
        }
        let rows = try session.query(
            """
            SELECT p._ord FROM \(probe) p JOIN \(sql.current) t ON t.\(TableSQL.endedBy) = p._id \
            WHERE p._ord >= \(first)
            """, for: sql.purpose("look at"))
        return Set((0..<rows.count).compactMap { rows.integer($0, 0) }.map { ends[Int($0) - Int(first)] })
    }

    /// The oldest live rows of each image, the oldest last.
    private func oldestRows(
        _ wanted: [EventID: Int], _ sql: TableSQL
    ) throws -> [EventID: [(id: String, version: Version)]] {
        let images = Array(wanted)
        let (probe, first) = try fillProbe(images.count) { place, encoder in
            encoder.writer.field(Int64(images[place].value))
            encoder.uuid(images[place].key)
        }
        let order = "\(TableSQL.versionColumns("t")), t.\(TableSQL.rowID)"
        let rows = try session.query(
            """
            SELECT p._ord, o.* FROM \(probe) p CROSS JOIN LATERAL ( \
            SELECT t.\(TableSQL.rowID), \(TableSQL.versionColumns("t")) FROM \(sql.current) t \
            WHERE t.\(TableSQL.rowImage) = p._id AND NOT t.\(sql.isDeleted) ORDER BY \(order) LIMIT p._number FOR UPDATE \
            ) AS o WHERE p._ord >= \(first) ORDER BY 1, 3 DESC, 4 DESC, 5 DESC, 2 DESC
            """, for: sql.purpose("look for rows of"))
        var found: [EventID: [(id: String, version: Version)]] = [:]
        for row in 0..<rows.count {
            let image = images[Int(rows.integer(row, 0) ?? 0) - Int(first)].key
            found[image, default: []].append((rows.text(row, 1), rows.version(row, 2)))
        }
        return found
    }

    private func write(
        _ matches: [(row: String, event: Int32)], _ sql: TableSQL, _ batch: ChangeBatch, _ loadedAt: String
    ) throws -> Int {
        guard !matches.isEmpty else { return 0 }
        let name = try temporary("ends", shape: [], adding: matches.count) {
            """
            CREATE TEMP TABLE \($0) (_ord bigint, _row uuid, _by uuid, _time timestamptz, _e bigint, _c bigint, \
            _s bigint)
            """
        }
        let first = takeOrdinals(matches.count)
        try session.copyIn("COPY \(name) FROM STDIN", for: "stage ends of rows") { writer in
            let encoder = FieldEncoder(writer: writer, batch: batch, scratch: scratch)
            for (place, match) in matches.enumerated() {
                let event = batch.events[Int(match.event)]
                writer.field(first + Int64(place))
                writer.field(match.row)
                encoder.uuid(event.id)
                encoder.moment(event.sourceTime_us)
                encoder.version(event.version)
                try writer.endLine()
            }
        }
        let ended = try session.execute(
            """
            UPDATE \(sql.current) AS t SET \(sql.isDeleted) = true, \(sql.deletedAt) = e._time, \
            \(sql.updatedAt) = e._time, \(sql.loadedAt) = \(loadedAt), \(TableSQL.epoch) = e._e, \
            \(TableSQL.commit) = e._c, \(TableSQL.seq) = e._s, \(TableSQL.endedBy) = e._by \
            FROM \(name) e WHERE e._ord >= \(first) AND t.\(TableSQL.rowID) = e._row
            """, for: sql.purpose("end rows of"))
        return ended
    }
}
