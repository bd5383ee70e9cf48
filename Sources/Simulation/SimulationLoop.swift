import Foundation
import Synchronization

/// Runs every job of a simulated history on the thread that asks for it, one after the other: whoever has the same seed
/// gets the same order.
package final class SimulationLoop: SerialExecutor, TaskExecutor {
    private struct State {
        var jobs: [UnownedJob] = []
        var isDone = false
    }

    /// What is cancelled goes on by one of Swift's threads, and other tests may have them all for a while.
    private static let patience_s = 300.0

    private let state = Mutex(State())
    private let change = DispatchSemaphore(value: 0)
    private let clock: VirtualClock?

    /// - Parameter clock: goes on where nothing is left to do.
    package init(clock: VirtualClock? = nil) { self.clock = clock }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        state.withLock { $0.jobs.append(job) }
        change.signal()
    }

    package func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }

    /// Runs what is asked of `body`, until it has returned. False: nothing more happened and it hadn't.
    package func run(_ body: @escaping @Sendable () async -> Void) -> Bool {
        Task(executorPreference: self) {
            await body()
            self.end()
        }
        while true {
            var jobs: [UnownedJob] = []
            let isDone = state.withLock { state in
                swap(&jobs, &state.jobs)
                return state.isDone
            }
            for job in jobs { job.runSynchronously(on: asUnownedSerialExecutor()) }
            guard jobs.isEmpty else { continue }
            if isDone { return true }
            if clock?.advance() == true { continue }
            guard change.wait(timeout: .now() + Self.patience_s) == .success else { return false }
        }
    }

    private func end() {
        state.withLock { $0.isDone = true }
        change.signal()
    }
}
