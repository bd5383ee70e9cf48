import JSON
import PipelineFile
import Replication
import Synchronization

/// What a sweep does with tables.
package enum SweepKind: String, Sendable, CaseIterable {
    case compare
    /// Mends what differs, and compares it again.
    case repair
    /// Folds rows with late events from raw again.
    case late
}

/// A sweep as it was asked for.
package struct SweepRequest: Sendable, Equatable {
    package var kind: SweepKind
    /// Only rows of which something came in this time; nil: whole tables.
    package var recent_s: Int?
    package var pace: SweepPace

    package init(_ kind: SweepKind = .compare, recent_s: Int? = nil, pace: SweepPace = SweepPace()) {
        self.kind = kind
        self.recent_s = recent_s
        self.pace = pace
    }

    /// As a person gives it.
    package init(late: Bool, repair: Bool, recent: String?, workers: Int, rowsPerSecond: Int?) throws {
        if late, repair || recent != nil {
            throw CommandFailure(
                ExitStatus.usage, "--late mends what late events touched, and takes no --repair or --recent",
                try: "millrace sweep --late")
        }
        var recent_s: Int64?
        if let recent {
            guard let duration = Duration(pipelineText: recent), duration >= .seconds(1) else {
                throw CommandFailure(
                    ExitStatus.usage, "--recent is a time: 30m, 6h, 2d", try: "millrace sweep --recent 6h")
            }
            recent_s = duration.components.seconds
        }
        try self.init(
            json: .object([
                ("kind", .string((late ? SweepKind.late : repair ? .repair : .compare).rawValue)),
                ("recent_s", recent_s.map(JSONValue.integer) ?? .null), ("workers", .integer(Int64(workers))),
                ("rows_per_s", rowsPerSecond.map { .integer(Int64($0)) } ?? .null),
            ]))
    }

    package var json: [JSONValue.Member] {
        [
            ("kind", .string(kind.rawValue)), ("recent_s", recent_s.map { .integer(Int64($0)) } ?? .null),
            ("workers", .integer(Int64(pace.workers))),
            ("rows_per_s", pace.rows_per_s.map { .integer(Int64($0)) } ?? .null),
        ]
    }

    /// - Throws: of what isn't in range.
    package init(json: JSONValue) throws {
        func number(_ name: String, in range: ClosedRange<Int>) throws -> Int? {
            guard let value = json[name], !value.isNull else { return nil }
            guard let number = value.int64.flatMap(Int.init(exactly:)), range.contains(number) else {
                throw CommandFailure(
                    ExitStatus.usage, "\(name) is a number from \(range.lowerBound) to \(range.upperBound)",
                    try: "millrace sweep --help")
            }
            return number
        }
        // `late` and `repair` are how it was asked before it could be limited.
        let isLate = json["late"]?.bool ?? false
        let named = try json["kind"].map { value in
            guard let kind = value.string.flatMap(SweepKind.init(rawValue:)) else {
                throw CommandFailure(ExitStatus.usage, "there is no such kind of sweep", try: "millrace sweep --help")
            }
            return kind
        }
        kind = named ?? (isLate ? .late : json["repair"]?.bool ?? false ? .repair : .compare)
        recent_s = try number("recent_s", in: 1...Self.recent_s_max)
        pace = SweepPace()
        pace.workers = try number("workers", in: 1...32) ?? pace.workers
        pace.rows_per_s = try number("rows_per_s", in: 1...1_000_000_000)
    }

    /// A year.
    package static let recent_s_max = 366 * 86400
}

/// How hard a sweep presses its source.
package struct SweepPace: Sendable, Equatable {
    /// Connections that read it, and as many the warehouse where that is a Postgres.
    package var workers = 2
    /// Rows that it is asked for at most, over all of them; nil: as fast as it gives them.
    package var rows_per_s: Int?

    package init(workers: Int = 2, rows_per_s: Int? = nil) {
        self.workers = workers
        self.rows_per_s = rows_per_s
    }
}

/// Keeps several readers within a rate.
final class SweepThrottle: Sendable {
    private let rows_per_s: Int?
    private let state = Mutex((rows: Int64(0), begun: ContinuousClock.now))

    init(_ rows_per_s: Int?) { self.rows_per_s = rows_per_s }

    /// Returns once these rows, too, are within the rate since the sweep began to read.
    func wait(after rows: Int64) async throws {
        guard let rows_per_s else { return }
        let due = state.withLock { state in
            state.rows += rows
            return state.begun + .seconds(Double(state.rows) / Double(rows_per_s))
        }
        try await Task.sleep(until: due, clock: .continuous)
    }
}
