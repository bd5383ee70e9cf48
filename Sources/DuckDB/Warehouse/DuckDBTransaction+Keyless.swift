import Replication

/// Tables without a key: current is a multiset whose rows are named by the event that added them.
extension DuckDBTransaction {
    func applyKeyless(
        _ table: TableDefinition, _ batch: ChangeBatch, inserts: [Int32], ends: [Int32], loadedAt_us: Int64
    ) throws -> KeylessAnswer {
        try ReplicationError.translating(table.source) {
            var answer = KeylessAnswer(inserted: 0, superseded: [], ended: 0, repeated: [], unmatched: [])
            try insert(table, batch, inserts, loadedAt_us, &answer)
            try end(table, batch, ends, loadedAt_us, &answer)
            return answer
        }
    }

    // MARK: Rows that begin

    private func insert(
        _ table: TableDefinition, _ batch: ChangeBatch, _ inserts: [Int32], _ loadedAt_us: Int64,
        _ answer: inout KeylessAnswer
    ) throws {
        guard !inserts.isEmpty else { return }
        let stage = try staging.stage(table, layout, session)
        let sql = stage.sql
        let purpose = sql.purpose("adding rows to")
        let there = try probe(
            inserts.map { ($0, batch.events[Int($0)].id, nil) }, sql, on: TableSQL.rowID, purpose)
        answer.superseded = inserts.filter { there.contains($0) }
        let fresh = there.isEmpty ? inserts : inserts.filter { !there.contains($0) }
        guard !fresh.isEmpty else { return }

        let appender = try Appender(session, into: .temporary(stage.table), stage.columns, purpose: purpose)
        let columns = sql.forms.count
        try batch.fields.withUnsafeBufferPointer { fields in
            for index in fresh {
                let event = batch.events[Int(index)]
                var map = ColumnVersions()
                for column in 0..<columns {
                    let field = column < Int(event.width) ? fields[Int(event.after) + column] : .absent
                    try stage.writer.write(field, column, batch.arena, to: appender)
                    if !field.isKnown {
                        map.registers[table.columns[column].name] = ColumnRegister(own: event.version, isKnown: false)
                    }
                }
                setRow(0, false, event.sourceTime_us, event.version, in: appender, after: columns)
                if !map.isEmpty { try appender.set(columns + 6, string: map.json) }
                appender.set(columns + 7, uuidHigh: event.id.high, low: event.id.low)
                appender.set(columns + 8, uuidHigh: event.imageAfter.high, low: event.imageAfter.low)
                try appender.endRow()
            }
        }
        try appender.close()
        let values =
            sql.forms.enumerated().map { $0.element.converted("s.c\($0.offset)") } + [
                "false", "NULL", "s.s_time", TableSQL.moment(loadedAt_us), "s.s_epoch", "s.s_commit", "s.s_seq",
                "s.s_map",
                "s.s_id", "s.s_image", "NULL",
            ]
        answer.inserted = try session.execute(
            """
            INSERT INTO \(sql.current) (\(columnList(sql))) SELECT \(values.joined(separator: ", ")) \
            FROM \(stage.table) s
            """, purpose: purpose)
        try session.execute("DELETE FROM \(stage.table)", purpose: purpose)
        guard answer.inserted == fresh.count else {
            throw ReplicationError(
                .invariant, "\(table.source): the engine added \(answer.inserted) rows where \(fresh.count) were due",
                table: table.source)
        }
    }

    /// Which of the probes' ids stand in `column`.
    private func probe(
        _ probes: [(item: Int32, id: EventID, image: EventID?)], _ sql: TableSQL, on column: String, _ purpose: String
    ) throws -> Set<Int32> {
        try fillProbes(probes, purpose)
        var found: Set<Int32> = []
        try session.forEachChunk(
            "SELECT p.item FROM \(StagingTables.probes) p SEMI JOIN \(sql.current) c ON c.\(column) = p.id",
            purpose: purpose
        ) { chunk in
            for row in 0..<chunk.rowCount { found.insert(chunk.int32(0, row)) }
        }
        try session.execute("DELETE FROM \(StagingTables.probes)", purpose: purpose)
        return found
    }

    func retract(_ table: TableDefinition, _ batch: ChangeBatch, inserts: [Int32]) throws {
        guard !inserts.isEmpty else { return }
        try ReplicationError.translating(table.source) {
            let sql = try staging.sql(table, layout, session)
            let purpose = sql.purpose("taking back rows of")
            try fillProbes(inserts.map { ($0, batch.events[Int($0)].id, nil) }, purpose)
            try session.execute(
                "DELETE FROM \(sql.current) WHERE \(TableSQL.rowID) IN (SELECT id FROM \(StagingTables.probes))",
                purpose: purpose)
            try session.execute("DELETE FROM \(StagingTables.probes)", purpose: purpose)
        }
    }

    // MARK: Rows that end

    private func end(
        _ table: TableDefinition, _ batch: ChangeBatch, _ ends: [Int32], _ loadedAt_us: Int64,
        _ answer: inout KeylessAnswer
    ) throws {
        guard !ends.isEmpty else { return }
        let sql = try staging.sql(table, layout, session)
        let purpose = sql.purpose("ending rows of")
        let done = try probe(ends.map { ($0, batch.events[Int($0)].id, nil) }, sql, on: TableSQL.endedBy, purpose)
        answer.repeated = ends.filter { done.contains($0) }
        let fresh = ends.filter { !done.contains($0) }
        guard !fresh.isEmpty else { return }

        var candidates = try liveRows(sql, batch, fresh, purpose)
        let appender = try Appender(
            session, into: .temporary(StagingTables.endings),
            [
                .init("id", .uuid), .init("ended_by", .uuid), .init("time", .timestamptz), .init("epoch", .int64),
                .init("commit", .int64), .init("seq", .int64),
            ], purpose: purpose)
        var due = 0
        for index in fresh {
            let event = batch.events[Int(index)]
            guard let row = candidates[event.imageBefore]?.takeOldest(below: event.version) else {
                answer.unmatched.append(index)
                continue
            }
            appender.set(0, uuidHigh: row.high, low: row.low)
            appender.set(1, uuidHigh: event.id.high, low: event.id.low)
            if event.sourceTime_us != .min { appender.set(2, int64: event.sourceTime_us) }
            appender.set(3, int64: event.version.epoch)
            appender.set(4, int64: event.version.commit)
            appender.set(5, int64: event.version.seq)
            try appender.endRow()
            due += 1
        }
        try appender.close()
        guard due > 0 else { return }
        answer.ended = try session.execute(
            """
            UPDATE \(sql.current) SET \(sql.isDeleted) = true, \(sql.deletedAt) = e.time, \(sql.updatedAt) = e.time, \
            \(sql.loadedAt) = \(TableSQL.moment(loadedAt_us)), \(TableSQL.epoch) = e.epoch, \
            \(TableSQL.commit) = e.commit, \(TableSQL.seq) = e.seq, \(TableSQL.map) = NULL, \
            \(TableSQL.endedBy) = e.ended_by FROM \(StagingTables.endings) e WHERE \(TableSQL.rowID) = e.id
            """, purpose: purpose)
        try session.execute("DELETE FROM \(StagingTables.endings)", purpose: purpose)
        guard answer.ended == due else {
            throw ReplicationError(
                .invariant, "\(table.source): the engine ended \(answer.ended) rows where \(due) were due",
                table: table.source)
        }
    }

    /// Live rows of one image, the oldest first.
    private struct Twins {
        var rows: [(id: EventID, version: Version)] = []
        private var taken = 0

        mutating func takeOldest(below version: Version) -> EventID? {
            guard taken < rows.count, rows[taken].version < version else { return nil }
            taken += 1
            return rows[taken - 1].id
        }
    }

    /// For each image that ends, as many of its oldest live rows as can end.
    private func liveRows(
        _ sql: TableSQL, _ batch: ChangeBatch, _ ends: [Int32], _ purpose: String
    ) throws -> [EventID: Twins] {
        var counts: [EventID: Int] = [:]
        for index in ends { counts[batch.events[Int(index)].imageBefore, default: 0] += 1 }
        try fillProbes(counts.keys.map { (0, .zero, $0) }, purpose)
        let version = "c.\(TableSQL.epoch), c.\(TableSQL.commit), c.\(TableSQL.seq)"
        var found: [EventID: Twins] = [:]
        try session.forEachChunk(
            """
            SELECT c.\(TableSQL.rowID), c.\(TableSQL.rowImage), \(version) \
            FROM \(sql.current) c SEMI JOIN \(StagingTables.probes) p ON p.image = c.\(TableSQL.rowImage) \
            WHERE c.\(sql.isDeleted) IS NOT TRUE QUALIFY row_number() OVER (PARTITION BY c.\(TableSQL.rowImage) \
            ORDER BY \(version), c.\(TableSQL.rowID)) <= \(counts.values.max() ?? 0) \
            ORDER BY \(version), c.\(TableSQL.rowID)
            """, purpose: purpose
        ) { chunk in
            for row in 0..<chunk.rowCount {
                found[chunk.eventID(1, row), default: Twins()].rows.append(
                    (chunk.eventID(0, row), chunk.version(2, row)))
            }
        }
        try session.execute("DELETE FROM \(StagingTables.probes)", purpose: purpose)
        return found
    }
}
