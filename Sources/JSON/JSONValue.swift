/// A JSON document as a value, for the edges: configuration, the API, tests. Objects keep their order
/// and their duplicates, numbers their text.
package enum JSONValue: Sendable {
    case null
    case bool(Bool)
    /// As written: `-0.0`, `1E21` and any count of digits stay what they are.
    case number(String)
    case string(String)
    case array([JSONValue])
    case object([Member])

    package typealias Member = (key: String, value: JSONValue)

    /// The first member of this key.
    package subscript(key: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.key == key }?.value
    }

    package var string: String? {
        if case .string(let text) = self { text } else { nil }
    }
    /// An integer that fits; nil for what has a fraction or exponent.
    package var int64: Int64? {
        if case .number(let text) = self { Int64(text) } else { nil }
    }
    package var double: Double? {
        if case .number(let text) = self { Double(text) } else { nil }
    }
    package var bool: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }
    package var array: [JSONValue]? {
        if case .array(let elements) = self { elements } else { nil }
    }
    package var members: [Member]? {
        if case .object(let members) = self { members } else { nil }
    }
    package var isNull: Bool {
        if case .null = self { true } else { false }
    }
}

extension JSONValue {
    /// Parses a whole document.
    package init(parsing text: String) throws(JSONError) {
        try self.init(parsing: Array(text.utf8))
    }

    package init(parsing bytes: some Collection<UInt8>) throws(JSONError) {
        self = try JSONParser.withTape(of: bytes) { (tape) throws(JSONError) in try JSONValue(tape, tape.root) }
    }

    /// The value of one token of a tape.
    package init(_ tape: JSONTape, _ i: Int) throws(JSONError) {
        switch tape.kind(i) {
        case .null: self = .null
        case .true: self = .bool(true)
        case .false: self = .bool(false)
        case .integer, .fraction: self = .number(String(decoding: tape.rawValue(i), as: UTF8.self))
        case .string:
            guard let text = tape.string(i) else { throw JSONError(reason: .loneSurrogate, offset: tape.offset(i)) }
            self = .string(text)
        case .array:
            var elements: [JSONValue] = []
            elements.reserveCapacity(tape.childCount(i))
            for child in tape.children(i) { elements.append(try JSONValue(tape, child)) }
            self = .array(elements)
        case .object:
            var members: [Member] = []
            members.reserveCapacity(tape.childCount(i))
            for child in tape.children(i) {
                guard let key = tape.key(child) else {
                    throw JSONError(reason: .loneSurrogate, offset: tape.offset(child))
                }
                members.append((key, try JSONValue(tape, child)))
            }
            self = .object(members)
        case .skipped:
            self = try JSONValue(parsing: tape.rawValue(i))
        }
    }

    /// The document in one line.
    package var serialized: String {
        let writer = JSONWriter()
        writer.value(self)
        return writer.string
    }
}

extension JSONWriter {
    package func value(_ value: JSONValue) {
        switch value {
        case .null: null()
        case .bool(let value): bool(value)
        case .number(let text):
            var text = text
            text.withUTF8 { raw(UnsafeRawBufferPointer($0)) }
        case .string(let text): string(text)
        case .array(let elements):
            beginArray()
            for element in elements { self.value(element) }
            endArray()
        case .object(let members):
            beginObject()
            for member in members {
                key(member.key)
                self.value(member.value)
            }
            endObject()
        }
    }
}

extension JSONValue: Equatable {
    /// Members are compared in their order, numbers by their text.
    package static func == (a: JSONValue, b: JSONValue) -> Bool {
        switch (a, b) {
        case (.null, .null): true
        case (.bool(let a), .bool(let b)): a == b
        case (.number(let a), .number(let b)), (.string(let a), .string(let b)): a == b
        case (.array(let a), .array(let b)): a == b
        case (.object(let a), .object(let b)): a.elementsEqual(b) { $0 == $1 }
        default: false
        }
    }
}

// Not by `nil`: in an optional context that would be `.null` where the absence of a value is meant.
extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    package init(stringLiteral value: String) { self = .string(value) }
    package init(integerLiteral value: Int64) { self = .number(String(value)) }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    package init(dictionaryLiteral elements: (String, JSONValue)...) {
        self = .object(elements.map { ($0.0, $0.1) })
    }
}
