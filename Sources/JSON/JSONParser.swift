import CSimdJSON

/// Parses one JSON document at a time into a tape of tokens; reusable, and cheapest when reused.
///
/// ```swift
/// let parser = try JSONParser(skipping: ["schema"])
/// let tape = try parser.parse(bytes)
/// if let payload = tape.find("payload", in: tape.root) { … }
/// ```
/// Strict RFC 8259: UTF-8 is validated, numbers and literals are exact, duplicate keys are kept. Up to
/// `depth_max` containers inside each other and `length_max_bytes` per document.
///
/// A parser remembers the bytes of the schemas it skipped (those that come first in their document):
/// a document that begins with a remembered one is only parsed from there on, and says which one it was
/// (`JSONTape.skippedID`).
package final class JSONParser {
    /// Readable bytes that must lie behind every document, whatever they hold.
    package static let padding = Int(CSIMDJSON_PADDING)
    package static let depth_max = Int(CSIMDJSON_DEPTH_MAX)
    package static let length_max_bytes = 256 << 20

    private let parser: OpaquePointer

    /// - Parameter skipping: members of the top-level object (at most 8 names) whose value, where it is an
    ///   object or array, becomes one token of kind `skipped`, known to be balanced but not walked.
    /// - Parameter checksEscapes: false leaves it to the caller to check the escapes of each string, by
    ///   unescaping it or with `JSONTape.escapesAreValid`; for documents that are all escapes.
    package init(skipping keys: [String] = [], checksEscapes: Bool = true) throws(JSONError) {
        guard let parser = csimdjson_parser_new() else { throw JSONError(reason: .outOfMemory, offset: 0) }
        self.parser = parser
        if !checksEscapes { csimdjson_parser_leave_escapes(parser) }
        for key in keys {
            var key = key
            let added = key.withUTF8 { csimdjson_parser_skip(parser, $0.baseAddress, $0.count) }
            guard added else { throw JSONError(reason: .outOfMemory, offset: 0) }
        }
    }

    deinit { csimdjson_parser_free(parser) }

    /// Parses `document`, which has `padding` readable bytes behind it and stays where it is as long as
    /// the tape is used. The tape is valid until this parser's next parse, and as long as the parser lives.
    package func parse(_ document: UnsafeRawBufferPointer) throws(JSONError) -> JSONTape {
        var result = csimdjson_result()
        let error = csimdjson_parse(parser, document.baseAddress, document.count, &result)
        guard error == 0, let base = document.baseAddress, let tokens = result.tokens else {
            throw JSONError(reason: JSONError.Reason(code: error), offset: Int(result.error_offset))
        }
        return JSONTape(base: base, tokens: tokens, count: Int(result.count), skippedID: result.skipped_id)
    }

    /// Parses a document once, for the edges: copies it, and keeps copy and parser alive for `body`.
    package static func withTape<Result>(
        of bytes: some Collection<UInt8>, _ body: (JSONTape) throws(JSONError) -> Result
    ) throws(JSONError) -> Result {
        let parser = try JSONParser()
        let length = bytes.count
        let padded = UnsafeMutableRawBufferPointer.allocate(byteCount: length + padding, alignment: 16)
        defer {
            padded.deallocate()
            withExtendedLifetime(parser) {}
        }
        padded.initializeMemory(as: UInt8.self, repeating: 0)
        padded.copyBytes(from: bytes)
        return try body(try parser.parse(UnsafeRawBufferPointer(rebasing: padded[..<length])))
    }
}
