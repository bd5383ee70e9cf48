/// Applies a table's raw again, to a second warehouse in which nothing else is: what that has then is what current should
/// have, whatever happened to it.
package struct RawReplay {
    /// SQL of one row of two texts: `trimmed` where raw had a retention, and lacks what is older; `adopted` where the table
    /// had rows before it was replicated.
    package static func obstacles(_ table: TableID, pipeline: String, engine: String) -> String {
        let literal = SweepSQL.literal
        let isAdopted = engine == "duckdb" ? "existing = 'adopt'" : "is_adopted"
        return """
            SELECT CASE WHEN raw_from IS NOT NULL THEN 'trimmed' END, CASE WHEN \(isAdopted) THEN 'adopted' END \
            FROM \(WarehouseSchema.metaSchema).tables \
            WHERE pipeline = \(literal(pipeline)) AND source_schema = \(literal(table.schema)) \
            AND source_table = \(literal(table.table))
            """
    }

    /// SQL of one text, `t` where nobody else has the pipeline's lock, for the transaction that it is asked in; nil where the
    /// engine has one process at a time.
    package static func lock(pipeline: String, engine: String) -> String? {
        guard engine == "postgres" else { return nil }
        let name = SweepSQL.literal("millrace fold \(pipeline)")
        return "SELECT CASE WHEN pg_try_advisory_xact_lock(hashtextextended(\(name), 0)) THEN 't' ELSE 'f' END"
    }

    /// SQL of the keys, one text a row, about which events came since then (µs since 1970), and of the other keys of those
    /// events.
    package static func touched(_ raw: String, _ since_us: Int64) -> String {
        let recent = "FROM \(raw) AS q WHERE q.loaded_at >= \(RowDigest.moment(since_us)) AND q.op <> 't'"
        return """
            SELECT CAST(q.key AS text) \(recent) AND q.key IS NOT NULL \
            UNION SELECT CAST(q.other_key AS text) \(recent) AND q.other_key IS NOT NULL
            """
    }

    /// SQL that chooses raw's events (`r`) of these keys, through the key's index where there is one.
    package static func chosen(_ keys: [String], truncates: Bool) -> String {
        var parts = truncates ? ["r.op = 't'"] : []
        if !keys.isEmpty {
            parts.append("CAST(r.key AS text) IN (\(keys.map(SweepSQL.literal).joined(separator: ", ")))")
        }
        return parts.isEmpty ? "FALSE" : "(\(parts.joined(separator: " OR ")))"
    }

    /// What the second warehouse is called, of which all names are its own. It has raw, too: which row an event is about
    /// may be told by others of its commit, which come with another page.
    package static func layout(of layout: WarehouseLayout) -> WarehouseLayout {
        func own(_ name: String) -> String { name + "#fold" }
        var second = WarehouseLayout(
            pipeline: own(layout.pipeline), current: own(layout.current), raw: own(layout.raw), live: own(layout.live),
            history: own(layout.history))
        second.hasOrderedIDs = layout.hasOrderedIDs
        return second
    }

    package let definition: TableDefinition
    private let batch: RawBatch

    /// - Parameter options: as the table's deferred events are released.
    package init(_ table: TableDefinition, _ options: ReleaseOptions, engine: String) {
        var definition = table
        // Nobody else's.
        definition.existing = .error
        self.definition = definition
        batch = RawBatch(
            definition, options.filter, engine == "duckdb" ? .duckdb : .postgres, options.excluded)
    }

    /// Nil: of nothing but erased rows.
    package func batch(of events: [RawEvent]) throws -> ChangeBatch? {
        let left = Self.unerased(events)
        guard !left.isEmpty else { return nil }
        let made = try batch.make(whole: left)
        made.read = [left.count]
        return made
    }

    static func unerased(_ events: [RawEvent]) -> [RawEvent] {
        events.filter { $0.key?.hasPrefix("\"" + Erasure.rawKeyStart) != true }
    }
}

extension RawBatch {
    /// Of events all of which were applied once.
    func make(whole events: [RawEvent]) throws -> ChangeBatch {
        // Where an event stood in the source's log has no bearing on its row.
        let place = TopicPartition(topic: "raw", partition: 0)
        let (batch, misfits, unknown) = make(
            events.map { DeferredEvent(event: $0, partition: place, offset: 0, flags: nil, hasImmediateKey: false) })
        let table = batch.tables.first?.source
        guard misfits.isEmpty else {
            throw ReplicationError(
                .permanent,
                "\(misfits.count) events of raw don't fit the table as it is now, the first since \(misfits.values.first ?? "")",
                table: table)
        }
        guard unknown == nil else {
            throw ReplicationError(
                .permanent, "raw has columns that the table hasn't got yet",
                remedy: "they are made with the next change of the table", table: table)
        }
        return batch
    }
}
