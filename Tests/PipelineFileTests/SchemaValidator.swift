import JSON
import PipelineFile

/// Holds a value against the JSON Schema of the pipeline file. It knows the keywords that stand there, each of them
/// fully, and fails on any other.
struct SchemaValidator {
    struct UnknownKeyword: Error, CustomStringConvertible {
        var description: String
    }

    /// Only read, its patterns too, which don't say that they may be.
    nonisolated(unsafe) static let shipped = Result { try SchemaValidator(JSONValue(parsing: PipelineSchema.text)) }

    /// Say nothing about a value.
    private static let annotations: Set<String> = ["$schema", "title", "description", "default", "definitions"]
    private static let keywords: Set<String> = [
        "$ref", "type", "enum", "required", "properties", "additionalProperties", "propertyNames", "items", "minItems",
        "maxItems", "uniqueItems", "pattern", "minLength", "minimum", "maximum", "anyOf", "oneOf", "allOf", "not", "if",
        "then", "dependencies",
    ]

    let root: JSONValue
    private let patterns: [String: Regex<AnyRegexOutput>]

    init(_ root: JSONValue) throws {
        self.root = root
        var patterns: [String: Regex<AnyRegexOutput>] = [:]
        try Self.walk(root) { schema in
            for (keyword, value) in schema.members ?? [] {
                guard Self.keywords.contains(keyword) || Self.annotations.contains(keyword) else {
                    throw UnknownKeyword(description: "\(keyword) is no keyword that is known here")
                }
                if keyword == "$ref", schema.members?.contains(where: { Self.isHidden($0.key) }) == true {
                    throw UnknownKeyword(description: "what stands beside $ref isn't looked at: \(schema.serialized)")
                }
                if keyword == "pattern", let text = value.string { patterns[text] = try Regex(text) }
            }
        }
        self.patterns = patterns
    }

    /// In draft 7, all that constrains and stands beside `$ref`.
    private static func isHidden(_ keyword: String) -> Bool { keyword != "$ref" && keywords.contains(keyword) }

    /// Each schema in a schema, that one first.
    private static func walk(_ schema: JSONValue, _ visit: (JSONValue) throws -> Void) throws {
        try visit(schema)
        for (keyword, value) in schema.members ?? [] {
            switch keyword {
            case "properties", "definitions": for member in value.members ?? [] { try walk(member.value, visit) }
            case "anyOf", "oneOf", "allOf": for branch in value.array ?? [] { try walk(branch, visit) }
            case "items", "propertyNames", "not", "if", "then": try walk(value, visit)
            case "additionalProperties": if value.members != nil { try walk(value, visit) }
            default: break
            }
        }
    }

    /// The schema itself, or what its `$ref` names, with its own annotations.
    func resolve(_ schema: JSONValue) -> JSONValue {
        guard let reference = schema["$ref"]?.string else { return schema }
        let name = String(reference.dropFirst("#/definitions/".count))
        return root["definitions"]?[name].map(resolve) ?? .object([("$ref", .string("missing: \(reference)"))])
    }

    /// What is wrong with a value, each as `path: why`; none where it is valid.
    func complaints(_ value: JSONValue) -> [String] { complaints(value, root, "") }

    private func complaints(_ value: JSONValue, _ schema: JSONValue, _ path: String) -> [String] {
        if let reference = schema["$ref"]?.string {
            let target = resolve(schema)
            return target["$ref"] == nil ? complaints(value, target, path) : ["\(path): no \(reference)"]
        }
        return ofScalar(value, schema, path) + ofObject(value, schema, path) + ofArray(value, schema, path)
            + ofBranches(value, schema, path)
    }

    private func isValid(_ value: JSONValue, _ schema: JSONValue) -> Bool { complaints(value, schema, "").isEmpty }

    private static func type(_ value: JSONValue) -> Set<String> {
        switch value {
        case .null: ["null"]
        case .bool: ["boolean"]
        case .number(let text): text.contains { ".eE".contains($0) } ? ["number"] : ["number", "integer"]
        case .string: ["string"]
        case .array: ["array"]
        case .object: ["object"]
        }
    }

    private func ofScalar(_ value: JSONValue, _ schema: JSONValue, _ path: String) -> [String] {
        var found: [String] = []
        if let wanted = schema["type"] {
            let types = wanted.array?.compactMap(\.string) ?? [wanted.string ?? ""]
            if Self.type(value).isDisjoint(with: types) { found.append("\(path): is none of \(types)") }
        }
        if let words = schema["enum"]?.array, !words.contains(value) {
            found.append("\(path): is none of \(words.map(\.serialized))")
        }
        if let text = value.string {
            if let pattern = schema["pattern"]?.string, let regex = patterns[pattern],
                (try? regex.firstMatch(in: text)) == nil
            {
                found.append("\(path): doesn't match \(pattern)")
            }
            if let least = schema["minLength"]?.int64, text.unicodeScalars.count < least {
                found.append("\(path): is too short")
            }
        }
        if let number = value.double {
            if let least = schema["minimum"]?.double, number < least { found.append("\(path): is below \(least)") }
            if let most = schema["maximum"]?.double, number > most { found.append("\(path): is above \(most)") }
        }
        return found
    }

    private func ofObject(_ value: JSONValue, _ schema: JSONValue, _ path: String) -> [String] {
        guard let members = value.members else { return [] }
        var found: [String] = []
        for name in schema["required"]?.array?.compactMap(\.string) ?? [] where value[name] == nil {
            found.append("\(path): lacks \(name)")
        }
        for (name, needed) in schema["dependencies"]?.members ?? [] where value[name] != nil {
            for other in needed.array?.compactMap(\.string) ?? [] where value[other] == nil {
                found.append("\(path): \(name) needs \(other)")
            }
        }
        for (name, member) in members {
            let place = path.isEmpty ? name : "\(path).\(name)"
            if let rule = schema["propertyNames"], !isValid(.string(name), rule) {
                found.append("\(place): no such name")
            }
            if let own = schema["properties"]?[name] {
                found += complaints(member, own, place)
            } else if let rest = schema["additionalProperties"] {
                found += rest.bool == false ? ["\(place): no such key"] : complaints(member, rest, place)
            }
        }
        return found
    }

    private func ofArray(_ value: JSONValue, _ schema: JSONValue, _ path: String) -> [String] {
        guard let elements = value.array else { return [] }
        var found: [String] = []
        if let least = schema["minItems"]?.int64, elements.count < least { found.append("\(path): has too few") }
        if let most = schema["maxItems"]?.int64, elements.count > most { found.append("\(path): has too many") }
        let repeats = elements.indices.contains { elements[..<$0].contains(elements[$0]) }
        if schema["uniqueItems"]?.bool == true, repeats { found.append("\(path): has one twice") }
        if let rule = schema["items"] {
            for (index, element) in elements.enumerated() { found += complaints(element, rule, "\(path)[\(index)]") }
        }
        return found
    }

    private func ofBranches(_ value: JSONValue, _ schema: JSONValue, _ path: String) -> [String] {
        var found: [String] = []
        for branch in schema["allOf"]?.array ?? [] { found += complaints(value, branch, path) }
        if let branches = schema["anyOf"]?.array, !branches.contains(where: { isValid(value, $0) }) {
            found.append("\(path): fits none of \(branches.count) ways")
        }
        if let branches = schema["oneOf"]?.array {
            let count = branches.count { isValid(value, $0) }
            if count != 1 { found.append("\(path): fits \(count) of \(branches.count) ways, not one") }
        }
        if let refused = schema["not"], isValid(value, refused) { found.append("\(path): is refused") }
        if let condition = schema["if"], isValid(value, condition), let then = schema["then"] {
            found += complaints(value, then, path)
        }
        return found
    }
}
