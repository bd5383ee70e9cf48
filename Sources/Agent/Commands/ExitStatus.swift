import DuckDB
import EventFile
import JSON
import Kafka
import PipelineFile
import Postgres
import Replication

/// A failure as the user meets it: `Error: …`, `Try: …` and an exit code.
package struct CommandFailure: Error, Sendable, Equatable {
    package struct Report: Sendable, Equatable {
        package var message: String
        /// The command or change that mends it.
        package var remedy: String?

        package init(_ message: String, try remedy: String? = nil) {
            self.message = message
            self.remedy = remedy
        }
    }

    package var exit: Int32
    /// Never empty.
    package var reports: [Report]

    package init(_ exit: Int32, _ message: String, try remedy: String? = nil) {
        self.init(exit, [Report(message, try: remedy)])
    }

    /// A table isn't as it is expected to be.
    package init(held hold: TableHold) {
        self.init(ExitStatus.quality, "\(hold.table) is held: \(hold.reason)", try: hold.remedy)
    }

    package init(_ exit: Int32, _ reports: [Report]) {
        self.exit = exit
        self.reports = reports
    }

    package var message: String { reports.map(\.message).joined(separator: "; ") }
    package var remedy: String? { reports.compactMap(\.remedy).first }
}

/// Exit codes of the program.
package enum ExitStatus {
    package static let ok: Int32 = 0
    package static let runtime: Int32 = 1
    package static let usage: Int32 = 2
    package static let environment: Int32 = 3
    package static let differences: Int32 = 4
    /// A table lies further behind its source than its freshness contract allows.
    package static let stale: Int32 = 5
    /// A hard expectation fails. Also: the run ends with a table held.
    package static let quality: Int32 = 6

    /// Killed by a signal.
    package static func signal(_ number: Int32) -> Int32 { 128 + number }

    /// What any error of ours is to the user. Those that nobody foresaw show their type, since their text could
    /// hold anything.
    package static func failure(of error: any Error) -> CommandFailure {
        switch error {
        case let failure as CommandFailure: failure
        case let error as PipelineFileError:
            CommandFailure(usage, error.problems.map { .init(error.located($0), try: $0.remedy) })
        case let error as ReplicationError: CommandFailure(code(error.kind), error.message, try: error.remedy)
        case let error as KafkaError: CommandFailure(code(error), "Kafka: \(error.message)", try: error.remedy)
        case let error as PostgresError: CommandFailure(code(error.kind), error.description, try: error.remedy)
        case let error as DuckDBError:
            CommandFailure(code(error.kind), "DuckDB: \(error.description)", try: error.remedy)
        case let error as EventFileError: CommandFailure(environment, error.message, try: error.remedy)
        case let error as JSONError: CommandFailure(runtime, error.description)
        case is CancellationError: CommandFailure(runtime, "cancelled")
        default: CommandFailure(runtime, "unexpected: \(type(of: error))", try: "--log-level debug")
        }
    }

    private static func code(_ kind: ReplicationError.Kind) -> Int32 {
        switch kind {
        case .configuration: usage
        case .quality: quality
        // A passing error that reaches the user is one that nobody could wait for.
        case .environment, .fenced, .passing, .restart, .taken: environment
        case .data, .duplicateRaw, .invariant, .permanent: runtime
        }
    }

    private static func code(_ error: KafkaError) -> Int32 {
        // librdkafka's "invalid argument": what the pipeline file says of it isn't possible.
        if error.name == "_INVALID_ARG" { return usage }
        return error.kind == .fatal ? runtime : environment
    }

    private static func code(_ kind: PostgresError.Kind) -> Int32 {
        switch kind {
        case .passing, .permanent, .diskFull: environment
        case .data, .interrupted: runtime
        }
    }

    private static func code(_ kind: DuckDBError.Kind) -> Int32 {
        switch kind {
        case .locked, .library, .configuration, .readOnly, .io, .diskFull: environment
        default: runtime
        }
    }
}
