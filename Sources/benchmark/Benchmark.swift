import ArgumentParser
import Foundation
import Simulation

/// Measures decoders alone, for `scripts/bench`. A JSON object a line.
@main
struct Benchmark: ParsableCommand {
    @Option(help: "Events per decoder.") var events = 2_000_000
    @Option(help: "envelope, schema, flattened, cloudevents, avro, json_schema, protobuf or pgoutput; may be repeated.")
    var decoder: [String] = []
    @Option(help: "Where the recorded files are.") var corpus = "Tests/Fixtures/corpus"

    func validate() throws {
        for name in decoder where Fuzzing.Decoder(rawValue: name) == nil {
            throw ValidationError("there is no decoder \(name)")
        }
    }

    func run() throws {
        let decoders = decoder.compactMap { Fuzzing.Decoder(rawValue: $0) }
        for decoder in decoders.isEmpty ? Fuzzing.Decoder.allCases : decoders {
            let outcome = try DecodingSpeed(decoder, folder: corpus).run(events: events, allocations: Self.allocations)
            print(String(decoding: try JSONEncoder().encode(outcome), as: UTF8.self))
        }
    }

    /// As `allocations.c` of scripts/benchmarks counts them, where it was preloaded.
    private static func allocations() -> Int? {
        guard let symbol = dlsym(nil, "millrace_allocations") else { return nil }
        return unsafeBitCast(symbol, to: (@convention(c) () -> Int).self)()
    }
}
