import Foundation
import JSON
import Replication

/// One text for each value of a type, whoever wrote it: Postgres' JSON on one side, an engine's text on the other.
/// Made apart from the decoder's and the warehouses' own code, which it judges.
enum Canonical {
    /// Nil: null.
    static func text(expected value: JSONValue, type: ColumnType) -> String? {
        switch (value, type) {
        case (.null, _): return nil
        case (_, .json), (_, .jsonb):
            // A source that has no JSON type of its own sends its text.
            if case .string(let text) = value, let inner = try? JSONValue(parsing: text), inner.isContainer {
                return json(inner)
            }
            return json(value)
        case (.array(let elements), .array(let element)):
            return "["
                + elements.map { text(expected: $0, type: $0.isArray ? type : element) ?? "null" }
                .joined(separator: ",") + "]"
        case (.object, .composite(let composite)): return row(value, composite)
        case (_, .unknown): return json(value)
        case (.bool(let flag), .boolean): return flag ? "true" : "false"
        case (.bool(let flag), _): return text(actual: flag ? "true" : "false", type: type)
        case (.number(let number), _): return text(actual: number, type: type)
        case (.string(let string), _): return text(actual: string, type: type)
        case (.array, _), (.object, _): return json(value)
        }
    }

    static func text(actual text: String, type: ColumnType) -> String {
        switch type {
        case .boolean:
            switch text.lowercased() {
            case "t", "true", "1", "b'1'": return "true"
            case "f", "false", "0": return "false"
            default: return text
            }
        case .smallint, .integer, .bigint, .numeric: return decimal(text)
        case .real: return special(text) ?? Float(text).map { "f\($0.bitPattern)" } ?? text
        case .double: return special(text) ?? Double(text).map { "d\($0.bitPattern)" } ?? text
        case .uuid: return text.lowercased()
        case .bytea: return text.hasPrefix("\\x") ? text.lowercased() : text
        case .date: return era(text)
        case .time: return clock(text)
        case .timetz: return offsetClock(text)
        case .timestamp: return wallTime(text)
        case .timestamptz: return instant(text)
        case .interval: return IntervalReading(text)?.text ?? text
        case .json, .jsonb: return (try? JSONValue(parsing: text)).map(json) ?? text
        case .array(let element): return array(text, element)
        case .composite(let composite): return row(text, composite)
        case .unknown: return (try? JSONValue(parsing: text)).map(json) ?? json(.string(text))
        case .other("point"), .other("line"), .other("lseg"), .other("box"), .other("path"), .other("polygon"),
            .other("circle"):
            return geometry(text)
        case .other("hstore"):
            let value = try? JSONValue(parsing: text)
            return json(value?.members == nil ? HstoreReading(text)?.value ?? .string(text) : value ?? .null)
        case .text, .other: return text
        }
    }

    // MARK: Numbers

    /// Sign, digits without zeros at either end, exponent: exact at any length.
    static func decimal(_ text: String) -> String {
        if let special = special(text) { return special }
        var rest = text[...]
        var sign = ""
        if rest.first == "-" || rest.first == "+" { sign = rest.removeFirst() == "-" ? "-" : "" }
        var exponent = 0
        if let mark = rest.firstIndex(where: { $0 == "e" || $0 == "E" }) {
            guard let number = Int(rest[rest.index(after: mark)...]) else { return text }
            exponent = number
            rest = rest[..<mark]
        }
        let parts = rest.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        let fraction = parts.count > 1 ? parts[1] : ""
        var digits = Array((parts.first ?? "").utf8) + Array(fraction.utf8)
        guard !digits.isEmpty, digits.allSatisfy({ (0x30...0x39).contains($0) }) else { return text }
        exponent -= fraction.utf8.count
        while digits.last == 0x30 {
            digits.removeLast()
            exponent += 1
        }
        let significant = digits.drop { $0 == 0x30 }
        return significant.isEmpty ? "0" : "\(sign)\(String(decoding: significant, as: UTF8.self))e\(exponent)"
    }

    /// `[(1.0,2.0)]` and `[(1,2)]` are one path.
    private static func geometry(_ text: String) -> String {
        var out = ""
        var number = ""
        for character in text {
            if character.isNumber || "+-.eE".contains(character) {
                number.append(character)
                continue
            }
            if !number.isEmpty { out += decimal(number) }
            number = ""
            out.append(character)
        }
        return out + (number.isEmpty ? "" : decimal(number))
    }

    private static func special(_ text: String) -> String? {
        switch text.lowercased() {
        case "nan": "NaN"
        case "inf", "infinity", "+infinity": "Infinity"
        case "-inf", "-infinity": "-Infinity"
        default: nil
        }
    }

    // MARK: JSON and arrays

    /// Members sorted by key (equal keys in their order), numbers by their text.
    static func json(_ value: JSONValue) -> String { sorted(value).serialized }

    private static func sorted(_ value: JSONValue) -> JSONValue {
        switch value {
        case .array(let elements): return .array(elements.map(sorted))
        case .object(let members):
            let indexed = members.enumerated().sorted {
                ($0.element.key, $0.offset) < ($1.element.key, $1.offset)
            }
            return .object(indexed.map { ($0.element.key, sorted($0.element.value)) })
        default: return value
        }
    }

    private static func array(_ text: String, _ element: ColumnType) -> String {
        if let value = try? JSONValue(parsing: text), case .array(let elements) = value {
            return Canonical.text(expected: .array(elements), type: .array(element)) ?? text
        }
        guard let value = PostgresArray(text)?.value else { return text }
        return Canonical.text(expected: value, type: .array(element)) ?? text
    }
}

extension JSONValue {
    fileprivate var isContainer: Bool {
        switch self {
        case .array, .object: true
        default: false
        }
    }
    fileprivate var isArray: Bool { if case .array = self { true } else { false } }
}

/// `"a"=>"1", "b"=>NULL` as a JSON object.
private struct HstoreReading {
    private(set) var value = JSONValue.null
    private var rest: Substring.UnicodeScalarView

    init?(_ text: String) {
        rest = text[...].unicodeScalars
        var members: [JSONValue.Member] = []
        while !rest.isEmpty {
            guard let key = quoted(), take("=>") else { return nil }
            if take("NULL") {
                members.append((key, .null))
            } else {
                guard let value = quoted() else { return nil }
                members.append((key, .string(value)))
            }
            guard rest.isEmpty || take(", ") else { return nil }
        }
        value = .object(members)
    }

    private mutating func take(_ text: String) -> Bool {
        guard rest.starts(with: text.unicodeScalars) else { return false }
        rest.removeFirst(text.unicodeScalars.count)
        return true
    }

    private mutating func quoted() -> String? {
        guard take("\"") else { return nil }
        var text = String.UnicodeScalarView()
        while let scalar = rest.popFirst() {
            if scalar == "\"" { return String(text) }
            guard let next = scalar == "\\" ? rest.popFirst() : scalar else { return nil }
            text.append(next)
        }
        return nil
    }
}

/// `{1,NULL,"a b",{…}}` as JSON of strings.
private struct PostgresArray {
    private(set) var value: JSONValue
    private var rest: Substring.UnicodeScalarView

    init?(_ text: String) {
        rest = text[...].unicodeScalars
        value = .null
        guard let parsed = elements(), rest.isEmpty else { return nil }
        self = PostgresArray(value: parsed)
    }

    private init(value: JSONValue) {
        self.value = value
        rest = ""[...].unicodeScalars
    }

    private mutating func elements() -> JSONValue? {
        guard rest.popFirst() == "{" else { return nil }
        var all: [JSONValue] = []
        if rest.first == "}" {
            rest.removeFirst()
            return .array(all)
        }
        while true {
            guard let element = element() else { return nil }
            all.append(element)
            switch rest.popFirst() {
            case ",": continue
            case "}": return .array(all)
            default: return nil
            }
        }
    }

    private mutating func element() -> JSONValue? {
        if rest.first == "{" { return elements() }
        var text = String.UnicodeScalarView()
        if rest.first == "\"" {
            rest.removeFirst()
            while let scalar = rest.popFirst() {
                if scalar == "\"" { return .string(String(text)) }
                guard let next = scalar == "\\" ? rest.popFirst() : scalar else { return nil }
                text.append(next)
            }
            return nil
        }
        while let scalar = rest.first, scalar != ",", scalar != "}" {
            rest.removeFirst()
            guard let next = scalar == "\\" ? rest.popFirst() : scalar else { return nil }
            text.append(next)
        }
        let string = String(text)
        return string == "NULL" ? .null : .string(string)
    }
}
