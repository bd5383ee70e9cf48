import Replication
import ReplicationTestKit
import Testing

@Suite struct KeylessTests {
    private func line(_ operation: Operation, _ text: String, at commit: Int64, _ ordinal: Int64 = 0) -> EventSpec {
        let cells: [Cell] = [.text(text), .int(1)]
        return EventSpec(
            operation, TableDefinition.log.source, version(commit), before: operation == .delete ? cells : nil,
            after: operation == .delete ? nil : cells, ordinal: ordinal)
    }

    private func live(_ shop: WarehouseFixture) async throws -> [String] {
        try await shop.rows("SELECT line FROM shop_live.log ORDER BY line")
    }

    @Test func twinsAreRowsOfTheirOwn() async throws {
        let shop = try await WarehouseFixture([.log])
        try await shop.apply([line(.create, "a", at: 1, 0), line(.create, "a", at: 1, 1), line(.create, "b", at: 2)])
        #expect(try await live(shop) == ["a", "a", "b"])
        let outcome = try await shop.apply([line(.delete, "a", at: 3)])
        #expect(outcome.ledger.first?.applied == 1)
        #expect(try await live(shop) == ["a", "b"])
        #expect(
            try await shop.rows(
                "SELECT _ended_by IS NOT NULL, deleted_at IS NOT NULL, _version_commit FROM shop.log WHERE is_deleted")
                == ["t|t|3"])
    }

    @Test(arguments: [true, false]) func aReplayChangesNothing(hasRaw: Bool) async throws {
        let shop = try await WarehouseFixture([.log], layout: WarehouseLayout(pipeline: "shop", hasRaw: hasRaw))
        let events = [line(.create, "a", at: 1, 0), line(.create, "a", at: 1, 1), line(.delete, "a", at: 3)]
        try await shop.apply(events)
        let again = try await shop.apply(events)
        #expect(hasRaw ? again.ledger.first?.duplicate == 3 : again.ledger.first?.superseded == 3)
        #expect(try await live(shop) == ["a"])
    }

    @Test func theOldestTwinEndsAndALaterOneDoesNot() async throws {
        let shop = try await WarehouseFixture([.log])
        try await shop.apply([line(.create, "a", at: 5), line(.create, "a", at: 2)])
        try await shop.apply([line(.delete, "a", at: 3), line(.delete, "a", at: 4)])
        // The second finds only a row that is newer than itself.
        #expect(
            try await shop.rows("SELECT count(*) FROM shop.log WHERE NOT is_deleted AND _version_commit = 5") == ["1"])
        let set = try await shop.warehouse.quarantine()
        #expect(set.count == 1)
        #expect(set.first?.entry.operation == .delete)
    }

    @Test func anUpdateWithoutItsRowIsTakenBack() async throws {
        let shop = try await WarehouseFixture([.log])
        try await shop.apply([line(.create, "a", at: 1)])
        let update = EventSpec(
            .update, TableDefinition.log.source, version(3), before: [.text("never"), .int(1)],
            after: [.text("seen"), .int(1)])
        let outcome = try await shop.apply([
            update,
            EventSpec(
                .update, TableDefinition.log.source, version(4), before: [.text("a"), .int(1)],
                after: [.text("b"), .int(1)]),
        ])
        #expect(outcome.ledger.first?.quarantined == 1)
        #expect(outcome.ledger.first?.applied == 1)
        #expect(try await live(shop) == ["b"])
    }

    @Test func aTruncateEndsThemAll() async throws {
        let shop = try await WarehouseFixture([.log])
        try await shop.apply([line(.create, "a", at: 1), line(.create, "b", at: 2)])
        try await shop.apply([
            EventSpec(.truncate, TableDefinition.log.source, version(3)), line(.create, "c", at: 4),
        ])
        #expect(try await live(shop) == ["c"])
        #expect(
            try await shop.rows("SELECT line, is_current FROM shop_history.log ORDER BY line") == ["a|f", "b|f", "c|t"])
    }
}
