import ReplicationTestKit
import Simulation
import Testing

/// The short form of `scripts/sim`: each history comes from a seed, which a failure names.
@Suite struct SimulationTests {
    @Test(arguments: Simulation.Source.allCases, 0..<4)
    func everyHistoryEndsAsItsSource(source: Simulation.Source, part: Int) {
        for seed in 0..<UInt64(250) {
            let simulation = Simulation(seed: UInt64(part) * 250 + seed, source: source)
            let outcome = simulation.run()
            guard outcome.failures.isEmpty else {
                Issue.record("seed \(simulation.seed), \(source.rawValue):\n\(simulation.shrunk().described())")
                return
            }
        }
    }

    /// The same seed does the same: else no failure could be looked at.
    @Test(arguments: Simulation.Source.allCases) func aSeedRepeatsItself(source: Simulation.Source) {
        for seed in UInt64(0)..<40 {
            let first = Simulation(seed: seed, source: source).run()
            let second = Simulation(seed: seed, source: source).run()
            #expect(first.faults == second.faults && first.events == second.events, "seed \(seed)")
        }
    }

    /// Faults do strike, and agents start again.
    @Test(arguments: Simulation.Source.allCases) func muchGoesWrong(source: Simulation.Source) {
        var faults: [String] = []
        var starts = 0
        for seed in UInt64(0)..<100 {
            let outcome = Simulation(seed: seed, source: source).run()
            faults += outcome.faults
            starts += outcome.starts
        }
        #expect(starts > 150)
        for kind in [
            "crash in merge", "cut in", "the answer to a commit is lost", "crash", "a table is held", "the clock jumps",
        ]
            + (source == .group ? ["rebalance", "freezes"] : ["the source is cut", "the slot is lost"])
        {
            #expect(faults.contains { $0.contains(kind) }, "\(kind)")
        }
    }

    /// The test of the tests: without any one guard some history ends wrong.
    /// The model's keys are checked at each change; ConvergenceTests has those that aren't.
    @Test(arguments: MemoryTransaction.Guard.allCases.filter { ![.sparedDeletes, .erasures, .putAside].contains($0) })
    func isSeenToFail(without missing: MemoryTransaction.Guard) {
        for seed in UInt64(0)..<400 {
            for source in Simulation.Source.allCases {
                var simulation = Simulation(seed: seed, source: source)
                simulation.without = [missing]
                if !simulation.run().failures.isEmpty { return }
            }
        }
        Issue.record("no history needs \(missing.rawValue)")
    }
}
