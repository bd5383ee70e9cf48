import Replication

/// When a table is tried again that is held since something of its own fails.
struct FailingTable {
    private static let first_s = 5.0
    private static let longest_s = 60.0

    /// As its events want it, where that couldn't be made.
    var wanted: TableDefinition?
    private var delay_s = Self.first_s
    private let clock: AgentClock
    private var next: ContinuousClock.Instant
    private var failures = 0

    init(_ clock: AgentClock, isDue: Bool = false) {
        self.clock = clock
        next = clock.instant() + .seconds(isDue ? 0 : Self.first_s)
    }

    var isDue: Bool { clock.instant() >= next }

    /// While it is tried the others wait, so not long; but longer each time, as other agents that are at work on the table
    /// have it locked while they commit.
    var lockWait_ms: Int { min(4000, 500 << min(failures, 3)) }

    mutating func succeeded() {
        delay_s = Self.first_s
        failures = 0
        next = clock.instant()
    }

    mutating func failed() {
        failures += 1
        delay_s = min(delay_s * 2, Self.longest_s)
        next = clock.instant() + .seconds(delay_s)
    }

    /// A lock that somebody holds passes, but not by waiting for it: it is the table's own trouble. An error that names no
    /// table is about the one that there is.
    static func telling(_ tables: [TableDefinition], _ work: () async throws -> Void) async throws {
        do {
            try await work()
        } catch var error as ReplicationError {
            if error.table == nil, tables.count == 1 { error.table = tables[0].source }
            if error.isLock, error.table != nil {
                error.kind = .permanent
                error.isTablesOwn = true
            }
            throw error
        }
    }
}
