import Debezium
import JSON
import Postgres
import Replication
import ReplicationTestKit
import Testing

@testable import Agent

/// Keys that the source checks at commit, from its catalog and Debezium's events to the rows.
@Suite struct DeferrableKeysTests {
    private static let table = TableID(schema: "public", table: "ranks")

    private static func records(_ lines: [(key: Int, value: String, header: (String, Int)?)]) -> RecordBatch {
        let batch = RecordBatch()
        let span = batch.span(of: TopicPartition(topic: "shop.public.ranks", partition: 0), startingAt: 0)
        for (offset, line) in lines.enumerated() {
            Array("{\"id\":\(line.key)}".utf8).withUnsafeBytes { key in
                Array(line.value.utf8).withUnsafeBytes { value in
                    batch.append(span: span, offset: Int64(offset), key: key, value: value)
                }
            }
            if let (name, key) = line.header {
                Array(name.utf8).withUnsafeBytes { name in
                    Array("{\"id\":\(key)}".utf8).withUnsafeBytes { batch.appendHeader(name: name, value: $0) }
                }
            }
            batch.advance(span: span, to: Int64(offset) + 1)
        }
        return batch
    }

    private static func value(
        _ op: String, _ lsn: Int, transaction: Int, commit: Int, before: (Int, String)? = nil,
        after: (Int, String)? = nil
    ) -> String {
        let image = { (row: (Int, String)?) in row.map { "{\"id\":\($0.0),\"name\":\"\($0.1)\"}" } ?? "null" }
        return """
            {"before":\(image(before)),"after":\(image(after)),"source":{"connector":"postgresql","schema":"public",\
            "table":"ranks","txId":\(transaction),"lsn":\(lsn),"ts_ms":7,"sequence":"[\\"\(commit)\\",\\"\(lsn)\\"]"},\
            "op":"\(op)","ts_ms":1}
            """
    }

    /// `UPDATE ranks SET id = id + 1` as Debezium sends it: each row a delete and a create.
    private static let events: [(key: Int, value: String, header: (String, Int)?)] =
        (1...3).map { id in
            (id, value("c", 100 + id, transaction: 5, commit: 90, after: (id, "row \(id)")), nil)
        }
        + (1...3).flatMap { id -> [(key: Int, value: String, header: (String, Int)?)] in
            [
                (
                    id, value("d", 200 + id, transaction: 6, commit: 150, before: (id, "row \(id)")),
                    ("__debezium.newkey", id + 1)
                ),
                (
                    id + 1, value("c", 200 + id, transaction: 6, commit: 150, after: (id + 1, "row \(id)")),
                    ("__debezium.oldkey", id)
                ),
            ]
        }

    private func apply(identity: ReplicaIdentity?) async throws -> (MemoryTables, LedgerEntry) {
        var configuration = DecoderConfiguration(select: { TableChoice(target: $0.table) })
        if let identity { configuration.replicaIdentity = [Self.table: identity] }
        let batch = try DebeziumDecoder(configuration: configuration).decode(Self.records(Self.events))
        let warehouse = MemoryWarehouse(layout: WarehouseLayout(pipeline: "ranks"))
        try await warehouse.ensure(batch.tables)
        let outcome = try await warehouse.apply(batch, advancing: [])
        return (await warehouse.tables, try #require(outcome.ledger.first))
    }

    @Test func aShiftOfAllKeysAsDebeziumSendsIt() async throws {
        let (tables, ledger) = try await apply(identity: .full)
        #expect(
            tables.live(Self.table).map { [$0["id"], $0["name"]] } == [
                ["2", "\"row 1\""], ["3", "\"row 2\""], ["4", "\"row 3\""],
            ])
        #expect(ledger.addsUp && ledger.quarantined == 0)
    }

    /// Nobody says that the before-images are whole, so they aren't believed.
    @Test func withoutACatalogItIsPutAside() async throws {
        let (tables, ledger) = try await apply(identity: nil)
        #expect(tables.live(Self.table).map { $0["id"] } == ["2", "3", "4"], "no row is lost")
        #expect(ledger.addsUp && ledger.quarantined == 2)
    }

    @Test func checkWarnsOfThem() async throws {
        let url = try await SharedServer.shared.url()
        let session = try Session(url: url)
        try session.execute(
            """
            CREATE SCHEMA ranked;
            CREATE TABLE ranked.plain (id int PRIMARY KEY);
            CREATE TABLE ranked.whole (id int PRIMARY KEY DEFERRABLE, name text);
            ALTER TABLE ranked.whole REPLICA IDENTITY FULL;
            CREATE TABLE ranked.blind (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)
            """, for: "make tables")
        session.close()
        let catalog = try await CatalogReader().read(url: url)
        func findings(_ table: String, hasRaw: Bool = true) -> [String] {
            CheckCommand.keys(of: [TableID(schema: "ranked", table: table)], catalog, hasRaw: hasRaw)
                .filter { $0.level == .warning && $0.message.contains("deferrable") }.map(\.message)
        }
        #expect(findings("plain").isEmpty)
        #expect(findings("whole").count == 1 && findings("whole")[0].contains("told by before-images"))
        #expect(findings("whole", hasRaw: false)[0].contains("within one batch only"))
        #expect(findings("blind").count == 2 && findings("blind")[1].contains("quarantine"))
    }
}
