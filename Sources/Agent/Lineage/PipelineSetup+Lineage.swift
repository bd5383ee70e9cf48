import Logging
import PipelineFile
import Replication

extension PipelineSetup {
    /// Tells of what this process does; nil: the pipeline file doesn't ask for it.
    ///
    /// - Parameters:
    ///   - live: whose tables are told, as they are then; nil: this one's.
    ///   - follows: a run that the process' own status tells; nil: what it does is reported one by one.
    ///   - chooses: of the pipeline's tables those that it is about.
    ///   - readsCatalog: of a Kafka pipeline the source's database is read, no topic.
    func makeLineage(
        live: LiveSetup? = nil, status: AgentStatus? = nil, follows: (job: LineageJob, isContinuous: Bool)? = nil,
        readsCatalog: Bool = false, chooses: @escaping @Sendable (TableID) -> Bool = { _ in true },
        last_s: Double = 10
    ) -> LineageReporter? {
        guard let settings = pipeline.lineage else { return nil }
        var facts = LineageFacts(pipeline, settings, layout: layout)
        if readsCatalog, case .kafka(_, let catalog?) = facts.source {
            facts.source = .postgres(catalog.namespace, catalog.database)
        }
        let builder = LineageEventBuilder(facts)
        return LineageReporter(
            settings, builder,
            runs: follows.map { LineageRuns(builder, $0.job, isContinuous: $0.isContinuous) }, status: status,
            logger: logger, last_s: last_s,
            tables: { snapshot in
                (live?.setup ?? self).lineageTables(snapshot).filter { chooses($0.id) }
            })
    }

    /// The replicated tables of a status, in order.
    func lineageTables(_ snapshot: AgentStatus.Snapshot) -> [LineageTable] {
        snapshot.tables.sorted { $0.key < $1.key }.compactMap { id, table in
            guard let choice = choice(id) else { return nil }
            var told = LineageTable(definition: table.definition, ledger: table.ledger)
            told.hashed = choice.hashed
            // What is excluded is excluded here, too.
            told.filtered = (choice.filter?.columns ?? []).filter { name in
                table.definition.columns.contains { $0.isCalled(name) }
            }
            told.topics = table.topics.sorted()
            return told
        }
    }
}

extension Optional where Wrapped == LineageReporter {
    /// Does `work`, which reports its runs one by one: while it lasts they are told to go on, and what wasn't taken is sent
    /// again.
    func whileOpen<R>(_ work: () async throws -> R) async throws -> R {
        await self?.begin()
        do {
            let result = try await work()
            await self?.close()
            return result
        } catch {
            await self?.close()
            throw error
        }
    }

    /// Does `work`, a command's own run, and tells how it ended.
    ///
    /// - Parameter stopped: whether somebody asked for its end: what fails then is aborted.
    /// - Returns: what `work` does: its exit code, where that isn't 0 with why it isn't.
    func telling(
        stopped: @escaping @Sendable () -> Bool = { false },
        _ work: () async throws -> (exit: Int32, failure: String?)
    ) async throws -> Int32 {
        guard let reporter = self else { return try await work().exit }
        await reporter.begin()
        do {
            let (exit, failure) = try await work()
            await reporter.end(failure.map { .failed($0) } ?? .complete)
            return exit
        } catch {
            let kind = (error as? ReplicationError)?.kind
            let message = ExitStatus.failure(of: error).message
            let isAborted = kind == .taken || kind == .fenced || stopped()
            await reporter.end(isAborted ? .aborted(message) : .failed(message), isUnbegun: kind == .taken)
            throw error
        }
    }
}
