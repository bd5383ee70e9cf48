import DuckDB
import Foundation
import Replication
import ReplicationTestKit
import Testing

@Suite struct CheckpointTests {
    @Test func aClaimRaisesTheTokenAndKeepsThePosition() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([create(1, .text("a"), .null, at: 10)])
        let other = TopicPartition(topic: "other", partition: 3)
        let claimed = try await shop.warehouse.claim([shop.builder.partition, other], owner: "second")
        #expect(claimed.map(\.token) == [2, 1])
        #expect(claimed.map(\.position) == [1, nil])
        #expect(claimed[0].marks == [TableDefinition.orders.source: version(10)])
        #expect(claimed[0].sourceTime_us == 10_000_000)
        #expect(try await shop.rows("SELECT owner FROM _millrace.checkpoints WHERE topic = 'test'") == ["second"])
    }

    @Test func aFencedAgentWritesNothing() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([create(1, .text("a"), .null, at: 10)])
        _ = try await shop.warehouse.claim([shop.builder.partition], owner: "second")
        await #expect { try await shop.apply([create(2, .text("b"), .null, at: 11)]) } throws: {
            ($0 as? ReplicationError)?.kind == .fenced
        }
        #expect(try await shop.rows("SELECT count(*) FROM shop.orders") == ["1"])
        #expect(try await shop.rows("SELECT count(*) FROM shop_raw.orders") == ["1"])
        #expect(try await shop.warehouse.ledger().tables.first?.read == 1)
    }

    @Test func anotherPositionIsFencedToo() async throws {
        let shop = try await WarehouseFixture([.orders])
        let batch = shop.builder.batch([create(1, .text("a"), .null, at: 10)])
        let wrong = CheckpointAdvance(partition: shop.builder.partition, from: 5, to: 6, token: shop.token, spans: [0])
        await #expect { try await shop.warehouse.apply(batch, advancing: [wrong]) } throws: {
            ($0 as? ReplicationError)?.kind == .fenced
        }
        // Nothing read yet isn't position 0.
        let zero = CheckpointAdvance(partition: shop.builder.partition, from: 0, to: 1, token: shop.token, spans: [0])
        await #expect { try await shop.warehouse.apply(batch, advancing: [zero]) } throws: {
            ($0 as? ReplicationError)?.kind == .fenced
        }
        try await shop.apply(batch)
    }

    @Test func settingAPositionFencesAndKeepsTheMarks() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([create(1, .text("a"), .null, at: 10), create(2, .text("b"), .null, at: 11)])
        try await shop.warehouse.set(positions: [shop.builder.partition: 0])
        await #expect { try await shop.apply([create(3, .text("c"), .null, at: 12)]) } throws: {
            ($0 as? ReplicationError)?.kind == .fenced
        }
        try await shop.claim()
        #expect(shop.position == 0)
        // What is read again is known.
        let again = try await shop.apply([create(1, .text("a"), .null, at: 10), create(2, .text("b"), .null, at: 11)])
        #expect(again.ledger.first?.duplicate == 2)
        try await shop.warehouse.set(positions: [shop.builder.partition: nil])
        #expect(try await shop.warehouse.checkpoints().map(\.position) == [nil])
        #expect(try await shop.warehouse.checkpoints().first?.marks.isEmpty == false)
    }

    @Test func everythingIsThereAfterReopening() async throws {
        let shop = try await WarehouseFixture([.orders, .log])
        try await shop.apply([create(1, .text("a"), .text("x"), at: 10), update(1, .text("b"), .unchanged, at: 11)])
        try await shop.apply([truncate(at: 5)])
        let before = try await shop.rows("SELECT * EXCLUDE (_loaded_at) FROM shop.orders")
        try await shop.reopen()
        #expect(try await shop.rows("SELECT * EXCLUDE (_loaded_at) FROM shop.orders") == before)
        #expect(shop.position == 3)
        #expect(Set(try await shop.warehouse.knownTables()) == [.orders, .log])
        // The truncate's floor holds.
        try await shop.apply([create(9, .text("late"), .null, at: 3)])
        #expect(try await shop.rows("SELECT is_deleted FROM shop.orders WHERE id = 9") == ["true"])
    }

    @Test func theLedgerAddsUp() async throws {
        let shop = try await WarehouseFixture([.orders, .log])
        let batch = shop.builder.batch([create(1, .text("a"), .null, at: 10), update(1, .text("b"), .null, at: 11)])
        batch.control = 4
        batch.readUnknown = 1
        batch.quarantined = [
            QuarantineEntry(
                table: nil, partition: shop.builder.partition, offset: 77, reason: "not JSON", key: [0, 255],
                value: nil,
                headers: #"[["a","b"]]"#)
        ]
        try await shop.apply(batch)
        try await shop.apply([create(1, .text("a"), .null, at: 10)])
        let (tables, control) = try await shop.warehouse.ledger()
        #expect(control == 4)
        #expect(tables.map(\.table) == [TableDefinition.orders.source, nil])
        #expect(tables[0].read == 3 && tables[0].applied == 1 && tables[0].compacted == 1 && tables[0].duplicate == 1)
        #expect(tables[1].read == 1 && tables[1].quarantined == 1)

        let waiting = try await shop.warehouse.quarantine()
        #expect(waiting.count == 1)
        #expect(waiting[0].entry.key == [0, 255] && waiting[0].entry.value == nil && waiting[0].entry.offset == 77)
        #expect(waiting[0].entry.headers == #"[["a","b"]]"# && waiting[0].state == .waiting)
        try await shop.warehouse.settleQuarantine([waiting[0].id], as: .discarded)
        #expect(try await shop.warehouse.quarantine().map(\.state) == [.discarded])
    }

    @Test func oldBatchesRollUpToHours() async throws {
        let shop = try await WarehouseFixture([.orders])
        for step in 1...5 { try await shop.apply([create(Int64(step), .text("a"), .null, at: Int64(step))]) }
        await shop.warehouse.close()
        let connection = try await Connection.open(path: shop.path)
        try await connection.run(
            "UPDATE _millrace.ledger SET committed_at = TIMESTAMPTZ '2020-01-01 10:30:00+00'", purpose: "ageing")
        await connection.close()
        try await shop.reopen()
        #expect(try await shop.rows("SELECT count(*), sum(read) FROM _millrace.ledger") == ["1|5"])
        #expect(try await shop.warehouse.ledger().tables.first?.applied == 5)
        try await shop.reopen()
        #expect(try await shop.warehouse.ledger().tables.first?.applied == 5)
    }

    @Test func aFailureInTheMiddleLeavesNothing() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([create(1, .text("a"), .null, at: 10)])
        // The ledger can't add up: the batch reads more than it accounts for.
        let batch = shop.builder.batch([create(2, .text("b"), .null, at: 11), delete(1, at: 12)], from: 1)
        batch.read[0] += 1
        await #expect { try await shop.apply(batch) } throws: { ($0 as? ReplicationError)?.kind == .invariant }
        #expect(try await shop.rows("SELECT id, is_deleted FROM shop.orders") == ["1|false"])
        #expect(try await shop.rows("SELECT count(*) FROM shop_raw.orders") == ["1"])
        #expect(try await shop.warehouse.checkpoints().first?.position == 1)
        // And the next one goes through.
        try await shop.apply([create(2, .text("b"), .null, at: 11), delete(1, at: 12)])
        #expect(try await shop.rows("SELECT id, is_deleted FROM shop.orders ORDER BY id") == ["1|true", "2|false"])
    }

    @Test func anotherDecodersStateIsKept() async throws {
        let shop = try await WarehouseFixture([.orders])
        let batch = shop.builder.batch([create(1, .text("a"), .null, at: 10)])
        var advance = shop.advance(to: 1)
        advance.decoderState = #"{"run":3}"#
        advance.lastOffset = 0
        advance.lastHash = "abc"
        _ = try await shop.warehouse.apply(batch, advancing: [advance])
        let stored = try await shop.warehouse.checkpoints()
        #expect(stored.first?.decoderState == #"{"run":3}"#)
        #expect(stored.first?.lastOffset == 0 && stored.first?.lastHash == "abc")
    }

    @Test func hostileNamesInMarksSurvive() async throws {
        let table = TableDefinition(
            source: TableID(schema: "we\"ird.\u{1F600}", table: "it's [\"a\"],\\"), target: "odd",
            columns: [Column(name: "id", type: .bigint, isKey: true, nullable: false)], key: [0])
        let shop = try await WarehouseFixture([table])
        try await shop.apply([EventSpec(.create, table.source, version(10), after: [.int(1)])])
        #expect(try await shop.warehouse.checkpoints().first?.marks == [table.source: version(10)])
        #expect(try await shop.warehouse.ledger().tables.first?.table == table.source)
    }
}
