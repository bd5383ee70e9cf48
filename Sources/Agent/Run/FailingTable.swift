import Replication

/// When a table is tried again that is held since something of its own fails.
struct FailingTable {
    private static let first_s = 5.0
    private static let longest_s = 60.0
    /// While it is tried the others wait.
    static let lockWait_ms = 500

    /// As its events want it, where that couldn't be made.
    var wanted: TableDefinition?
    private var delay_s = Self.first_s
    private var next = ContinuousClock.now + .seconds(Self.first_s)

    var isDue: Bool { ContinuousClock.now >= next }

    mutating func succeeded() {
        delay_s = Self.first_s
        next = .now
    }

    mutating func failed() {
        delay_s = min(delay_s * 2, Self.longest_s)
        next = .now + .seconds(delay_s)
    }

    /// A lock that somebody holds passes, but not by waiting for it: it is the table's own trouble.
    static func tellingLocks(_ work: () async throws -> Void) async throws {
        do {
            try await work()
        } catch var error as ReplicationError where error.isLock && error.table != nil {
            error.kind = .permanent
            throw error
        }
    }
}
