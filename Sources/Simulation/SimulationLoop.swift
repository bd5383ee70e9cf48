import Foundation
import Synchronization

/// Runs every job of a simulated history on the thread that asks for it, one after the other: whoever has the same seed
/// gets the same order.
package final class SimulationLoop: SerialExecutor {
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

    /// Runs what is asked of `body`, until it has returned. Nil: nothing more happened and it hadn't.
    package func run<R: Sendable>(_ body: @escaping @Sendable () async -> R) -> R? {
        let result = Mutex<R?>(nil)
        return withExtendedLifetime(self) {
            // The task begins on a thread of Swift's own, and comes here with its first actor.
            Task {
                let value = await body()
                result.withLock { $0 = value }
                self.state.withLock { $0.isDone = true }
                self.change.signal()
            }
            while true {
                guard change.wait(timeout: .now() + 20) == .success else { return nil }
                var jobs: [UnownedJob] = []
                let isDone = state.withLock { state in
                    swap(&jobs, &state.jobs)
                    return state.isDone
                }
                for job in jobs { job.runSynchronously(on: asUnownedSerialExecutor()) }
                if isDone, jobs.isEmpty { return result.withLock { $0 } }
            }
        }
    }
}
