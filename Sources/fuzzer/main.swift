import ArgumentParser
import Foundation
import Simulation
import Synchronization

/// Damages recorded records and has every decoder and the applier read them. A failure prints the seed that repeats it.
struct Fuzzer: ParsableCommand {
    @Option(help: "Records per decoder.") var records = 1_000_000
    @Option(help: "The first seed.") var seed: UInt64 = 1
    @Option(
        help:
            "envelope, schema, flattened, cloudevents, avro, json_schema, protobuf or pgoutput; all of them unless given."
    )
    var decoder: String?
    @Option(help: "Where the recorded files are.") var corpus = "Tests/Fixtures/corpus"

    func validate() throws {
        if let decoder, Fuzzing.Decoder(rawValue: decoder) == nil {
            throw ValidationError("there is no decoder \(decoder)")
        }
    }

    func run() throws {
        let decoders = decoder.flatMap { Fuzzing.Decoder(rawValue: $0) }.map { [$0] } ?? Fuzzing.Decoder.allCases
        for decoder in decoders {
            let started = Date()
            let halves = Mutex<[Result<Fuzzing.Outcome, any Error>]>([])
            let (records, seed, corpus) = (records, seed, corpus)
            DispatchQueue.concurrentPerform(iterations: 2) { part in
                let fuzzing = Fuzzing(decoder, seed: seed + UInt64(part), records: records / 2, folder: corpus)
                let outcome = Result { try fuzzing.run() }
                halves.withLock { $0.append(outcome) }
            }
            let outcomes = try halves.withLock { $0 }.map { try $0.get() }
            func sum(_ path: KeyPath<Fuzzing.Outcome, Int>) -> Int { outcomes.reduce(0) { $0 + $1[keyPath: path] } }
            let seconds = Date().timeIntervalSince(started)
            print(
                """
                \(decoder.rawValue): \(sum(\.records)) records, \(sum(\.events)) events, \(sum(\.quarantined)) put aside, \
                \(sum(\.control)) control; \(Int(Double(sum(\.records)) / seconds)) records/s
                """)
            let failures = outcomes.flatMap(\.failures)
            guard failures.isEmpty else {
                print(failures.joined(separator: "\n"))
                throw ExitCode(1)
            }
        }
        print("no failure")
    }
}

Fuzzer.main()
