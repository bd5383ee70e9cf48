import ChildProcess
import Foundation
import Testing

/// A page of docs/, whose blocks of commands are run as they stand there.
struct CommandPage {
    /// What stands between fences.
    struct Block {
        var heading: String
        /// `sh`: commands; `text`: what the commands before it must say.
        var language: String
        var lines: [String]
    }

    let text: String
    let headings: [String]
    let all: [Block]

    init(_ name: String) throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        text = try String(contentsOf: root.appending(path: name), encoding: .utf8)
        var headings: [String] = []
        var all: [Block] = []
        var open: Block?
        for line in text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init) {
            if let block = open {
                if line == "```" {
                    all.append(block)
                    open = nil
                } else {
                    open?.lines.append(line)
                }
            } else if line.hasPrefix("```") {
                open = Block(heading: headings.last ?? "", language: String(line.dropFirst(3)), lines: [])
            } else if line.hasPrefix("#") {
                headings.append(line.drop { $0 == "#" }.trimmingCharacters(in: .whitespaces))
            }
        }
        self.headings = headings
        self.all = all
    }

    /// The blocks of commands below a heading.
    func commands(_ heading: String) -> [[String]] {
        all.filter { $0.heading == heading && $0.language == "sh" }.map(\.lines)
    }

    /// As Markdown's readers make it of a heading.
    static func anchor(_ heading: String) -> String {
        String(heading.lowercased().map { $0 == " " ? "-" : $0 }.filter { $0.isLetter || $0.isNumber || $0 == "-" })
    }

    /// The exit code that a line says it has: `# exit 3`.
    static func exit(of line: String) -> Int32 {
        guard let mark = line.range(of: "# exit ") else { return 0 }
        return Int32(line[mark.upperBound...].prefix { $0.isNumber }) ?? 0
    }

    /// The program under test in front, as an installed one would be found.
    static func searchPath(_ more: String? = nil) -> String {
        let own = AgentProcess.binary.absoluteURL.deletingLastPathComponent().path
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
        return ([own, path] + [more].compactMap { $0 }).joined(separator: ":")
    }

    /// Runs a block line by line; what they wrote.
    @discardableResult
    func follow(
        _ heading: String, _ number: Int, in folder: URL, environment: [String: String],
        _ sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> String {
        let blocks = commands(heading)
        try #require(!blocks.isEmpty, "an entry \(heading)", sourceLocation: sourceLocation)
        try #require(blocks.indices.contains(number), "\(heading) has such a block", sourceLocation: sourceLocation)
        var output = ""
        for line in blocks[number] {
            let result = try await Self.shell(line, in: folder, environment: environment)
            #expect(
                result.status == Self.exit(of: line), "\(heading): \(line): \(result.output)\(result.errors)",
                sourceLocation: sourceLocation)
            output += result.output
        }
        return output
    }

    private static func shell(
        _ line: String, in folder: URL, environment: [String: String]
    ) async throws -> AgentProcess.Result {
        let output = folder.appending(path: "out-\(UUID().uuidString)")
        let errors = folder.appending(path: "err-\(UUID().uuidString)")
        defer {
            try? FileManager.default.removeItem(at: output)
            try? FileManager.default.removeItem(at: errors)
        }
        let process = try ChildProcess(
            ["sh", "-c", line], environment: environment, output: ChildProcess.Output(file: output, errors: errors),
            folder: folder)
        let status = await process.wait()
        func text(_ file: URL) -> String { (try? String(contentsOf: file, encoding: .utf8)) ?? "" }
        return AgentProcess.Result(status: status, output: text(output), errors: text(errors))
    }
}
