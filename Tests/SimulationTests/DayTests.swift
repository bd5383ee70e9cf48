import Foundation
import ReplicationTestKit
import Simulation
import Testing

/// The short form of `scripts/sim --day 24`: hours on a virtual clock. `MILLRACE_DAY_HOURS` makes them more.
@Suite struct DayTests {
    private static let hours =
        ProcessInfo.processInfo.environment["MILLRACE_DAY_HOURS"].flatMap { Double($0) } ?? 2

    @Test(arguments: [1, 2, 3] as [UInt64]) func aDayEndsAsItsSource(seed: UInt64) async {
        let outcome = await Self.run(DaySimulation(seed: seed, hours: Self.hours))
        #expect(outcome.failures.isEmpty, "seed \(seed): \(outcome.failures)\n\(outcome.notices)")
        // What is to happen did.
        #expect(outcome.starts > 5 && outcome.faults > 0 && outcome.retries > 0 && outcome.duplicates > 0)
        #expect(outcome.compared > 20 && outcome.different == 1)
    }

    /// On a thread of its own: what is cancelled ends on one of Swift's, which mustn't wait for us then.
    private static func run(_ day: DaySimulation) async -> DaySimulation.Outcome {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread { continuation.resume(returning: day.run()) }
        }
    }

    @Test func itRepeatsItself() async {
        let first = await Self.run(DaySimulation(seed: 7, hours: 2))
        let second = await Self.run(DaySimulation(seed: 7, hours: 2))
        #expect(first.failures.isEmpty && second.failures.isEmpty)
        #expect(first.notices == second.notices)
        #expect(first.events == second.events && first.batches == second.batches && first.starts == second.starts)
    }

    /// The test of the test.
    @Test(arguments: [.duplicateProbe, .columnVersions] as [MemoryTransaction.Guard])
    func isSeenToFail(without missing: MemoryTransaction.Guard) async {
        var day = DaySimulation(seed: 1, hours: 2)
        day.without = [missing]
        let failures = await Self.run(day).failures
        #expect(!failures.isEmpty && !failures.contains { $0.contains("hangs") }, "\(failures)")
    }
}
