import ArgumentParser
import Foundation
import Simulation

/// Measures decoders and writers alone, for `scripts/bench`. A JSON object a line.
@main
struct Benchmark: ParsableCommand {
    @Option(help: "Events per decoder.") var events = 2_000_000
    @Option(help: "envelope, schema, flattened, cloudevents, avro, json_schema, protobuf or pgoutput; may be repeated.")
    var decoder: [String] = []
    @Option(help: "coalesce, postgres, postgres_text, postgres_raw, duckdb or duckdb_raw; may be repeated.")
    var writer: [String] = []
    @Option(help: "Where the recorded files are.") var corpus = "Tests/Fixtures/corpus"

    func validate() throws {
        for name in decoder where Fuzzing.Decoder(rawValue: name) == nil {
            throw ValidationError("there is no decoder \(name)")
        }
        for name in writer where WritingSpeed.Writer(rawValue: name) == nil {
            throw ValidationError("there is no writer \(name)")
        }
    }

    func run() throws {
        var decoders = decoder.compactMap { Fuzzing.Decoder(rawValue: $0) }
        var writers = writer.compactMap { WritingSpeed.Writer(rawValue: $0) }
        if decoders.isEmpty, writers.isEmpty {
            decoders = Fuzzing.Decoder.allCases
            writers = WritingSpeed.Writer.allCases
        }
        for decoder in decoders {
            try show(DecodingSpeed(decoder, folder: corpus).run(events: events, allocations: Self.allocations))
        }
        for writer in writers {
            try show(WritingSpeed(writer: writer).run(events: events, allocations: Self.allocations))
        }
    }

    private func show(_ outcome: some Encodable) throws {
        print(String(decoding: try JSONEncoder().encode(outcome), as: UTF8.self))
    }

    /// As `allocations.c` of scripts/benchmarks counts them, where it was preloaded.
    private static func allocations() -> Int? {
        guard let symbol = dlsym(nil, "millrace_allocations") else { return nil }
        return unsafeBitCast(symbol, to: (@convention(c) () -> Int).self)()
    }
}
