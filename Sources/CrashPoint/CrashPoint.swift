import Foundation
import Synchronization

/// Places at which a crash test has the process killed, as if by `kill -9`. Does nothing unless the
/// environment names one: `MILLRACE_CRASH_AT=commit:3` kills at the third time that `commit` is reached;
/// `commit:3+2500` starts the third time and kills 2,500 µs later, in the middle of what follows.
/// With `MILLRACE_CRASH_SIGNAL=STOP` the process is frozen there, until somebody sends SIGCONT.
package enum CrashPoint: String, Sendable, CaseIterable {
    /// Records are read and decoded, nothing is written yet.
    case read
    /// In the transaction that makes tables, before its commit.
    case ddl
    /// Half of a table's rows are staged.
    case staging
    /// Rows are staged, current isn't merged yet.
    case staged
    /// Everything is written; the commit is about to be sent.
    case commit
    /// The commit is durable, the source knows nothing of it yet.
    case committed
    /// In the middle of a chunk that a copy or a backfill reads from a snapshot: every 1,024 rows of it.
    case copy
    /// Some of the rows that a sweep mends are durable.
    case mend

    private struct Plan {
        var point: CrashPoint
        var time: Int
        var delay_us: UInt32
        var signal: Int32
    }

    private static let plan: Plan? = {
        guard let text = ProcessInfo.processInfo.environment["MILLRACE_CRASH_AT"] else { return nil }
        let parts = text.split(separator: ":", maxSplits: 1)
        guard let name = parts.first, let point = CrashPoint(rawValue: String(name)) else { return nil }
        let numbers = (parts.count > 1 ? parts[1] : "1").split(separator: "+")
        return Plan(
            point: point, time: numbers.first.flatMap { Int($0) } ?? 1,
            delay_us: numbers.count > 1 ? UInt32(numbers[1]) ?? 0 : 0,
            signal: ProcessInfo.processInfo.environment["MILLRACE_CRASH_SIGNAL"] == "STOP" ? SIGSTOP : SIGKILL)
    }()

    /// How often the planned point was reached; copies have several threads.
    private static let reached = Atomic<Int>(0)

    @inline(__always)
    package func reach() {
        if Self.plan != nil { reachPlanned() }
    }

    @inline(never)
    private func reachPlanned() {
        guard let plan = Self.plan, plan.point == self else { return }
        guard Self.reached.add(1, ordering: .relaxed).newValue == plan.time else { return }
        guard plan.delay_us > 0 else {
            kill(getpid(), plan.signal)
            return
        }
        Thread.detachNewThread {
            usleep(plan.delay_us)
            kill(getpid(), plan.signal)
        }
    }
}
