import Testing

@testable import JSON

@Suite("Damaged documents")
struct MutationTests {
    /// 12,000 damaged documents: the parser says what a plain reading says, and gives the same values.
    @Test(arguments: 1...4 as ClosedRange<UInt64>)
    func agreeWithAPlainReading(seed: UInt64) throws {
        var random = SeededBytes(seed: seed)
        let parser = try JSONParser()
        defer { withExtendedLifetime(parser) {} }
        var valid = 0
        for round in 0..<1000 {
            for sample in Samples.all {
                let bytes = random.mutated(sample)
                let wanted = ReferenceJSON.parse(bytes)
                let got = parsed(bytes, with: parser)
                valid += wanted == nil ? 0 : 1
                guard got == wanted else {
                    Issue.record("seed \(seed), round \(round): \(String(decoding: bytes, as: UTF8.self))")
                    return
                }
            }
        }
        // Some damages are none (in a text, say): both answers must occur.
        #expect(valid > 100 && valid < 2900)
    }

    @Test func everyTruncationIsRefused() throws {
        let parser = try JSONParser()
        defer { withExtendedLifetime(parser) {} }
        let skipping = try JSONParser(skipping: ["schema"])
        defer { withExtendedLifetime(skipping) {} }
        for sample in Samples.all {
            #expect(parsed(sample, with: parser) != nil)
            #expect(parsed(sample, with: skipping) != nil)
            for length in 0..<sample.count {
                #expect(parsed(Array(sample[..<length]), with: parser) == nil)
                #expect(parsed(Array(sample[..<length]), with: skipping) == nil)
            }
        }
    }

    /// A parser that remembers schemas says the same as one that never saw a document.
    @Test(arguments: 1...3 as ClosedRange<UInt64>)
    func memoryOfSchemasChangesNothing(seed: UInt64) throws {
        var random = SeededBytes(seed: seed)
        let remembering = try JSONParser(skipping: ["schema"])
        defer { withExtendedLifetime(remembering) {} }
        let sample = Samples.all[2]
        for _ in 0..<1500 {
            let bytes = random.mutated(sample)
            let fresh = try JSONParser(skipping: ["schema"])
            defer { withExtendedLifetime(fresh) {} }
            let padded = Padded(bytes)
            defer { withExtendedLifetime(padded) {} }
            let one = try? remembering.parse(padded.document)
            let other = try? fresh.parse(padded.document)
            #expect((one == nil) == (other == nil))
            guard let one, let other else { continue }
            #expect(one.count == other.count)
            for i in 0..<one.count {
                #expect(one.kind(i) == other.kind(i) && one.next(i) == other.next(i))
                #expect(one.offset(i) == other.offset(i) && one.rawValue(i).count == other.rawValue(i).count)
                #expect(one.rawKey(i).elementsEqual(other.rawKey(i)) && one.childCount(i) == other.childCount(i))
            }
        }
    }
}
