import JSON
import Replication
import ReplicationTestKit
import Testing

@testable import Debezium

@Suite("Which transaction a record belongs to")
struct TransactionReaderTests {
    private func marks(_ events: [TransactionEvents.Event], topics: Set<String>) throws -> [TransactionMark] {
        let reader = try TransactionReader(schemas: nil)
        reader.begin(topics: topics)
        let lines = events.map {
            Corpus.Line(topic: $0.topic, key: Array($0.key.utf8), value: Array($0.value.utf8))
        }
        let batch = Corpus.batch(lines)
        return batch.records.map { record in
            let topic = batch.spans[Int(record.span)].partition.topic
            return reader.mark(of: record, in: batch, toldBy: reader.stream(toldBy: topic))
        }
    }

    /// Recorded events of a real connector, in the order in which it sent them, through the hold.
    @Test(
        "All that a connector really sent comes out in whole transactions",
        arguments: [("truncate_msg_heartbeat_tx", 20), ("mysql_basic", 5)])
    func recorded(file: String, least: Int) throws {
        let lines = try Corpus.lines(file)
        let reader = try TransactionReader(schemas: nil)
        reader.begin(topics: Set(lines.map(\.topic)))
        let batch = Corpus.batch(lines)
        var hold = TransactionHold()
        var released = 0
        var changes = 0
        for record in batch.records {
            let partition = batch.spans[Int(record.span)].partition
            let mark = reader.mark(of: record, in: batch, toldBy: reader.stream(toldBy: partition.topic))
            if case .change = mark { changes += 1 }
            _ = hold.add(mark, to: hold.lane(of: partition), bytes: 1, at: .zero)
            let out = hold.release(records_max: .max, bytes_max: .max, at: .zero)
            released += out.reduce(0) { $0 + $1.records }
            if case .change = mark { #expect(!hold.isEmpty, "an event doesn't go before its END") }
            if case .end = mark { #expect(hold.isEmpty, "nothing is held behind an END") }
        }
        #expect(released == batch.records.count && hold.isEmpty && hold.cutCount == 0)
        #expect(changes >= least)
    }

    @Test("Of a Postgres id only the part before the colon counts, of others the whole")
    func ids() throws {
        func mark(_ id: String) throws -> TransactionMark {
            let end =
                "{\"status\":\"BEGIN\",\"id\":\"\(id)\",\"event_count\":null,\"data_collections\":null,\"ts_ms\":1}"
            return try marks(
                [.init(topic: "shop.transaction", key: "{}", value: end)], topics: ["shop.transaction"])[0]
        }
        #expect(try mark("1145:82148448") == mark("1145:82149024"))
        #expect(try mark("1145:82148448") != mark("1146:82148448"))
        let gtid = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
        #expect(try mark("\(gtid):23") != mark("\(gtid):24"))
        #expect(try mark("00000025:00000d98:00a2") != mark("00000025:00000d98:00a3"))
        #expect(try mark("12:34:56") != mark("12:34:57"))
    }

    @Test("Connectors are told apart by their topics' prefix")
    func connectors() throws {
        var shop = TransactionEvents(prefix: "shop")
        var bank = TransactionEvents(prefix: "bank")
        let events = [shop.commit([("a", 1, 1)]), bank.commit([("a", 1, 1)])].flatMap {
            [$0.begin] + $0.changes + [$0.end]
        }
        let found = try marks(
            events, topics: ["shop.transaction", "bank.transaction", "shop.public.a", "bank.public.a"])
        let ids = found.map { mark -> TransactionID? in
            switch mark {
            case .begin(let id), .end(let id, _, _), .change(let id, _, _): id
            default: nil
            }
        }
        #expect(Set(ids[..<3]).count == 1 && Set(ids[3...]).count == 1 && ids[0] != ids[3])
        guard case .end(_, let events, let tables) = found[2] else {
            Issue.record("no END")
            return
        }
        #expect(events == 1 && tables.map(\.isRead) == [true])
    }

    @Test("A connector whose transaction topic isn't read gives events without a transaction")
    func otherConnector() throws {
        var bank = TransactionEvents(prefix: "bank")
        let change = bank.commit([("a", 1, 1)]).changes
        #expect(try marks(change, topics: ["shop.transaction", "bank.public.a"]) == [.loose(stream: nil)])
    }

    @Test("Reads and events without metadata belong to none, heartbeats, tombstones and messages show nothing")
    func none() throws {
        var shop = TransactionEvents()
        let read = shop.loose(("a", 1, 1))
        let update = shop.loose(("a", 1, 1), operation: "u")
        let others = [
            shop.heartbeat("h"), .init(topic: "a", key: "{}", value: "no json"),
            .init(topic: "a", key: "{}", value: "null"),
            .init(
                topic: "shop.message", key: "{}",
                value:
                    #"{"op":"m","ts_ms":1,"source":{"name":"shop"},"transaction":{"id":"5:6","total_order":1},"message":{}}"#
            ),
        ]
        #expect(
            try marks([read, update] + others, topics: ["shop.transaction"]) == [
                .loose(stream: 0), .loose(stream: 0), .none, .none, .none, .none,
            ])
        let flattened = TransactionEvents.Event(topic: "a", key: "{}", value: #"{"id":1,"balance":3,"__op":"u"}"#)
        #expect(try marks([flattened], topics: ["shop.transaction"]) == [.loose(stream: nil)])
    }

    @Test("With the schema part it is the same")
    func wrapped() throws {
        var shop = TransactionEvents()
        let transaction = shop.commit([("a", 1, 1), ("b", 2, 2)])
        let all = [transaction.begin] + transaction.changes + [transaction.end]
        let wrapped = all.map { event in
            var event = event
            event.value = "{\"schema\":{\"type\":\"struct\",\"fields\":[]},\"payload\":\(event.value)}"
            return event
        }
        let topics: Set<String> = ["shop.transaction", "shop.public.a"]
        #expect(try marks(wrapped, topics: topics) == marks(all, topics: topics))
        guard case .end(_, 2, let tables) = try marks(all, topics: topics)[3] else {
            Issue.record("no END")
            return
        }
        #expect(tables.map(\.isRead) == [true, false])
    }

    @Test("A table's topic is found under its sanitised name, and without Oracle's database")
    func topics() throws {
        func isRead(_ collection: String, _ topic: String) throws -> Bool {
            let end =
                "{\"status\":\"END\",\"id\":\"1\",\"event_count\":1,\"data_collections\":[{\"data_collection\":\"\(collection)\",\"event_count\":1}],\"ts_ms\":1}"
            let mark = try marks(
                [.init(topic: "shop.transaction", key: "{}", value: end)], topics: ["shop.transaction", topic])[0]
            guard case .end(_, _, let tables) = mark else { return false }
            return tables[0].isRead
        }
        #expect(try isRead("public.a", "shop.public.a"))
        #expect(try isRead("public.größe", "shop.public.gr__e"))
        #expect(try isRead("ORCL.SHOP.A", "shop.SHOP.A"))
        #expect(try isRead("db.dbo.a", "shop.db.dbo.a"))
        #expect(try !isRead("public.a", "shop.public.b"))
    }
}
