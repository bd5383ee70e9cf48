import Replication

/// `_millrace.tables`: what the pipelines of this database have made.
struct TableRegistry {
    struct Entry {
        var pipeline: String
        var definition: TableDefinition
        var layout: WarehouseLayout
        var state: TableState
        /// Current is somebody else's, and told to be used.
        var isAdopted = false
    }

    /// What `existing` says of such a table, beside the policy's own words.
    private static let adopted = "adopted"

    /// Of all pipelines, in the order they were made.
    let entries: [Entry]

    init(_ session: Session) throws { try self.init(session, where: "true", []) }

    /// A table's definition as it is stored.
    static func definition(
        of table: TableID, _ pipeline: String, _ session: Session
    ) throws -> TableDefinition? {
        try TableRegistry(
            session, where: "pipeline = ? AND source_schema = ? AND source_table = ?",
            [.text(pipeline), .text(table.schema), .text(table.table)]
        ).entries.first?.definition
    }

    private init(_ session: Session, where condition: String, _ parameters: [Parameter]) throws {
        var entries: [Entry] = []
        // An earlier version's file may be read without being brought to this one.
        let evolution = try MetaTables.version(session) ?? 0 >= 7 ? "evolution" : "NULL"
        try session.forEachChunk(
            """
            SELECT pipeline, source_schema, source_table, target, current_schema, raw_schema, live_schema, \
            history_schema, has_current, has_raw, columns, key, metadata, existing, is_filtered, floor_epoch, \
            floor_commit, floor_seq, floor_time, is_sparse, has_moves, \(evolution) \
            FROM \(MetaTables.name("tables")) WHERE \(condition) \
            ORDER BY made_at, pipeline, source_schema, source_table
            """, parameters, purpose: "reading _millrace.tables"
        ) { chunk in
            for row in 0..<chunk.rowCount { entries.append(try Self.entry(chunk, row)) }
        }
        self.entries = entries
    }

    private static func entry(_ chunk: borrowing ChunkReader, _ row: Int) throws -> Entry {
        let columns = try MetaJSON.columns(chunk.string(10, row))
        let key = try MetaJSON.names(chunk.string(11, row), of: "tables.key")
        let pipeline = chunk.string(0, row)
        let existing = chunk.string(13, row)
        var state = TableState()
        state.floor = chunk.version(15, row)
        state.floorTime_us = chunk.integer(18, row) ?? .min
        state.isSparse = chunk.flag(19, row)
        state.hasMoves = chunk.flag(20, row)
        var definition = TableDefinition(
            source: TableID(schema: chunk.string(1, row), table: chunk.string(2, row)),
            target: chunk.string(3, row), columns: columns,
            key: key.compactMap { name in columns.firstIndex { $0.name == name } },
            metadata: try MetaJSON.metadata(chunk.string(12, row)),
            existing: existing == adopted ? .adopt : ExistingPolicy(rawValue: existing) ?? .error,
            isFiltered: chunk.flag(14, row))
        definition.take(evolution: chunk.text(21, row))
        return Entry(
            pipeline: pipeline, definition: definition,
            layout: WarehouseLayout(
                pipeline: pipeline, current: chunk.string(4, row), raw: chunk.string(5, row),
                live: chunk.string(6, row), history: chunk.string(7, row), hasRaw: chunk.flag(9, row),
                hasCurrent: chunk.flag(8, row)),
            state: state, isAdopted: existing == adopted)
    }

    func entry(_ pipeline: String, _ source: TableID) -> Entry? {
        entries.first { $0.pipeline == pipeline && $0.definition.source == source }
    }

    /// Writes a table's definition; `madeAt_us` for a new one, whose state is the default.
    static func write(
        _ definition: TableDefinition, _ layout: WarehouseLayout, isAdopted: Bool = false, madeAt_us: Int64?,
        _ session: Session
    ) throws {
        let purpose = "writing _millrace.tables"
        let identity: [Parameter] = [
            .text(layout.pipeline), .text(definition.source.schema), .text(definition.source.table),
        ]
        let values: [Parameter] = [
            .text(definition.target), .text(layout.current), .text(layout.raw), .text(layout.live),
            .text(layout.history), .bool(layout.hasCurrent), .bool(layout.hasRaw),
            .text(MetaJSON.text(columns: definition.columns)),
            .text(MetaJSON.text(names: definition.key.map { definition.columns[$0].name })),
            .text(MetaJSON.text(metadata: definition.metadata)),
            .text(isAdopted ? adopted : definition.existing.rawValue),
            .bool(definition.isFiltered), definition.evolution.map { .text($0) } ?? .null,
        ]
        if let madeAt_us {
            try session.execute(
                """
                INSERT INTO \(MetaTables.name("tables")) (pipeline, source_schema, source_table, target, \
                current_schema, raw_schema, live_schema, history_schema, has_current, has_raw, columns, key, \
                metadata, existing, is_filtered, evolution, is_sparse, has_moves, made_at) \
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, false, false, make_timestamptz(\(madeAt_us)))
                """, identity + values, purpose: purpose)
        } else {
            try session.execute(
                """
                UPDATE \(MetaTables.name("tables")) SET target = ?, current_schema = ?, raw_schema = ?, \
                live_schema = ?, history_schema = ?, has_current = ?, has_raw = ?, columns = ?, key = ?, \
                metadata = ?, existing = ?, is_filtered = ?, evolution = ? \
                WHERE pipeline = ? AND source_schema = ? AND source_table = ?
                """, values + identity, purpose: purpose)
        }
    }

    /// Of a table that another pipeline of ours has made: some of its rows may have columns of their own versions.
    static func noteMaps(of sql: TableSQL, _ pipeline: String, _ session: Session) throws {
        let source = sql.definition.source
        try session.execute(
            """
            UPDATE \(MetaTables.name("tables")) SET is_sparse = true \
            WHERE pipeline = ? AND source_schema = ? AND source_table = ? \
            AND EXISTS (SELECT 1 FROM \(sql.current) WHERE \(TableSQL.map) IS NOT NULL)
            """, [.text(pipeline), .text(source.schema), .text(source.table)], purpose: "writing _millrace.tables")
    }

    static func write(_ state: TableState, of table: TableID, _ pipeline: String, _ session: Session) throws {
        let floor: [Parameter] =
            state.floor.isNone
            ? [.null, .null, .null]
            : [.int64(state.floor.epoch), .int64(state.floor.commit), .int64(state.floor.seq)]
        try session.execute(
            """
            UPDATE \(MetaTables.name("tables")) SET floor_epoch = ?, floor_commit = ?, floor_seq = ?, \
            floor_time = \(TableSQL.moment(state.floorTime_us)), is_sparse = ?, has_moves = ? \
            WHERE pipeline = ? AND source_schema = ? AND source_table = ?
            """,
            floor + [
                .bool(state.isSparse), .bool(state.hasMoves), .text(pipeline), .text(table.schema),
                .text(table.table),
            ], purpose: "writing _millrace.tables")
    }
}
