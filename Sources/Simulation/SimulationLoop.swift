import Foundation
import Synchronization

/// Runs every job of a simulated history on the thread that asks for it, one after the other: whoever has the same seed
/// gets the same order.
package final class SimulationLoop: SerialExecutor, TaskExecutor {
    private struct State {
        var jobs: [UnownedJob] = []
        var isDone = false
    }

    private let state = Mutex(State())
    private let change = DispatchSemaphore(value: 0)

    package init() {}

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
            guard change.wait(timeout: .now() + 20) == .success else { return false }
            var jobs: [UnownedJob] = []
            let isDone = state.withLock { state in
                swap(&jobs, &state.jobs)
                return state.isDone
            }
            for job in jobs { job.runSynchronously(on: asUnownedSerialExecutor()) }
            if isDone, jobs.isEmpty { return true }
        }
    }

    private func end() {
        state.withLock { $0.isDone = true }
        change.signal()
    }
}
