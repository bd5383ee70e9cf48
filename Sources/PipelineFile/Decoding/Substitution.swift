import Foundation

/// Replaces `${NAME}` (the environment) and `${file:/path}` (a file's text) in one value, after the YAML
/// is read, so that what comes in can't be YAML. `$${` stands for `${`. What was put in isn't looked at
/// again.
struct Substitution {
    /// A message that holds names, never values.
    struct Problem: Error {
        var message: String
        var remedy: String
    }

    /// Larger files are no secret.
    static let file_bytes_max = 64 << 10

    let environment: [String: String]
    /// Makes a relative path one that can be opened.
    let resolve: (String) -> String

    func replace(in raw: String) throws(Problem) -> String {
        guard raw.contains("${") else { return raw }
        var text = ""
        var rest = raw[...]
        while let dollar = rest.firstIndex(of: "$") {
            text += rest[..<dollar]
            rest = rest[dollar...]
            if rest.hasPrefix("$${") {
                text += "${"
                rest = rest.dropFirst(3)
            } else if rest.hasPrefix("${") {
                guard let close = rest.firstIndex(of: "}") else {
                    throw Problem(
                        message: "${ without its closing brace",
                        remedy: "write ${NAME}, or $${ for the characters themselves")
                }
                text += try value(of: rest[..<close].dropFirst(2))
                rest = rest[rest.index(after: close)...]
            } else {
                text += "$"
                rest = rest.dropFirst()
            }
        }
        return text + rest
    }

    private func value(of name: Substring) throws(Problem) -> String {
        if name.hasPrefix("file:") { return try contents(of: String(name.dropFirst(5))) }
        let isName =
            name.utf8.allSatisfy { $0 == UInt8(ascii: "_") || isLetter($0) || isDigit($0) }
            && name.utf8.first.map { !isDigit($0) } ?? false
        guard isName else {
            throw Problem(
                message: "${\(name)} is no variable's name",
                remedy: "write ${NAME}, ${file:/path}, or $${ for the characters themselves")
        }
        guard let value = environment[String(name)] else {
            throw Problem(message: "the environment variable \(name) is not set", remedy: "export \(name)=…")
        }
        return value
    }

    private func contents(of path: String) throws(Problem) -> String {
        func unreadable(_ reason: String) -> Problem {
            Problem(message: "${file:\(path)} \(reason)", remedy: "ls -l '\(resolve(path))'")
        }
        if path.isEmpty { throw Problem(message: "${file:} names no file", remedy: "write ${file:/run/secrets/name}") }
        var status = stat()
        guard stat(resolve(path), &status) == 0 else {
            throw unreadable("can't be read: \(String(cString: strerror(errno)))")
        }
        // Reading a pipe or device could wait for ever.
        guard status.st_mode & S_IFMT == S_IFREG else { throw unreadable("is no plain file") }
        guard status.st_size <= Self.file_bytes_max else { throw unreadable("has more than 64KiB") }
        let bytes: Data
        do {
            bytes = try Data(contentsOf: URL(fileURLWithPath: resolve(path)))
        } catch {
            throw unreadable("can't be read")
        }
        guard bytes.count <= Self.file_bytes_max, var text = String(bytes: bytes, encoding: .utf8),
            !text.utf8.contains(0)
        else { throw unreadable("holds no UTF-8 text") }
        if text.hasSuffix("\r\n") || text.hasSuffix("\n") { text.removeLast() }
        return text
    }

    private func isLetter(_ byte: UInt8) -> Bool { (0x41...0x5A).contains(byte & 0xDF) }
    private func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
}
