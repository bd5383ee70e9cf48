import CZlib

/// The contents of a gzip file, of any number of members, decompressed as they are read.
final class GzipFile {
    private let file: PlainFile
    private let stream: UnsafeMutablePointer<z_stream>
    private let input: UnsafeMutableRawBufferPointer
    private var state = State.between

    private enum State {
        /// Before a member; the first one, or one after another.
        case between
        case inMember
        case ended
    }

    init(_ file: PlainFile) throws(EventFileError) {
        self.file = file
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        input = .allocate(byteCount: 1 << 17, alignment: 16)
        // 15 bits of window, and 16 for a gzip header and nothing else.
        guard inflateInit2_(stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            throw EventFileError(kind: .readFailed, message: "no memory to decompress \(file.path)", remedy: nil)
        }
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
        input.deallocate()
    }

    /// Bytes written to `room`, which isn't empty; 0 at the end.
    func read(into room: UnsafeMutableRawBufferPointer) throws(EventFileError) -> Int {
        guard let start = room.baseAddress else { return 0 }
        stream.pointee.next_out = start.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_out = UInt32(clamping: room.count)
        let wanted = Int(stream.pointee.avail_out)
        while state != .ended, stream.pointee.avail_out == wanted {
            if stream.pointee.avail_in == 0, try !refill() {
                if state == .inMember { throw truncated }
                state = .ended
                break
            }
            if state == .between {
                // Padding with zeros behind a member is common (tapes, block devices).
                if stream.pointee.next_in.pointee == 0 {
                    stream.pointee.next_in += 1
                    stream.pointee.avail_in -= 1
                    continue
                }
                state = .inMember
            }
            switch inflate(stream, Z_NO_FLUSH) {
            case Z_OK, Z_BUF_ERROR: break
            case Z_STREAM_END:
                state = .between
                inflateReset(stream)
            default: throw corrupt
            }
        }
        return wanted - Int(stream.pointee.avail_out)
    }

    private func refill() throws(EventFileError) -> Bool {
        let got = try file.read(into: input)
        stream.pointee.next_in = input.baseAddress?.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_in = UInt32(got)
        return got > 0
    }

    private var truncated: EventFileError {
        EventFileError(
            kind: .truncated, message: "\(file.path) is truncated: the gzip data ends too early",
            remedy: "fetch the file again, and run again: what was read is kept"
        )
    }

    private var corrupt: EventFileError {
        EventFileError(
            kind: .corrupt, message: "\(file.path) is corrupt: its gzip data cannot be decompressed",
            remedy: "check it with: gzip -t \(file.path)"
        )
    }
}
