import Foundation
import Simulation
import Testing

/// The short form of `scripts/fuzz`: 100,000 damaged records a decoder.
@Suite struct FuzzingTests {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures/corpus").path

    @Test(arguments: Fuzzing.Decoder.allCases) func nothingIsLostOrBroken(decoder: Fuzzing.Decoder) throws {
        let outcome = try Fuzzing(decoder, seed: 7, records: 100_000, folder: Self.folder).run()
        #expect(outcome.failures.isEmpty, "\(decoder.rawValue): \(outcome.failures)")
        // Some are read, some are not: else nothing was tried.
        #expect(outcome.events > 10_000 && outcome.quarantined > 5_000, "\(outcome)")
    }
}
