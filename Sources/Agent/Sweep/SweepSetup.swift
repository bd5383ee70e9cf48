import PipelineFile
import Replication

extension PipelineSetup {
    /// The sweeps of a running agent.
    ///
    /// - Parameters:
    ///   - lineage: is told of each.
    ///   - hurry: lets the checkpoint come to a position of the source at once.
    ///   - copyAnew: copies tables from the source and returns when that is through; nil: the source can't.
    package func sweepJobs(
        _ warehouse: any Warehouse, _ status: AgentStatus, _ live: LiveSetup, lineage: LineageReporter? = nil,
        hurry: @escaping @Sendable (Int64) -> Void = { _ in },
        copyAnew: (@Sendable ([TableID]) async throws -> Void)? = nil
    ) -> SweepJobs {
        let folds = FoldSweeper.Findings()
        let findings = Sweeper.Findings()
        let tried = LateReconciler.Tried()
        let input = pipeline.source.input
        @Sendable func folder(_ request: SweepRequest, _ progress: @escaping @Sendable (String) -> Void) -> FoldSweeper
        {
            FoldSweeper(
                setup: live.setup, warehouse: warehouse, status: status, findings: folds, request: request,
                progress: progress)
        }
        /// With a source that can be asked; nil: there is none.
        @Sendable func withSweeper<R>(
            _ request: SweepRequest, _ progress: @escaping @Sendable (String) -> Void,
            _ body: (Sweeper) async throws -> R
        ) async throws -> R? {
            let way: (url: String, route: any SweepRoute)
            switch input {
            case .postgres(let server):
                way = (
                    server.url.text,
                    DirectRoute(publication: server.publication, status: status, hurry: hurry)
                )
            case .kafka(let kafka):
                guard let url = kafka.catalog?.text else { return nil }
                try live.setup.layout.requireLayers("a sweep through kafka.catalog")
                way = (url, try CatalogRoute(live.setup, kafka, url: url, warehouse: warehouse))
            case .file: return nil
            }
            let sweeper = Sweeper(
                setup: live.setup, url: way.url, route: way.route, warehouse: warehouse, status: status,
                findings: findings, request: request, progress: progress)
            do {
                let result = try await body(sweeper)
                await way.route.close()
                return result
            } catch {
                await way.route.close()
                throw error
            }
        }
        return SweepJobs(memo: SweepMemo(dir: pipeline.agent.dir, pipeline: pipeline.name), lineage: lineage) {
            tables, repaired, request, progress in
            let report: SweepReport
            if let asked = try await withSweeper(request, progress, { try await $0.run(tables, repaired: repaired) }) {
                report = asked
            } else {
                report = try await folder(request, progress).run(tables, repaired: repaired)
            }
            let sweeps = try await warehouse.lastSweeps()
            status.update { $0.sweeps = sweeps }
            return report
        } repair: { tables, request, progress in
            if let left = try await withSweeper(request, progress, { try await $0.mend(tables) }) {
                let wanted = left.filter(\.value.wantsCopy).keys.sorted()
                guard !wanted.isEmpty, let copyAnew else { return left }
                progress("copying \(wanted.map(\.description).joined(separator: ", ")) anew")
                try await copyAnew(wanted)
                return left.filter { !$0.value.wantsCopy }
            }
            let known = try await warehouse.knownTables()
            try await folder(request, progress).mend(known.filter { tables.contains($0.source) })
            return [:]
        } reconcile: { tables, arrived_us, progress in
            try await LateReconciler(
                setup: live.setup, warehouse: warehouse, status: status, tried: tried, progress: progress
            ).run(tables, arrived_us)
        }
    }
}

extension Pipeline.Source {
    /// A database can be asked what the tables hold.
    var isComparable: Bool {
        switch input {
        case .postgres: true
        case .kafka(let kafka): kafka.catalog != nil
        case .file: false
        }
    }
}
