import Agent
import Synchronization

/// Time that goes on only where nothing is left to do but to wait.
package final class VirtualClock: Sendable {
    private struct Sleeper {
        var at_us: Int64
        var continuation: CheckedContinuation<Void, Never>
    }

    private struct State {
        var now_us: Int64
        var sleepers: [Sleeper] = []
    }

    let start_us: Int64
    private let base = ContinuousClock.now
    private let state: Mutex<State>

    /// - Parameter start_us: µs since 1970.
    package init(start_us: Int64) {
        self.start_us = start_us
        state = Mutex(State(now_us: start_us))
    }

    var now_us: Int64 { state.withLock { $0.now_us } }

    /// Isn't cut short by a cancellation: whoever may be cancelled sleeps for seconds.
    func sleep(_ duration: Duration) async {
        await withCheckedContinuation { continuation in
            state.withLock { state in
                let at_us = state.now_us + max(0, Int64(duration / .microseconds(1)))
                let place = SourceModel.count(of: state.sleepers.count) { state.sleepers[$0].at_us <= at_us }
                state.sleepers.insert(
                    Sleeper(at_us: at_us, continuation: continuation), at: place)
            }
        }
    }

    /// Wakes whoever is to wake next; false: nobody sleeps.
    func advance() -> Bool {
        let next = state.withLock { state -> Sleeper? in
            guard !state.sleepers.isEmpty else { return nil }
            let next = state.sleepers.removeFirst()
            state.now_us = max(state.now_us, next.at_us)
            return next
        }
        next?.continuation.resume()
        return next != nil
    }

    /// As the agent takes it.
    func agents(_ loop: SimulationLoop) -> AgentClock {
        var clock = AgentClock()
        clock.now_us = { [self] in now_us }
        clock.instant = { [self] in base + .microseconds(now_us - start_us) }
        clock.sleep = { [self] in await sleep($0) }
        // A seed repeats its day.
        clock.jitter = { _ in 1 }
        clock.executor = loop
        return clock
    }
}
