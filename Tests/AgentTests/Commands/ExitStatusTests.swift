import DuckDB
import EventFile
import Kafka
import PipelineFile
import Postgres
import Replication
import Testing

@testable import Agent

@Suite("Exit codes")
struct ExitStatusTests {
    private struct Unforeseen: Error { var cell = "a cell's value" }

    @Test("of each kind of replication error")
    func replication() {
        let codes: [(ReplicationError.Kind, Int32)] = [
            (.configuration, 2), (.environment, 3), (.fenced, 3), (.passing, 3), (.data, 1), (.duplicateRaw, 1),
            (.invariant, 1), (.permanent, 1),
        ]
        for (kind, code) in codes {
            let failure = ExitStatus.failure(of: ReplicationError(kind, "what", remedy: "do"))
            #expect(failure == CommandFailure(code, "what", try: "do"))
        }
    }

    @Test("of Kafka's, Postgres', DuckDB's and the event file's errors")
    func engines() {
        func kafka(_ kind: KafkaError.Kind, _ name: String = "X") -> Int32 {
            ExitStatus.failure(of: KafkaError(code: 1, name: name, message: "m", kind: kind)).exit
        }
        #expect(kafka(.passing) == 3)
        #expect(kafka(.permanent) == 3)
        #expect(kafka(.permanent, "_INVALID_ARG") == 2)
        #expect(kafka(.fatal) == 1)
        let postgres: [(PostgresError.Kind, Int32)] = [
            (.passing, 3), (.permanent, 3), (.diskFull, 3), (.data, 1), (.interrupted, 1),
        ]
        for (kind, code) in postgres {
            #expect(ExitStatus.failure(of: PostgresError(kind: kind, message: "m", purpose: "p")).exit == code)
        }
        let duckdb: [(DuckDBError.Kind, Int32)] = [
            (.locked(path: "x", holder: 3), 3), (.library, 3), (.io, 3), (.diskFull, 3), (.constraint, 1), (.syntax, 1),
        ]
        for (kind, code) in duckdb { #expect(ExitStatus.failure(of: DuckDBError(kind, "m")).exit == code) }
        let file = EventFileError(kind: .truncated, message: "m", remedy: "r")
        #expect(ExitStatus.failure(of: file) == CommandFailure(3, "m", try: "r"))
    }

    @Test("of a wrong pipeline file, with every problem and its line")
    func pipelineFile() {
        do {
            _ = try Pipeline.parse(text: "pipeline: Shop\nsources: 1\n", file: "x.yaml", environment: [:])
            Issue.record("the file is wrong")
        } catch {
            let failure = ExitStatus.failure(of: error)
            #expect(failure.exit == 2)
            #expect(failure.reports.count == error.problems.count)
            #expect(failure.reports[0].message.hasPrefix("x.yaml:1:"))
        }
    }

    @Test("of what nobody foresaw, without its contents")
    func unforeseen() {
        let failure = ExitStatus.failure(of: Unforeseen())
        #expect(failure.exit == 1)
        #expect(!failure.message.contains("value"))
        #expect(ExitStatus.signal(15) == 143)
    }
}
