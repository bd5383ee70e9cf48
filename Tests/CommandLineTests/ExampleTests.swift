import ArgumentParser
import Testing

@testable import millrace

/// The examples of each command's help are command lines that the program takes.
@Suite struct ExampleTests {
    struct Command: CustomTestStringConvertible {
        var path: String
        var type: any ParsableCommand.Type
        var testDescription: String { path }

        var examples: [String] {
            let parts = type.configuration.discussion.split(separator: "EXAMPLES:\n", omittingEmptySubsequences: false)
            return parts.count == 2 ? parts[1].split(separator: "\n").map(String.init) : []
        }
    }

    private static func commands(_ type: any ParsableCommand.Type, below path: String) -> [Command] {
        let name = (path + " " + type._commandName).trimmingPrefix(" ")
        return [Command(path: String(name), type: type)]
            + type.configuration.subcommands.flatMap { commands($0, below: String(name)) }
    }

    private static let all = commands(Millrace.self, below: "")

    @Test func allCommandsAreHere() {
        let paths = Self.all.map(\.path)
        #expect(paths.count > 35 && paths.contains("millrace dbt") && paths.contains("millrace checkpoint set"))
    }

    @Test(arguments: all) func anExampleIsACommandLine(command: Command) throws {
        let lines = command.examples
        #expect(!lines.isEmpty && lines.count.isMultiple(of: 2), "each says what it does, and is a line")
        for (index, line) in lines.enumerated() {
            // The help's own width: a line that is wrapped can't be copied.
            #expect(line.hasPrefix("  ") && line.count <= 80, "\(line)")
            let isPurpose = index.isMultiple(of: 2)
            #expect(line.hasPrefix("  # ") == isPurpose, "\(line)")
            if isPurpose { continue }
            var words = try words(of: line)
            #expect(words.removeFirst() == "millrace")
            // A group's examples are those of what it holds.
            let isGroup = !command.type.configuration.subcommands.isEmpty
            #expect(isGroup || line.hasPrefix("  \(command.path)"), "\(line)")
            do {
                let parsed = try Millrace.parseAsRoot(words)
                #expect(isGroup || type(of: parsed) == command.type, "\(line)")
            } catch {
                // Help is asked for, not run.
                #expect(Millrace.exitCode(for: error) == .success, "\(line): \(Millrace.message(for: error))")
            }
        }
    }

    /// As a shell splits a line, with single quotes; what it writes to a file is not the program's.
    private func words(of line: String) throws -> [String] {
        var words: [String] = []
        var word: String?
        var isQuoted = false
        for character in line {
            switch character {
            case "'":
                isQuoted.toggle()
                word = word ?? ""
            case " " where !isQuoted:
                if let done = word { words.append(done) }
                word = nil
            default: word = (word ?? "") + String(character)
            }
        }
        try #require(!isQuoted, "\(line)")
        if let word { words.append(word) }
        return words.firstIndex(of: ">").map { Array(words[..<$0]) } ?? words
    }

    @Test func wrongExamplesAreFound() {
        #expect(throws: (any Error).self) { try Millrace.parseAsRoot(["run", "--until-the-end"]) }
        #expect(throws: (any Error).self) { try Millrace.parseAsRoot(["erase", "customers", "4711"]) }
    }
}
