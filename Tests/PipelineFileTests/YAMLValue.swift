import JSON
import Yams

/// A YAML text as editors read it: plain scalars are what YAML 1.2's core schema makes of them.
/// nil where it is no YAML to them, as `{ url: ${URL} }` isn't, which the pipeline file allows.
func yamlValue(_ text: String) -> JSONValue? {
    guard let root = try? Yams.compose(yaml: text, .default, .default, .utf8) else { return nil }
    return value(root)
}

private func value(_ node: Node) -> JSONValue {
    switch node {
    case .scalar(let scalar): return scalar.style == .plain ? plain(scalar.string) : .string(scalar.string)
    case .sequence(let sequence): return .array(sequence.map(value))
    case .mapping(let mapping):
        var members: [JSONValue.Member] = []
        for (key, node) in mapping where key.scalar?.string != "<<" {
            members.append((key.scalar?.string ?? "", value(node)))
        }
        for (key, node) in mapping where key.scalar?.string == "<<" {
            let merged = value(node)
            for member in merged.members ?? (merged.array ?? []).flatMap({ $0.members ?? [] })
            where !members.contains(where: { $0.key == member.key }) { members.append(member) }
        }
        return .object(members)
    case .alias: return .null
    }
}

private func plain(_ text: String) -> JSONValue {
    switch text {
    case "", "~", "null", "Null", "NULL": .null
    case "true", "True", "TRUE": .bool(true)
    case "false", "False", "FALSE": .bool(false)
    default:
        if text.wholeMatch(of: /[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?/) != nil {
            .number(text)
        } else {
            .string(text)
        }
    }
}

/// What the shipped schema says of a text; nothing where an editor couldn't read it at all.
func schemaComplaints(_ text: String) throws -> [String] {
    guard let value = yamlValue(text) else { return [] }
    return try SchemaValidator.shipped.get().complaints(value)
}
