import JSON

/// A line of an event file that is no record, for the quarantine: reading went on with the next one.
package struct MalformedLine: Sendable {
    /// Counted from 1.
    package var line: Int
    /// Of its first byte, in the (decompressed) file.
    package var offset_bytes: Int64
    package var reason: Reason
    /// The line without its newline, at most the first `raw_bytes_max` of it.
    package var raw: [UInt8]

    package static let raw_bytes_max = 1 << 20

    package enum Reason: Error, Equatable, CustomStringConvertible {
        case notJSON(JSONError)
        case notAnObject
        case noTopic
        /// The key has a value of another type than it must, or out of range.
        case wrongType(key: String, wanted: String)
        case badBase64(key: String)
        /// A string has half of a surrogate pair: no UTF-8 can hold it.
        case loneSurrogate(key: String)
        /// A key or value is given twice, be it in both its forms (`key` and `key_b64`).
        case ambiguous(key: String)
        case tooLong(limit_bytes: Int)

        package var description: String {
            switch self {
            case .notJSON(let error): "not JSON: \(error)"
            case .notAnObject: "not a JSON object"
            case .noTopic: "no topic"
            case .wrongType(let key, let wanted): "\(key) must be \(wanted)"
            case .badBase64(let key): "\(key) is not base64"
            case .loneSurrogate(let key): "\(key) has half of a surrogate pair"
            case .ambiguous(let key): "\(key) is given twice"
            case .tooLong(let limit): "longer than \(limit) bytes"
            }
        }
    }
}
