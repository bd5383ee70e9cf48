import JSON
import Replication

/// Why a value isn't one of its column. Says the kind of trouble, never the value.
enum Misfit: Error, Equatable {
    case kind(JSONKind)
    case outOfRange
    case digits
    case form
    case base64
    case surrogate
    case nul
    case document
    case bytesNotTold
    case unitNotTold
    case element
    case conversion
    case tooLong
    /// In the words of `FieldMisfit`.
    case judged(String)

    var reason: String {
        switch self {
        case .kind(let kind): "is \(Self.name(kind)) in JSON"
        case .outOfRange: "is out of range"
        case .digits: "has more digits than the type"
        case .form: "doesn't read as that type"
        case .base64: "isn't base64"
        case .surrogate: "has half of a surrogate pair"
        case .nul: "has a NUL character, which Postgres can't hold"
        case .document: "isn't JSON"
        case .bytesNotTold: "is binary as text, and source.debezium.binary_handling_mode doesn't say which"
        case .unitNotTold:
            "is a time whose unit hangs on the connector, and source.debezium.connector doesn't say which"
        case .element: "has an array element that doesn't read as the element type"
        case .conversion: "was written as another type and doesn't fit"
        case .tooLong: "is longer than the type"
        case .judged(let reason): reason
        }
    }

    static func name(_ kind: JSONKind) -> String {
        switch kind {
        case .null: "null"
        case .false, .true: "a boolean"
        case .integer: "an integer"
        case .fraction: "a number with a fraction or exponent"
        case .string: "a string"
        case .object, .skipped: "an object"
        case .array: "an array"
        }
    }
}
