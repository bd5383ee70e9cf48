import Debezium
import Foundation
import Logging
import PipelineFile
import Replication
import ReplicationTestKit
import Testing

@testable import Agent

@Suite("Commands")
struct CommandTests {
    private func context(_ written: Written, json: Bool = false) -> CommandContext {
        CommandContext(file: "millrace.yaml", json: json, console: written.console(), logger: Logger(label: "test"))
    }

    // MARK: checkpoint

    @Test("Positions are read from the command line")
    func checkpointWords() throws {
        let all = try CheckpointCommand(setToOffset: "earliest", lsn: nil, time: nil, partitions: [])
        #expect(all.action == .set(.earliest, partitions: []))
        let one = try CheckpointCommand(setToOffset: "17", lsn: nil, time: nil, partitions: ["a.b:c:3"])
        #expect(one.action == .set(.offset(17), partitions: [TopicPartition(topic: "a.b:c", partition: 3)]))
        let lsn = try CheckpointCommand(setToOffset: nil, lsn: "1/2", time: nil, partitions: [])
        #expect(lsn.action == .set(.offset(1 << 32 | 2), partitions: []) && lsn.isLSN)
    }

    @Test("and refused where they make no sense")
    func checkpointRefusals() {
        let wrong: [(String?, String?, String?, [String])] = [
            (nil, nil, nil, []), ("-1", nil, nil, ["a:0"]), ("17", nil, nil, []), ("latest", nil, nil, ["a"]),
            (nil, "17", nil, []), ("earliest", "0/1", nil, []), (nil, nil, "2026-01-01", []),
            ("latest", nil, nil, [":1"]),
        ]
        for (offset, lsn, time, partitions) in wrong {
            let failure = #expect(throws: CommandFailure.self) {
                try CheckpointCommand(setToOffset: offset, lsn: lsn, time: time, partitions: partitions)
            }
            #expect(failure?.exit == 2)
        }
    }

    @Test("Topics of the local broker")
    func brokerTopics() throws {
        let command = try BrokerCommand(port: nil, topics: ["a:4", "b", "c.d:1"])
        #expect(command.topics == ["a": 4, "b": 1, "c.d": 1])
        for topic in ["a:0", ":3", "a:x", ""] {
            #expect(throws: CommandFailure.self) { try BrokerCommand(port: nil, topics: [topic]) }
        }
    }

    // MARK: quarantine

    private let orders = TableID(schema: "public", table: "orders")

    private func record(_ id: Int, note: String, op: String = "c") -> [UInt8] {
        Array(
            """
            {"before":null,"after":{"id":\(id),"note":\(note)},"source":{"connector":"postgresql","ts_ms":1000,\
            "snapshot":null,"schema":"public","table":"orders","txId":5,"lsn":100,"sequence":"[\\"90\\",\\"100\\"]"},\
            "op":"\(op)","ts_ms":1001,"transaction":null}
            """.utf8)
    }

    /// A control whose warehouse holds records in quarantine, each with a key.
    private func control(
        _ values: [[UInt8]?], running: Bool = false
    ) async throws -> (MemoryWarehouse, WarehouseControl) {
        let layout = WarehouseLayout(pipeline: "shop")
        let warehouse = MemoryWarehouse(layout: layout)
        let batch = ChangeBatch()
        for (index, value) in values.enumerated() {
            batch.quarantined.append(
                QuarantineEntry(
                    table: nil, partition: TopicPartition(topic: "t", partition: 0), offset: Int64(index),
                    reason: "it was so", key: Array("{\"id\":\(index)}".utf8), value: value))
            batch.readUnknown += 1
        }
        _ = try await warehouse.apply(batch, advancing: [])
        let control = WarehouseControl(
            layout: layout, warehouse: warehouse,
            running: running ? .init(status: AgentStatus()) { try await $0() } : nil,
            makeDecoder: { known in
                var configuration = DecoderConfiguration(select: { table in
                    var choice = TableChoice(target: table.table)
                    choice.types = ["id": .bigint, "note": .text]
                    return choice
                })
                configuration.knownTables = known
                return try DebeziumDecoder(configuration: configuration)
            })
        return (warehouse, control)
    }

    @Test("Replaying applies what can be applied now, and says why the rest can't")
    func replay() async throws {
        let (warehouse, control) = try await control([
            record(0, note: "\"fine\""), Array("{".utf8), nil, record(3, note: "\"x\"", op: "?"),
        ])
        let written = Written()
        let code = try await QuarantineCommand(.replay(.all)).run(context(written), control)
        #expect(code == 1)
        let states = try await warehouse.quarantine().map(\.state)
        #expect(states == [.replayed, .waiting, .waiting, .waiting])
        let lines = written.out.split(separator: "\n")
        #expect(lines.count == 4)
        #expect(lines[0] == "1 replayed")
        #expect(lines[1].hasPrefix("2 failed again: "))
        #expect(lines[2].contains("weren't kept"))
        let definition = try #require(try await warehouse.knownTables().first)
        #expect(definition.source == orders)
        #expect(try await warehouse.counts(definition).live == 1)
        #expect(try await warehouse.checkpoints().isEmpty)

        // Again: what was replayed doesn't wait any more.
        await #expect(throws: CommandFailure.self) { try await control.replay(.ids([1])) }
        #expect(try await control.replay(.all).map(\.id) == [2, 3, 4])
    }

    @Test("Beside a running agent no table is made by a replay")
    func replayBeside() async throws {
        let (warehouse, control) = try await control([record(0, note: "\"fine\"")], running: true)
        await #expect(throws: ReplicationError.self) { try await control.replay(.all) }
        #expect(try await warehouse.quarantine().map(\.state) == [.waiting])
    }

    @Test("Discarding keeps them on record")
    func discard() async throws {
        let (warehouse, control) = try await control([Array("{".utf8), Array("[".utf8)])
        let written = Written()
        #expect(try await QuarantineCommand(.discard(.ids([2]))).run(context(written), control) == 0)
        #expect(try await warehouse.quarantine().map(\.state) == [.waiting, .discarded])
        #expect(try await QuarantineCommand(.list).run(context(written, json: true), control) == 0)
        await #expect(throws: CommandFailure.self) { try await control.discard(.ids([9])) }
        await #expect(throws: CommandFailure.self) {
            _ = try await QuarantineCommand(.show(9)).run(context(written), control)
        }
    }

    // MARK: drop, check

    @Test("What check finds decides the exit code")
    func findings() {
        let written = Written()
        let findings = [Finding(.ok, "source", "fine"), Finding(.warning, "public.t", "hm", remedy: "this")]
        #expect(CheckCommand.show(findings, context(written)) == 0)
        #expect(written.out == "ok source: fine\nwarning public.t: hm\n  Try: this\n")
        #expect(CheckCommand.show(findings + [Finding(.error, "x", "bad")], context(written, json: true)) == 3)
    }

    @Test("Samples tell the null-default trap, the schema part and transactions")
    func samples() throws {
        let batch = RecordBatch()
        func add(_ text: String, topic: String = "t") {
            let span = batch.span(of: TopicPartition(topic: topic, partition: 0), startingAt: 0)
            Array(text.utf8).withUnsafeBytes { batch.append(span: span, offset: 0, key: nil, value: $0) }
        }
        add(
            #"{"schema":{},"payload":{"op":"c","source":{"schema":"s","table":"a","snapshot":"false"},"transaction":null}}"#
        )
        add(#"{"op":"u","source":{"schema":"s","table":"b","snapshot":null},"transaction":{"id":"1"}}"#)
        add(#"{"op":"r","source":{"schema":"s","table":"b","snapshot":"first"}}"#)
        add(#"{"ts_ms":1}"#)
        add("no json")
        let samples = RecordSample.byTable([batch])
        let a = try #require(samples[TableID(schema: "s", table: "a")])
        #expect(a.mayReplaceNulls && a.withSchema == 1 && !a.hasTransactions)
        let b = try #require(samples[TableID(schema: "s", table: "b")])
        #expect(!b.mayReplaceNulls && b.withSchema == 0 && b.hasTransactions && b.records == 2)
        #expect(samples.count == 2)
    }

    // MARK: check, of source transactions

    @Test("check says whether transactions are kept whole, and what is lacking")
    func transactionFindings() {
        var sample = RecordSample()
        sample.connectors = ["shop"]
        sample.hasStreamed = true
        let table = TableID(schema: "public", table: "a")
        func found(_ topics: [String: Int], hasMetadata: Bool, others: Set<TableID> = []) -> [Finding] {
            sample.hasTransactions = hasMetadata
            return CheckCommand.transactions([table: sample], topics, others: others)
        }
        let kept = found(["shop.public.a": 3, "shop.transaction": 1], hasMetadata: true)
        #expect(kept.map(\.level) == [.ok] && kept[0].message.contains("kept whole"))
        let unread = found(["shop.public.a": 3], hasMetadata: true)
        #expect(unread.map(\.level) == [.warning] && unread[0].remedy?.contains("shop.transaction") == true)
        let unasked = found(["shop.public.a": 3], hasMetadata: false)
        #expect(unasked.map(\.level) == [.ok] && unasked[0].remedy?.contains("provide.transaction.metadata") == true)
        let without = found(["shop.public.a": 3, "shop.transaction": 1], hasMetadata: false)
        #expect(without.map(\.level) == [.warning])
        let scattered = found(["shop.public.a": 3, "shop.transaction": 3], hasMetadata: true)
        #expect(scattered.map(\.level) == [.warning] && scattered[0].message.contains("3 partitions"))
        let flattened = found(["shop.public.a": 3, "shop.transaction": 1], hasMetadata: true, others: [table])
        #expect(flattened.map(\.level) == [.ok, .warning])
        #expect(found([:], hasMetadata: true).isEmpty, "an event file")
    }

    // MARK: check, of a table without a key

    /// Findings of `public.log`, whose records stand in a topic of so many partitions.
    private func findings(of values: [String], partitions: Int) async throws -> [Finding] {
        let pipeline = try Pipeline.parse(
            text: """
                pipeline: shop
                source: { kafka: { brokers: b, topics: [t] } }
                warehouse: { duckdb: {} }
                tables: [{ source: public.log, columns: { types: { a: int } } }]
                """, file: "millrace.yaml", environment: [:])
        let batch = RecordBatch()
        let span = batch.span(of: TopicPartition(topic: "t", partition: 0), startingAt: 0)
        for (offset, value) in values.enumerated() {
            Array(value.utf8).withUnsafeBytes { batch.append(span: span, offset: Int64(offset), key: nil, value: $0) }
        }
        batch.advance(span: span, to: Int64(values.count))
        let setup = PipelineSetup(pipeline, logger: Logger(label: "test"))
        return try await CheckCommand.tables(setup, nil, nil, [], [batch], ["t": partitions])
            .filter { $0.subject == "public.log" }
    }

    private func keyless(_ op: String, before: String = "null", after: String = "null", transaction: String = "null")
        -> String
    {
        """
        {"before":\(before),"after":\(after),"source":{"connector":"postgresql","ts_ms":1000,"snapshot":null,\
        "schema":"public","table":"log","txId":5,"lsn":100,"sequence":"[\\"90\\",\\"100\\"]"},"op":"\(op)","ts_ms":1001,\
        "transaction":\(transaction)}
        """
    }

    private static let inTransaction = #"{"id":"5:100","total_order":1,"data_collection_order":1}"#

    @Test("What can't be told of a table without a key is said")
    func keylessTable() async throws {
        let insert = keyless("c", after: #"{"a":1}"#)
        let found = try await findings(of: [insert], partitions: 1)
        #expect(found.allSatisfy { $0.level != .error })
        let warnings = found.filter { $0.level == .warning }.map(\.message)
        #expect(warnings.contains { $0.contains("snapshot read") && $0.contains("delivered again") }, "\(warnings)")
        #expect(warnings.contains { $0.contains("begins inside a run of equal rows") }, "\(warnings)")
        #expect(found.contains { $0.level == .ok && $0.message.contains("full before-images only") })
        // With transaction metadata each twin has a place of its own.
        let named = try await findings(
            of: [keyless("c", after: #"{"a":1}"#, transaction: Self.inTransaction)], partitions: 3)
        #expect(named.allSatisfy { $0.level != .error && !$0.message.contains("run of equal rows") }, "\(named)")
    }

    @Test("A table without a key on several partitions is refused")
    func keylessTableScattered() async throws {
        let errors = try await findings(of: [keyless("c", after: #"{"a":1}"#)], partitions: 3)
            .filter { $0.level == .error }
        #expect(errors.count == 1 && errors[0].message.contains("3 partitions"))
        #expect(errors.first?.remedy?.contains("provide.transaction.metadata=true") == true)
        // Snapshot reads don't show whether there will be metadata.
        let reads = try await findings(of: [keyless("r", after: #"{"a":1}"#)], partitions: 3)
        #expect(reads.allSatisfy { $0.level != .error })
        #expect(reads.contains { $0.level == .warning && $0.message.contains("3 partitions") })
    }

    @Test("A table without a key and without before-images is an error")
    func keylessTableWithoutBefore() async throws {
        let update = keyless("u", after: #"{"a":1}"#)
        let errors = try await findings(of: [keyless("c", after: #"{"a":1}"#), update], partitions: 1)
            .filter { $0.level == .error }
        #expect(errors.count == 1 && errors[0].message.contains("before-images"), "\(errors)")
        #expect(errors.first?.remedy?.contains("REPLICA IDENTITY FULL") == true)
    }
}
