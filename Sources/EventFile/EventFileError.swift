/// Why an event file can't be read on. What is wrong with a single line is no error but a
/// `MalformedLine`.
package struct EventFileError: Error, Sendable, CustomStringConvertible {
    package enum Kind: Sendable {
        /// It can't be opened or isn't a regular file.
        case unreadable
        case readFailed
        /// A gzip file ends inside a member: it was cut off, or is still being written.
        case truncated
        /// A gzip file whose contents don't decompress or fail their checksum.
        case corrupt
        /// It has fewer lines than the position to continue at.
        case tooFewLines
    }

    package var kind: Kind
    package var message: String
    package var remedy: String?

    package init(kind: Kind, message: String, remedy: String?) {
        self.kind = kind
        self.message = message
        self.remedy = remedy
    }

    package var description: String { message }
}
