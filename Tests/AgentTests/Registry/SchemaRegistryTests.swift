import Debezium
import EventSchemas
import Foundation
import JSON
import Logging
import Replication
import ReplicationTestKit
import Testing

@testable import Agent

@Suite("Schema registry")
struct SchemaRegistryTests {
    private let schema = #"{"type":"record","name":"R","fields":[{"name":"id","type":"long"}]}"#

    /// Records whose values name these schemas.
    private func records(_ ids: [UInt32]) -> RecordBatch {
        let batch = RecordBatch()
        let span = batch.span(of: TopicPartition(topic: "t", partition: 0), startingAt: 0)
        for (offset, id) in ids.enumerated() {
            let value: [UInt8] = [0, 0, 0, UInt8(id >> 8), UInt8(id & 255), 2]
            value.withUnsafeBytes { batch.append(span: span, offset: Int64(offset), key: nil, value: $0) }
        }
        batch.advance(span: span, to: Int64(ids.count))
        return batch
    }

    private func failure(_ body: () async throws -> Void) async -> ReplicationError? {
        do {
            try await body()
            return nil
        } catch {
            return error as? ReplicationError ?? ReplicationError(.invariant, "another error: \(error)")
        }
    }

    @Test("A schema is fetched once, with the credentials in their header and nowhere else")
    func fetches() async throws {
        let stub = StubRegistry()
        stub.schema(7, schema)
        try await stub.serving { address in
            let client = try StubRegistry.client(address, auth: "user:s3cret")
            let resolver = SchemaResolver(client, store: SchemaStore())
            try await resolver.prepare(records([7, 7, 7]))
            try await resolver.prepare(records([7]))
            #expect(resolver.store[7] == .schema(.init(id: 7, format: .avro, text: schema)))
            #expect(stub.asked == ["/schemas/ids/7"])
            #expect(stub.authorizations == ["Basic " + Data("user:s3cret".utf8).base64EncodedString()])
            let printed = String(reflecting: client)
            #expect(!printed.contains("s3cret") && !printed.contains("dXNlcjp"))
        }
    }

    @Test("Over TLS, by an authority of its own; what it didn't sign, and another name, isn't trusted")
    func secure() async throws {
        let stub = StubRegistry()
        stub.schema(7, schema)
        try await stub.serving(isSecure: true) { address in
            let client = try StubRegistry.client(address, auth: "user:s3cret", authority: StubRegistry.authority)
            #expect(try await client.schema(7) == .schema(.init(id: 7, format: .avro, text: schema)))
            #expect(stub.authorizations.count == 1)
            for (address, authority) in [
                (address, nil), (address.replacing("localhost", with: "127.0.0.1"), StubRegistry.authority),
            ] {
                // It is tried again until the time is over.
                let other = try StubRegistry.client(
                    address, auth: "user:s3cret", timeout: .seconds(2), authority: authority)
                let error = await failure { _ = try await other.schema(7) }
                #expect(error?.kind == .passing && error?.message.contains("s3cret") == false)
            }
            let lost = try StubRegistry.client(address, authority: "/nowhere/authority.pem")
            #expect(await failure { _ = try await lost.schema(7) }?.kind == .environment)
            // The credentials went to the trusted one alone.
            #expect(stub.authorizations.count == 1)
        }
    }

    @Test("An answer that begins and doesn't go on is given up in time")
    func stalls() async throws {
        let stub = StubRegistry()
        stub.answer("/schemas/ids/7", .init(isStalled: true))
        try await stub.serving { address in
            let client = try StubRegistry.client(address, timeout: .milliseconds(200))
            let error = await failure { _ = try await client.schema(7) }
            #expect(
                error?.kind == .passing && error?.message.contains("in time") == true, "\(String(describing: error))")
        }
    }

    @Test("Formats, and what schemas refer to, each behind what it needs itself")
    func references() async throws {
        let stub = StubRegistry()
        func link(_ name: String, _ subject: String, _ version: Int64) -> JSONValue {
            .object([("name", .string(name)), ("subject", .string(subject)), ("version", .number(String(version)))])
        }
        stub.schema(1, "message A { B b = 1; }", type: "PROTOBUF", references: [link("b.proto", "sub/b", 3)])
        stub.answer(
            "/subjects/sub%2Fb/versions/3",
            .init(
                body: JSONValue.object([
                    ("schema", "message B { C c = 1; }"), ("schemaType", "PROTOBUF"),
                    ("references", [link("c.proto", "c", 1)]),
                ]).serialized))
        stub.answer(
            "/subjects/c/versions/1",
            .init(
                body: JSONValue.object([
                    ("schema", "message C { int32 v = 1; }"), ("references", [link("b.proto", "sub/b", 3)]),
                ]).serialized))
        stub.schema(2, "{}", type: "JSON", references: [link("gone", "gone", 1)])
        stub.answer("/subjects/gone/versions/1", StubRegistry.unknown)
        stub.schema(3, "x", type: "THRIFT")
        try await stub.serving { address in
            let client = try StubRegistry.client(address)
            guard case .schema(let found) = try await client.schema(1) else {
                Issue.record("no schema")
                return
            }
            #expect(found.format == .protobuf)
            #expect(found.references.map(\.name) == ["c.proto", "b.proto"])
            #expect(try await client.schema(2) == .refused("its reference to gone, version 1, isn't there"))
            #expect(try await client.schema(3) == .refused("it is of type THRIFT, which is not read"))
        }
    }

    @Test("An id that it doesn't know is asked for again after a while, and not before")
    func unknownIDs() async throws {
        let stub = StubRegistry()
        stub.answer("/schemas/ids/9", StubRegistry.unknown)
        try await stub.serving { address in
            let client = try StubRegistry.client(address)
            let patient = SchemaResolver(client, store: SchemaStore(), refusal_max: .seconds(1000))
            try await patient.prepare(records([9]))
            try await patient.prepare(records([9]))
            #expect(patient.store[9] == .refused("the schema registry doesn't know it"))
            #expect(stub.asked.count == 1)
            let hasty = SchemaResolver(client, store: SchemaStore(), refusal_max: .zero)
            try await hasty.prepare(records([9]))
            stub.schema(9, schema)
            try await hasty.prepare(records([9]))
            #expect(hasty.store[9] == .schema(.init(id: 9, format: .avro, text: schema)))
        }
    }

    @Test("A 404 without a code is a registry's only where there is one")
    func bareNotFound() async throws {
        let stub = StubRegistry()
        try await stub.serving { address in
            let client = try StubRegistry.client(address)
            let error = await failure { _ = try await client.schema(5) }
            #expect(error?.kind == .environment && error?.message.contains("is no schema registry") == true)
            stub.answer("/subjects", .init(body: "[]"))
            #expect(try await client.schema(5) == .refused("the schema registry doesn't know it"))
        }
    }

    @Test("What passes by itself is told apart from what doesn't")
    func failures() async throws {
        let stub = StubRegistry()
        let cases: [(StubRegistry.Answer, ReplicationError.Kind)] = [
            (.init(status: .internalServerError, body: "{}"), .passing), (.init(status: .serviceUnavailable), .passing),
            (.init(status: .tooManyRequests), .passing), (.init(isSilent: true), .passing),
            (.init(status: .unauthorized, body: #"{"error_code":401}"#), .environment),
            (.init(status: .forbidden), .environment), (.init(body: "<html>"), .environment),
            (.init(body: #"{"no":"schema"}"#), .environment), (.init(status: .badRequest), .environment),
        ]
        for (id, (answer, _)) in cases.enumerated() { stub.answer("/schemas/ids/\(id)", answer) }
        try await stub.serving { address in
            for (id, (answer, kind)) in cases.enumerated() {
                let client = try StubRegistry.client(
                    address, auth: "user:s3cret", timeout: answer.isSilent ? .milliseconds(300) : .seconds(60))
                let error = await failure { _ = try await client.schema(UInt32(id)) }
                #expect(error?.kind == kind, "\(answer)")
                #expect(error?.remedy != nil)
                #expect(error?.message.contains("s3cret") == false && error?.message.contains("Basic") == false)
            }
        }
        // Nobody listens there.
        let client = try StubRegistry.client("http://127.0.0.1:1", timeout: .milliseconds(500))
        #expect(await failure { _ = try await client.schema(1) }?.kind == .passing)
    }

    @Test("check asks what it is")
    func look() async throws {
        let stub = StubRegistry()
        try await stub.serving { address in
            let client = try StubRegistry.client(address)
            #expect(await failure { _ = try await client.look() }?.kind == .environment)
            stub.answer("/subjects", .init(body: "[]"))
            #expect(try await client.look() == "\(address) answers")
            stub.answer("/schemas/types", .init(body: #"["JSON","PROTOBUF","AVRO"]"#))
            #expect(try await client.look() == "\(address) answers: JSON, PROTOBUF, AVRO")
        }
    }

    @Test("A file with what a registry held")
    func file() async throws {
        try await withTemporaryFolder { folder in
            let path = folder + "/r.jsonl"
            let lines = [
                #"{"subject":"b","version":1,"id":1,"schema":"message B { int32 v = 1; }","schemaType":"PROTOBUF"}"#,
                #"{"subject":"a","version":1,"id":2,"schema":"message A { B b = 1; }","schemaType":"PROTOBUF","references":[{"name":"b.proto","subject":"b","version":1}]}"#,
                "", #"{"subject":"x","version":1,"id":3,"schema":"x","schemaType":"THRIFT"}"#,
            ]
            try lines.joined(separator: "\n").write(toFile: path, atomically: true, encoding: .utf8)
            let file = RegistryFile(path: path)
            #expect(try await file.look() == "2 schemas in \(path)")
            guard case .schema(let found) = try await file.schema(2) else {
                Issue.record("no schema")
                return
            }
            #expect(found.references == [.init(name: "b.proto", text: "message B { int32 v = 1; }")])
            #expect(try await file.schema(3) == .refused("it is of type THRIFT, which is not read"))
            #expect(try await file.schema(4) == .refused("r.jsonl doesn't have it"))
            try #"{"id":4,"schema":"\"int\""}"#.write(toFile: path, atomically: true, encoding: .utf8)
            #expect(try await file.schema(4) == .schema(.init(id: 4, format: .avro, text: "\"int\"")))
            try "not JSON".write(toFile: path, atomically: true, encoding: .utf8)
            #expect(await failure { _ = try await file.schema(5) }?.message.contains("line 1 of") == true)
            let missing = RegistryFile(path: folder + "/none")
            #expect(await failure { _ = try await missing.look() }?.kind == .environment)
        }
    }

    // MARK: The runner

    /// One record in the wire format, then nothing.
    private actor OneRecord: RecordSource {
        nonisolated let kind = "kafka"
        static let partition = TopicPartition(topic: "t", partition: 0)
        private var steps: [SourceStep]

        init(_ batch: RecordBatch) {
            let advance = SourceAdvance(partition: Self.partition, from: 0, to: 1, spans: [0])
            steps = [.assigned([Self.partition]), .records(SourceRecords(batch: batch, advances: [advance])), .end]
        }

        func next() async throws -> SourceStep { steps.isEmpty ? .end : steps.removeFirst() }
        func begin(_ claims: [Checkpoint]) async throws -> [LostPartition] { [] }
        func lostPartitions(_ checkpoints: [Checkpoint]) async throws -> [LostPartition] { [] }
        func release(_ partitions: [TopicPartition]) async throws {}
        func confirm(_ positions: [TopicPartition: Int64]) async {}
        func endPositions() async throws -> [TopicPartition: Int64]? { nil }
        func readPositions() async -> [TopicPartition: Int64] { [:] }
        func lag() async -> [TopicPartition: Int64] { [:] }
        nonisolated func wake() {}
        func close() async {}
    }

    private func runner(
        _ resolver: SchemaResolver, _ warehouse: MemoryWarehouse, _ status: AgentStatus
    ) -> Replicator {
        var settings = Replicator.Settings(owner: "test")
        settings.prepare = { try await resolver.prepare($0) }
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return Replicator(
            source: OneRecord(records([7])), warehouse: warehouse, status: status, settings: settings, logger: logger
        ) { _ in
            var configuration = DecoderConfiguration(select: { TableChoice(target: $0.table) })
            configuration.schemas = resolver.store
            return try DebeziumDecoder(configuration: configuration)
        }
    }

    /// `{"id": 1}` as a heartbeat has it: control.
    private let heartbeat = #"{"type":"record","name":"H","fields":[{"name":"ts_ms","type":"long"}]}"#

    @Test("A registry that is away is waited for: nothing is put aside, nothing lost")
    func waits() async throws {
        let stub = StubRegistry()
        let away = StubRegistry.Answer(status: .internalServerError, body: #"{"error_code":50001}"#)
        let body = JSONValue.object([("schema", .string(heartbeat))]).serialized
        stub.answer("/schemas/ids/7", away, away, .init(body: body))
        try await stub.serving { address in
            let resolver = SchemaResolver(try StubRegistry.client(address), store: SchemaStore())
            let (warehouse, status) = (MemoryWarehouse(layout: WarehouseLayout(pipeline: "shop")), AgentStatus())
            try await runner(resolver, warehouse, status).run()
            #expect(status.current.retries == 2 && status.current.waiting == nil)
            #expect(try await warehouse.quarantine().isEmpty)
            #expect(status.current.positions == [OneRecord.partition: 1])
        }
    }

    @Test("A stop while it is away ends the run, and the records are read again by the next")
    func stops() async throws {
        let stub = StubRegistry()
        stub.answer("/schemas/ids/7", .init(status: .serviceUnavailable))
        try await stub.serving { address in
            let resolver = SchemaResolver(try StubRegistry.client(address), store: SchemaStore())
            let (warehouse, status) = (MemoryWarehouse(layout: WarehouseLayout(pipeline: "shop")), AgentStatus())
            let runner = runner(resolver, warehouse, status)
            let running = Task { try await runner.run() }
            while status.current.waiting == nil { try await Task.sleep(for: .milliseconds(5)) }
            runner.stop()
            try await running.value
            #expect(try await warehouse.quarantine().isEmpty)
            #expect(try await warehouse.checkpoints().allSatisfy { $0.position == nil })
        }
    }

    @Test("An id that it doesn't know puts the record aside, with the reason; credentials that it refuses end the run")
    func refusals() async throws {
        let stub = StubRegistry()
        stub.answer("/schemas/ids/7", StubRegistry.unknown, .init(status: .unauthorized))
        try await stub.serving { address in
            let client = try StubRegistry.client(address)
            let (warehouse, status) = (MemoryWarehouse(layout: WarehouseLayout(pipeline: "shop")), AgentStatus())
            try await runner(SchemaResolver(client, store: SchemaStore()), warehouse, status).run()
            #expect(
                try await warehouse.quarantine().map(\.entry.reason) == [
                    "the value: its schema (id 7) can't be had: the schema registry doesn't know it"
                ])
            let again = runner(SchemaResolver(client, store: SchemaStore()), warehouse, status)
            let error = await failure { try await again.run() }
            #expect(error?.kind == .environment && error?.message.contains("asks for credentials") == true)
        }
    }
}
