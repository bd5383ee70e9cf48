import PipelineFile
import Postgres
import Replication

/// How changes come from a source database to the warehouse: whether all that a snapshot shows has come, and what has come
/// that it doesn't show.
protocol SweepRoute: Sendable {
    /// Nil: all tables of the database may be read.
    var publication: String? { get }

    /// Returns once all that the snapshot shows is durable in the warehouse, with what came that it doesn't show.
    ///
    /// - Throws: `.environment` where that can't be seen: then nothing is proven.
    func arrive(at moment: SourceSnapshot.Moment) async throws -> SourceSnapshot.Moment

    /// SQL, true of rows of current (`t`) that were changed by what the snapshot doesn't show. Others may be, too.
    func touched(since moment: SourceSnapshot.Moment, _ table: TableDefinition) throws -> String

    /// What mustn't have come of a row that is mended.
    func unseen(since moment: SourceSnapshot.Moment) throws -> RowMend.Unseen

    /// The version's commit at which a row of the snapshot is written, and whether it is written above what is known of it.
    func version(at moment: SourceSnapshot.Moment) -> (commit: Int64, isAboveStored: Bool)

    /// Why rows that differ so aren't mended from the source.
    func refusal(_ sweep: TableSweep, _ here: any WarehouseSnapshot) async throws -> String?

    func close() async
}

extension SweepRoute {
    func refusal(_ sweep: TableSweep, _ here: any WarehouseSnapshot) async throws -> String? { nil }
    func close() async {}
}

/// How long the warehouse may take to come to where a snapshot stands.
enum SweepPatience {
    static let arrival = Duration.seconds(600)
    /// Without any progress of what brings the changes.
    static let stillness = Duration.seconds(60)
}

/// A Postgres source's own log: a version's commit is the position of the commit's record.
struct DirectRoute: SweepRoute {
    let publication: String?
    let status: AgentStatus
    let hurry: @Sendable (Int64) -> Void

    /// What committed in the log before the snapshot was taken, and was seen only later, is to the snapshot no more than what
    /// came behind it.
    func arrive(at moment: SourceSnapshot.Moment) async throws -> SourceSnapshot.Moment {
        guard let extent = SnapshotExtent(moment.snapshot) else {
            throw ReplicationError(.invariant, "the source named a snapshot in a way that isn't known")
        }
        guard let unseen = status.commits.watch(unseenBy: extent, behind: moment.before) else {
            throw ReplicationError(
                .passing,
                "so many transactions committed while a snapshot was taken that it can't be told which it shows",
                remedy: "sweep again")
        }
        defer { unseen.end() }
        let deadline = ContinuousClock.now + SweepPatience.arrival
        hurry(moment.position)
        while (status.current.positions.values.max() ?? .min) < moment.position {
            guard ContinuousClock.now < deadline else {
                throw ReplicationError(
                    .environment,
                    "the warehouse hasn't come to \(LSN.text(moment.position)) within \(SweepPatience.arrival.pipelineText)",
                    remedy: "see what holds it up: millrace status; then sweep again")
            }
            try await Task.sleep(for: .milliseconds(20))
        }
        var moment = moment
        if let first = unseen.lowest { moment.before = min(moment.before, first - 1) }
        return moment
    }

    /// A commit's record begins where the log ended, or behind that. What a copy read stands where its snapshot was taken,
    /// which may be there, too: nothing was written since.
    func touched(since moment: SourceSnapshot.Moment, _ table: TableDefinition) -> String {
        let (commit, seq) = ("t.\"\(MetadataNames.commit)\"", "t.\"\(MetadataNames.seq)\"")
        return "(\(commit) > \(moment.before) OR (\(commit) = \(moment.before) AND \(seq) > 0))"
    }

    func unseen(since moment: SourceSnapshot.Moment) -> RowMend.Unseen { .since(moment.before) }

    func version(at moment: SourceSnapshot.Moment) -> (commit: Int64, isAboveStored: Bool) {
        (moment.position, false)
    }
}
