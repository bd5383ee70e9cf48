import PipelineFile
import Replication
import Synchronization

/// Reads the pipeline file again for a running agent, by SIGHUP or on request; one at a time.
final class Reloading: Sendable {
    typealias Work = @Sendable () async throws -> ReloadReport

    private let context: CommandContext
    private let turn = Mutex(Turn())

    private struct Turn {
        var work: Work?
        var isBusy = false
        /// A signal came. However many do meanwhile, the file is read once more.
        var isSignalled = false
    }

    init(context: CommandContext) { self.context = context }

    /// A signal that came before this is answered now: the file may have been written since the start read it.
    func begin(_ work: @escaping Work) {
        turn.withLock { $0.work = work }
        answerSignals()
    }

    /// For a signal, whose sender hears nothing: the log says what came of it. One that comes while the file is being read
    /// is answered afterwards, since the file may have been written since.
    func signal() {
        turn.withLock { $0.isSignalled = true }
        answerSignals()
    }

    private func answerSignals() {
        let work = turn.withLock { turn -> Work? in
            guard turn.isSignalled, !turn.isBusy, let work = turn.work else { return nil }
            (turn.isSignalled, turn.isBusy) = (false, true)
            return work
        }
        guard let work else { return }
        Task {
            defer { end() }
            do {
                _ = try await work()
            } catch {
                let failure = ExitStatus.failure(of: error)
                context.logger.error(
                    "the pipeline file wasn't reloaded, and the agent goes on as before: \(failure.message)",
                    metadata: failure.remedy.map { ["try": "\($0)"] } ?? [:])
            }
        }
    }

    private func end() {
        turn.withLock { $0.isBusy = false }
        answerSignals()
    }

    /// On request.
    ///
    /// - Throws: where a reload is under way, or the file can't be taken.
    func run() async throws -> ReloadReport {
        let work = turn.withLock { turn -> Work? in
            guard !turn.isBusy, let work = turn.work else { return nil }
            turn.isBusy = true
            return work
        }
        guard let work else {
            throw CommandFailure(
                ExitStatus.environment, "the pipeline file is being reloaded already", try: "try again in a moment")
        }
        defer { end() }
        return try await work()
    }

    func reload(
        _ live: LiveSetup, _ warehouse: any Warehouse, _ replication: ReplicationService
    ) async throws -> ReloadReport {
        let old = live.setup
        let (setup, report) = try Reload(old: old, known: try await warehouse.knownTables()).read(context.file)
        guard report.hasChanged else {
            context.logger.notice("the pipeline file says what it said")
            return report
        }
        context.logger.notice("the pipeline file was reloaded")
        for (what, tables) in [("added", report.added), ("removed", report.removed), ("changed", report.changed)] {
            for table in tables { context.logger.notice("\(what) by the reload: \(table)") }
        }
        if case .kafka = setup.pipeline.source.input {
            for table in report.added {
                context.logger.warning(
                    "\(table): what its topic held before this is passed, and isn't read again",
                    metadata: [
                        "try": "millrace checkpoint set --to-offset earliest, or with a catalog: millrace backfill"
                    ])
            }
        }
        try await replication.reload(setup)
        return report
    }
}

extension LiveSetup {
    /// What commands ask of the running agent, by the setup that is in force when they do.
    func control(
        _ warehouse: any Warehouse, catalog: SourceCatalog?, running: WarehouseControl.Running
    ) -> WarehouseControl {
        setup.control(warehouse, catalog: catalog, running: running, live: self)
    }
}
