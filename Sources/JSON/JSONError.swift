import CSimdJSON

/// Why a text isn't the JSON that was wanted. Says where, never what stands there.
package struct JSONError: Error, Equatable, Sendable, CustomStringConvertible {
    package var reason: Reason
    /// Bytes from the start of the document.
    package var offset: Int

    package init(reason: Reason, offset: Int) {
        self.reason = reason
        self.offset = offset
    }

    package enum Reason: Sendable {
        case empty
        /// The document ends too early.
        case truncated
        case badUTF8
        case tooDeep
        /// Something follows the document's value.
        case trailingContent
        case badNumber
        case badLiteral
        /// A control character or a wrong escape in a string.
        case badString
        /// A bracket, comma, colon or key is missing or out of place.
        case badStructure
        case tooLong
        /// Half of a surrogate pair, which no UTF-8 can hold.
        case loneSurrogate
        case outOfMemory
        case other

        init(code: UInt32) {
            self =
                switch code {
                case CSIMDJSON_EMPTY.rawValue: .empty
                case CSIMDJSON_TRUNCATED.rawValue: .truncated
                case CSIMDJSON_BAD_UTF8.rawValue: .badUTF8
                case CSIMDJSON_TOO_DEEP.rawValue: .tooDeep
                case CSIMDJSON_TRAILING_CONTENT.rawValue: .trailingContent
                case CSIMDJSON_BAD_NUMBER.rawValue: .badNumber
                case CSIMDJSON_BAD_LITERAL.rawValue: .badLiteral
                case CSIMDJSON_BAD_STRING.rawValue: .badString
                case CSIMDJSON_BAD_STRUCTURE.rawValue: .badStructure
                case CSIMDJSON_TOO_LONG.rawValue: .tooLong
                case CSIMDJSON_NO_MEMORY.rawValue: .outOfMemory
                default: .other
                }
        }
    }

    package var description: String {
        let what =
            switch reason {
            case .empty: "there is no JSON"
            case .truncated: "the JSON ends too early"
            case .badUTF8: "the text is not UTF-8"
            case .tooDeep: "more than \(JSONParser.depth_max) objects or arrays inside each other"
            case .trailingContent: "something follows the JSON value"
            case .badNumber: "a number is not written as JSON wants it"
            case .badLiteral: "a word is neither true, false nor null"
            case .badString: "a string has a control character or a wrong escape"
            case .badStructure: "a bracket, comma, colon or key is missing or out of place"
            case .tooLong: "the JSON is longer than \(JSONParser.length_max_bytes >> 20) MiB"
            case .loneSurrogate: "a string has half of a surrogate pair"
            case .outOfMemory: "no memory for parsing JSON"
            case .other: "the text is not JSON"
            }
        return "\(what) (byte \(offset))"
    }
}
