import ChildProcess
import Foundation
import Testing

@Suite struct ChildProcessTests {
    @Test func whatItWasGivenAndWroteIsThere() throws {
        #expect(try Command.run(["sh", "-c", "cat; echo \"$0\"", "named"], input: "given ") == "given named")
        #expect(try Command.run(["pwd"], folder: URL(filePath: "/usr")) == "/usr")
        #expect(try Command.data(of: ["printf", "a\\n\\n"]) == Data("a\n\n".utf8))
    }

    @Test func whatFailsIsToldWithItsErrors() async throws {
        let error = await #expect(throws: CommandError.self) {
            try await Command.runAside(["sh", "-c", "echo wrong >&2; exit 7"])
        }
        #expect(error?.exitCode == 7 && error?.message.contains("wrong") == true)
        #expect(throws: CommandError.self) { try Command.run(["/no/such/program"]) }
    }

    @Test func aSignalEndsIt() async throws {
        let child = try ChildProcess(["sleep", "600"])
        #expect(child.isRunning)
        child.signal(SIGTERM)
        #expect(await child.wait() == 128 + SIGTERM)
        #expect(!child.isRunning)
        // Its number may be another's now.
        child.signal(SIGKILL)
    }

    @Test func itsEnvironmentIsOursAndMore() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "millrace-child-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appending(path: "out")
        let child = try ChildProcess(
            ["sh", "-c", "echo \"$MORE ${PATH:+ours}\""], environment: ["MORE": "more"],
            output: ChildProcess.Output(file: file))
        #expect(await child.wait() == 0)
        #expect(try String(contentsOf: file, encoding: .utf8) == "more ours\n")
    }

    /// Programs that stay, as servers do, come up while others are given input and end. By Foundation's `Process` and
    /// `Pipe` the others' ends aren't seen after some hundred of them.
    @Test(.timeLimit(.minutes(2))) func endsAreSeenBesideProgramsThatStay() async throws {
        let staying = Task {
            var children: [ChildProcess] = []
            while !Task.isCancelled {
                children.append(try ChildProcess(["sleep", "600"]))
                await Task.yield()
                try? await Task.sleep(for: .milliseconds(10))
            }
            return children
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<3 {
                group.addTask {
                    for round in 0..<100 {
                        let said = try await Command.runAside(["cat"], input: "\(number) \(round)")
                        #expect(said == "\(number) \(round)")
                    }
                }
            }
            try await group.waitForAll()
        }
        staying.cancel()
        for child in try await staying.value {
            child.signal(SIGKILL)
            _ = await child.wait()
        }
    }
}
