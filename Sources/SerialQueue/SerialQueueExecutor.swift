import Dispatch

/// Runs an actor's jobs on a serial dispatch queue of its own, so that a blocking C call blocks
/// that queue's thread and never one of Swift's cooperative threads.
///
/// One actor per C handle, one executor per actor:
/// ```swift
/// actor Connection {
///     private let executor = SerialQueueExecutor(label: "duckdb")
///     nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
/// }
/// ```
package final class SerialQueueExecutor: SerialExecutor {
    private let queue: DispatchQueue

    package init(label: String) {
        queue = DispatchQueue(label: "millrace.\(label)")
    }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let executor = asUnownedSerialExecutor()
        queue.async { job.runSynchronously(on: executor) }
    }

    package func asUnownedSerialExecutor() -> UnownedSerialExecutor {
        UnownedSerialExecutor(ordinary: self)
    }
}
