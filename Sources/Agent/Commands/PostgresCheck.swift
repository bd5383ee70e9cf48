import PipelineFile
import Postgres
import Replication

/// `check` of a Postgres source: server, rights, slot, publication, and each table that is or isn't replicated.
struct PostgresCheck: Sendable {
    let server: Pipeline.PostgresServer
    let setup: PipelineSetup

    func findings(_ warehouse: (any Warehouse)?) async -> [Finding] {
        let control = SourceControl(url: server.url.text)
        var findings: [Finding] = []
        do {
            // The slot first: it is never ahead of a checkpoint that is read behind it, however busy the agent is.
            let slot = try await control.with { try $0.slot(server.slot) }
            let checkpoint = try? await checkpoint(warehouse)
            let known = Set(((try? await warehouse?.knownTables()) ?? []).filter(\.hasShape).map(\.source))
            let (found, definitions) = try await control.with { source in
                var definitions: [TableDefinition] = []
                let found =
                    try serverFindings(source, slot) + slotFindings(slot, checkpoint)
                    + tableFindings(source, &definitions)
                return (found, definitions)
            }
            findings += found
            if let warehouse {
                for definition in definitions where !known.contains(definition.source) {
                    findings += try await CheckCommand.foreign(definition, warehouse, setup)
                }
            }
        } catch {
            findings.append(CheckCommand.finding(error, "source"))
        }
        await control.close()
        return findings
    }

    private func checkpoint(_ warehouse: (any Warehouse)?) async throws -> Checkpoint? {
        try await warehouse?.checkpoints().first { $0.partition.topic == server.slot }
    }

    // MARK: The server

    private func serverFindings(_ source: SourceServer, _ slot: SourceServer.Slot?) throws -> [Finding] {
        let settings = try source.settings()
        let user = source.facts.user
        let version = source.facts.serverVersion
        var findings = [
            Finding(.ok, "source", "Postgres \(version / 10000).\(version % 10000), database \(source.facts.database)")
        ]
        if source.facts.isInRecovery {
            findings.append(
                Finding(
                    version >= 160000 ? .warning : .error, "source", "it is a standby",
                    remedy: "let source.postgres.url name the primary"))
        }
        if settings.walLevel != "logical" {
            findings.append(
                Finding(
                    .error, "source", "wal_level is \(settings.walLevel), and changes need logical",
                    remedy: "ALTER SYSTEM SET wal_level = logical; then restart the source"))
        }
        if !settings.mayReplicate {
            findings.append(
                Finding(.error, "source", "user \(user) may not replicate", remedy: "ALTER ROLE \(user) REPLICATION;"))
        }
        // The copy takes one more of each, for as long as its snapshot is open.
        let slotsWanted = slot == nil ? 2 : 1
        if settings.slots_max - settings.slotsUsed < slotsWanted {
            findings.append(
                Finding(
                    .error, "source",
                    "of \(settings.slots_max) replication slots \(settings.slotsUsed) are taken, \(slotsWanted) more are wanted",
                    remedy:
                        "ALTER SYSTEM SET max_replication_slots = \(settings.slotsUsed + slotsWanted + 4); then restart the source"
                ))
        }
        if settings.senders_max - settings.sendersUsed < 2 {
            findings.append(
                Finding(
                    .error, "source",
                    "of \(settings.senders_max) senders \(settings.sendersUsed) are taken, 2 more are wanted",
                    remedy: "ALTER SYSTEM SET max_wal_senders = \(settings.sendersUsed + 6); then restart the source"))
        }
        if settings.slotRetention == nil, version >= 130000 {
            findings.append(
                Finding(
                    .warning, "source",
                    "max_slot_wal_keep_size is unlimited: while the agent is away the source's disk fills with its log",
                    remedy:
                        "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; a slot that falls behind further is lost, which is told"
                ))
        }
        return findings
    }

    // MARK: The slot

    private func slotFindings(_ slot: SourceServer.Slot?, _ checkpoint: Checkpoint?) throws -> [Finding] {
        let name = "slot \(server.slot)"
        if let slot, slot.plugin != "pgoutput" {
            return [
                Finding(
                    .error, name, "its plugin is \(slot.plugin), not pgoutput",
                    remedy: "set source.postgres.slot to another name")
            ]
        }
        if let checkpoint, setup.pipeline.source.snapshot != .only {
            do {
                if let loss = try place(checkpoint, slot).loss(since: checkpoint) {
                    return [Finding(.error, name, loss.reason, remedy: loss.remedy())]
                }
            } catch let error as PostgresError {
                // A role that may not replicate; the other findings are told all the same.
                return [CheckCommand.finding(ReplicationError(source: error), name)]
            }
        }
        guard let slot else { return [Finding(.ok, name, "will be made")] }
        if slot.walStatus == "lost" || slot.invalidation != nil {
            return [
                Finding(
                    .error, name, "it was invalidated, and can't be used any more",
                    remedy: "psql -c \"select pg_drop_replication_slot('\(server.slot)')\", then millrace run")
            ]
        }
        let used = slot.activePID.map { ", streamed by process \($0)" } ?? ""
        return [Finding(.ok, name, "stands at \(slot.confirmed.map(LSN.text) ?? "no position")\(used)")]
    }

    /// By a connection as the stream's, which alone tells timelines.
    private func place(_ checkpoint: Checkpoint, _ slot: SourceServer.Slot?) throws -> SourcePlace {
        let stream = try ReplicationStream(url: server.url.text)
        defer { stream.close() }
        return try SourcePlace(checkpoint, slot: server.slot, stream: stream, found: slot)
    }

    // MARK: Tables

    /// - Parameter definitions: what would be made in the warehouse.
    private func tableFindings(_ source: SourceServer, _ definitions: inout [TableDefinition]) throws -> [Finding] {
        let selector = setup.pipeline.source.tables
        let publication = try source.publication(server.publication)
        var findings: [Finding] = []
        if let publication {
            let count = publication.tables.count
            findings.append(
                Finding(.ok, "publication \(server.publication)", count == 1 ? "1 table" : "\(count) tables"))
            if !publication.missing.isEmpty {
                findings.append(
                    Finding(
                        .warning, "publication \(server.publication)",
                        "it leaves out \(publication.missing.joined(separator: ", "))",
                        remedy:
                            "ALTER PUBLICATION \(server.publication) SET (publish = 'insert, update, delete, truncate');"
                    ))
            }
        }
        let published = Dictionary(
            (publication?.tables ?? []).map { ($0.table, $0) }, uniquingKeysWith: { first, _ in first })
        var chosen = 0
        for table in try Catalog.read(.allUserTables, from: source.session).tables {
            let id = TableID(schema: table.name.schema, table: table.name.name)
            guard selector.chooses(id.description) else {
                if published[id] != nil || publication == nil {
                    findings.append(
                        Finding(.ok, id.description, "not replicated: source.include and source.exclude leave it out"))
                }
                continue
            }
            // A partition's changes come under its root, where the publication is so.
            if published[id] == nil, table.isPartition || publication?.members.contains(id) == true { continue }
            chosen += 1
            findings += try self.table(table, id, published[id], publication, source, &definitions)
        }
        if publication == nil { findings.insert(try newPublication(source), at: 0) }
        if chosen == 0 {
            findings.append(
                Finding(
                    .error, "source", "source.include chooses no table of database \(source.facts.database)",
                    remedy: "name tables as schema.table: include: [\"public.*\"]"))
        }
        return findings
    }

    /// Only who owns the tables, and may create in the database, makes one.
    private func newPublication(_ source: SourceServer) throws -> Finding {
        let name = "publication \(server.publication)"
        let tables = try PostgresSource.publishable(source, setup.pipeline.source.tables).tables
        guard !tables.isEmpty else {
            return Finding(
                .error, name, "there is none, and no table to make it for",
                remedy: "see below what keeps each table from being replicated")
        }
        let settings = try source.settings()
        var reason: String?
        if !settings.isSuperuser {
            let foreign = try tables.first { try !source.isOwned($0) }
            reason =
                settings.mayCreate
                ? foreign.map { "it doesn't own \($0)" } : "it may not create in database \(source.facts.database)"
        }
        guard let reason else { return Finding(.ok, name, "will be made") }
        let statement = try source.publicationStatement(server.publication, tables)
        return Finding(
            .error, name, "user \(source.facts.user) can't make it: \(reason)",
            remedy: "as a role that owns the tables and may create in the database: \(statement);")
    }

    private func table(
        _ table: CatalogTable, _ id: TableID, _ published: SourceServer.PublishedTable?,
        _ publication: SourceServer.Publication?, _ source: SourceServer, _ definitions: inout [TableDefinition]
    ) throws -> [Finding] {
        let name = id.description
        if !table.isLogged {
            return [
                Finding(.warning, name, "not replicated: it is unlogged or temporary, so its changes aren't in the log")
            ]
        }
        if published == nil {
            if table.identityColumns.isEmpty {
                return [
                    Finding(
                        .warning, name,
                        "not replicated: it has no key and no replica identity, so its updates and deletes would fail once it is published",
                        remedy: "ALTER TABLE \(name) REPLICA IDENTITY FULL;")
                ]
            }
            if let publication, publication.hasAllTables || !publication.isOwn {
                return [
                    Finding(
                        .warning, name, "not replicated: the publication \(server.publication) doesn't have it",
                        remedy: "ALTER PUBLICATION \(server.publication) ADD TABLE \(name);")
                ]
            }
            if publication != nil, try !source.isOwned(id) {
                return [
                    Finding(
                        .error, name,
                        "user \(source.facts.user) can't add it to the publication \(server.publication): it doesn't own it",
                        remedy: "as its owner: ALTER PUBLICATION \(server.publication) ADD TABLE \(name);")
                ]
            }
        }
        let target = "\(setup.layout.current).\(setup.pipeline.target(schema: id.schema, table: id.table))"
        let facts = try source.relations([published ?? .init(table: id, columns: nil, filter: nil)]).first
        let key = setup.pipeline.table(source: name)?.key ?? facts?.effectiveKey ?? []
        if let definition = facts.flatMap(setup.definition) { definitions.append(definition) }
        var findings = [
            Finding(
                .ok, name,
                "→ \(target), \(key.isEmpty ? "without a key" : "key (\(key.joined(separator: ", ")))")")
        ]
        if try !source.isReadable(id) {
            findings.append(
                Finding(
                    .error, name, "user \(source.facts.user) may not read it",
                    remedy:
                        "GRANT USAGE ON SCHEMA \(id.schema) TO \(source.facts.user); GRANT SELECT ON \(name) TO \(source.facts.user);"
                ))
        }
        if table.isPrimaryKeyDeferrable, !table.primaryKey.isEmpty {
            findings.append(
                Finding(
                    table.replicaIdentity == .full ? .warning : .error, name,
                    "its primary key is deferrable: it is no replica identity, and rows may change places within one transaction",
                    remedy: "ALTER TABLE \(name) REPLICA IDENTITY FULL;"))
        } else if !Set(key).isSubset(of: table.identityColumns) {
            findings.append(
                Finding(
                    .error, name,
                    "its replica identity doesn't cover the key (\(key.joined(separator: ", "))): deletes don't tell which row they mean",
                    remedy: "ALTER TABLE \(name) REPLICA IDENTITY FULL;"))
        }
        if key.isEmpty, table.replicaIdentity != .full {
            findings.append(
                Finding(
                    .warning, name, "it has no key and no full replica identity: only its inserts can be replicated",
                    remedy: "ALTER TABLE \(name) REPLICA IDENTITY FULL;"))
        }
        let generated = table.columns.filter(\.isGenerated).map(\.name)
        if !generated.isEmpty {
            findings.append(
                Finding(.ok, name, "generated columns aren't replicated: \(generated.joined(separator: ", "))"))
        }
        return findings
    }
}
