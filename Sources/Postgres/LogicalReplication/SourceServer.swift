import Replication

/// What a Postgres source has beside its stream: who it is, its slot and publication, its catalog. On an ordinary
/// session, whose calls block; used by one thread at a time.
package final class SourceServer {
    package let session: Session
    package let facts: Session.Facts

    package init(url: String, interrupter: Interrupter = Interrupter()) throws {
        var settings = ConnectionSettings(url: url)
        // What waits for one table's lock keeps all others waiting.
        settings.serverSettings += ConnectionSettings.patience + [("lock_timeout", "5s")]
        session = try Session(settings, interrupter: interrupter)
        facts = try session.facts()
    }

    package func close() { session.close() }
    package var isUsable: Bool { session.isUsable }

    // MARK: The server

    package struct Settings: Sendable {
        package var walLevel: String
        package var slots_max: Int
        package var slotsUsed: Int
        package var senders_max: Int
        package var sendersUsed: Int
        /// `max_slot_wal_keep_size`; nil: unlimited.
        package var slotRetention: String?
        package var mayReplicate: Bool
        package var mayCreate: Bool
        package var isSuperuser: Bool
    }

    package func settings() throws -> Settings {
        let rows = try session.query(
            """
            SELECT current_setting('wal_level'), current_setting('max_replication_slots'), \
            (SELECT count(*) FROM pg_replication_slots), current_setting('max_wal_senders'), \
            (SELECT count(*) FROM pg_stat_get_wal_senders()), \
            current_setting('max_slot_wal_keep_size', true), r.rolreplication OR r.rolsuper OR EXISTS (\
            SELECT FROM pg_roles m WHERE m.rolname = 'rds_replication' AND pg_has_role(r.oid, m.oid, 'MEMBER')), \
            r.rolsuper, \
            has_database_privilege(current_database(), 'CREATE') FROM pg_roles r WHERE r.rolname = current_user
            """, for: "look at the source's settings")
        func number(_ column: Int) -> Int { Int(rows.integer(0, column) ?? 0) }
        let retention = rows.string(0, 5)
        return Settings(
            walLevel: rows.string(0, 0) ?? "", slots_max: number(1), slotsUsed: number(2), senders_max: number(3),
            sendersUsed: number(4), slotRetention: retention == "-1" || retention == nil ? nil : retention,
            mayReplicate: rows.bool(0, 6), mayCreate: rows.bool(0, 8), isSuperuser: rows.bool(0, 7))
    }

    /// The log's position now: what is written later stands behind it.
    package func position() throws -> Int64 { LSN.settled(try rawPosition()) }

    /// The same as the server says it, which may be where a page's header ends.
    package func rawPosition() throws -> Int64 {
        let text = try session.scalar("SELECT pg_current_wal_insert_lsn()", for: "ask for the log's position")
        guard let lsn = text.flatMap(LSN.parse) else {
            throw PostgresError(
                kind: .permanent, message: "the server gave no position", purpose: "ask for the log's position")
        }
        return lsn
    }

    /// After how long without a word from a client the server gives its connection up; zero: never.
    package func senderTimeout() throws -> Duration {
        let text = try session.scalar(
            "SELECT setting FROM pg_settings WHERE name = 'wal_sender_timeout'", for: "look at the source's settings")
        return .milliseconds(text.flatMap { Int($0) } ?? 0)
    }

    // MARK: The slot

    package struct Slot: Sendable, Equatable {
        package var plugin: String
        package var database: String
        /// The process that streams it now.
        package var activePID: Int64?
        /// All before it was confirmed, and may be gone.
        package var confirmed: Int64?
        package var restart: Int64?
        /// `reserved`, `extended`, `unreserved`, `lost`.
        package var walStatus: String
        /// Why it can't be used any more, where the server says so (from 17 on).
        package var invalidation: String?
        /// Bytes of the log that can't be removed because of it.
        package var retained_bytes: Int64?
        /// Bytes by which they may grow before the slot is lost (`max_slot_wal_keep_size`); nil: without end.
        package var left_bytes: Int64?

        /// The part of its room that is left; nil: it has no bound.
        package var logLeft: Double? {
            guard let left_bytes, let retained_bytes else { return nil }
            return Double(max(0, left_bytes)) / Double(max(1, left_bytes + retained_bytes))
        }
    }

    package func slot(_ name: String) throws -> Slot? {
        let reason =
            facts.serverVersion >= 170000
            ? "invalidation_reason"
            : facts.serverVersion >= 160000 ? "CASE WHEN conflicting THEN 'conflict' END" : "NULL"
        let status = facts.serverVersion >= 130000 ? "wal_status" : "NULL"
        let rows = try session.query(
            """
            SELECT plugin, database, active_pid, confirmed_flush_lsn, restart_lsn, \(status), \(reason), \
            (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - restart_lsn)::bigint, \
            \(facts.serverVersion >= 130000 ? "safe_wal_size" : "NULL") FROM pg_replication_slots WHERE slot_name = \(try quoteLiteral(name))
            """, for: "look for the replication slot \(name)")
        guard rows.count == 1 else { return nil }
        return Slot(
            plugin: rows.string(0, 0) ?? "", database: rows.string(0, 1) ?? "", activePID: rows.integer(0, 2),
            confirmed: rows.string(0, 3).flatMap(LSN.parse), restart: rows.string(0, 4).flatMap(LSN.parse),
            walStatus: rows.string(0, 5) ?? "reserved", invalidation: rows.string(0, 6),
            retained_bytes: rows.integer(0, 7), left_bytes: rows.integer(0, 8))
    }

    package func dropSlot(_ name: String) throws {
        _ = try session.query(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = \(try quoteLiteral(name))",
            for: "drop the replication slot \(name)")
    }

    // MARK: The publication

    package struct Publication: Sendable {
        package var hasAllTables: Bool
        package var viaRoot: Bool
        package var isOwn: Bool
        /// Operations that it leaves out: `insert`, `update`, `delete`, `truncate`.
        package var missing: [String]
        package var tables: [PublishedTable]
        /// Tables that needn't be added: `tables`, and the roots of partitions among them.
        package var members: Set<TableID>
    }

    package struct PublishedTable: Sendable, Equatable {
        package var table: TableID
        /// Its column list; nil: all.
        package var columns: [String]?
        /// Its row filter, as SQL.
        package var filter: String?
        /// The catalog's numbers of its being in the publication (by itself, by its schema, or as one of all tables) and of
        /// itself: a table that was made anew is another one.
        package var membership: Int64

        package init(table: TableID, columns: [String]? = nil, filter: String? = nil, membership: Int64 = 0) {
            self.membership = membership
            self.table = table
            self.columns = columns
            self.filter = filter
        }
    }

    package func publication(_ name: String) throws -> Publication? {
        let literal = try quoteLiteral(name)
        let viaRoot = facts.serverVersion >= 130000 ? "pubviaroot" : "false"
        let hasLists = facts.serverVersion >= 150000
        let lists = hasLists ? "t.attnames::text[], t.rowfilter" : "NULL, NULL"
        let bySchema =
            hasLists
            ? """
            (SELECT max(s.oid) FROM pg_publication_namespace s WHERE s.pnpubid = p.oid AND s.pnnspid IN (SELECT x.relnamespace \
            FROM pg_class x WHERE x.oid = tc.oid OR x.oid IN (SELECT a.relid FROM pg_partition_ancestors(tc.oid) AS a(relid))))
            """ : "NULL"
        let answers = try session.script(
            """
            SELECT puballtables, \(viaRoot), pg_has_role(pubowner, 'USAGE'), pubinsert, pubupdate, pubdelete, pubtruncate \
            FROM pg_publication WHERE pubname = \(literal);
            SELECT t.schemaname, t.tablename, \(lists), (coalesce((SELECT max(r.oid) FROM pg_publication_rel r \
            WHERE r.prpubid = p.oid AND (r.prrelid = tc.oid \
            OR r.prrelid IN (SELECT a.relid FROM pg_partition_ancestors(tc.oid) AS a(relid)))), \(bySchema), p.oid)::bigint << 32) | tc.oid::bigint \
            FROM pg_publication_tables t JOIN pg_publication p ON p.pubname = t.pubname \
            JOIN pg_namespace tn ON tn.nspname = t.schemaname \
            JOIN pg_class tc ON tc.relnamespace = tn.oid AND tc.relname = t.tablename WHERE t.pubname = \(literal) \
            ORDER BY 1, 2;
            SELECT n.nspname, c.relname FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid \
            JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE p.pubname = \(literal) \
            UNION SELECT n.nspname, c.relname FROM pg_publication_tables t JOIN pg_namespace tn ON tn.nspname = t.schemaname \
            JOIN pg_class tc ON tc.relnamespace = tn.oid AND tc.relname = t.tablename \
            JOIN pg_partition_ancestors(tc.oid) AS a(relid) ON true \
            JOIN pg_class c ON c.oid = a.relid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE t.pubname = \(literal)
            """, for: "look at the publication \(name)")
        guard answers.count == 3, answers[0].count == 1 else { return nil }
        let rows = answers[1]
        let tables = (0..<rows.count).map { row in
            PublishedTable(
                table: TableID(schema: rows.string(row, 0) ?? "", table: rows.string(row, 1) ?? ""),
                columns: rows.string(row, 2).flatMap(Self.names), filter: rows.string(row, 3),
                membership: rows.integer(row, 4) ?? 0)
        }
        let operations = ["insert", "update", "delete", "truncate"]
        let missing = operations.enumerated().filter { !answers[0].bool(0, 3 + $0.offset) }.map(\.element)
        return Publication(
            hasAllTables: answers[0].bool(0, 0), viaRoot: answers[0].bool(0, 1), isOwn: answers[0].bool(0, 2),
            missing: missing, tables: tables,
            members: Set(
                tables.map(\.table)
                    + (0..<answers[2].count).map {
                        TableID(schema: answers[2].string($0, 0) ?? "", table: answers[2].string($0, 1) ?? "")
                    }))
    }

    /// The names in a text[] literal.
    private static func names(_ literal: String) -> [String]? {
        guard literal.hasPrefix("{"), literal.hasSuffix("}") else { return nil }
        var names: [String] = []
        var name = ""
        var isQuoted = false
        var isEscaped = false
        for character in literal.dropFirst().dropLast() {
            if isEscaped {
                name.append(character)
                isEscaped = false
            } else if character == "\\" {
                isEscaped = true
            } else if character == "\"" {
                isQuoted.toggle()
            } else if character == ",", !isQuoted {
                names.append(name)
                name = ""
            } else {
                name.append(character)
            }
        }
        if !name.isEmpty || !names.isEmpty { names.append(name) }
        return names
    }

    package func createPublication(_ name: String, _ tables: [TableID]) throws {
        try session.execute(try publicationStatement(name, tables), for: "make the publication \(name)")
    }

    /// What makes it.
    package func publicationStatement(_ name: String, _ tables: [TableID]) throws -> String {
        let list = try tables.map { try quoteIdentifier(schema: $0.schema, $0.table) }
        let viaRoot = facts.serverVersion >= 130000 ? " WITH (publish_via_partition_root = true)" : ""
        return "CREATE PUBLICATION \(try quoteIdentifier(name)) FOR TABLE \(list.joined(separator: ", "))\(viaRoot)"
    }

    package func addTables(_ tables: [TableID], to publication: String) throws {
        let list = try tables.map { try quoteIdentifier(schema: $0.schema, $0.table) }
        try session.execute(
            "ALTER PUBLICATION \(try quoteIdentifier(publication)) ADD TABLE \(list.joined(separator: ", "))",
            for: "add tables to the publication \(publication)")
    }

    package func dropPublication(_ name: String) throws {
        try session.execute(
            "DROP PUBLICATION IF EXISTS \(try quoteIdentifier(name))", for: "drop the publication \(name)")
    }

    // MARK: Tables

    /// What the catalog says of tables, where they are still there.
    package func relations(_ tables: [PublishedTable]) throws -> [RelationFacts] {
        let names = tables.map { CatalogTable.Name(schema: $0.table.schema, name: $0.table.table) }
        guard !names.isEmpty else { return [] }
        let catalog = try Catalog.read(.named(names), from: session)
        return tables.compactMap { published in
            catalog.table(published.table.schema, published.table.table).map {
                RelationFacts($0, columns: published.columns)
            }
        }
    }

    /// What is read for a table's copy: itself, or the leaves of a partitioned one.
    package struct Part: Sendable, Equatable {
        package var schema: String
        package var name: String
        /// The relation and its file: `16385/16391`.
        package var identity: String
        /// The relation's number.
        package var relation: String { String(identity.prefix { $0 != "/" }) }
        package var blocks: Int64
        /// As the planner guesses; for the progress bar.
        package var rows: Int64

        package init(schema: String, name: String, identity: String, blocks: Int64, rows: Int64) {
            self.schema = schema
            self.name = name
            self.identity = identity
            self.blocks = blocks
            self.rows = rows
        }
    }

    /// By number, as looking a name up needs a right on its schema, whose lack is told table by table.
    package func parts(of table: TableID) throws -> [Part] {
        let purpose = "look at the blocks of \(table)"
        // From the catalog's rows, which nobody's lock on the table keeps from being read.
        func parts(_ blocks: String) throws -> Rows {
            try session.query(
                """
                WITH RECURSIVE tree AS (SELECT '\(try number(of: table))'::oid AS relid UNION \
                SELECT i.inhrelid FROM tree JOIN pg_inherits i ON i.inhparent = tree.relid \
                JOIN pg_class p ON p.oid = i.inhrelid AND p.relispartition) \
                SELECT n.nspname, c.relname, c.oid::text || '/' || coalesce(pg_relation_filenode(c.oid), 0)::text, \
                \(blocks), greatest(c.reltuples, 0)::bigint \
                FROM tree JOIN pg_class c ON c.oid = tree.relid JOIN pg_namespace n ON n.oid = c.relnamespace \
                WHERE c.relkind = 'r' ORDER BY c.oid
                """, for: purpose)
        }
        let rows: Rows
        do {
            rows = try session.transaction(for: purpose) {
                // A file's size is only told to who may open the table.
                try session.execute("SET LOCAL lock_timeout = '100ms'", for: purpose)
                return try parts("pg_relation_size(c.oid) / current_setting('block_size')::bigint")
            }
        } catch let error as PostgresError where error.sqlstate == "55P03" {
            // As it was when it was looked at last; the last chunk goes to the end, however far that is.
            rows = try parts("c.relpages::bigint")
        }
        return (0..<rows.count).map { row in
            Part(
                schema: rows.string(row, 0) ?? "", name: rows.string(row, 1) ?? "", identity: rows.string(row, 2) ?? "",
                blocks: rows.integer(row, 3) ?? 0, rows: rows.integer(row, 4) ?? 0)
        }
    }

    /// Whether the user may read it.
    package func isReadable(_ table: TableID) throws -> Bool {
        let number = try number(of: table)
        return try session.scalar(
            """
            SELECT has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(c.relnamespace, 'USAGE') FROM pg_class c \
            WHERE c.oid = \(number)
            """, for: "look at the rights on \(table)") == "t"
    }

    /// Whether the user has its owner's rights.
    package func isOwned(_ table: TableID) throws -> Bool {
        let number = try number(of: table)
        return try session.scalar(
            "SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_class c WHERE c.oid = \(number)",
            for: "look at the owner of \(table)") == "t"
    }

    /// Of a table that is gone: 0.
    private func number(of table: TableID) throws -> UInt32 {
        let text = try session.scalar(
            """
            SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
            WHERE n.nspname = \(try quoteLiteral(table.schema)) AND c.relname = \(try quoteLiteral(table.table))
            """, for: "look for \(table)")
        return text.flatMap { UInt32($0) } ?? 0
    }
}

extension RelationFacts {
    /// - Parameter columns: the publication's column list, if it has one.
    init(_ table: CatalogTable, columns list: [String]?) {
        let published = table.columns.filter { !$0.isGenerated && (list?.contains($0.name) ?? true) }
        self.init(
            oid: table.oid, table: TableID(schema: table.name.schema, table: table.name.name), key: table.primaryKey,
            identity: table.identityColumns, isFull: table.replicaIdentity == .full,
            columns: published.map { ($0.name, $0.replicatedType) })
        for column in published {
            traits[column.name] = Trait(
                number: Int(column.number), isNotNull: column.isNotNull, missing: column.missingValue,
                isFilled: column.missingValue == nil && (column.hasDefault || column.isIdentity || column.isNotNull))
        }
    }
}
