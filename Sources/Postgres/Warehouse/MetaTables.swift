import Replication

/// The server's `_millrace`: what it consists of, and its version.
enum MetaTables {
    static let schema = "\"\(WarehouseSchema.metaSchema)\""
    /// Held by whoever makes or changes anything beside rows, so that two agents that start at once don't race.
    static let lockKey = SQLText.lockKey("millrace", "definitions")

    static func name(_ table: String) -> String { "\(schema).\"\(table)\"" }

    /// The version that the database's `_millrace` has; nil if it has none.
    static func version(_ session: Session) throws -> Int? {
        // From the catalog's rows: name lookups may miss what another session has just made.
        let found = try session.scalar(
            """
            SELECT count(*) > 0 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
            WHERE n.nspname = '\(WarehouseSchema.metaSchema)' AND c.relname = 'meta'
            """, for: "look for _millrace")
        guard found == "t" else { return nil }
        return try session.scalar("SELECT max(version) FROM \(name("meta"))", for: "look for _millrace").flatMap(
            Int.init)
    }

    static func refuseNewer(_ version: Int?) throws {
        guard let version, version > WarehouseSchema.version else { return }
        throw ReplicationError(
            .environment,
            "_millrace in this database has version \(version), and this program knows \(WarehouseSchema.version)",
            remedy: "use a newer millrace")
    }

    /// Locks the definitions until the transaction ends. Whoever has them may itself be waiting for a table's lock, with
    /// other agents in line before this one, or be frozen until its `idle_in_transaction_session_timeout` ends it: one
    /// wait for a lock is no measure of that.
    static func waitForTurn(_ session: Session, for purpose: String) throws {
        let usual = try session.scalar("SHOW lock_timeout", for: purpose) ?? "0"
        try session.execute("SET LOCAL lock_timeout = '\(turn_s)s'", for: purpose)
        try session.execute("SELECT pg_advisory_xact_lock(\(lockKey))", for: purpose)
        try session.execute("SET LOCAL lock_timeout = '\(usual)'", for: purpose)
    }

    private static let turn_s = 90

    /// Makes `_millrace`, or brings it to this program's version, in one transaction.
    static func migrate(_ session: Session) throws {
        if try version(session) == WarehouseSchema.version { return }
        try session.transaction(for: "make _millrace") {
            try waitForTurn(session, for: "make _millrace")
            let found = try version(session)
            try refuseNewer(found)
            if let found { return try upgrade(session, from: found) }
            let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = '\(WarehouseSchema.metaSchema)'"
            if try session.scalar(schemas, for: "make _millrace") == "0" {
                try session.execute("CREATE SCHEMA \(schema)", for: "make _millrace")
            }
            try session.execute(script, for: "make _millrace")
        }
    }

    /// Steps from an older version to this program's; `_millrace` of version n is what the program then made.
    private static func upgrade(_ session: Session, from found: Int) throws {
        let purpose = "bring _millrace to version \(WarehouseSchema.version)"
        if found < 2 { try session.execute(backfills, for: purpose) }
        if found < 3 { try session.execute(lateEvents, for: purpose) }
        if found < 4 { try session.execute(holds, for: purpose) }
        if found < 6 { try session.execute(erasures, for: purpose) }
        if found < 7 { try session.execute(schemaChangesScript, for: purpose) }
        if found < 8 { try session.execute(gatesScript, for: purpose) }
        if found < 8 { try session.execute(freshnessScript, for: purpose) }
        if found < WarehouseSchema.version {
            try session.execute(
                "INSERT INTO \(name("meta")) (version) VALUES (\(WarehouseSchema.version))", for: purpose)
        }
    }

    /// Since version 2. Chunk -1 stands for the table as a whole.
    private static var backfills: String {
        """
        CREATE TABLE \(name("backfills")) (
            pipeline text, job text, source_schema text, source_table text, part text, chunk bigint,
            state text NOT NULL, from_block bigint NOT NULL, to_block bigint, snapshot_lsn bigint NOT NULL,
            rows bigint NOT NULL, committed_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (pipeline, job, source_schema, source_table, part, chunk));
        """
    }

    /// Since version 3.
    private static var lateEvents: String {
        """
        ALTER TABLE \(name("ledger")) ADD COLUMN late bigint, ADD COLUMN too_late bigint;
        CREATE TABLE \(name("late_events")) (
            pipeline text NOT NULL, source_schema text NOT NULL, source_table text NOT NULL, event_id uuid NOT NULL,
            op text NOT NULL, key json, _version_epoch bigint NOT NULL, _version_commit bigint NOT NULL,
            _version_seq bigint NOT NULL, source_ts timestamptz, behind_row_ms bigint, behind_watermark_ms bigint,
            superseded boolean NOT NULL, too_late boolean NOT NULL, arrived_at timestamptz NOT NULL,
            reconciled_at timestamptz);
        CREATE INDEX ON \(name("late_events")) (pipeline, arrived_at);
        """
    }

    /// Since version 4.
    private static var holds: String {
        """
        CREATE TABLE \(name("holds")) (
            pipeline text, source_schema text, source_table text, kind text, reason text NOT NULL,
            since timestamptz NOT NULL, from_time timestamptz, epoch bigint,
            PRIMARY KEY (pipeline, source_schema, source_table, kind));
        CREATE TABLE \(name("deferred")) (
            pipeline text NOT NULL, source_schema text NOT NULL, source_table text NOT NULL, event_id uuid NOT NULL,
            _version_epoch bigint NOT NULL, _version_commit bigint NOT NULL, _version_seq bigint NOT NULL,
            marks integer, json_nulls text);
        CREATE INDEX ON \(name("deferred")) (pipeline, source_schema, source_table, _version_epoch, _version_commit,
            _version_seq, event_id);
        CREATE TABLE \(name("epochs")) (
            pipeline text NOT NULL, epoch bigint NOT NULL, topic text, partition integer, first_offset bigint,
            from_time timestamptz, decided_at timestamptz NOT NULL DEFAULT now());
        """
    }

    /// Since version 6. Version 5 only knew another kind of hold.
    private static var erasures: String {
        """
        CREATE TABLE \(name("erasures")) (
            pipeline text, source_schema text, source_table text, key_hash text, _version_epoch bigint,
            _version_commit bigint, _version_seq bigint, erased_at timestamptz, revived_epoch bigint,
            revived_commit bigint, revived_seq bigint, reason text NOT NULL,
            PRIMARY KEY (pipeline, source_schema, source_table, key_hash));
        CREATE TABLE \(name("sweeps")) (
            pipeline text NOT NULL, source_schema text NOT NULL, source_table text NOT NULL,
            started_at timestamptz NOT NULL, finished_at timestamptz NOT NULL, snapshot text NOT NULL,
            position bigint NOT NULL, rows bigint NOT NULL, columns json NOT NULL, uncovered json NOT NULL,
            digest_source text NOT NULL, digest_warehouse text NOT NULL, missing bigint NOT NULL, extra bigint NOT NULL,
            different bigint NOT NULL, moved bigint NOT NULL, repaired bigint NOT NULL, is_equal boolean NOT NULL);
        CREATE INDEX ON \(name("sweeps")) (pipeline, source_schema, source_table, finished_at);
        ALTER TABLE \(name("tables")) ADD COLUMN has_erasures boolean NOT NULL DEFAULT false,
            ADD COLUMN raw_from timestamptz;
        """
    }

    private static var script: String {
        """
        CREATE TABLE \(name("meta")) (version integer PRIMARY KEY, made_at timestamptz NOT NULL DEFAULT now());
        CREATE TABLE \(name("checkpoints")) (
            pipeline text, topic text, partition integer, position bigint, token bigint NOT NULL DEFAULT 0, owner text,
            last_offset bigint, last_hash text, decoder_state text, marks json NOT NULL DEFAULT '[]',
            source_time timestamptz, updated_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (pipeline, topic, partition)) WITH (fillfactor = 50);
        CREATE TABLE \(name("ledger")) (
            pipeline text NOT NULL, batch bigint NOT NULL, source_schema text, source_table text, source_range text,
            read bigint NOT NULL, applied bigint NOT NULL, superseded bigint NOT NULL, duplicate bigint NOT NULL,
            compacted bigint NOT NULL, filtered bigint NOT NULL, quarantined bigint NOT NULL, deferred bigint NOT NULL,
            filled bigint NOT NULL, control bigint NOT NULL, committed_at timestamptz NOT NULL DEFAULT now());
        CREATE INDEX ON \(name("ledger")) (pipeline, committed_at);
        CREATE TABLE \(name("quarantine")) (
            pipeline text NOT NULL, id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, source_schema text,
            source_table text, topic text NOT NULL, partition integer NOT NULL, record_offset bigint NOT NULL,
            reason text NOT NULL, op text, key bytea, value bytea, headers text, state text NOT NULL DEFAULT 'waiting',
            loaded_at timestamptz NOT NULL);
        CREATE INDEX ON \(name("quarantine")) (pipeline, id);
        CREATE TABLE \(name("tables")) (
            pipeline text, source_schema text, source_table text, target text NOT NULL, "current_schema" text NOT NULL,
            raw_schema text NOT NULL, live_schema text NOT NULL, history_schema text NOT NULL,
            has_current boolean NOT NULL, has_raw boolean NOT NULL, is_adopted boolean NOT NULL,
            columns json NOT NULL, key json NOT NULL, metadata json NOT NULL, existing text NOT NULL,
            is_filtered boolean NOT NULL, floor_epoch bigint, floor_commit bigint, floor_seq bigint,
            floor_time timestamptz, is_sparse boolean NOT NULL DEFAULT false, has_moves boolean NOT NULL DEFAULT false,
            made_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (pipeline, source_schema, source_table));
        CREATE TABLE \(name("moves")) (
            pipeline text NOT NULL, source_schema text NOT NULL, source_table text NOT NULL, new_key text NOT NULL,
            old_key text NOT NULL, create_epoch bigint NOT NULL, create_commit bigint NOT NULL,
            create_seq bigint NOT NULL, recorded_at timestamptz NOT NULL DEFAULT now());
        CREATE INDEX ON \(name("moves")) (pipeline, source_schema, source_table, hashtextextended(old_key, 0));
        \(backfills)
        \(lateEvents)
        \(holds)
        \(erasures)
        \(schemaChangesScript)
        \(gatesScript)
        \(freshnessScript)
        COMMENT ON SCHEMA \(schema) IS 'What Millrace knows of its pipelines. Written by its agents; readable by all.';
        INSERT INTO \(name("meta")) (version) VALUES (\(WarehouseSchema.version));
        """
    }

    /// Tables of `_millrace` that have rows of a pipeline.
    static let perPipeline = [
        "checkpoints", "ledger", "quarantine", "tables", "moves", "backfills", "late_events", "holds", "deferred",
        "epochs", "erasures", "sweeps", "schema_changes", "gates", "freshness",
    ]
}
