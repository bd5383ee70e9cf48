import Foundation
import JSON
import PipelineFile
import Testing

/// The JSON Schema says of the pipeline file what the decoder does. What the decoder takes the schema takes, too: `parse`
/// and `problems`, which all tests of this target use, look at that.
@Suite struct SchemaAgreementTests {
    private let probe = DecoderProbe()

    private static func shown(_ mappings: [DecoderProbe.Path: Set<String>]) -> Set<String> {
        Set(mappings.flatMap { path, keys in keys.map { (path + [$0]).joined(separator: ".") } })
    }

    @Test func bothKnowTheSameKeys() throws {
        let ours = Self.shown(probe.mappings())
        let schema = Self.shown(try SchemaValidator.shipped.get().places().mappings)
        #expect(ours.subtracting(schema).sorted() == [], "missing in the schema")
        #expect(schema.subtracting(ours).sorted() == [], "unknown to the decoder")
        // It was found out at all.
        for key in ["pipeline", "source.kafka.schema_registry.ca_file", "tables.[].quality.[unique].columns"] {
            #expect(ours.contains(key), "\(key)")
        }
    }

    @Test func bothKnowTheSameWords() throws {
        let schema = try SchemaValidator.shipped.get()
        var choices = 0
        for (path, rule) in schema.places().values {
            let ours = probe.words(at: path)
            // `never`, `forever` and the like stand beside other forms of a value, and are taken.
            let beside = schema.words(rule).subtracting(ours)
            #expect(ours.isSubset(of: schema.words(rule)), "\(path)")
            for word in beside where path.last != "expect" {
                let found = probe.problems(.string(word), at: path).filter { $0.keyPath == DecoderProbe.keyPath(path) }
                #expect(found.map(\.message) == [], "\(path): \(word)")
            }
            choices += ours.isEmpty ? 0 : 1
        }
        #expect(choices > 30)
    }

    @Test func bothHaveTheSameBounds() throws {
        let schema = try SchemaValidator.shipped.get()
        var bounded: Set<String> = []
        for (path, rule) in schema.places().values {
            guard let (least, most) = probe.bounds(at: path) else { continue }
            bounded.insert(DecoderProbe.keyPath(path))
            #expect(rule["minimum"]?.int64 == least && rule["maximum"]?.int64 == most, "\(path)")
        }
        #expect(bounded.isSuperset(of: ["batch.max_rows", "source.postgres.copy_workers", "quality.deferred_max"]))
    }

    @Test func defaultsAreWhatAFileWithoutThemMeans() throws {
        let schema = try SchemaValidator.shipped.get()
        var count = 0
        for (path, rule) in schema.places().values where !path.contains("quality") || path.first == "quality" {
            guard let standard = rule["default"] else { continue }
            let given = try parse(DecoderProbe.file(standard, at: path))
            #expect(given == (try parse(DecoderProbe.file(nil, at: path))), "\(path)")
            if let text = standard.string, let told = rule["description"]?.string, told.contains("Default: ") {
                #expect(told.contains("Default: \(text)"), "\(path): \(told)")
            }
            count += 1
        }
        #expect(count > 25)
    }

    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// Those of connectors/ and deploy/, and whole ones in fenced blocks of pages.
    private static func pipelineFiles() throws -> [(path: String, text: String)] {
        var found: [(String, String)] = []
        for folder in ["connectors", "deploy", "docs", "README.md"] {
            let url = root.appending(path: folder)
            let names = folder.hasSuffix(".md") ? [""] : try FileManager.default.subpathsOfDirectory(atPath: url.path)
            for name in names.sorted() where (name.isEmpty ? folder : name).contains(/\.(yaml|md)$/) {
                let path = name.isEmpty ? folder : "\(folder)/\(name)"
                let text = try String(contentsOf: root.appending(path: path), encoding: .utf8)
                let texts =
                    path.hasSuffix(".md") ? text.matches(of: #/```yaml\n([\s\S]*?)```/#).map { String($0.1) } : [text]
                for text in texts where text.contains(#/(^|\n)pipeline: /#) { found.append((path, text)) }
            }
        }
        return found
    }

    @Test func filesOfTheRepositoryAreValid() throws {
        let files = try Self.pipelineFiles()
        #expect(files.count >= 16)
        for (path, text) in files {
            #expect(try schemaComplaints(text) == [], "\(path)")
            #expect(yamlValue(text) != nil, "an editor can't read \(path)")
        }
    }

    @Test func aKeywordThatTheValidatorDoesntKnowIsAnError() {
        for text in [
            ##"{"contains": {}}"##, ##"{"properties": {"a": {"format": "uri"}}}"##, ##"{"$ref": "#", "type": "null"}"##,
        ] {
            #expect(throws: SchemaValidator.UnknownKeyword.self, "\(text)") {
                try SchemaValidator(JSONValue(parsing: text))
            }
        }
    }
}
