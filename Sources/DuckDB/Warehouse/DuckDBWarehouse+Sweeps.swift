import Replication
import SerialQueue

/// One transaction on a session of its own, beside the writer's.
actor DuckDBWarehouseSnapshot: WarehouseSnapshot {
    private let executor = SerialQueueExecutor(label: "duckdb.sweep")
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    private var session: Session?

    init(_ database: Database, catalog: String) async throws {
        try await open(database, catalog)
    }

    private func open(_ database: Database, _ catalog: String) throws {
        session = try ReplicationError.translating {
            let session = try Session(database, interrupter: Interrupter())
            try session.run(
                "USE \(SQLName.quoted(catalog)); BEGIN TRANSACTION READ ONLY",
                purpose: "beginning a sweep")
            // The first statement that reads takes it.
            _ = try session.int64(
                "SELECT count(*) FROM \(MetaTables.name("meta"))", purpose: "beginning a sweep")
            return session
        }
    }

    func rows(_ sql: String) throws -> [[String?]] {
        guard let session else { throw ReplicationError(.permanent, "the snapshot is closed") }
        return try ReplicationError.translating {
            var rows: [[String?]] = []
            try session.forEachChunk(sql, purpose: "comparing rows", streaming: true) { chunk in
                for row in 0..<chunk.rowCount { rows.append(chunk.columns.indices.map { chunk.text($0, row) }) }
            }
            return rows
        }
    }

    func close() {
        session?.close()
        session = nil
    }
}

extension DuckDBWarehouse {
    package func snapshot() async throws -> any WarehouseSnapshot {
        let database = try withSession { $0.database }
        return try await DuckDBWarehouseSnapshot(database, catalog: Self.catalogName(layout))
    }

    package func record(_ sweeps: [SweepRecord]) async throws {
        try withSession { session in
            for sweep in sweeps {
                let counts = [sweep.missing, sweep.extra, sweep.different, sweep.moved, sweep.repaired]
                try session.execute(
                    """
                    INSERT INTO \(MetaTables.name("sweeps")) (pipeline, source_schema, source_table, started_at, finished_at, \
                    snapshot, position, rows, columns, uncovered, digest_source, digest_warehouse, missing, extra, different, \
                    moved, repaired, is_equal) VALUES (?, ?, ?, make_timestamptz(\(sweep.startedAt_us)), \
                    make_timestamptz(\(sweep.finishedAt_us)), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                    """,
                    [
                        .text(layout.pipeline), .text(sweep.table.schema), .text(sweep.table.table),
                        .text(sweep.snapshot), .int64(sweep.position), .int64(sweep.rows),
                        .text(MetaJSON.text(names: sweep.columns)), .text(MetaJSON.text(names: sweep.uncovered)),
                        .text(sweep.digestSource), .text(sweep.digestWarehouse),
                    ] + counts.map { .int64(Int64($0)) } + [.bool(sweep.isEqual)], purpose: "recording a sweep")
            }
        }
    }

    package func lastSweeps() async throws -> [TableID: (last: SweepRecord, proof: SweepRecord?)] {
        try withSession { session in
            guard try hasMeta(session), try MetaTables.version(session) ?? 0 >= 6 else { return [:] }
            var records: [SweepRecord] = []
            try session.forEachChunk(
                """
                SELECT source_schema, source_table, CAST(epoch_us(started_at) AS VARCHAR), \
                CAST(epoch_us(finished_at) AS VARCHAR), snapshot, CAST(position AS VARCHAR), CAST(rows AS VARCHAR), columns, \
                uncovered, digest_source, digest_warehouse, CAST(missing AS VARCHAR), CAST(extra AS VARCHAR), \
                CAST(different AS VARCHAR), CAST(moved AS VARCHAR), CAST(repaired AS VARCHAR) \
                FROM \(MetaTables.name("sweeps")) WHERE pipeline = ? QUALIFY row_number() OVER \
                (PARTITION BY source_schema, source_table, is_equal ORDER BY finished_at DESC) = 1
                """, [.text(layout.pipeline)], purpose: "reading the sweeps"
            ) { chunk in
                for row in 0..<chunk.rowCount {
                    records.append(
                        try SweepRecord((0..<16).map { chunk.text($0, row) }) {
                            try MetaJSON.names($0, of: "sweeps")
                        })
                }
            }
            return SweepRecord.latest(records)
        }
    }
}
