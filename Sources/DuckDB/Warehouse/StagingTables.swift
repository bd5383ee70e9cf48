import Replication

/// The session's temporary tables. They live as long as it does, and are empty between transactions.
///
/// Staging tables have numbered columns, so that no source column's name can collide with ours: `c0`… for the
/// source's, `s_…` for the row's. Made in a transaction, they are gone if it is rolled back.
final class StagingTables {
    /// Rows of current that staged rows meet, and what becomes of them.
    static let verdicts = "millrace_verdicts"
    /// Events looked up by their id or image.
    static let probes = "millrace_probes"
    /// Rows of keyless tables that end.
    static let endings = "millrace_endings"
    static let keys = "millrace_keys"
    static let moves = "millrace_moves"

    static let script = """
        CREATE TEMP TABLE \(verdicts) (ord INTEGER, rid BIGINT, kind UTINYINT, take VARCHAR, map VARCHAR,
            time TIMESTAMP WITH TIME ZONE, epoch BIGINT, commit BIGINT, seq BIGINT);
        CREATE TEMP TABLE \(probes) (item INTEGER, id UUID, image UUID);
        CREATE TEMP TABLE \(endings) (id UUID, ended_by UUID, time TIMESTAMP WITH TIME ZONE,
            epoch BIGINT, commit BIGINT, seq BIGINT);
        CREATE TEMP TABLE \(keys) (key VARCHAR);
        CREATE TEMP TABLE \(moves) (new_key VARCHAR, old_key VARCHAR, epoch BIGINT, commit BIGINT, seq BIGINT);
        """

    /// Of one replicated table.
    final class Stage {
        let sql: TableSQL
        let table: String
        let writer: FieldWriter
        let columns: [AppenderColumn]
        fileprivate(set) var isMade = false
        /// The keys of rows that may be new.
        let keyTable: String
        let keyColumns: [AppenderColumn]
        let keyWriter: FieldWriter
        fileprivate(set) var hasKeyTable = false
        /// Current's, for values that need no conversion.
        let currentColumns: [AppenderColumn]
        /// Rows that no merge has taken away.
        var isFilled = false

        init(_ sql: TableSQL, number: Int) {
            self.sql = sql
            table = "millrace_stage_\(number)"
            writer = FieldWriter(sql.forms, of: sql.definition.source)
            keyTable = "\(table)_keys"
            let keys = sql.definition.key.map { sql.forms[$0] }
            keyWriter = FieldWriter(keys, of: sql.definition.source)
            keyColumns = keys.enumerated().map { AppenderColumn("k\($0.offset)", $0.element.staged) }
            let ours: [ColumnKind] = [
                .bool, .timestamptz, .timestamptz, .timestamptz, .int64, .int64, .int64, .varchar,
            ]
            currentColumns =
                sql.forms.map { AppenderColumn($0.name, $0.staged) }
                + zip(sql.metadataColumns, ours).map { AppenderColumn($0.name, $1) }
            columns =
                sql.forms.enumerated().map { AppenderColumn("c\($0.offset)", $0.element.staged) } + [
                    AppenderColumn("s_ord", .int32), AppenderColumn("s_deleted", .bool),
                    AppenderColumn("s_time", .timestamptz), AppenderColumn("s_epoch", .int64),
                    AppenderColumn("s_commit", .int64), AppenderColumn("s_seq", .int64),
                    AppenderColumn("s_map", .varchar), AppenderColumn("s_id", .uuid), AppenderColumn("s_image", .uuid),
                ]
        }

        fileprivate var create: String { Self.create(table, columns) }

        private static func create(_ table: String, _ columns: [AppenderColumn]) -> String {
            let list = columns.map { "\($0.name) \($0.kind.sqlName)" }.joined(separator: ", ")
            return "CREATE OR REPLACE TEMP TABLE \(table) (\(list))"
        }

        fileprivate var createKeys: String { Self.create(keyTable, keyColumns) }
    }

    let statements: StatementCache
    var insertPauses = InsertPauses()
    private var stages: [TableID: Stage] = [:]
    private var madeInTransaction: [Stage] = []
    private var count = 0

    init(_ session: Session) { statements = StatementCache(session) }

    /// The staging table for a definition, made if it isn't there.
    func stage(_ definition: TableDefinition, _ layout: WarehouseLayout, _ session: Session) throws -> Stage {
        let stage = try plan(definition, layout, session)
        if !stage.isMade {
            try session.run(stage.create, purpose: stage.sql.purpose("staging rows of"))
            stage.isMade = true
            madeInTransaction.append(stage)
        }
        return stage
    }

    /// Makes the table of the stage's keys if it isn't there.
    func ensureKeys(_ stage: Stage, _ session: Session, purpose: String) throws {
        guard !stage.hasKeyTable else { return }
        try session.run(stage.createKeys, purpose: purpose)
        stage.hasKeyTable = true
        madeInTransaction.append(stage)
    }

    /// The table's statements; makes nothing.
    func sql(_ definition: TableDefinition, _ layout: WarehouseLayout, _ session: Session) throws -> TableSQL {
        try plan(definition, layout, session).sql
    }

    private func plan(
        _ definition: TableDefinition, _ layout: WarehouseLayout, _ session: Session
    ) throws -> Stage {
        if let known = stages[definition.source] {
            if known.sql.definition == definition { return known }
            // It got columns, and so another staging table.
            statements.removeAll()
            if known.isMade {
                try session.run(
                    "DROP TABLE IF EXISTS \(known.table); DROP TABLE IF EXISTS \(known.keyTable)",
                    purpose: known.sql.purpose("staging rows of"))
            }
        }
        count += 1
        var sql = TableSQL(definition, layout)
        sql.others = try Self.others(sql, session)
        let stage = Stage(sql, number: count)
        stages[definition.source] = stage
        return stage
    }

    /// Somebody else's columns in a table of ours: an adopted one has them.
    private static func others(_ sql: TableSQL, _ session: Session) throws -> [String] {
        let ours = Set(sql.currentColumns.map { SQLName.folded($0.name) })
        let catalog = CatalogReader(session: session)
        let others = try catalog.columns(sql.layout.current, sql.definition.target)
            .filter { !ours.contains(SQLName.folded($0.name)) }
        let generated = try catalog.generated(others, sql.layout.current, sql.definition.target)
        return others.filter { !generated.contains($0.name) }.map { SQLName.quoted($0.name) }
    }

    func begin() { madeInTransaction.removeAll() }

    func rolledBack() {
        // What the transaction took away from them is back.
        for stage in stages.values { stage.isFilled = true }
        for stage in madeInTransaction {
            stage.isMade = false
            stage.hasKeyTable = false
        }
        madeInTransaction.removeAll()
    }
}
