import Foundation
import PipelineFile
import Postgres
import Replication

/// Beginning: whose server it is, whether the slot is ours and holds what we need, what is to be copied.
extension PostgresSource {
    /// Another agent's stream, or what a killed one left, is waited for; then it is said.
    func waitForSlot() async throws {
        let slot = settings.slot
        let start = ContinuousClock.now
        var wait = settings.slotWait
        if settings.isOwnSlot {
            wait = max(wait, try await control.with { try $0.senderTimeout() } + .seconds(5))
        }
        while true {
            guard let found = try await control.with({ try $0.slot(slot) }), let pid = found.activePID else { return }
            if patience.withLock({ $0.isStopping }) { throw Self.stopped }
            guard ContinuousClock.now - start < wait else {
                throw ReplicationError(
                    .taken,
                    "the replication slot \(slot) is in use by process \(pid) of the source: another agent streams it",
                    remedy: """
                        stop the other agent of this pipeline, or end its connection: \
                        psql -c 'select pg_terminate_backend(\(pid))'
                        """)
            }
            try await Task.sleep(for: Waker.pause)
        }
    }

    package func begin(_ claims: [Checkpoint]) async throws -> [LostPartition] {
        guard let claim = claims.first(where: { $0.partition == partition }) else { return [] }
        try await checkServer()
        let stream = try translating { try ReplicationStream(url: settings.server.url.text) }
        self.stream = stream
        let slot = settings.slot
        let found = try await control.with { try $0.slot(slot) }
        let place = try translating { try SourcePlace(claim, slot: slot, stream: stream, found: found) }
        let system = place.system
        if settings.snapshot != .only, let loss = place.loss(since: claim) {
            return [
                LostPartition(
                    partition: partition, reason: loss.reason, remedy: loss.remedy(isBackfill: settings.isBackfill))
            ]
        }

        let (publication, added) = try await publication()
        let isCopyOnly = settings.snapshot == .only
        let position = isCopyOnly ? system.position : try await slotPosition(claim)
        handed = position
        received = position
        durable.withLock { $0.position = claim.position ?? 0 }
        var state =
            claim.decoderState.flatMap(PostgresSourceState.init(json:))
            ?? PostgresSourceState(system: system.identifier, timeline: system.timeline)
        state.timeline = system.timeline
        // Without a stream a half copy can't be gone on with; and what happened to a table that was out of the
        // publication is in no stream. Both are copied anew.
        var marks = isCopyOnly ? [] : try await ledger.copied(job: settings.slot)
        // Somebody set the position to the source's present one, leaving a gap on purpose.
        if claim.position == nil, !marks.isEmpty { state.published = nil }
        self.state = state
        if claim.position == nil { firstPosition = position }

        let returned = added.union(returned(publication))
        marks.removeAll { returned.contains($0.table) }
        copy.take(marks)
        if !isCopyOnly { noteMemberships(Set(marks.map(\.table))) }
        if settings.snapshot == .never {
            if self.state?.consistentSince == nil { self.state?.consistentSince = position }
        } else {
            try await planCopies(publication.tables, marks)
        }
        if settings.snapshot != .only {
            try translating {
                try stream.start(slot: settings.slot, at: position, publication: settings.server.publication)
            }
            logger.info("streaming slot \(settings.slot) from \(LSN.text(position))")
        }
        startTicking()
        return []
    }

    private func checkServer() async throws {
        let found = try await control.with { server in (server.facts, try server.settings()) }
        if found.0.isInRecovery, found.0.serverVersion < 160000 {
            throw ReplicationError(
                .environment, "the source is a standby, which can't stream changes before version 16",
                remedy: "let source.postgres.url name the primary")
        }
        if found.1.walLevel != "logical" {
            throw ReplicationError(
                .environment, "the source writes its log with wal_level \(found.1.walLevel), and changes need logical",
                remedy: "ALTER SYSTEM SET wal_level = logical; then restart the source")
        }
        if !found.1.mayReplicate {
            throw ReplicationError(
                .environment, "user \(found.0.user) of the source may not replicate",
                remedy: "ALTER ROLE \(found.0.user) REPLICATION;")
        }
    }

    // MARK: The slot

    /// Where the stream begins. A slot without a checkpoint (made by hand, or by a start that was killed) is taken as it
    /// is: the copy's snapshot is newer than what it holds.
    private func slotPosition(_ claim: Checkpoint) async throws -> Int64 {
        if let position = claim.position { return position }
        let slot = settings.slot
        guard let found = try await control.with({ try $0.slot(slot) }) else {
            logger.notice("making the replication slot \(slot): waits for the transactions that are open now")
            let maker = SnapshotHolder(url: settings.server.url.text)
            let position = try await waiting(maker) { try await $0.createSlot(slot) }
            await maker.close()
            return position
        }
        guard found.plugin == "pgoutput" else {
            throw ReplicationError(
                .environment, "the replication slot \(slot) is of plugin \(found.plugin), not pgoutput",
                remedy: "set source.postgres.slot to another name")
        }
        guard found.walStatus != "lost", found.invalidation == nil, let position = found.confirmed else {
            throw ReplicationError(
                .environment, "the replication slot \(slot) can't be used any more",
                remedy: "psql -c \"select pg_drop_replication_slot('\(slot)')\", then start again")
        }
        logger.notice("the replication slot \(slot) is there already: it is taken over at \(LSN.text(position))")
        return position
    }

    // MARK: The publication

    /// Before the table's own number was among it, a membership was only that of the publication's row: such a state is
    /// held against that half.
    static func isSame(_ stored: Int64, _ membership: Int64) -> Bool {
        (0..<1 << 32).contains(stored) ? stored == Int64(UInt64(bitPattern: membership) >> 32) : stored == membership
    }

    /// Copied tables that aren't in the publication by the same membership: they were out of it meanwhile, or less of
    /// them was published.
    func returned(_ publication: SourceServer.Publication) -> Set<TableID> {
        memberships = Dictionary(publication.tables.map { ($0.table, $0.membership) }) { $1 }
        guard let before = state?.published else { return [] }
        let returned = memberships.filter { table, membership in
            before[table].map { !Self.isSame($0, membership) } ?? true
        }
        for table in returned.keys.sorted() where before[table] != nil && copy.refused[table] == nil {
            logger.notice("\(table) left the publication and came back: it is copied anew")
        }
        return Set(returned.keys)
    }

    /// To be told in the transaction that says that they are copied or being copied: else a start after a crash would
    /// take an earlier copy for this one.
    func noteMemberships(_ tables: Set<TableID>) {
        var published = state?.published ?? [:]
        for table in tables { published[table] = memberships[table] }
        state?.published = published
    }

    /// The publication as it is, with our tables in it if that is ours to do. Tables that the pipeline doesn't choose are
    /// left out of the answer. `added`: the tables that weren't in it.
    func publication() async throws -> (SourceServer.Publication, added: Set<TableID>) {
        let name = settings.server.publication
        let selector = settings.tables
        let logger = logger
        return try await control.with { server in
            var publication = try server.publication(name)
            var added: Set<TableID> = []
            if publication?.hasAllTables != true, publication?.isOwn != false {
                let published = publication?.members ?? []
                let choice = try Self.publishable(server, selector)
                for table in choice.refused where !published.contains(table) {
                    logger.warning(
                        """
                        \(table): not replicated, as it has no key and no replica identity: published, its updates and \
                        deletes would fail at the source. Try: ALTER TABLE \(table) REPLICA IDENTITY FULL
                        """)
                }
                let missing = choice.tables.filter { !published.contains($0) }
                if publication == nil {
                    guard !missing.isEmpty else { throw Self.nothingToPublish(name) }
                    try server.createPublication(name, missing)
                    logger.notice("made the publication \(name) for \(missing.count) tables")
                } else if !missing.isEmpty {
                    do {
                        try server.addTables(missing, to: name)
                        added = Set(missing)
                        logger.notice("added \(missing.count) tables to the publication \(name)")
                    } catch let error as PostgresError where error.sqlstate == "55P03" {
                        logger.warning("new tables can't be published yet, as one is locked: \(error.description)")
                    }
                }
                publication = try server.publication(name)
            }
            guard var publication else { throw Self.nothingToPublish(name) }
            publication.tables.removeAll { !selector.chooses($0.table.description) }
            guard !publication.tables.isEmpty else {
                throw ReplicationError(
                    .environment, "the publication \(name) has no table that source.include chooses",
                    remedy: "ALTER PUBLICATION \(name) ADD TABLE …; or correct source.include in the pipeline file")
            }
            if !publication.missing.isEmpty {
                let list = publication.missing.joined(separator: ", ")
                logger.warning("the publication \(name) leaves out \(list): those changes aren't replicated")
            }
            return (publication, added)
        }
    }

    private static func nothingToPublish(_ name: String) -> ReplicationError {
        ReplicationError(
            .environment, "there is no publication \(name), and no table to make it for",
            remedy:
                "see that source.include names tables as schema.table, and that the user may read them: millrace check")
    }

    /// Tables that the pipeline chooses and that can be published without harm to whoever writes them.
    static func publishable(
        _ server: SourceServer, _ selector: TableSelector
    ) throws -> (tables: [TableID], refused: [TableID]) {
        var tables: [TableID] = []
        var refused: [TableID] = []
        for table in try Catalog.read(.allUserTables, from: server.session).tables {
            let id = TableID(schema: table.name.schema, table: table.name.name)
            guard selector.chooses(id.description), !table.isPartition, table.isLogged,
                table.kind == .table || table.kind == .partitioned
            else { continue }
            if table.identityColumns.isEmpty { refused.append(id) } else { tables.append(id) }
        }
        return (tables, refused)
    }
}
