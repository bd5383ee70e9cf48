import ArgumentParser
import Foundation
import Simulation
import Synchronization

/// Runs simulated histories from seeds and holds each against its source. A failure prints its seed and a shrunk history.
struct Simulator: ParsableCommand {
    @Option(help: "The first seed.") var seed: UInt64 = 0
    @Option(help: "How many seeds; each is run with every source.") var count: UInt64 = 1000
    @Option(name: .customLong("for"), help: "Instead of a count: 30s, 10m, 2h.") var duration: String?
    @Option(help: "stream, copy or group; all of them unless given.") var source: String?
    @Option(help: "How many run beside each other.") var jobs = 2
    @Option(name: .customLong("day"), help: "Instead of histories: days of so many hours each on a virtual clock.")
    var hours: Double?
    @Flag(name: .customLong("notices"), help: "Print what was told in a day.") var isTold = false
    @Flag(help: "Run each seed twice, and see that it repeats itself.") var twice = false

    func validate() throws {
        if let duration, Self.seconds(duration) == nil {
            throw ValidationError("--for \(duration) is no time like 10m")
        }
        if let source, Simulation.Source(rawValue: source) == nil {
            throw ValidationError("--source \(source) is none of stream, copy and group")
        }
    }

    static func seconds(_ text: String) -> Double? {
        guard let unit = text.last, let number = Double(text.dropLast()) else { return nil }
        return switch unit {
        case "s": number
        case "m": number * 60
        case "h": number * 3600
        default: nil
        }
    }

    func run() throws {
        if let hours { return try runDays(hours) }
        let sources = source.flatMap { Simulation.Source(rawValue: $0) }.map { [$0] } ?? Simulation.Source.allCases
        let started = Date()
        let deadline = duration.flatMap(Self.seconds).map { started.addingTimeInterval($0) }
        let next = Mutex(seed)
        let sums = Mutex((histories: 0, events: 0, starts: 0, faults: 0))
        let failed = Mutex<Simulation?>(nil)
        let (first, count, isTwice) = (seed, count, twice)
        DispatchQueue.concurrentPerform(iterations: max(1, jobs)) { _ in
            while failed.withLock({ $0 == nil }) {
                if let deadline, Date() >= deadline { return }
                let seed = next.withLock { next in
                    defer { next += 1 }
                    return next
                }
                if deadline == nil, seed - first >= count { return }
                for source in sources {
                    let simulation = Simulation(seed: seed, source: source)
                    var outcome = simulation.run()
                    if isTwice {
                        let again = simulation.run()
                        if let at = zip(outcome.faults, again.faults).enumerated().first(where: { $0.1.0 != $0.1.1 }) {
                            outcome.failures.append(
                                "it doesn't repeat itself: fault \(at.offset) is \(at.element.0), then \(at.element.1)")
                        } else if outcome.faults.count != again.faults.count {
                            outcome.failures.append("it doesn't repeat itself")
                        }
                        if !outcome.failures.isEmpty { print(outcome.failures) }
                    }
                    sums.withLock {
                        $0.histories += 1
                        $0.events += outcome.events
                        $0.starts += outcome.starts
                        $0.faults += outcome.faults.count
                    }
                    if !outcome.failures.isEmpty { failed.withLock { $0 = $0 ?? simulation } }
                }
            }
        }
        let seconds = Date().timeIntervalSince(started)
        let sum = sums.withLock { $0 }
        print(
            """
            \(sum.histories) histories of seeds from \(first) on: \(sum.events) events, \(sum.faults) faults, \
            \(sum.starts) starts of agents; \(Int(Double(sum.histories) / seconds)) histories/s
            """)
        if let failed = failed.withLock({ $0 }) {
            let small = failed.shrunk()
            print("seed \(failed.seed) with source \(failed.source.rawValue) fails; shrunk:\n\(small.described())")
            throw ExitCode(1)
        }
        print("no failure")
    }
}

extension Simulator {
    /// One day a seed.
    func runDays(_ hours: Double) throws {
        var hasFailed = false
        for seed in seed..<seed + count {
            let started = Date()
            let outcome = DaySimulation(seed: seed, hours: hours).run()
            let seconds = Int(Date().timeIntervalSince(started))
            print(
                """
                seed \(seed): \(hours) h in \(seconds) s: \(outcome.transactions) transactions, \(outcome.events) events \
                (\(outcome.duplicates) of them again), \(outcome.batches) batches, \(outcome.starts) starts of the agent, \
                \(outcome.faults) faults beside those of the day's plan, \(outcome.retries) retries, \
                \(outcome.compared) tables compared, \(outcome.different) different, \(outcome.notices.count) notices; \
                at most \(outcome.inFlight_max) of \(DaySimulation.inFlight_max) transactions in hand; \(outcome.rows) rows
                """)
            for notice in outcome.notices where isTold { print("  \(notice)") }
            for failure in outcome.failures { print("  fails: \(failure)") }
            hasFailed = hasFailed || !outcome.failures.isEmpty
        }
        if hasFailed { throw ExitCode(1) }
        print("no failure")
    }
}

Simulator.main()
