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

    /// What a place needs beside it.
    private static let needed: [(path: DecoderProbe.Path, members: [JSONValue.Member])] = [
        (["source", "kafka"], [("brokers", .string("b")), ("topics", .array([.string("t")]))]),
        (["source", "postgres"], [("url", .string("postgres://h/d"))]),
        (["source", "file"], [("path", .string("f"))]),
        (["source", "kafka", "schema_registry"], [("url", .string("http://h"))]),
        (["source", "file", "schema_registry"], [("url", .string("http://h"))]),
        (["alerts", "[]"], [("webhook", .string("http://h/alerts"))]),
        (["lineage", "openlineage"], [("url", .string("http://h"))]),
        (["tables", "[]"], [("source", .string("a.b"))]),
        (["warehouse", "duckdb"], []),
    ]

    /// A file that has a value at a place, or stops before it, and all else that it must have.
    private static func file(_ value: JSONValue?, at path: DecoderProbe.Path) -> String {
        func merged(_ rest: ArraySlice<String>, _ done: DecoderProbe.Path) -> JSONValue? {
            guard let step = rest.first else { return value }
            let inner = merged(rest.dropFirst(), done + [step])
            if step == "[]" { return .array(inner.map { [$0] } ?? []) }
            let beside = needed.first { $0.path == done }?.members ?? []
            return .object(beside.filter { $0.key != step } + (inner.map { [(step, $0)] } ?? []))
        }
        var members = merged(path[...], [])?.members ?? []
        if path.first != "pipeline" { members.append(("pipeline", .string("p"))) }
        let file = JSONValue.Member("file", .object([("path", .string("f"))]))
        if path.first != "source" {
            members.append(("source", .object([file])))
        } else if !["kafka", "postgres", "file"].contains(path[1]), let source = members.first?.value.members {
            members[0].value = .object(source + [file])
        }
        if path.first != "warehouse" { members.append(("warehouse", .object([("duckdb", .object([]))]))) }
        return JSONValue.object(members).serialized
    }

    @Test func defaultsAreWhatAFileWithoutThemMeans() throws {
        let schema = try SchemaValidator.shipped.get()
        var count = 0
        for (path, rule) in schema.places().values where !path.contains("quality") || path.first == "quality" {
            guard let standard = rule["default"] else { continue }
            let given = try parse(Self.file(standard, at: path))
            #expect(given == (try parse(Self.file(nil, at: path))), "\(path)")
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
