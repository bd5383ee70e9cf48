import Foundation
import Replication

/// Decodes recorded records over and over, as they are: how fast, and with how many allocations.
package struct DecodingSpeed {
    package struct Outcome: Codable, Sendable {
        package var decoder: String
        package var events: Int
        /// Of the records' keys and values.
        package var bytes: Int
        package var seconds: Double
        /// Nil where nobody counts them.
        package var allocations: Int?
    }

    private let fuzzing: Fuzzing

    /// - Parameter folder: where the recorded files are.
    package init(_ decoder: Fuzzing.Decoder, folder: String) {
        fuzzing = Fuzzing(decoder, seed: 1, records: 0, folder: folder)
    }

    /// Ordinary rows: those of the fuzzer have values as large as their types allow.
    private var files: [String] {
        switch fuzzing.decoder {
        case .envelope: ["throughput"]
        case .avro: ["basic_avro"]
        default: fuzzing.decoder.files
        }
    }

    private func samples() throws -> [Fuzzing.Sample] {
        let all = try fuzzing.samples(of: files, limit: 10_000)
        guard fuzzing.decoder == .pgoutput else { return all }
        // Relations are described once, and then there are many transactions.
        let isChange = all.map { $0.value?.first.map { "BCIUD".utf8.contains($0) } ?? false }
        let changes = zip(all, isChange).filter(\.1).map(\.0)
        return all + (0..<200).flatMap { _ in changes }
    }

    private func records() throws -> RecordBatch {
        let batch = RecordBatch(capacity: 1 << 20)
        let span = batch.span(of: TopicPartition(topic: "dbz.public.orders", partition: 0), startingAt: 0)
        for (offset, sample) in try samples().enumerated() {
            fuzzing.append(sample, at: Int64(offset), span, to: batch)
        }
        return batch
    }

    /// - Parameters:
    ///   - events: so many are decoded at least.
    ///   - allocations: how many there were so far.
    package func run(events wanted: Int, allocations: () -> Int?) throws -> Outcome {
        let batch = try records()
        let decoder = try fuzzing.makeDecoder(of: files)
        // What is learned once is learned before.
        guard !decoder.decode(batch).events.isEmpty else {
            throw ReplicationError(.invariant, "\(fuzzing.decoder.rawValue): none of the records is an event")
        }
        var outcome = Outcome(decoder: fuzzing.decoder.rawValue, events: 0, bytes: 0, seconds: 0)
        let before = allocations()
        let started = ContinuousClock.now
        repeat {
            outcome.events += decoder.decode(batch).events.count
            outcome.bytes += batch.bytes
        } while outcome.events < wanted
        outcome.seconds = (ContinuousClock.now - started) / .seconds(1)
        if let before, let after = allocations() { outcome.allocations = after - before }
        return outcome
    }
}
