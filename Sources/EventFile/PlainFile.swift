#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// An open regular file.
final class PlainFile {
    let path: String
    let identity: EventFileIdentity
    /// Whether it begins as gzip does, whatever its name.
    let isGzip: Bool
    private let descriptor: Descriptor

    init(path: String) throws(EventFileError) {
        // Not waiting for a writer, should it be a pipe.
        let number = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard number >= 0 else {
            throw EventFileError(
                kind: .unreadable, message: "cannot open \(path): \(Self.reason(errno))",
                remedy: "check source.file.path and the file's permissions"
            )
        }
        descriptor = Descriptor(number)
        self.path = path
        var status = stat()
        guard fstat(number, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw EventFileError(
                kind: .unreadable, message: "\(path) is not a regular file",
                remedy: "point source.file.path at a file of one JSON object per line, plain or .gz"
            )
        }
        let head = try Self.head(of: descriptor, path)
        identity = EventFileIdentity(size_bytes: Int64(status.st_size), headHash: EventFileIdentity.hash(head))
        isGzip = head.starts(with: [0x1F, 0x8B])
    }

    private static func head(of descriptor: Descriptor, _ path: String) throws(EventFileError) -> [UInt8] {
        var head = [UInt8](repeating: 0, count: EventFileIdentity.head_bytes)
        var filled = 0
        while filled < head.count {
            let room = head.count - filled
            let got = head.withUnsafeMutableBytes {
                pread(descriptor.number, $0.baseAddress.map { $0 + filled }, room, off_t(filled))
            }
            if got < 0, errno == EINTR { continue }
            if got < 0 { throw readFailed(path, errno) }
            if got == 0 { break }
            filled += got
        }
        return Array(head.prefix(filled))
    }

    /// Bytes read, 0 at the end of the file.
    func read(into room: UnsafeMutableRawBufferPointer) throws(EventFileError) -> Int {
        while true {
            #if canImport(Glibc)
                let got = Glibc.read(descriptor.number, room.baseAddress, room.count)
            #else
                let got = Darwin.read(descriptor.number, room.baseAddress, room.count)
            #endif
            if got >= 0 { return got }
            if errno != EINTR { throw Self.readFailed(path, errno) }
        }
    }

    private static func readFailed(_ path: String, _ code: Int32) -> EventFileError {
        EventFileError(kind: .readFailed, message: "cannot read \(path): \(reason(code))", remedy: nil)
    }

    private static func reason(_ code: Int32) -> String { String(cString: strerror(code)) }
}

/// Closed when let go, also where an init fails half way.
private final class Descriptor {
    let number: Int32
    init(_ number: Int32) { self.number = number }
    deinit { close(number) }
}
