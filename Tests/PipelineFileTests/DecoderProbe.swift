import JSON
import PipelineFile

/// What the decoder itself says that it knows, found out by asking it for what it can't know: it answers an unknown key
/// with the keys that there are, and an unknown word with the words.
struct DecoderProbe {
    /// Like no key or word, so that none is proposed in its place.
    static let unknown = "zzzzzzzzzz"

    /// A place in the file: `["tables", "[]", "columns"]`. Behind `quality`'s `[]` stands a kind: `[not_null]`.
    typealias Path = [String]

    /// What a place needs beside it, for the decoder to look at the rest of it.
    private static let needed: [(path: Path, members: [JSONValue.Member])] = [
        (["source", "kafka"], [("brokers", .string("b")), ("topics", .array([.string("t")]))]),
        (["source", "postgres"], [("url", .string("postgres://h/d"))]),
        (["source", "file"], [("path", .string("f"))]),
        (["source", "kafka", "schema_registry"], [("url", .string("http://h"))]),
        (["source", "file", "schema_registry"], [("url", .string("http://h"))]),
        (["alerts", "[]"], [("webhook", .string("http://h/alerts"))]),
        (["lineage", "openlineage"], [("url", .string("http://h"))]),
        (["tables", "[]"], [("source", .string("a.b"))]),
    ]

    /// A file that has a value at a place, or stops before it, and all else that it must have.
    static func file(_ value: JSONValue?, at path: Path) -> String {
        func enclosed(_ rest: ArraySlice<String>, _ done: Path) -> JSONValue? {
            guard let step = rest.first else { return value }
            let inner = enclosed(rest.dropFirst(), done + [step])
            if step.hasPrefix("[") {
                let kind = String(step.dropFirst().dropLast())
                guard !kind.isEmpty, let members = inner?.members else { return .array(inner.map { [$0] } ?? []) }
                return .array([.object([("expect", .string(kind))] + members)])
            }
            let beside = needed.first { $0.path == done }?.members ?? []
            return .object(beside.filter { $0.key != step } + (inner.map { [(step, $0)] } ?? []))
        }
        var members = enclosed(path[...], [])?.members ?? []
        if path.first != "pipeline" { members.append(("pipeline", .string("p"))) }
        let file = JSONValue.Member("file", .object([("path", .string("f"))]))
        if path.first != "source" {
            members.append(("source", .object([file])))
        } else if path.count > 1, !["kafka", "postgres", "file"].contains(path[1]),
            let source = members.first?.value.members
        {
            members[0].value = .object(source + [file])
        }
        if path.first != "warehouse" { members.append(("warehouse", .object([("duckdb", .object([]))]))) }
        return JSONValue.object(members).serialized
    }

    /// The problems of a file that has a value at a place.
    func problems(_ value: JSONValue, at path: Path) -> [PipelineFileError.Problem] {
        do {
            _ = try Pipeline.parse(text: Self.file(value, at: path), file: "millrace.yaml", environment: [:])
            return []
        } catch {
            return error.problems
        }
    }

    /// As the decoder's messages name it.
    static func keyPath(_ path: Path) -> String {
        path.reduce("") { text, step in
            step.hasPrefix("[") ? text + "[0]" : text.isEmpty ? step : "\(text).\(step)"
        }
    }

    /// The keys of the mapping at a place; nil where there is none.
    func keys(at path: Path) -> Set<String>? {
        let asked = Self.keyPath(path + [Self.unknown])
        let problems = problems(.object([(Self.unknown, .number("1"))]), at: path)
        guard let remedy = problems.first(where: { $0.keyPath == asked })?.remedy, remedy.hasPrefix("one of ") else {
            return nil
        }
        return Set(remedy.dropFirst("one of ".count).split(separator: ", ").map(String.init))
    }

    /// The words of a choice; empty where any text will do, or none.
    func words(at path: Path) -> Set<String> {
        for (place, value) in [(path, JSONValue.string(Self.unknown)), (path + ["[]"], .string(Self.unknown))] {
            let message = problems(value, at: place).first { $0.keyPath == Self.keyPath(place) }?.message ?? ""
            guard let told = message.firstMatch(of: /is none of ([^<]*)/)?.output.1 else { continue }
            // Beside words a choice may take texts of a form: "a time", "nor a map of the four names".
            return Set(told.split(separator: ", ").map(String.init).filter { !$0.contains { " :".contains($0) } })
        }
        return []
    }

    /// The bounds of a whole number.
    func bounds(at path: Path) -> (Int64, Int64)? {
        let message = problems(.number("-1"), at: path).first { $0.keyPath == Self.keyPath(path) }?.message ?? ""
        guard let told = message.firstMatch(of: /-1 is outside of (\d+) to (\d+)$/)?.output,
            let least = Int64(told.1), let most = Int64(told.2)
        else { return nil }
        return (least, most)
    }

    /// Whether a key is known and refused, since it belongs to a later step.
    private func isLater(_ path: Path) -> Bool {
        problems(.object([]), at: path).contains {
            $0.keyPath == Self.keyPath(path) && $0.message.contains("(not yet)")
        }
    }

    /// Each mapping of the file with its keys, those of later steps left out.
    func mappings() -> [Path: Set<String>] {
        var found: [Path: Set<String>] = [:]
        var next: [Path] = [[]]
        while let path = next.popLast() {
            guard let known = keys(at: path) else { continue }
            let keys = known.filter { !isLater(path + [$0]) }
            found[path] = keys
            for key in keys { next += [path + [key], path + [key, "[]"]] }
            guard path == ["tables", "[]"] else { continue }
            let quality = path + ["quality"]
            let kinds = problems(.object([("expect", .string(Self.unknown))]), at: quality + ["[]"])
                .compactMap { $0.message.firstMatch(of: /is none of (.*)/)?.output.1 }.first
            next += (kinds ?? "").split(separator: ", ").map { quality + ["[\($0)]"] }
        }
        return found
    }
}

extension SchemaValidator {
    /// Each mapping that the schema settles, and each value in one.
    func places() -> (mappings: [DecoderProbe.Path: Set<String>], values: [DecoderProbe.Path: JSONValue]) {
        var mappings: [DecoderProbe.Path: Set<String>] = [:]
        var values: [DecoderProbe.Path: JSONValue] = [:]
        func visit(_ schema: JSONValue, _ path: DecoderProbe.Path) {
            let own = schema
            let schema = resolve(schema)
            // A branch of a value is no value of its own.
            if values[path] == nil {
                let standard = own["default"].map { [JSONValue.Member("default", $0)] } ?? []
                values[path] = .object(
                    (schema.members ?? []).filter { $0.key != "default" || standard.isEmpty } + standard)
            }
            if let items = schema["items"] { visit(items, path + ["[]"]) }
            for branch in (schema["anyOf"]?.array ?? []) + (schema["oneOf"]?.array ?? [])
            where resolve(branch)["additionalProperties"]?.bool == false {
                let kinds = branch["properties"]?["expect"]?["enum"]?.array?.compactMap(\.string) ?? []
                for kind in kinds { visit(branch, path.dropLast() + ["[\(kind)]"]) }
                if kinds.isEmpty { visit(branch, path) }
            }
            guard schema["additionalProperties"]?.bool == false else { return }
            mappings[path] = Set((schema["properties"]?.members ?? []).map(\.key))
            for (key, rule) in schema["properties"]?.members ?? [] { visit(rule, path + [key]) }
        }
        visit(root, [])
        return (mappings, values)
    }

    /// The words that a value may be, those of its list too.
    func words(_ schema: JSONValue) -> Set<String> {
        let schema = resolve(schema)
        let branches = [schema] + (schema["anyOf"]?.array ?? []) + (schema["items"].map { [resolve($0)] } ?? [])
        return Set(branches.flatMap { $0["enum"]?.array ?? [] }.compactMap(\.string))
    }
}
