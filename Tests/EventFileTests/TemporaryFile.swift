import Foundation

/// A file of a test's own, taken away with it.
final class TemporaryFile {
    let path: String
    private let folder: URL

    init(_ contents: some DataProtocol, name: String = "events.jsonl") throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "millrace-eventfile-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let file = folder.appending(path: name)
        try Data(contents).write(to: file)
        path = file.path
    }

    convenience init(lines: [String]) throws {
        try self.init(Data(lines.map { $0 + "\n" }.joined().utf8))
    }

    deinit { try? FileManager.default.removeItem(at: folder) }
}

/// Gzip members of stored blocks: everything of the format but the compression.
enum StoredGzip {
    static func member(_ contents: Data) -> Data {
        var out = Data([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255])
        var rest = contents[...]
        repeat {
            let block = rest.prefix(65535)
            rest = rest.dropFirst(block.count)
            out.append(rest.isEmpty ? 1 : 0)
            let length = UInt16(block.count)
            append(length, 2, to: &out)
            append(~length, 2, to: &out)
            out.append(block)
        } while !rest.isEmpty
        append(crc32(contents), 4, to: &out)
        append(UInt32(truncatingIfNeeded: contents.count), 4, to: &out)
        return out
    }

    private static func append(_ value: some FixedWidthInteger, _ count: Int, to out: inout Data) {
        for i in 0..<count { out.append(UInt8(truncatingIfNeeded: value >> (8 * i))) }
    }

    private static let table: [UInt32] = (0..<256).map { i in
        (0..<8).reduce(UInt32(i)) { crc, _ in crc & 1 == 1 ? 0xEDB8_8320 ^ (crc >> 1) : crc >> 1 }
    }

    private static func crc32(_ data: Data) -> UInt32 {
        ~data.reduce(~UInt32(0)) { crc, byte in table[Int((crc ^ UInt32(byte)) & 0xFF)] ^ (crc >> 8) }
    }
}
