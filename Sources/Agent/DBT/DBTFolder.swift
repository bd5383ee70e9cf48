import Foundation
import Replication

/// The folder that the files go into. Nothing outside of it is written, and no link is followed out of it.
///
/// A file that still is what an earlier run wrote is replaced; one that was edited is kept, and what would have been written
/// is put beside it as `NAME.new`, which dbt doesn't read, unless it is what the edited one was made from.
package struct DBTFolder: Sendable {
    package enum State: String, Sendable {
        case written, updated, unchanged
        /// It was edited.
        case kept
        /// Its table isn't replicated any more.
        case stale
    }

    package struct Outcome: Sendable, Equatable {
        /// Of the file, in the folder.
        package var name: String
        package var state: State
        /// The file beside a kept one that has what would be written now.
        package var new: String?
    }

    let path: String
    /// Edited files are replaced too.
    let isForced: Bool

    /// What is longer is nobody's model.
    private static let bytes_max = 16 << 20

    package init(_ path: String, isForced: Bool = false) {
        self.path = path
        self.isForced = isForced
    }

    /// - Parameter isModel: whether a file's name is one of ours.
    package func write(_ files: [DBTFile], isModel: (String) -> Bool) throws -> [Outcome] {
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch {
            throw CommandFailure(
                ExitStatus.environment, "the folder \(Console.printable(path)) can't be made", try: "--out DIR")
        }
        // Looked at before anything is written.
        let found = try files.map { (file: $0, here: try read($0.name), new: try read($0.name + ".new")) }
        var outcomes: [Outcome] = []
        for (file, here, new) in found {
            outcomes.append(try write(file, here.map { .init($0) }, isSame: here == file.text))
            if outcomes.last?.state == .kept, here.map({ DBTFile.Found($0) })?.hash != file.hash {
                outcomes[outcomes.count - 1].new = file.name + ".new"
                if new.map({ DBTFile.Found($0).isEdited }) != true { try replace(file.name + ".new", by: file.text) }
            } else if let new, !DBTFile.Found(new).isEdited {
                unlink(at(file.name + ".new"))
            }
        }
        let names = Set(files.map(\.name))
        let others = ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
        for name in others where isModel(name) && !names.contains(name) {
            if let text = try? read(name), DBTFile.Found(text).hash != nil {
                outcomes.append(Outcome(name: name, state: .stale))
            }
        }
        return outcomes
    }

    private func write(_ file: DBTFile, _ found: DBTFile.Found?, isSame: Bool) throws -> Outcome {
        if isSame { return Outcome(name: file.name, state: .unchanged) }
        if let found, found.isEdited, !isForced { return Outcome(name: file.name, state: .kept) }
        try replace(file.name, by: file.text)
        return Outcome(name: file.name, state: found == nil ? .written : .updated)
    }

    private func at(_ name: String) -> String { path + "/" + name }

    /// Nil: it isn't there.
    private func read(_ name: String) throws -> String? {
        let file = open(at(name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard file >= 0 else {
            if errno == ENOENT { return nil }
            throw failure(name, errno == ELOOP ? "is a link" : "can't be read: \(String(cString: strerror(errno)))")
        }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { throw failure(name, "is no file") }
        guard status.st_size <= Self.bytes_max else { throw failure(name, "has more than 16 MiB") }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = Foundation.read(file, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0, bytes.count <= Self.bytes_max else { throw failure(name, "can't be read") }
            if count == 0 { return String(decoding: bytes, as: UTF8.self) }
            bytes += buffer[..<count]
        }
    }

    /// Whole or not at all.
    private func replace(_ name: String, by text: String) throws {
        // Of another name than one that a killed run has left.
        let draft = at(".\(name).\(UInt64.random(in: 0...(.max)))")
        let file = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o644)
        guard file >= 0 else { throw failure(name, "can't be written: \(String(cString: strerror(errno)))") }
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Foundation.write(file, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            rest = rest.dropFirst(count)
        }
        let isWritten = rest.isEmpty && fsync(file) == 0
        let code = errno
        close(file)
        guard isWritten, rename(draft, at(name)) == 0 else {
            let reason = String(cString: strerror(isWritten ? errno : code))
            unlink(draft)
            throw failure(name, "can't be written: \(reason)")
        }
    }

    private func failure(_ name: String, _ what: String) -> CommandFailure {
        CommandFailure(
            ExitStatus.environment, "\(Console.printable(at(name))) \(what)", try: "move it away, or --out DIR")
    }
}
