import Replication
import ReplicationTestKit
import Synchronization

/// The agent's process is gone.
struct SimulatedCrash: Error {}

/// What goes wrong in a history, where and how often.
package struct FaultRates: Sendable {
    /// In 1000 steps of the warehouse: the process dies, the connection is cut, the answer to a commit is lost.
    package var crash = 12
    package var cut = 12
    package var lostAnswer = 60
    /// In 1000 readings: the source is cut, the process dies.
    package var sourceCut = 15
    package var sourceCrash = 15
    /// In 1000 readings of a consumer group: partitions change hands; an agent freezes.
    package var rebalance = 60
    package var freeze = 25
    /// In 1000 readings of a slot: it is gone, and all that it held.
    package var slotLoss = 2
    /// In 1000 batches: the agent's clock is set forth or back by up to two days.
    package var clockJump = 20
    /// In 1000 batches: a person holds a table, or takes a step in releasing one.
    package var hold = 40
    package var release = 150

    package init() {}

    package static var none: FaultRates {
        var rates = FaultRates()
        rates.crash = 0
        rates.cut = 0
        rates.lostAnswer = 0
        rates.sourceCut = 0
        rates.sourceCrash = 0
        rates.rebalance = 0
        rates.freeze = 0
        rates.slotLoss = 0
        rates.clockJump = 0
        rates.hold = 0
        rates.release = 0
        return rates
    }
}

/// Draws faults from a seed, all together at most so many that a history ends.
final class FaultScript: Sendable {
    private struct State {
        var random: SeededRandom
        var left: Int
        var told: [String] = []
        var slotIsLost = false
    }

    private let state: Mutex<State>

    /// Whether anything may go wrong just now.
    private let isAllowed: @Sendable () -> Bool

    init(seed: UInt64, most: Int = 40, isAllowed: @escaping @Sendable () -> Bool = { true }) {
        state = Mutex(State(random: SeededRandom(seed: seed), left: most))
        self.isAllowed = isAllowed
    }

    func strikes(_ perMille: Int, _ what: @autoclosure () -> String) -> Bool {
        guard isAllowed() else { return false }
        return state.withLock { state in
            guard perMille > 0, state.left > 0, state.random.below(1000) < perMille else { return false }
            state.left -= 1
            state.told.append(what())
            return true
        }
    }

    /// Once gone it stays gone, whatever agent comes.
    var slotIsLost: Bool { state.withLock { $0.slotIsLost } }
    func loseSlot() { state.withLock { $0.slotIsLost = true } }

    func below(_ bound: Int) -> Int { state.withLock { $0.random.below(bound) } }
    var told: [String] { state.withLock { $0.told } }
}
