import Replication

/// What commands ask of a pipeline. The same whether an agent answers over HTTP (`APIClient`) or the command
/// holds the warehouse itself (`WarehouseControl`).
///
/// Errors: `ReplicationError`, or `CommandFailure` as the agent answered it.
package protocol AgentControl: Sendable {
    /// Lifetime sums of each table, with what the running agent knows where one runs.
    func status() async throws -> StatusReport

    func checkpoints() async throws -> [Checkpoint]
    /// Sets positions on purpose (nil: as if nothing had been read). A running agent goes on from there.
    func set(positions: [TopicPartition: Int64?]) async throws

    /// One read-only statement; more rows than `rows_max` is an error.
    ///
    /// - Parameter asOf: a position or time of the source, as a person writes it: tables are as they were then. Nil: now.
    func query(_ sql: String, asOf: String?, rows_max: Int) async throws -> QueryResult

    /// All records put aside, oldest first; keys, values and headers may be left out.
    func quarantine() async throws -> [QuarantinedRecord]
    /// One of them, whole; nil where there is none of that number.
    func quarantined(_ id: Int64) async throws -> QuarantinedRecord?
    /// Applies waiting records again. Those that fail again stay waiting.
    func replay(_ choice: QuarantineChoice) async throws -> [QuarantineOutcome]
    /// Marks waiting records as given up; they stay on record.
    func discard(_ choice: QuarantineChoice) async throws -> [QuarantineOutcome]

    /// Begins to compare tables with their source or with raw, and gives the sweep's number.
    func sweep(_ selection: TableSelection, _ request: SweepRequest) async throws -> Int
    func sweepState(_ number: Int) async throws -> SweepJobs.State

    /// The tables that the warehouse has, with their columns.
    func tables() async throws -> WarehouseTables
    /// How far what the warehouse shows of tables with a contract may lie behind the source.
    func freshness(_ selection: TableSelection) async throws -> FreshnessReport

    /// Holds whole tables against what is expected of them.
    func quality(_ selection: TableSelection) async throws -> QualityReport

    /// Reads the pipeline file again: tables are added and removed, the others go on.
    func reload() async throws -> ReloadReport

    /// The history of one row; `key` as a person gives it.
    func explain(_ table: String, key: String) async throws -> ExplainReport

    /// Scrubs one row's values from the warehouse; `key` as a person gives it.
    func erase(_ table: String, key: String, reason: String) async throws -> ErasureOutcome

    /// Lets the warehouse's file go until `endLoan`, or until the process is gone; returns when it is closed.
    func lend(to borrower: Int32, program: String) async throws
    /// Returns when the agent has the file again.
    func endLoan() async throws

    /// Tables whose current stands still.
    func holds() async throws -> [TableHold]
    /// Lets current of tables stand still, and gives their source names.
    func pause(_ selection: TableSelection) async throws -> [String]
    /// Has tables copied anew beside the stream, by the running agent or the next one, and gives their source names.
    func resync(_ selection: TableSelection) async throws -> [String]
    /// Works for some seconds at ending holds of this kind: deferred events are applied. Tables that aren't held so are
    /// left out.
    ///
    /// - Parameter quarantinesAll: however many rows are refused, they are put aside.
    func release(
        _ kind: TableHold.Kind, _ selection: TableSelection, quarantinesAll: Bool
    ) async throws -> ReleaseProgress
    /// Says what the suspicion was that holds the tables; they are to be released then.
    func decide(_ verdict: RestoreVerdict) async throws

    /// Schema changes and what became of them, in the order of their numbers.
    func schemaChanges() async throws -> [SchemaChange]
    /// Lets a plan that waits be carried out: at once, or when its time has come.
    func approve(schemaChange id: Int64) async throws -> SchemaChange
    /// Gives a plan up; the table is as it was before.
    func rollBack(schemaChange id: Int64) async throws -> SchemaChange
}

package enum QuarantineChoice: Sendable, Equatable {
    /// All that wait.
    case all
    case ids([Int64])
}

/// What became of one record of the quarantine.
package struct QuarantineOutcome: Sendable, Equatable {
    package var id: Int64
    package var state: QuarantinedRecord.State
    /// Why it still waits.
    package var reason: String?

    package init(id: Int64, state: QuarantinedRecord.State, reason: String? = nil) {
        self.id = id
        self.state = state
        self.reason = reason
    }
}
