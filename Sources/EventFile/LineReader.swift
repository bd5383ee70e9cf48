import JSON

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A file's lines, one after another, in a buffer of its own: memory is bounded by the longest line, and
/// by `line_bytes_max` whatever the file holds.
final class LineReader {
    /// A line without its newline, valid until the next one.
    struct Line {
        var bytes: UnsafeRawBufferPointer
        /// Offset of its first byte in the (decompressed) file.
        var offset: Int64
        /// Longer than `line_bytes_max`: `bytes` is its beginning, the rest was passed over.
        var isTooLong: Bool
    }

    let identity: EventFileIdentity
    private let source: (UnsafeMutableRawBufferPointer) throws(EventFileError) -> Int
    private let line_bytes_max: Int
    private var base: UnsafeMutableRawPointer
    private(set) var capacity: Int
    /// What is in the buffer and not yet handed out: `from..<to`.
    private var from = 0
    private var to = 0
    /// Of the byte at `from`, in the (decompressed) file.
    private var offset: Int64 = 0
    private var ended = false

    static let chunk_bytes = 1 << 18

    init(path: String, line_bytes_max: Int) throws(EventFileError) {
        self.line_bytes_max = max(line_bytes_max, 1)
        let file = try PlainFile(path: path)
        identity = file.identity
        if file.isGzip {
            let gzip = try GzipFile(file)
            source = { (room) throws(EventFileError) in try gzip.read(into: room) }
        } else {
            source = { (room) throws(EventFileError) in try file.read(into: room) }
        }
        capacity = Self.chunk_bytes
        base = .allocate(byteCount: capacity + JSONParser.padding, alignment: 16)
        base.initializeMemory(as: UInt8.self, repeating: 0, count: capacity + JSONParser.padding)
        skipByteOrderMark()
    }

    deinit { base.deallocate() }

    /// The next line; nil at the end of the file. The last one needs no newline.
    func next() throws(EventFileError) -> Line? {
        var searched = 0
        while true {
            if let newline = memchr(base + from + searched, 0x0A, to - from - searched) {
                return take(UnsafeRawPointer(newline) - UnsafeRawPointer(base) - from, newline: 1)
            }
            searched = to - from
            if searched > line_bytes_max { return try takeTooLong() }
            if ended { return searched == 0 ? nil : take(searched, newline: 0) }
            try fill()
        }
    }

    private func take(_ length: Int, newline: Int) -> Line {
        let tooLong = length > line_bytes_max
        let line = Line(
            bytes: UnsafeRawBufferPointer(start: base + from, count: tooLong ? line_bytes_max : length),
            offset: offset, isTooLong: tooLong
        )
        from += length + newline
        offset += Int64(length + newline)
        return line
    }

    /// Keeps the line's beginning at the front of the buffer and reads over the rest.
    private func takeTooLong() throws(EventFileError) -> Line {
        let kept = min(line_bytes_max, MalformedLine.raw_bytes_max)
        let start = offset
        base.copyMemory(from: base + from, byteCount: kept)
        offset += Int64(to - from)
        from = kept
        to = kept
        while !ended {
            // Behind what is kept there is always room: the line was longer than that.
            let got = try source(UnsafeMutableRawBufferPointer(start: base + kept, count: capacity - kept))
            if got == 0 { ended = true }
            if let newline = memchr(base + kept, 0x0A, got) {
                let passed = UnsafeRawPointer(newline) - UnsafeRawPointer(base) + 1 - kept
                from = kept + passed
                to = kept + got
                offset += Int64(passed)
                break
            }
            offset += Int64(got)
        }
        return Line(bytes: UnsafeRawBufferPointer(start: base, count: kept), offset: start, isTooLong: true)
    }

    /// Reads more behind what is there, first making room.
    private func fill() throws(EventFileError) {
        let left = to - from
        let roomy = capacity > 4 * Self.chunk_bytes && left < Self.chunk_bytes / 2
        if roomy || left >= capacity / 2 {
            // A long line grew the buffer and is gone, or one is growing it.
            resize(to: roomy ? Self.chunk_bytes : min(capacity * 2, line_bytes_max + Self.chunk_bytes))
        } else if from > 0 {
            base.copyMemory(from: base + from, byteCount: left)
            from = 0
            to = left
        }
        let got = try source(UnsafeMutableRawBufferPointer(start: base + to, count: capacity - to))
        if got == 0 { ended = true }
        to += got
    }

    private func resize(to wanted: Int) {
        let left = to - from
        let size = max(wanted, left + Self.chunk_bytes)
        let next = UnsafeMutableRawPointer.allocate(byteCount: size + JSONParser.padding, alignment: 16)
        next.copyMemory(from: base + from, byteCount: left)
        (next + left).initializeMemory(as: UInt8.self, repeating: 0, count: size + JSONParser.padding - left)
        base.deallocate()
        base = next
        capacity = size
        from = 0
        to = left
    }

    private func skipByteOrderMark() {
        // What fails here fails again, and is told, when the first line is asked for.
        while to - from < 3, !ended {
            guard (try? fill()) != nil else { return }
        }
        let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
        if to - from >= 3, memcmp(base + from, mark, 3) == 0 {
            from += 3
            offset += 3
        }
    }
}
