import Foundation
import JSON
import Logging
import PipelineFile
import Replication
import Testing

@testable import Agent

/// How a command's end becomes its run's.
@Suite("Lineage: ends") struct LineageTellingTests {
    private struct Unforeseen: Error {}

    /// The events of a command that does `work`: each type, and what an error is told as.
    private func told(
        state: AgentStatus.State = .ok, stopped: Bool = false,
        _ work: () async throws -> (exit: Int32, failure: String?)
    ) async throws -> [String] {
        try await withTemporaryFolder { folder in
            let path = folder + "/lineage.jsonl"
            let text = """
                pipeline: shop
                source: { file: { path: f } }
                warehouse: { duckdb: {} }
                lineage: { openlineage: { file: "\(path)" } }
                """
            let setup = PipelineSetup(
                try Pipeline.parse(text: text, file: "millrace.yaml", environment: [:]),
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            let status = AgentStatus()
            status.update { $0.state = state }
            let lineage = setup.makeLineage(status: status, follows: (.run, true), last_s: 120)
            _ = try? await lineage.telling(stopped: { stopped }, work)
            let lines = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
            return try lines.split(separator: "\n").map { line in
                let event = try JSONValue(parsing: String(line))
                let message = event.at("run", "facets", "errorMessage", "message")?.string.map { ": \($0)" } ?? ""
                return (event["eventType"]?.string ?? "?") + message
            }
        }
    }

    @Test("An exit code of 0 is COMPLETE, any other says why it isn't")
    func exits() async throws {
        #expect(try await told { (0, nil) } == ["START", "COMPLETE"])
        #expect(try await told { (4, "they differ") } == ["START", "FAIL: they differ"])
    }

    @Test("An error is FAIL, as the command tells it; after a stop, or where another agent took over, ABORT")
    func errors() async throws {
        func failing(_ kind: ReplicationError.Kind) -> () async throws -> (exit: Int32, failure: String?) {
            { throw ReplicationError(kind, "it is so") }
        }
        #expect(try await told(failing(.environment)) == ["START", "FAIL: it is so"])
        #expect(try await told(stopped: true, failing(.environment)) == ["START", "ABORT: it is so"])
        #expect(try await told(failing(.fenced)) == ["START", "ABORT: it is so"])
        // What nobody foresaw could hold anything: its type alone.
        #expect(try await told { throw Unforeseen() } == ["START", "FAIL: unexpected: Unforeseen"])
    }

    @Test("Where another agent has it nothing has begun, nor where one stands by")
    func unbegun() async throws {
        #expect(try await told(state: .starting) { throw ReplicationError(.taken, "another has it") } == [])
        #expect(try await told(state: .standby) { (0, nil) } == [])
        #expect(
            try await told(state: .starting) { throw ReplicationError(.environment, "away") } == [
                "START", "FAIL: away",
            ])
    }

    @Test("Without lineage nothing is in between")
    func none() async throws {
        let none: LineageReporter? = nil
        #expect(try await none.telling { (4, "they differ") } == 4)
    }
}
