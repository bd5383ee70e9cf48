import Foundation
import JSON
import Kafka
import Testing
import ThrowawayPostgres

/// Sweeps of a Kafka pipeline through its catalog: a small connector reads a slot of a real source by `test_decoding` and
/// writes what Debezium would, with its positions: a transaction's events tell the commit before.
@Suite(.serialized) struct CatalogSweepTests {
    /// One look at the slot.
    private struct Connector {
        let source: ThrowawayPostgres
        let producer: Producer
        let topic = "shop.public.orders"
        /// Of the transaction before.
        var lastCommit: Int64?

        /// Sends what has been committed since, then confirms it to the slot.
        mutating func step() async throws {
            let before = Int64(try await source.value("SELECT (pg_current_wal_lsn() - '0/0')::bigint"))
            let rows = try await source.psql(
                """
                SELECT (lsn - '0/0')::bigint || '|' || xid::text || '|' || data \
                FROM pg_logical_slot_peek_changes('debezium', NULL, 2000)
                """)
            var records: [OutgoingRecord] = []
            var newest: Int64?
            for line in rows.split(separator: "\n") {
                let parts = line.split(separator: "|", maxSplits: 2)
                guard parts.count == 3, let lsn = Int64(parts[0]) else { continue }
                if parts[2].hasPrefix("COMMIT") {
                    lastCommit = lsn
                    newest = lsn
                } else if parts[2].hasPrefix("table public.orders: ") {
                    records.append(record(parts[2].dropFirst("table public.orders: ".count), lsn, String(parts[1])))
                }
            }
            if !records.isEmpty {
                try await producer.send(records)
                _ = try await producer.flush()
            }
            // As a heartbeat does where nothing of these tables was written.
            if let end = rows.isEmpty ? before : newest {
                _ = try? await source.psql("SELECT pg_replication_slot_advance('debezium', '0/0'::pg_lsn + \(end))")
            }
        }

        /// `UPDATE: id[integer]:1 note[text]:'a'`.
        private func record(_ change: Substring, _ lsn: Int64, _ xid: String) -> OutgoingRecord {
            let operation = change.hasPrefix("INSERT") ? "c" : change.hasPrefix("UPDATE") ? "u" : "d"
            var values: [String: String] = [:]
            for match in change.matches(of: /(\w+)\[[a-z ]+\]:('[^']*'|[^ ]+)/) {
                let text = String(match.output.2)
                values[String(match.output.1)] =
                    text.hasPrefix("'") ? "\"\(text.dropFirst().dropLast())\"" : text
            }
            let row =
                "{" + values.sorted { $0.key < $1.key }.map { "\"\($0.key)\":\($0.value)" }.joined(separator: ",") + "}"
            let before = lastCommit.map { "\\\"\($0)\\\"" } ?? "null"
            let value = """
                {"before":\(operation == "d" ? row : "null"),"after":\(operation == "d" ? "null" : row),\
                "source":{"version":"3.6.3","connector":"postgresql","name":"shop","db":"postgres","schema":"public",\
                "table":"orders","ts_ms":\(Int(Date().timeIntervalSince1970 * 1000)),"snapshot":"false","txId":\(xid),\
                "lsn":\(lsn),"sequence":"[\(before),\\"\(lsn)\\"]"},"op":"\(operation)","ts_ms":1,"transaction":null}
                """
            return .init(topic: topic, key: Array("{\"id\":\(values["id"] ?? "0")}".utf8), value: Array(value.utf8))
        }
    }

    @Test func theCatalogProvesAndMends() async throws {
        let folder = try temporaryFolder("catalogsweep")
        defer { try? FileManager.default.removeItem(at: folder) }
        let source = try await ThrowawayPostgres.start()
        let target = try await ThrowawayPostgres.start()
        let broker = try MockBroker(topics: ["shop.public.orders": 3], logger: silent)
        defer { broker.close() }
        try await source.psql(
            """
            CREATE TABLE orders (id int PRIMARY KEY, n int, note text);
            SELECT pg_create_logical_replication_slot('debezium', 'test_decoding');
            INSERT INTO orders SELECT i, i, 'note ' || i FROM generate_series(1, 900) i;
            """)
        try """
        pipeline: shop
        source:
          kafka:
            brokers: \(broker.bootstrap)
            topics: ["shop.public.*"]
            catalog: "\(source.url())"
            properties: { fetch.wait.max.ms: 10 }
        warehouse: { postgres: { url: "\(target.url())" } }
        agent: { listen: "127.0.0.1:0" }
        """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
        var connector = Connector(source: source, producer: try Producer(brokers: broker.bootstrap, logger: silent))
        try await connector.step()
        let agent = try AgentProcess(["run"], in: folder)
        try await until("the rows have come", [agent]) {
            (try? await target.number("SELECT count(*) FROM shop.orders")) == 900
        }
        let stop = StopFlag()
        let begun = connector
        let connecting = Task { [begun] in
            var connector = begun
            while !stop.isSet { try await connector.step() }
        }
        func sweep(_ arguments: String..., exit: Int32 = 0) async throws -> JSONValue? {
            let result = try await AgentProcess.run(["sweep", "--json"] + arguments, in: folder)
            #expect(result.status == exit, "\(result.output) \(result.errors) \(agent.said().suffix(1000))")
            let report = try? JSONValue(parsing: result.output)
            #expect(exit != 0 || report?["proves"]?.string == "source")
            return report?["tables"]?.array?.first
        }
        // Under load, beside a transaction that stays open with a row of its own.
        let writes = StopFlag()
        let writing = source.writing(until: writes) { turn in
            """
            UPDATE orders SET n = n + 1 WHERE id % 90 = \(turn % 90);
            DELETE FROM orders WHERE id = \(turn % 800 + 50);
            INSERT INTO orders VALUES (\(turn % 800 + 50), \(turn), 'again') ON CONFLICT DO NOTHING;
            """
        }
        let open = Task {
            await source.beside("BEGIN; UPDATE orders SET note = 'held' WHERE id = 7; SELECT pg_sleep(600); COMMIT;")
        }
        // One row is changed all the time, and that one alone may never stand still: it is no difference.
        let cools = StopFlag()
        let hot = source.writing(until: cools) { _ in "UPDATE orders SET n = n + 1 WHERE id = 1" }
        for _ in 0..<3 {
            let result = try await AgentProcess.run(["sweep", "--json"], in: folder)
            let table = try JSONValue(parsing: result.output)["tables"]?.array?.first
            for kind in ["missing", "extra", "different"] {
                #expect(table?[kind]?.int64 == 0, "\(table?.serialized ?? result.errors)")
            }
            #expect(table?["moved"]?.int64 ?? 9 <= 1 && table?["rows"]?.int64 ?? 0 > 800, "\(table?.serialized ?? "")")
        }
        cools.set()
        _ = await hot.value
        // Behind the agent's back, under load: told, mended from the source, and still so when events follow.
        try await target.psql(
            """
            UPDATE shop.orders SET note = 'wrong' WHERE id IN (3, 4);
            DELETE FROM shop.orders WHERE id = 5;
            UPDATE shop.orders SET is_deleted = true WHERE id = 6;
            INSERT INTO shop.orders (id, n, is_deleted, _version_epoch, _version_commit, _version_seq)
            VALUES (5000, 1, false, 0, 1, 2);
            """)
        let told = try await sweep(exit: 4)
        #expect(told?["different"]?.int64 == 2 && told?["missing"]?.int64 == 2 && told?["extra"]?.int64 == 1)
        let mended = try await sweep("--repair")
        #expect(mended?["equal"]?.bool == true && mended?["repaired"]?.int64 == 5, "\(mended?.serialized ?? "")")
        try await source.psql("UPDATE orders SET note = 'after' WHERE id IN (3, 5, 6); DELETE FROM orders WHERE id = 4")
        _ = try await source.psql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()"
        )
        await open.value
        let last = try await sweep()
        #expect(last?["equal"]?.bool == true, "\(last?.serialized ?? "")")
        let notes = try await target.value(
            "SELECT string_agg(id || ' ' || note, ',' ORDER BY id) FROM shop_live.orders WHERE id BETWEEN 3 AND 6")
        #expect(notes == "3 after,5 after,6 after")
        writes.set()
        _ = await writing.value
        // All of it has come.
        _ = try await sweep()
        // A column that the connector masks isn't for the warehouse to have.
        try await target.psql("UPDATE shop.orders SET note = 'masked'")
        let masked = try await sweep("--repair", exit: 4)
        #expect(masked?["reason"]?.string?.contains("more than half") == true, "\(masked?.serialized ?? "")")
        let clear = try await target.number("SELECT count(*) FROM shop_live.orders WHERE note LIKE 'note%'")
        #expect(clear == 0)
        stop.set()
        try await connecting.value

        // A connector that stands still proves nothing.
        try await source.psql(
            "UPDATE orders SET n = -1 WHERE id = 1; SELECT pg_create_logical_replication_slot('other', 'test_decoding')"
        )
        try await source.psql("SELECT pg_drop_replication_slot('debezium')")
        try await source.psql("SELECT pg_create_logical_replication_slot('third', 'test_decoding')")
        let blind = try await AgentProcess.run(["sweep"], in: folder)
        #expect(blind.status == 3 && blind.errors.contains("not proven"), "\(blind.errors)")
        agent.signal(SIGTERM)
        #expect(await agent.wait().status == 0)
    }
}
