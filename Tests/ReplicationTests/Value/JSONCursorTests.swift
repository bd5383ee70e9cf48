import JSON
import Testing

@testable import Replication

@Suite struct JSONCursorTests {
    /// Against simdjson, over texts that are nearly JSON.
    @Test func judgesAsTheParserDoes() throws {
        let pieces = [
            "{", "}", "[", "]", ",", ":", "\"a\"", "1", "-", "0", ".5", "e1", "true", "null", " ", #""\u00e9""#,
            #""\ud83d\ude00""#, #""a long enough \"string\"""#, #""\x""#, "1.0", "\"b\":2", "tru", "\"\n\"", "\"open",
        ]
        var random = SampleGenerator(seed: 17)
        let parser = try JSONParser()
        let arena = ByteArena()
        var valid = 0
        for _ in 0..<30_000 {
            arena.removeAll()
            let length = Int.random(in: 1...8, using: &random)
            let text = (0..<length).map { _ in pieces.randomElement(using: &random) ?? "" }.joined()
            let range = arena.append(text)
            var cursor = JSONCursor(arena.bytes(range))
            let isJSON = cursor.value() != nil && cursor.next() == 0
            let expected = (try? parser.parse(arena.bytes(range))) != nil
            #expect(isJSON == expected, "\(text)")
            if isJSON { valid += 1 }
        }
        #expect(valid > 1000)
    }

    @Test func depthIsCountedAndBounded() {
        for depth in [1, 63, 64, 65, 128, 129, 1000, 1001] {
            let arena = ByteArena()
            let open = (0..<depth).map { $0 % 3 == 0 ? "{\"a\":" : "[" }.joined()
            let close = (0..<depth).reversed().map { $0 % 3 == 0 ? "}" : "]" }.joined()
            var cursor = JSONCursor(arena.bytes(arena.append(open + "1" + close)))
            #expect((cursor.value() != nil) == (depth <= JSONCursor.depth_max))
            #expect(cursor.deepest == min(depth, JSONCursor.depth_max))
            var crossed = JSONCursor(arena.bytes(arena.append(open + "1" + close.dropFirst() + "]")))
            #expect(crossed.value() == nil || depth % 3 == 2)
        }
    }

    @Test(arguments: [
        (#""\ud800""#, true), (#""\ude00""#, true), (#""\ud83d\ude00""#, false), (#""\ud83dxxxxxxxxxx\ude00""#, true),
        (#""\ud83d\n\ude00""#, true), (#""\ud83d\ud83d\ude00""#, true), (#""\u0000""#, true), (#""\\u0000""#, false),
        (#"{"\u0000":1}"#, true), (#""\u0001é""#, false),
    ])
    func findsWhatJsonbCannotStore(_ text: String, _ unstorable: Bool) {
        let arena = ByteArena()
        var cursor = JSONCursor(arena.bytes(arena.append(text)))
        #expect(cursor.value() != nil)
        #expect(cursor.sawUnstorable == unstorable)
    }

    /// JSON to Postgres' literal and back, over all that needs quoting in either.
    @Test func arraysComeBack() throws {
        let letters = ["a", "\"", "\\", ",", "{", "}", " ", "\n", "NULL", "é", "😀", "'", "\u{1}", "/", "null", ""]
        var random = SampleGenerator(seed: 23)
        let sample = Sample()
        func array(_ dimensions: ArraySlice<Int>) -> String {
            guard let length = dimensions.first else {
                if Int.random(in: 0..<5, using: &random) == 0 { return "null" }
                let length = Int.random(in: 0...5, using: &random)
                let text = (0..<length).map { _ in letters.randomElement(using: &random) ?? "" }.joined()
                return sample.json(sample.text(text), .text)
            }
            return "[" + (0..<length).map { _ in array(dimensions.dropFirst()) }.joined(separator: ",") + "]"
        }
        for _ in 0..<2000 {
            let dimensions = (0..<Int.random(in: 1...3, using: &random)).map { _ in
                Int.random(in: 1...3, using: &random)
            }
            let json = array(dimensions[...])
            #expect(FieldMisfit.reason(sample.json(json), .array(.text), in: sample.arena) == nil)
            let literal = sample.postgres(sample.json(json), .array(.text))
            #expect(sample.json(sample.text(literal), .array(.text)) == json)
        }
    }
}
