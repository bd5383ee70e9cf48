import Postgres
import Replication
import ReplicationTestKit
import Testing

@Suite struct CommitTests {
    @Test func aSecondClaimFencesTheFirst() async throws {
        let shop = try await WarehouseFixture([.orders])
        let other = PostgresWarehouse(url: shop.url, layout: shop.layout)
        try await other.open(readOnly: false)
        let claimed = try await other.claim([shop.builder.partition], owner: "other")
        #expect(claimed.first?.token == shop.token + 1)
        #expect(await kind { try await shop.apply([create(1, .text("a"), .null, at: 1)]) } == .fenced)
        #expect(try await shop.rows("SELECT count(*) FROM shop.orders") == ["0"])
        #expect(try await shop.rows("SELECT count(*) FROM shop_raw.orders") == ["0"])
        #expect(try await shop.rows("SELECT owner FROM _millrace.checkpoints") == ["other"])
        await other.close()
    }

    @Test func aPositionThatMovedFences() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([create(1, .text("a"), .null, at: 1)])
        let stale = CheckpointAdvance(
            partition: shop.builder.partition, from: nil, to: 1, token: shop.token, spans: [0])
        let batch = shop.builder.batch([create(2, .text("a"), .null, at: 2)])
        #expect(await kind { _ = try await shop.warehouse.apply(batch, advancing: [stale]) } == .fenced)
        try await shop.warehouse.set(positions: [shop.builder.partition: nil])
        #expect(await kind { try await shop.apply([create(2, .text("a"), .null, at: 2)]) } == .fenced)
        try await shop.claim()
        #expect(shop.position == nil)
        try await shop.apply([create(2, .text("a"), .null, at: 2)])
        #expect(try await shop.warehouse.checkpoints().first?.marks[TableDefinition.orders.source] == version(2))
    }

    @Test func aBackendThatDiesLeavesNothingAndTheNextBatchWorks() async throws {
        let shop = try await WarehouseFixture([.orders, .log])
        try await shop.apply([create(1, .text("a"), .null, at: 1)])
        // The server ends the session when the second table's rows arrive: the first one's were merged by then.
        try await shop.cluster.psql(
            """
            CREATE FUNCTION public.die() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN new; END $$;
            CREATE TRIGGER die BEFORE INSERT ON shop_raw.log FOR EACH ROW EXECUTE FUNCTION public.die();
            """, database: shop.database)
        let events = [
            create(2, .text("b"), .null, at: 2),
            EventSpec(.create, TableDefinition.log.source, version(3), after: [.text("x"), .int(1)]),
        ]
        #expect(await kind { try await shop.apply(events) } == .passing)
        #expect(try await shop.orders() == ["1|a|∅|f|∅|1|∅"])
        #expect(try await shop.warehouse.checkpoints().first?.position == 1)
        try await shop.cluster.psql("DROP TRIGGER die ON shop_raw.log", database: shop.database)
        try await shop.apply(events)
        #expect(try await shop.orders() == ["1|a|∅|f|∅|1|∅", "2|b|∅|f|∅|2|∅"])
        #expect(try await shop.rows("SELECT count(*) FROM shop_raw.orders") == ["2"])
    }

    @Test func anIdleConnectionThatWasLostIsMadeAnew() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([create(1, .text("a"), .unchanged, at: 1)])
        try await shop.cluster.psql(
            """
            SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
            WHERE datname = current_database() AND application_name LIKE 'millrace%'
            """, database: shop.database)
        #expect(await kind { try await shop.apply([create(2, .text("b"), .null, at: 2)]) } == .passing)
        try await shop.apply([create(2, .text("b"), .unchanged, at: 2)])
        #expect(try await shop.rows("SELECT count(*) FROM shop.orders") == ["2"])
    }

    @Test("A row that somebody locks holds up its table alone, where raw keeps what comes", arguments: [false, true])
    func aLockedRow(hasRaw: Bool) async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([create(1, .text("a"), .null, at: 1)])
        await shop.warehouse.close()
        try await shop.cluster.psql("ALTER ROLE postgres IN DATABASE \(shop.database) SET deadlock_timeout = '20s'")
        var layout = shop.layout
        layout.hasRaw = hasRaw
        let hasty = PostgresWarehouse(url: shop.url, layout: layout, lockWait: "50ms")
        try await hasty.open(readOnly: false)
        let holder = try Session(url: shop.url)
        try holder.execute("BEGIN; SELECT FROM shop.orders FOR UPDATE")
        let batch = shop.builder.batch([update(1, .text("b"), .null, at: 2)], from: 1)
        let advance = shop.advance(to: 2)
        if hasRaw {
            let outcome = try await hasty.apply(batch, advancing: [advance])
            #expect(outcome.ledger.map(\.deferred) == [1])
            #expect(try await hasty.holds().map(\.kind) == [.failing])
            #expect(await kind { _ = try await hasty.release(.orders, .failing) } == .passing, "it is locked still")
            #expect(try await shop.orders() == ["1|a|∅|f|∅|1|∅"])
            try holder.execute("ROLLBACK")
            #expect(try await hasty.release(.orders, .failing).isDone)
            #expect(try await hasty.holds().isEmpty)
        } else {
            #expect(await kind { _ = try await hasty.apply(batch, advancing: [advance]) } == .passing)
            #expect(try await hasty.holds().isEmpty)
            try holder.execute("ROLLBACK")
            _ = try await hasty.apply(batch, advancing: [advance])
        }
        #expect(try await shop.orders() == ["1|b|∅|f|∅|2|∅"])
        holder.close()
        await hasty.close()
    }

    @Test("What raw has of a column that the table lacks isn't left out: the table stays held until it has it")
    func aColumnThatIsMissing() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.warehouse.hold([TableDefinition.orders.source], .failing, reason: "by the test")
        var wider = TableDefinition.orders
        wider.columns.append(Column(name: "extra", type: .text))
        shop.builder = BatchBuilder([wider])
        try await shop.apply([
            EventSpec(
                .create, wider.source, version(1), after: [.int(1), .text("a"), .null, .text("kept")])
        ])
        await #expect {
            _ = try await shop.warehouse.release(.orders, .failing)
        } throws: {
            guard let error = $0 as? ReplicationError else { return false }
            return error.message.contains("column extra") && error.leavesTableHeld
        }
        #expect(try await shop.warehouse.holds().count == 1)
        try await shop.warehouse.ensure([wider])
        #expect(try await shop.warehouse.release(wider, .failing).isDone)
        #expect(try await shop.rows("SELECT id, extra FROM shop.orders") == ["1|kept"])
    }

    @Test("A few rows that are refused are put aside; with many the table is held")
    func manyRowsAreRefused() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.cluster.psql(
            "ALTER TABLE shop.orders ADD CONSTRAINT c CHECK (status <> 'bad')", database: shop.database)
        func rows(_ ids: ClosedRange<Int64>, _ status: String, _ at: Int64) -> [EventSpec] {
            ids.map { create($0, .text(status), .null, at: at) }
        }
        var outcome = try await shop.apply(rows(1...20, "bad", 1) + rows(21...300, "good", 1))
        #expect(outcome.ledger.map(\.quarantined) == [20] && outcome.ledger.map(\.applied) == [280])
        #expect(try await shop.warehouse.holds().isEmpty)
        outcome = try await shop.apply(rows(1001...1150, "bad", 2) + rows(1151...1160, "good", 2))
        #expect(outcome.ledger.map(\.deferred) == [160] && outcome.ledger.map(\.quarantined) == [0])
        #expect(try await shop.warehouse.holds().map(\.kind) == [.failing])
        #expect(try await shop.warehouse.holds().first?.reason.contains("more than 100 rows") == true)
        #expect(await kind { _ = try await shop.warehouse.release(.orders, .failing) } == .permanent)
        #expect(try await shop.warehouse.holds().count == 1)
        var options = ReleaseOptions()
        options.quarantinesAll = true
        let step = try await shop.warehouse.release(.orders, .failing, options)
        #expect(step.isDone && step.outcome.quarantined == 150)
        #expect(try await shop.rows("SELECT count(*) FROM shop.orders") == ["290"])
        let ledger = try await shop.warehouse.ledger().tables
        #expect(ledger.map(\.deferred) == [0] && ledger.map(\.quarantined) == [170] && ledger.map(\.applied) == [290])
    }

    @Test("Of two tables the one that can't be written is held, and goes on when it is mended")
    func aTableThatFails() async throws {
        let shop = try await WarehouseFixture([.orders, .log])
        try await shop.apply([create(1, .text("a"), .null, at: 1)])
        try await shop.cluster.psql("ALTER TABLE shop.orders RENAME COLUMN note TO other", database: shop.database)
        let both = [
            update(1, .text("b"), .null, at: 2),
            EventSpec(.create, TableDefinition.log.source, version(3), after: [.text("line"), .null]),
        ]
        try await shop.apply(both)
        #expect(try await shop.warehouse.holds().map(\.table) == [TableDefinition.orders.source])
        #expect(try await shop.warehouse.holds().first?.reason.contains("note") == true)
        #expect(try await shop.rows("SELECT count(*) FROM shop.log") == ["1"], "the other table goes on")
        #expect(await kind { _ = try await shop.warehouse.release(.orders, .failing) } == .environment)
        try await shop.cluster.psql("ALTER TABLE shop.orders RENAME COLUMN other TO note", database: shop.database)
        #expect(try await shop.warehouse.release(.orders, .failing).isDone)
        #expect(try await shop.orders() == ["1|b|∅|f|∅|2|∅"])
    }

    @Test func agentsThatStartTogetherMakeOneSchema() async throws {
        let cluster = try await SharedCluster.cluster
        let shop = try await WarehouseFixture([])
        try await cluster.psql("DROP SCHEMA _millrace CASCADE", database: shop.database)
        let url = shop.url
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in 0..<4 {
                group.addTask {
                    let warehouse = PostgresWarehouse(url: url, layout: WarehouseLayout(pipeline: "shop"))
                    try await warehouse.open(readOnly: false)
                    try await warehouse.ensure([.orders, .log])
                    _ = try await warehouse.claim(
                        [TopicPartition(topic: "t", partition: Int32(index))], owner: "\(index)")
                    await warehouse.close()
                }
            }
            try await group.waitForAll()
        }
        #expect(try await shop.rows("SELECT count(*) FROM _millrace.meta") == ["1"])
        #expect(try await shop.rows("SELECT count(*) FROM _millrace.checkpoints") == ["4"])
    }

    /// Two agents with marks that don't know of each other's events append the same ones.
    @Test func theSameEventsInTwoSessionsAreAppendedOnce() async throws {
        let shop = try await WarehouseFixture([.orders])
        let url = shop.url
        let events = (1...50).map { create($0, .text("a"), .null, at: $0) }
        let outcomes = try await withThrowingTaskGroup(of: BatchApplier.Outcome.self) { group in
            for index in 0..<2 {
                group.addTask {
                    let warehouse = PostgresWarehouse(url: url, layout: WarehouseLayout(pipeline: "shop"))
                    try await warehouse.open(readOnly: false)
                    var builder = BatchBuilder([.orders])
                    builder.partition = TopicPartition(topic: "p", partition: Int32(index))
                    let claim = try await warehouse.claim([builder.partition], owner: "\(index)")[0]
                    defer { Task { await warehouse.close() } }
                    return try await warehouse.apply(
                        builder.batch(events),
                        advancing: [
                            CheckpointAdvance(
                                partition: builder.partition, from: nil, to: 50, token: claim.token, spans: [0])
                        ])
                }
            }
            var all: [BatchApplier.Outcome] = []
            for try await outcome in group { all.append(outcome) }
            return all
        }
        #expect(outcomes.compactMap(\.ledger.first?.applied).reduce(0, +) == 50)
        #expect(outcomes.compactMap(\.ledger.first?.duplicate).reduce(0, +) == 50)
        #expect(try await shop.rows("SELECT count(*) FROM shop_raw.orders") == ["50"])
    }

    @Test func aRedeliveryBelowNoMarkIsFoundByTheIndex() async throws {
        let shop = try await WarehouseFixture([.orders])
        try await shop.apply([create(1, .text("a"), .null, at: 1)])
        // Somebody took the marks away: the probe says nothing, the unique index does.
        try await shop.cluster.psql("UPDATE _millrace.checkpoints SET marks = '[]'", database: shop.database)
        let outcome = try await shop.apply([create(1, .text("a"), .null, at: 1), create(2, .text("b"), .null, at: 2)])
        #expect(outcome.ledger.first?.duplicate == 1)
        #expect(outcome.ledger.first?.applied == 1)
    }

    /// Whoever makes tables may itself be waiting for one: an agent waits for its turn for longer than for a lock.
    @Test func tablesAreMadeOnceTheirTurnHasCome() async throws {
        let shop = try await WarehouseFixture([.orders])
        let hasty = PostgresWarehouse(
            url: shop.url, layout: WarehouseLayout(pipeline: "hasty"), lockWait: "50ms")
        try await hasty.open(readOnly: false)
        let patient = PostgresWarehouse(url: shop.url, layout: shop.layout, lockWait: "120s")
        try await patient.open(readOnly: false)
        let reader = try Session(url: shop.url)
        try reader.execute("BEGIN; SELECT FROM shop.orders")
        var wider = TableDefinition.orders
        wider.columns.append(Column(name: "extra", type: .text))
        let widened = Task { [wider] in await kind { try await patient.ensure([wider]) } }
        try await shop.wait(until: "wait_event = 'relation'")
        let made = Task { await kind { try await hasty.ensure([.orders]) } }
        try await shop.wait(until: "wait_event = 'advisory' AND clock_timestamp() - query_start > '150 ms'")
        try reader.execute("ROLLBACK")
        #expect(await widened.value == nil)
        #expect(await made.value == nil)
        // And for nothing else.
        #expect(try await hasty.query("SHOW lock_timeout", rows_max: 1).rows == [["50ms"]])
        reader.close()
        await patient.close()
        await hasty.close()
    }

    @Test func anInterruptionEndsTheStatementAndTheNextOneWorks() async throws {
        let shop = try await WarehouseFixture([.orders])
        let warehouse = shop.warehouse
        let waiting = Task { await kind { _ = try await warehouse.query("SELECT pg_sleep(60)", rows_max: 1) } }
        try await shop.wait(until: "wait_event = 'PgSleep'")
        warehouse.interrupt()
        #expect(await waiting.value == .passing)
        try await shop.apply([create(1, .text("a"), .null, at: 1)])
    }
}
