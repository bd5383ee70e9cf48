import ChildProcess
import Foundation
import Testing
import ThrowawayPostgres

/// docs/first-table.md, walked as by somebody who has a Postgres and nothing but that page: all of its commands as they
/// stand, in one shell, and what it promises of them. Only the addresses are changed that the page has its reader change.
@Suite struct WalkTests {
    private static let page = "docs/first-table.md"

    @Test func fromNothingToATable() async throws {
        let page = try CommandPage(Self.page)
        // As one is installed: it writes no log for logical replication, and asks our role for its password.
        var options = ThrowawayPostgres.Options()
        options.settings = ["wal_level": "replica"]
        options.authentication = ["host all replicator 127.0.0.1/32 scram-sha-256"]
        let server = try await ThrowawayPostgres.start(options)
        try await server.psql("CREATE DATABASE shop")
        let folder = try temporaryFolder("walk")
        // What the program was built by is another matter.
        let steps = page.all.filter { $0.heading != "Build" }
        try #require(steps.count > 20, "the page's blocks are found")
        let walk = try Walk(
            steps.filter { $0.language == "sh" }.map { block in
                guard block.heading == "Yours", block.lines.contains(where: { $0.hasPrefix("export ") }) else {
                    return block.lines
                }
                return block.lines.map {
                    $0.replacing("localhost:5432", with: "127.0.0.1:\(server.port)")
                        .replacing("127.0.0.1:8642", with: "127.0.0.1:0")
                }
            }, in: folder)

        let began = ContinuousClock.now
        var commands = -1
        var heading = ""
        for step in steps {
            if step.language == "sh" {
                commands += 1
                heading = step.heading
                try await walk.take(commands)
                // The page says so behind that block, and how is everybody's own matter.
                if step.lines.contains(where: { $0.contains("wal_level = 'logical'") }) { try await server.restart() }
            } else {
                #expect(step.language == "text" && step.heading == heading, "\(step) belongs to commands")
                expect(step.lines, in: walk.output(commands))
            }
        }
        try await walk.end()
        print("the walk of docs/first-table.md: \(ContinuousClock.now - began)")

        // Nothing of it is left at the source but the reader's own table.
        let left = "SELECT (SELECT count(*) FROM pg_replication_slots) || ' ' || (SELECT count(*) FROM pg_publication)"
        #expect(try await server.psql(left, database: "shop").trimmingCharacters(in: .whitespacesAndNewlines) == "0 0")
        await server.remove()
        try? FileManager.default.removeItem(at: folder)
    }

    /// Each promised line, in this order, among what was said; `…` stands for anything.
    private func expect(_ promised: [String], in said: String) {
        var lines = said.split(whereSeparator: \.isNewline)[...]
        for line in promised {
            let parts = line.components(separatedBy: "…").map { $0.trimmingCharacters(in: .whitespaces) }
            let found = lines.firstIndex { candidate in
                var rest = candidate.drop { $0 == " " }
                for (index, part) in parts.enumerated() where !part.isEmpty {
                    guard let place = rest.range(of: part), index > 0 || place.lowerBound == rest.startIndex else {
                        return false
                    }
                    rest = rest[place.upperBound...]
                }
                return parts.last?.isEmpty == true || rest.allSatisfy { $0 == " " }
            }
            #expect(found != nil, "the page promises: \(line)\nit said: \(said)")
            if let found { lines = lines[(found + 1)...] }
        }
    }

    @Test func thePageIsWhereAReaderBegins() throws {
        let readme = try CommandPage("README.md").text
        let top = readme.components(separatedBy: "\n## Using it").first ?? ""
        #expect(top.contains("(\(Self.page))"), "linked before anything else is said of using it")
    }
}

/// One shell, that a test has take one block of commands after the other.
private struct Walk {
    private let folder: URL
    private let shell: ChildProcess
    private let count: Int

    init(_ blocks: [[String]], in folder: URL) throws {
        self.folder = folder
        count = blocks.count
        let signs = folder.appending(path: "signs")
        let home = folder.appending(path: "home")
        for folder in [signs, home] {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        }
        // An agent that a failed walk has left behind ends with it.
        var script = "set -e\ntrap 'code=$?; kill $(jobs -p) 2>/dev/null || true; exit $code' EXIT\n"
        for (number, lines) in blocks.enumerated() {
            script += "touch '\(signs.path)/at-\(number)'\n"
            script += "until [ -e '\(signs.path)/go-\(number)' ]; do sleep 0.02; done\n"
            script += "exec >>'\(signs.path)/said-\(number)' 2>&1\n"
            script += lines.joined(separator: "\n") + "\n"
        }
        script += "touch '\(signs.path)/at-\(blocks.count)'\n"
        let file = folder.appending(path: "walk.sh")
        try script.write(to: file, atomically: true, encoding: .utf8)
        shell = try ChildProcess(
            ["bash", file.path], environment: ["PATH": CommandPage.searchPath(), "HOME": home.path], folder: home)
    }

    private func sign(_ name: String) -> URL { folder.appending(path: "signs/\(name)") }
    private func isThere(_ name: String) -> Bool { FileManager.default.fileExists(atPath: sign(name).path) }

    /// Returns when the block is through.
    func take(_ number: Int) async throws {
        _ = FileManager.default.createFile(atPath: sign("go-\(number)").path, contents: nil)
        do {
            try await until("block \(number) is through") { isThere("at-\(number + 1)") || !shell.isRunning }
        } catch {
            shell.signal(SIGTERM)
            throw error
        }
        try #require(isThere("at-\(number + 1)"), "block \(number) went wrong: \(output(number))")
    }

    /// What a block has written.
    func output(_ number: Int) -> String { (try? String(contentsOf: sign("said-\(number)"), encoding: .utf8)) ?? "" }

    func end() async throws {
        let status = await shell.wait()
        #expect(status == 0, "\(output(count - 1))")
    }
}
