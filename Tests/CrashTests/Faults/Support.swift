import ChildProcess
import Foundation
import Kafka
import Logging
import Testing
import ThrowawayPostgres

/// A number of the environment, for the long forms of tests.
func setting(_ name: String, _ value: Int) -> Int {
    ProcessInfo.processInfo.environment[name].flatMap { Int($0) } ?? value
}

let silent: Logger = {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    return logger
}()

func temporaryFolder(_ name: String) throws -> URL {
    let folder = FileManager.default.temporaryDirectory.appending(path: "millrace-\(name)-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    return folder
}

/// Looks until `condition` holds; fails after far longer than it can take, and ends the agents.
func until(
    _ what: String, within limit: Duration = .seconds(120), _ agents: [AgentProcess] = [],
    _ condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + limit
    while try await !condition() {
        if ContinuousClock.now >= deadline {
            let said = agents.map { "\n--- process \($0.pid), running: \($0.isRunning)\n\($0.said().suffix(3000))" }
            // The test ends here, and nobody else would end them.
            for agent in agents where agent.isRunning { agent.signal(SIGKILL) }
            Issue.record("waited too long until \(what)\(said.joined())")
            throw Waited(what: what)
        }
        try await Task.sleep(for: .milliseconds(50))
    }
}

struct Waited: Error { var what: String }

extension ThrowawayPostgres {
    /// One value.
    nonisolated func value(_ sql: String) async throws -> String {
        try await psql(sql).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    nonisolated func number(_ sql: String) async throws -> Int { Int(try await value(sql)) ?? -1 }

    /// In a session of its own, which nothing else waits for; what fails is nobody's matter.
    nonisolated func beside(_ sql: String) async {
        _ = try? await Command.runAside([programs.path("psql"), "-XAtq", "-d", url()], input: sql)
    }

    /// Takes it from the agent that streams it.
    nonisolated func dropSlot(_ name: String, of agent: AgentProcess) async throws {
        let slot = "FROM pg_replication_slots WHERE slot_name = '\(name)'"
        try await until("the slot is dropped", [agent]) {
            await beside(
                """
                SELECT pg_terminate_backend(active_pid) \(slot) AND active;
                SELECT pg_drop_replication_slot(slot_name) \(slot) AND NOT active;
                """)
            return try await number("SELECT count(*) \(slot)") == 0
        }
    }

    /// Writes turn by turn until `stop`; gives the number of turns.
    nonisolated func writing(
        until stop: StopFlag, _ statements: @escaping @Sendable (_ turn: Int) -> String
    ) -> Task<Int, Never> {
        Task {
            var turn = 0
            while !stop.isSet {
                turn += 1
                await beside(statements(turn))
            }
            return turn
        }
    }
}

/// Debezium's events of one table `public.items (id, n)`, whose newest `n` counts the events.
final class ItemEvents: @unchecked Sendable {
    static let keys = 997
    let topic = "shop.public.items"
    private let producer: Producer
    /// Events so far.
    private(set) var count = 0

    init(_ broker: MockBroker) throws { producer = try Producer(brokers: broker.bootstrap, logger: silent) }

    func produce(_ events: Int) async throws {
        var records: [OutgoingRecord] = []
        for _ in 0..<events {
            count += 1
            records.append(
                DebeziumRecord.change(
                    topic, table: "items", op: "u", key: count % Self.keys, columns: [("n", "int64", "\(count)")],
                    lsn: count))
        }
        try await producer.send(records)
        _ = try await producer.flush()
    }

    func close() async { await producer.close() }

    /// In a Postgres warehouse: current, raw and ledger are exactly what was produced, and no range of the topic was
    /// applied twice, by whomever.
    func expectExact(_ server: ThrowawayPostgres, _ pipeline: String) async throws {
        #expect(try await server.number("select count(*) from \(pipeline)_raw.items") == count)
        #expect(try await server.number("select count(distinct event_id) from \(pipeline)_raw.items") == count)
        #expect(try await server.number("select count(*) from \(pipeline)_live.items") == min(count, Self.keys))
        let wrong = """
            select count(*) from \(pipeline)_live.items i where n <> (select max((r.after->>'n')::bigint) \
            from \(pipeline)_raw.items r where (r.after->>'id')::int = i.id)
            """
        #expect(try await server.number(wrong) == 0, "every row is its newest event")
        let ledger = "from _millrace.ledger where pipeline = '\(pipeline)'"
        #expect(try await server.number("select sum(read) \(ledger)") == count)
        #expect(
            try await server.number(
                "select count(*) \(ledger) and read <> applied + superseded + duplicate + compacted + filtered + quarantined + deferred"
            ) == 0)
        let ranges = """
            with ranges as (select distinct batch, r->>'topic' as topic, (r->>'partition')::int as partition, \
            (r->>'from')::bigint as low, (r->>'to')::bigint as high \
            from _millrace.ledger, json_array_elements(source_range::json) r where pipeline = '\(pipeline)')
            """
        let overlaps = """
            \(ranges) select count(*) from ranges a join ranges b on a.topic = b.topic and a.partition = b.partition \
            and a.batch < b.batch and a.low < b.high and b.low < a.high
            """
        #expect(try await server.number(overlaps) == 0, "no range was applied twice")
        #expect(try await server.number("\(ranges) select sum(high - low) from ranges") == count, "and none left out")
    }
}

/// Envelopes of Debezium's Postgres connector with their schema, as JSON.
enum DebeziumRecord {
    typealias Column = (name: String, type: String, value: String)

    /// - Parameters:
    ///   - op: `c`, `u` or `d`.
    ///   - lsn: of the change, and of its transaction.
    ///   - time_ms: the source's, since 1970.
    static func change(
        _ topic: String, table: String, op: String, key: Int, columns: [Column], lsn: Int, time_ms: Int? = nil
    ) -> OutgoingRecord {
        let all: [Column] = [("id", "int32", "\(key)")] + columns
        func field(_ column: Column) -> String {
            "{\"type\":\"\(column.type)\",\"optional\":\(column.name != "id"),\"field\":\"\(column.name)\"}"
        }
        let fields = all.map(field).joined(separator: ",")
        let row = "{" + all.map { "\"\($0.name)\":\($0.value)" }.joined(separator: ",") + "}"
        let keyText = """
            {"schema":{"type":"struct","fields":[\(field(all[0]))],"optional":false,"name":"Key"},"payload":{"id":\(key)}}
            """
        func image(_ name: String) -> String {
            "{\"type\":\"struct\",\"fields\":[\(fields)],\"optional\":true,\"name\":\"Value\",\"field\":\"\(name)\"}"
        }
        let value = """
            {"schema":{"type":"struct","fields":[\(image("before")),\(image("after"))],"optional":false,"name":"Envelope"},\
            "payload":{"before":\(op == "d" ? row : "null"),"after":\(op == "d" ? "null" : row),"source":{"version":"3",\
            "connector":"postgresql","name":"shop","ts_ms":\(time_ms ?? 1_700_000_000_000 + lsn),"snapshot":"false","db":"shop",\
            "sequence":"[\\"\(lsn)\\",\\"\(lsn)\\"]","schema":"public","table":"\(table)","txId":\(lsn),"lsn":\(lsn)},\
            "op":"\(op)","ts_ms":1}}
            """
        return OutgoingRecord(topic: topic, key: Array(keyText.utf8), value: Array(value.utf8))
    }
}
