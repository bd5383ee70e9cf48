import DuckDB
import Foundation
import Replication
import ReplicationTestKit
import Testing

@Suite struct FailureTests {
    private static let priced = TableDefinition.of([("price", .numeric(precision: 10, scale: 2)), ("doc", .jsonb)])

    private func price(_ id: Int64, _ price: String, _ doc: String = "{}") -> EventSpec {
        EventSpec(.create, Self.priced.source, version(id), after: [.int(id), .text(price), .json(doc)])
    }

    @Test func refusedValuesAreQuarantinedAndTheRestIsApplied() async throws {
        let shop = try await WarehouseFixture([Self.priced, .orders])
        let outcome = try await shop.apply(
            (1...20).map { price($0, $0 == 7 ? "NaN" : $0 == 13 ? "123456789.10" : "\($0).25") }
                + [create(1, .text("a"), .null, at: 100)])
        #expect(outcome.quarantined == 2)
        #expect(outcome.ledger.first { $0.table == Self.priced.source }?.applied == 18)
        #expect(
            try await shop.rows("SELECT count(*), sum(price) FROM shop.types") == [
                "18|\(210 - 20).00".replacing("190.00", with: "194.50")
            ])
        #expect(try await shop.rows("SELECT id FROM shop.orders") == ["1"])
        let put = try await shop.warehouse.quarantine()
        #expect(put.map(\.entry.offset) == [6, 12])
        #expect(put.allSatisfy { $0.entry.reason.contains("column price") && !$0.entry.reason.contains("123456789") })
        // Nothing of them is in raw, so that a replay isn't taken for a duplicate.
        #expect(try await shop.rows("SELECT count(*) FROM shop_raw.types") == ["18"])
    }

    @Test func whatTheEngineRefusesIsFoundToo() async throws {
        let shop = try await WarehouseFixture([Self.priced])
        // Half of a surrogate pair passes as text and fails in the engine's cast.
        let outcome = try await shop.apply(
            (1...9).map { price($0, "1.00", $0 == 4 ? #"{"secret":"\ud800"}"# : #"{"a":1.10}"#) })
        #expect(outcome.quarantined == 1)
        #expect(outcome.ledger.first?.applied == 8)
        let reason = try await shop.warehouse.quarantine().first?.entry.reason ?? ""
        #expect(!reason.contains("secret") && reason.contains("types"))
    }

    @Test func anotherAgentFindsTheFileInUse() async throws {
        let shop = try await WarehouseFixture([.orders])
        let second = DuckDBWarehouse(path: shop.path, layout: shop.layout, threads: 1)
        await #expect { try await second.open(readOnly: false) } throws: {
            let error = $0 as? ReplicationError
            return error?.kind == .taken && error?.remedy?.contains("millrace status") == true
        }
        #expect(await second.preflight().contains { $0.level == .error })
        // The first is as it was.
        try await shop.apply([create(1, .text("a"), .null, at: 10)])
        #expect(await shop.warehouse.preflight().allSatisfy { $0.level != .error })
    }

    @Test func aNewerSchemaIsRefused() async throws {
        let shop = try await WarehouseFixture([.orders])
        await shop.warehouse.close()
        let connection = try await Connection.open(path: shop.path)
        try await connection.run("UPDATE _millrace.meta SET value = '99'", purpose: "ageing")
        await connection.close()
        for readOnly in [false, true] {
            await #expect { try await shop.warehouse.open(readOnly: readOnly) } throws: {
                let error = $0 as? ReplicationError
                return error?.kind == .environment && error?.remedy == "use a newer millrace"
            }
        }
    }

    @Test func anOlderSchemaIsBroughtUpToDate() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([create(1, .text("a"), .null, at: 10)])
        await shop.warehouse.close()
        let connection = try await Connection.open(path: shop.path)
        for sql in [
            "DROP TABLE _millrace.erasures", "DROP TABLE _millrace.sweeps",
            "ALTER TABLE _millrace.tables DROP COLUMN has_erasures",
            "ALTER TABLE _millrace.tables DROP COLUMN raw_from",
            "DROP TABLE _millrace.holds", "DROP TABLE _millrace.deferred", "DROP TABLE _millrace.epochs",
            "DROP TABLE _millrace.late_events", "ALTER TABLE _millrace.ledger DROP COLUMN late",
            "ALTER TABLE _millrace.ledger DROP COLUMN too_late", "UPDATE _millrace.meta SET value = '2'",
            "DROP TABLE _millrace.gates", "ALTER TABLE _millrace.tables DROP COLUMN has_put_aside",
            "ALTER TABLE _millrace.quarantine DROP COLUMN rule",
            "ALTER TABLE _millrace.quarantine DROP COLUMN json_nulls",
            "DROP TABLE _millrace.schema_changes", "ALTER TABLE _millrace.tables DROP COLUMN evolution",
        ] {
            try await connection.run(sql, purpose: "ageing")
        }
        await connection.close()
        try await shop.warehouse.open(readOnly: true)
        #expect(try await shop.warehouse.ledger().tables.map(\.applied) == [1], "it can be read as it is")
        await shop.warehouse.close()
        try await shop.warehouse.open(readOnly: false)
        try await shop.claim()
        try await shop.apply([create(1, .text("b"), .null, at: 20), create(2, .text("b"), .null, at: 20)])
        try await shop.apply([update(1, .text("late"), .null, at: 15)])
        let ledger = try await shop.warehouse.ledger().tables
        #expect(ledger.map(\.applied) == [3] && ledger.map(\.late) == [1])
        #expect(try await shop.rows("SELECT value FROM _millrace.meta WHERE key = 'version'") == ["8"])
        #expect(try await shop.rows("SELECT count(*) FROM _millrace.late_events") == ["1"])
    }

    @Test("A table whose column somebody renamed is held, and goes on when it is mended")
    func aTableThatFails() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([create(1, .text("a"), .null, at: 1)])
        func rename(_ from: String, _ to: String) async throws {
            await shop.warehouse.close()
            let connection = try await Connection.open(path: shop.path)
            // Views hold their columns' names.
            try await connection.run("DROP VIEW IF EXISTS shop.shop_live.orders", purpose: "testing")
            try await connection.run("ALTER TABLE shop.shop.orders RENAME COLUMN \(from) TO \(to)", purpose: "testing")
            await connection.close()
            try await shop.warehouse.open(readOnly: false)
            try await shop.claim()
        }
        try await rename("note", "other")
        let outcome = try await shop.apply([update(1, .text("b"), .null, at: 2)])
        #expect(outcome.ledger.map(\.deferred) == [1])
        #expect(try await shop.warehouse.holds().map(\.kind) == [.failing])
        await #expect(throws: ReplicationError.self) { _ = try await shop.warehouse.release(.orders, .failing) }
        try await rename("other", "note")
        #expect(try await shop.warehouse.release(.orders, .failing).isDone)
        #expect(try await shop.warehouse.holds().isEmpty)
        #expect(try await shop.rows("SELECT status FROM shop.orders") == ["b"])
    }

    @Test func aMissingFolderIsTheEnvironments() async throws {
        let shop = try await WarehouseFixture([])
        let path = shop.folder.appendingPathComponent("none/x.duckdb").path
        let warehouse = DuckDBWarehouse(path: path, layout: shop.layout, threads: 1)
        await #expect { try await warehouse.open(readOnly: false) } throws: {
            ($0 as? ReplicationError)?.kind == .environment
        }
        #expect(await warehouse.preflight().contains { $0.level == .error && $0.remedy?.contains("mkdir") == true })
    }

    @Test func aClosedWarehouseSaysSo() async throws {
        let shop = try await WarehouseFixture([.orders])
        await shop.warehouse.close()
        await #expect(throws: ReplicationError.self) { _ = try await shop.warehouse.checkpoints() }
        try await shop.warehouse.open(readOnly: false)
        #expect(try await shop.warehouse.checkpoints().count == 1)
    }

    @Test func anInterruptedStatementPasses() async throws {
        let shop = try await WarehouseFixture([.orders])
        let warehouse = shop.warehouse
        let query = Task {
            try await warehouse.query(
                "SELECT count(*) FROM range(100000000) a, range(100000) b WHERE a.range = b.range + 1", rows_max: 1)
        }
        // Again and again, as the statement may not have begun yet.
        let stopper = Task {
            while !Task.isCancelled {
                warehouse.interrupt()
                await Task.yield()
            }
        }
        let outcome = await query.result
        stopper.cancel()
        await stopper.value
        #expect { try outcome.get() } throws: { ($0 as? ReplicationError)?.kind == .passing }
        // It goes on by itself.
        try await shop.apply([create(1, .text("a"), .null, at: 10)])
        #expect(try await shop.rows("SELECT id FROM shop.orders") == ["1"])
    }

    @Test func anEventThatIsInRawAlreadyIsFoundWithoutMarks() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([create(1, .text("a"), .null, at: 10)])
        // A partition that has no marks yet is always probed.
        shop.builder.partition = TopicPartition(topic: "test", partition: 1)
        try await shop.claim()
        let again = try await shop.apply([create(1, .text("a"), .null, at: 10)])
        #expect(again.ledger.first?.duplicate == 1)
    }
}
