import CrashPoint
import Replication

/// The transactions of one connection: rows are brought by COPY into temporary tables and merged from there by one
/// statement a table, so that the count of round trips doesn't grow with the batch.
final class PostgresTransaction: WarehouseTransaction {
    let session: Session
    let layout: WarehouseLayout
    let who: WarehouseUser
    let facts: Session.Facts
    /// Values on their way into COPY.
    let scratch = ByteArena(capacity: 1 << 12)

    /// Temporary tables of this session, and those of them that a rollback would take away.
    private var stages: [String: StageTable] = [:]
    private var stagesMadeHere: Set<String> = []
    private var stagesUsedHere: Set<String> = []
    private var stageCount = 0
    /// The next staged row's number: all that were staged before in this session have lower ones.
    private var ordinal: Int64 = 0
    /// The first number of what `stage` staged last, by table.
    var stagedAt: [TableID: Int64] = [:]

    /// Tables whose raw was seen to have an index of its keys, or to be too large for one.
    var indexedKeys: Set<TableID> = []
    /// Forms of staging tables' columns, by the table's name, which is used once in a session.
    var stageFormsKnown: [String: [BinaryForm]?] = [:]

    /// Fewer new rows aren't worth `insertNew`'s savepoint.
    let insertNew_min: Int
    var insertPauses = InsertPauses()

    /// `loaded_at` of what is appended to raw. Set before each batch.
    var loadedAt_us: Int64 = 0
    /// As they were read by `assertOwned`.
    var checkpoints: [TopicPartition: Checkpoint] = [:]
    var agreements = Agreements()

    init(_ session: Session, _ layout: WarehouseLayout, _ facts: Session.Facts, insertNew_min: Int) {
        self.insertNew_min = insertNew_min
        self.session = session
        self.layout = layout
        self.facts = facts
        who = WarehouseUser(user: facts.user, database: facts.database)
    }

    /// Runs `body`; the server's errors become replication's, about `table` where it writes that one's rows.
    func translating<Value>(_ table: TableDefinition? = nil, _ body: () throws -> Value) throws -> Value {
        try ReplicationError.translating(table, who: who, body)
    }

    /// For the session.
    func waitForLocks(_ time: String) throws {
        try translating { _ = try session.execute("SET lock_timeout = '\(time)'", for: "wait for locks") }
    }

    // MARK: Bounds

    func begin() throws {
        try translating {
            // Staged rows find theirs by the key's index: a join by hash would read all of current for a small batch.
            _ = try session.execute(
                """
                BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; \
                SET LOCAL work_mem = '64MB'
                """, for: "begin a batch")
        }
        stagedAt = [:]
        stagesMadeHere = []
        stagesUsedHere = []
        checkpoints = [:]
    }

    func commit() throws {
        CrashPoint.commit.reach()
        try translating {
            let tag = try session.query("COMMIT", for: "commit a batch").commandTag
            // The server answers COMMIT of a failed transaction with a friendly ROLLBACK.
            guard tag == "COMMIT" else {
                throw ReplicationError(.invariant, "a batch had failed before its commit")
            }
        }
        stagesMadeHere = []
        stagesUsedHere = []
    }

    func rollback() {
        session.rollback()
        for key in stagesMadeHere { stages[key] = nil }
        // What was emptied is full again.
        for key in stagesUsedHere { stages[key]?.rows = .max / 2 }
        stagesMadeHere = []
        stagesUsedHere = []
    }

    // MARK: Locks

    func lock(_ tables: [TableID], exclusive: Bool) throws -> [TableID: TableState] {
        guard !tables.isEmpty else { return [:] }
        let keys = tables.map { SQLText.lockKey(layout.pipeline, $0.schema, $0.table) }
        let function = exclusive ? "pg_advisory_xact_lock" : "pg_advisory_xact_lock_shared"
        return try translating {
            let names = try tables.map { "(\(try quoteLiteral($0.schema)), \(try quoteLiteral($0.table)))" }
            let answers = try session.script(
                """
                SELECT count(\(function)(key)::text) FROM unnest('{\(keys.map(String.init).joined(separator: ","))}'::bigint[]) \
                AS key;
                SELECT source_schema, source_table, floor_epoch, floor_commit, floor_seq, \
                \(SQLText.microseconds("floor_time")), is_sparse, has_moves, columns::text <> '[]', \
                has_erasures, \(SQLText.microseconds("raw_from")), \
                hashtextextended(concat_ws(' ', columns::text, key::text, evolution::text), 0) \
                FROM \(MetaTables.name("tables")) \
                WHERE pipeline = \(try quoteLiteral(layout.pipeline)) \
                AND (source_schema, source_table) IN (\(names.joined(separator: ", ")));
                SELECT source_schema, source_table, kind, since > now() - interval \
                '\(TableHold.redelivery_us / 1_000_000) s' FROM \(MetaTables.name("holds")) WHERE pipeline = \(try quoteLiteral(layout.pipeline))
                """, for: "lock tables")
            var states: [TableID: TableState] = [:]
            guard answers.count >= 2, let holds = answers.last else { return states }
            let rows = answers[answers.count - 2]
            for row in 0..<rows.count {
                var state = TableState()
                state.floor = rows.version(row, 2)
                state.floorTime_us = rows.integer(row, 5) ?? .min
                state.isSparse = rows.bool(row, 6)
                state.hasMoves = rows.bool(row, 7)
                state.isMade = rows.bool(row, 8)
                state.hasErasures = rows.bool(row, 9)
                state.rawFrom_us = rows.integer(row, 10)
                state.digest = rows.integer(row, 11)
                states[TableID(schema: rows.text(row, 0), table: rows.text(row, 1))] = state
            }
            for row in 0..<holds.count {
                if holds.text(row, 2) == TableHold.redelivery, holds.bool(row, 3) {
                    for table in states.keys { states[table]?.acceptsOlder = true }
                }
                guard let kind = TableHold.Kind(rawValue: holds.text(row, 2)) else { continue }
                states[TableID(schema: holds.text(row, 0), table: holds.text(row, 1)), default: .init()].holds.insert(
                    kind)
            }
            return states
        }
    }

    func storedDefinition(_ table: TableID) throws -> TableDefinition? {
        try translating { try TableRegistry.definition(of: table, layout.pipeline, session) }
    }

    func assertOwned(_ advances: [CheckpointAdvance]) throws -> [Checkpoint] {
        let all = try translating {
            // The lock first, then a statement of its own that sees what the wait for it was for.
            let answers = try session.script(
                """
                SELECT FROM \(MetaTables.name("checkpoints")) WHERE pipeline = \(try quoteLiteral(layout.pipeline)) \
                AND \(try Checkpoints.among(advances.map(\.partition))) ORDER BY topic, partition FOR UPDATE;
                \(try Checkpoints.selectAll(layout.pipeline))
                """, for: "look at the checkpoints")
            return try answers.last.map(Checkpoints.read) ?? []
        }
        checkpoints = Dictionary(all.map { ($0.partition, $0) }) { first, _ in first }
        for advance in advances {
            let stored = checkpoints[advance.partition]
            guard stored?.token == advance.token, stored?.position == advance.from else {
                throw ReplicationError(
                    .fenced, "\(advance.partition): another agent has claimed it",
                    remedy: "see which agent owns it: millrace status")
            }
        }
        return all
    }

    // MARK: Temporary tables

    /// The temporary table `key` with these columns, made if this session hasn't one. Rows of earlier batches may be in
    /// it, with lower numbers.
    ///
    /// `ON COMMIT DELETE ROWS` would keep them empty, but makes every commit of a session pay, some milliseconds a
    /// table, for all that it ever staged for. So they are emptied when much has come together.
    /// - Parameters:
    ///   - shape: what must be the same for it to be used again.
    ///   - count: rows that are about to be added; those in it are done with then.
    func temporary(
        _ key: String, shape: [String], adding count: Int, make: (String) -> String
    ) throws -> String {
        if var stage = stages[key], stage.shape == shape {
            if count > 0 {
                stagesUsedHere.insert(key)
                if stage.rows > StageTable.rows_max {
                    try session.execute("TRUNCATE \(stage.name)", for: "empty a staging table")
                    stage.rows = 0
                }
                stage.rows += count
                stages[key] = stage
            }
            return stage.name
        }
        if let old = stages[key] {
            try session.execute("DROP TABLE IF EXISTS \(old.name)", for: "drop a staging table")
            stages[key] = nil
        }
        stageCount += 1
        let name = "millrace_\(stageCount)"
        try session.execute(make(name), for: "make a staging table")
        stages[key] = StageTable(name: "pg_temp.\(name)", shape: shape, rows: count)
        stagesMadeHere.insert(key)
        return "pg_temp.\(name)"
    }

    /// Numbers for `count` rows.
    func takeOrdinals(_ count: Int) -> Int64 {
        let first = ordinal
        ordinal += Int64(count)
        return first
    }
}

/// A temporary table of the session.
struct StageTable {
    /// Rows that may be left from earlier batches before it is emptied.
    static let rows_max = 2000

    var name: String
    var shape: [String]
    /// At most so many are in it.
    var rows: Int
}
