import Replication
import Testing

@testable import Debezium

@Suite("Holding records back to whole transactions")
struct TransactionHoldTests {
    private static func end(_ number: Int, _ counts: [(String, Int64)]) -> TransactionMark {
        HoldFeed.end(number, counts)
    }

    @Test("A transaction waits for its END and for all its events, whatever comes last")
    func wholeOnly() {
        let all: [(String, TransactionMark, String)] = [
            ("begin", .begin(HoldFeed.id(1)), "t"), ("a1", HoldFeed.change(1, 1, "a"), "a"),
            ("b1", HoldFeed.change(1, 2, "b"), "b"), ("end", Self.end(1, [("a", 1), ("b", 1)]), "t"),
        ]
        for last in [1, 2, 3] {
            var feed = HoldFeed()
            for (index, item) in all.enumerated() where index != last { feed.add(item.0, item.1, to: item.2) }
            #expect(feed.release().isEmpty)
            feed.add(all[last].0, all[last].1, to: all[last].2)
            #expect(feed.release() == ["t": ["begin", "end"], "a": ["a1"], "b": ["b1"]])
            #expect(feed.hold.isEmpty && feed.hold.bytes == 0)
        }
    }

    @Test("Transactions go on in the order of their ENDs, none before one that isn't complete")
    func prefix() {
        var feed = HoldFeed()
        feed.add("end1", Self.end(1, [("a", 1)]), to: "t")
        feed.add("end2", Self.end(2, [("b", 1)]), to: "t")
        feed.add("b2", HoldFeed.change(2, 1, "b"), to: "b")
        #expect(feed.release().isEmpty, "the first one lacks its event")
        feed.add("a1", HoldFeed.change(1, 1, "a"), to: "a")
        #expect(feed.release() == ["t": ["end1", "end2"], "a": ["a1"], "b": ["b2"]])
    }

    @Test("Also where ENDs come in two partitions, a transaction waits for the one whose END came before")
    func endsInTwoPartitions() {
        var feed = HoldFeed()
        feed.add("end1", Self.end(1, [("a", 1)]), to: "t")
        feed.add("end2", Self.end(2, [("b", 1)]), to: "t'")
        feed.add("b2", HoldFeed.change(2, 1, "b"), to: "b")
        #expect(feed.release().isEmpty)
        feed.add("a1", HoldFeed.change(1, 1, "a"), to: "a")
        #expect(feed.release().count == 4)
    }

    @Test("Of a partition goes on what stands before the first event of an unfinished transaction")
    func cutInThePartition() {
        var feed = HoldFeed()
        feed.add("a1", HoldFeed.change(1, 1, "a"), to: "a")
        feed.add("tombstone", .none, to: "a")
        feed.add("a2", HoldFeed.change(2, 1, "a"), to: "a")
        feed.add("heartbeat", .none, to: "a")
        feed.add("end1", Self.end(1, [("a", 1)]), to: "t")
        #expect(feed.release() == ["a": ["a1", "tombstone"], "t": ["end1"]])
        #expect(feed.release().isEmpty)
        feed.add("end2", Self.end(2, [("a", 1)]), to: "t")
        #expect(feed.release() == ["a": ["a2", "heartbeat"], "t": ["end2"]])
    }

    @Test("Records without a transaction at a partition's head don't wait, and can show a part of something")
    func looseGoesOn() {
        var feed = HoldFeed()
        let isLoose = feed.add("read", .loose(stream: 0), to: "a")
        #expect(isLoose)
        let isTombstoneLoose = feed.add("tombstone", .none, to: "a")
        #expect(!isTombstoneLoose)
        feed.add("b1", HoldFeed.change(1, 1, "b"), to: "b")
        #expect(feed.release() == ["a": ["read", "tombstone"]])
    }

    @Test("A batch takes as many whole transactions as fit, and at least one")
    func limits() {
        var feed = HoldFeed()
        for number in 1...3 {
            for order in 1...4 { feed.add("a\(number)\(order)", HoldFeed.change(number, Int64(order), "a"), to: "a") }
            feed.add("end\(number)", Self.end(number, [("a", 4)]), to: "t")
        }
        #expect(feed.release(records_max: 11)["a"]?.count == 8, "two of five records")
        #expect(feed.release(records_max: 2)["a"]?.count == 4, "larger than a batch")
        #expect(feed.release().isEmpty)
        for number in 4...6 {
            feed.add("a\(number)", HoldFeed.change(number, 1, "a"), to: "a")
            feed.add("end\(number)", Self.end(number, [("a", 1)]), to: "t")
        }
        #expect(feed.release(bytes_max: 450)["a"] == ["a4", "a5"])
    }

    @Test("Records without a transaction fill a batch up to its limits")
    func looseLimits() {
        var feed = HoldFeed()
        for number in 0..<1000 { feed.add("\(number)", .none, to: "a") }
        var counts: [Int] = []
        while let released = feed.release(records_max: 300)["a"] { counts.append(released.count) }
        #expect(counts.reduce(0, +) == 1000 && counts.allSatisfy { $0 <= 300 })
        #expect(feed.out["a"] == (0..<1000).map(String.init))
    }

    // MARK: Redelivery

    @Test("A transaction that is sent again whole is waited for no more")
    func sentAgainWhole() {
        var feed = HoldFeed()
        func transaction(_ again: String) {
            feed.add("a1\(again)", HoldFeed.change(1, 1, "a"), to: "a")
            feed.add("a2\(again)", HoldFeed.change(1, 2, "a"), to: "a")
            feed.add("end\(again)", Self.end(1, [("a", 2)]), to: "t")
        }
        transaction("")
        feed.release()
        transaction("'")
        #expect(feed.release() == ["a": ["a1'", "a2'"], "t": ["end'"]])
    }

    @Test("One that is sent again from its middle is complete once all places came, however often")
    func sentAgainFromTheMiddle() {
        var feed = HoldFeed()
        feed.add("begin", .begin(HoldFeed.id(1)), to: "t")
        feed.add("1", HoldFeed.change(1, 1, "a"), to: "a")
        feed.add("2", HoldFeed.change(1, 2, "a"), to: "a")
        // The connector begins anew.
        feed.add("begin'", .begin(HoldFeed.id(1)), to: "t")
        feed.add("2'", HoldFeed.change(1, 2, "a"), to: "a")
        feed.add("end", Self.end(1, [("a", 3)]), to: "t")
        #expect(feed.release().isEmpty, "three events and two places")
        feed.add("3", HoldFeed.change(1, 3, "a"), to: "a")
        #expect(feed.release()["a"] == ["1", "2", "2'", "3"])
        feed.add("3'", HoldFeed.change(1, 3, "a"), to: "a")
        feed.add("end'", Self.end(1, [("a", 3)]), to: "t")
        #expect(feed.release() == ["a": ["3'"], "t": ["end'"]])
    }

    @Test("What is remembered of transactions is bounded")
    func memory() {
        var feed = HoldFeed(remembered_max: 2)
        for number in 1...3 {
            feed.add("a\(number)", HoldFeed.change(number, 1, "a"), to: "a")
            feed.add("end\(number)", Self.end(number, [("a", 1)]), to: "t")
        }
        feed.release()
        feed.add("again3", HoldFeed.change(3, 1, "a"), to: "a")
        #expect(feed.release() == ["a": ["again3"]])
        feed.add("again1", HoldFeed.change(1, 1, "a"), to: "a")
        #expect(feed.release().isEmpty, "forgotten: it looks like a new one")
    }

    // MARK: Tables that aren't read

    @Test("Events of tables that aren't read aren't waited for")
    func unreadTable() {
        var feed = HoldFeed()
        feed.add("a1", HoldFeed.change(1, 1, "a"), to: "a")
        feed.add("end1", HoldFeed.end(1, [("a", 1), ("x", 5)], unread: ["x"]), to: "t")
        #expect(feed.release() == ["a": ["a1"], "t": ["end1"]])
        feed.add("end2", HoldFeed.end(2, [("x", 5)], unread: ["x"]), to: "t")
        #expect(feed.release() == ["t": ["end2"]], "nothing of it is read")
    }

    @Test("A table whose topic is called otherwise is read once an event of it was seen")
    func renamedTopic() {
        var feed = HoldFeed()
        feed.add("x1", HoldFeed.change(1, 1, "x"), to: "elsewhere")
        feed.add("end1", HoldFeed.end(1, [("x", 2)], unread: ["x"]), to: "t")
        #expect(feed.release().isEmpty)
        feed.add("x2", HoldFeed.change(1, 2, "x"), to: "elsewhere")
        #expect(feed.release()["elsewhere"] == ["x1", "x2"])
    }

    @Test("Where an END names tables in a way of its own, the number of events counts")
    func otherNames() {
        var feed = HoldFeed()
        feed.add("a1", HoldFeed.change(1, 1, "a"), to: "a")
        feed.add("end1", HoldFeed.end(1, [("db.a", 1)]), to: "t")
        #expect(feed.release()["a"] == ["a1"])
        feed.add("end2", .end(HoldFeed.id(2), events: 1, []), to: "t")
        #expect(feed.release().isEmpty)
    }

    // MARK: Several connectors

    @Test("Transactions of two connectors don't wait for each other, nor do equal ids mix")
    func twoConnectors() {
        var feed = HoldFeed()
        feed.add("a1", HoldFeed.change(1, 1, "a", stream: 0), to: "a")
        feed.add("end1", HoldFeed.end(1, [("a", 2)], stream: 0), to: "t")
        feed.add("x1", HoldFeed.change(1, 1, "x", stream: 1), to: "x")
        feed.add("end1x", HoldFeed.end(1, [("x", 1)], stream: 1), to: "tx")
        #expect(feed.release() == ["x": ["x1"], "tx": ["end1x"]])
        feed.add("a2", HoldFeed.change(1, 2, "a", stream: 0), to: "a")
        #expect(feed.release() == ["a": ["a1", "a2"], "t": ["end1"]])
    }

    @Test("In a topic that two connectors share, one waits behind the other's unfinished transaction")
    func sharedTopic() {
        var feed = HoldFeed()
        feed.add("a1", HoldFeed.change(1, 1, "a", stream: 0), to: "both")
        feed.add("x1", HoldFeed.change(1, 1, "x", stream: 1), to: "both")
        feed.add("x2", HoldFeed.change(1, 2, "x", stream: 1), to: "x")
        feed.add("endx", HoldFeed.end(1, [("x", 2)], stream: 1), to: "tx")
        #expect(feed.release().isEmpty, "x2 mustn't go without x1")
        feed.add("enda", HoldFeed.end(1, [("a", 1)], stream: 0), to: "t")
        #expect(feed.release() == ["both": ["a1", "x1"], "x": ["x2"], "t": ["enda"], "tx": ["endx"]])
    }

    // MARK: Bounds

    @Test("More bytes than may be held let go of what isn't complete, and of that alone")
    func bytesBound() {
        var feed = HoldFeed(bytes_max: 1000)
        for order in 1...9 { feed.add("\(order)", HoldFeed.change(1, Int64(order), "a"), to: "a") }
        #expect(feed.release().isEmpty && feed.hold.cut(at: feed.now).isEmpty)
        feed.add("10", HoldFeed.change(1, 10, "a"), to: "a")
        feed.add("11", HoldFeed.change(1, 11, "a"), to: "a")
        #expect(feed.hold.cut(at: feed.now) == [0])
        #expect(feed.release()["a"]?.count == 11)
        #expect(feed.hold.cutCount == 1 && feed.hold.bytes == 0)
        // Its other events go on as they come, and can show a part.
        let isLoose = feed.add("12", HoldFeed.change(1, 12, "a"), to: "a")
        #expect(isLoose)
        #expect(feed.release() == ["a": ["12"]])
        #expect(feed.hold.takeSettled().isEmpty)
        feed.add("end", Self.end(1, [("a", 12)]), to: "t")
        #expect(feed.hold.takeSettled() == [0], "all of it is there now")
        #expect(feed.release() == ["t": ["end"]])
    }

    @Test("An END that never comes is waited for so long and no longer")
    func noEnd() {
        var feed = HoldFeed()
        feed.add("a1", HoldFeed.change(1, 1, "a"), to: "a")
        feed.add("a2", HoldFeed.change(2, 1, "a"), to: "a")
        feed.add("b2", HoldFeed.change(2, 2, "b"), to: "b")
        feed.add("end2", Self.end(2, [("a", 1), ("b", 1)]), to: "t")
        feed.now = .seconds(9)
        #expect(feed.release().isEmpty && feed.hold.cut(at: feed.now).isEmpty)
        feed.now = .seconds(10)
        #expect(feed.hold.cut(at: feed.now) == [0])
        #expect(feed.hold.cutCount == 1, "the other one stays whole")
        #expect(feed.release() == ["a": ["a1", "a2"], "b": ["b2"], "t": ["end2"]])
    }

    @Test("One without an END isn't held for ever in a partition of its own, while others go on")
    func noEndAside() {
        var feed = HoldFeed()
        feed.add("x1", HoldFeed.change(99, 1, "x"), to: "x")
        for number in 1...11 {
            feed.now = .seconds(number)
            feed.add("a\(number)", HoldFeed.change(number, 1, "a"), to: "a")
            feed.add("end\(number)", Self.end(number, [("a", 1)]), to: "t")
            #expect(feed.release()["a"] == ["a\(number)"])
            _ = feed.hold.cut(at: feed.now)
        }
        #expect(feed.out["x"] == ["x1"] && feed.hold.cutCount == 1)
    }

    @Test("Events that never come are waited for so long, while new transactions arrive behind")
    func lackingEvents() {
        var feed = HoldFeed()
        feed.add("end1", Self.end(1, [("a", 1)]), to: "t")
        for number in 2...12 {
            feed.now = .seconds(number)
            feed.add("a\(number)", HoldFeed.change(number, 1, "a"), to: "a")
            feed.add("end\(number)", Self.end(number, [("a", 1)]), to: "t")
            #expect(feed.release().isEmpty == (number < 11))
            if !feed.hold.cut(at: feed.now).isEmpty { #expect(number >= 10) }
        }
        #expect(feed.hold.cutCount == 1)
        #expect(feed.hold.takeSettled() == [0], "what came behind it says that it is over")
    }

    @Test("A transaction that goes on is not too old, however long it takes")
    func slowTransaction() {
        var feed = HoldFeed()
        for second in 1...30 {
            feed.now = .seconds(second)
            feed.add("\(second)", HoldFeed.change(1, Int64(second), "a"), to: "a")
            #expect(feed.release().isEmpty && feed.hold.cut(at: feed.now).isEmpty)
        }
        feed.add("end", Self.end(1, [("a", 30)]), to: "t")
        #expect(feed.release()["a"]?.count == 30)
    }

    @Test("What waits its turn behind others that go on isn't cut")
    func waitingItsTurn() {
        var feed = HoldFeed()
        // One topic is far ahead of the other.
        for number in 1...20 {
            feed.add("a\(number)", HoldFeed.change(number, 1, "a"), to: "a")
            feed.add("end\(number)", Self.end(number, [("a", 1), ("b", 1)]), to: "t")
        }
        for number in 1...20 {
            feed.now += .seconds(5)
            #expect(feed.hold.cut(at: feed.now).isEmpty)
            feed.add("b\(number)", HoldFeed.change(number, 2, "b"), to: "b")
            #expect(feed.release()["b"] == ["b\(number)"])
        }
        #expect(feed.hold.cutCount == 0)
    }

    @Test("What is ahead isn't read on once much is held, and what gives more of the next transaction is")
    func ahead() {
        var feed = HoldFeed(bytes_max: 4000)
        for order in 1...10 { feed.add("a1\(order)", HoldFeed.change(1, Int64(order), "a"), to: "a") }
        for order in 1...10 { feed.add("c2\(order)", HoldFeed.change(2, Int64(order), "c"), to: "c") }
        #expect(feed.ahead().isEmpty)
        feed.add("a2", HoldFeed.change(2, 11, "a"), to: "a")
        #expect(feed.ahead() == ["a"], "of c's transaction more can come")
        feed.add("b1", HoldFeed.change(1, 11, "b"), to: "b")
        feed.add("end1", Self.end(1, [("a", 10), ("b", 1)]), to: "t")
        #expect(feed.release()["a"]?.count == 10)
        #expect(feed.ahead().isEmpty)
    }

    @Test("A transaction that was cut and never ended is over once a later one is complete")
    func givenUp() {
        var feed = HoldFeed()
        feed.add("a1", HoldFeed.change(1, 1, "a"), to: "a")
        feed.now = .seconds(10)
        #expect(feed.hold.cut(at: feed.now) == [0])
        feed.release()
        feed.add("a2", HoldFeed.change(2, 1, "a"), to: "a")
        #expect(feed.hold.takeSettled().isEmpty)
        feed.add("end2", Self.end(2, [("a", 1)]), to: "t")
        #expect(feed.hold.takeSettled() == [0])
        let isLoose = feed.add("late", HoldFeed.change(1, 2, "a"), to: "a")
        #expect(isLoose, "more of what was given up shows a part again")
    }

    @Test("A large transaction that was cut isn't over because one behind it is complete")
    func notGivenUp() {
        var feed = HoldFeed(bytes_max: 250)
        for order in 1...3 { feed.add("\(order)", HoldFeed.change(1, Int64(order), "a"), to: "a") }
        #expect(feed.hold.cut(at: feed.now) == [0])
        feed.release()
        feed.add("b2", HoldFeed.change(2, 1, "b"), to: "b")
        feed.add("end2", Self.end(2, [("b", 1)]), to: "t")
        feed.release()
        #expect(feed.hold.takeSettled().isEmpty)
    }

    // MARK: Partitions that go

    @Test("Of a partition that is taken away nothing goes on, of the others everything")
    func revoked() {
        var feed = HoldFeed()
        feed.add("a1", HoldFeed.change(1, 1, "a"), to: "a")
        feed.add("b1", HoldFeed.change(1, 2, "b"), to: "b")
        feed.add("end1", Self.end(1, [("a", 1), ("b", 2)]), to: "t")
        feed.drop("b")
        feed.hold.letGo()
        #expect(feed.release() == ["a": ["a1"], "t": ["end1"]])
        #expect(feed.hold.isEmpty && feed.hold.bytes == 0)
    }

    @Test("Where no END ever comes, nothing is waited for any more, until one does; and little is remembered")
    func endsThatNeverCome() {
        var feed = HoldFeed(stall_max: .seconds(1))
        var number = 0
        var isLoose = false
        while !isLoose, number < 5000 {
            number += 1
            isLoose = feed.add("a\(number)", HoldFeed.change(number, 1, "a"), to: "a")
            feed.now += .seconds(2)
            _ = feed.hold.cut(at: feed.now)
            feed.release()
        }
        #expect(number == 1001 && feed.hold.isEmpty && feed.hold.cutCount == 1000)
        feed.add("end", Self.end(number + 1, [("a", 1)]), to: "t")
        let isHeld = feed.add("a", HoldFeed.change(number + 1, 1, "a"), to: "a")
        #expect(!isHeld, "now there are ENDs")
        #expect(feed.release() == ["t": ["end"], "a": ["a"]])

        let another = feed.add("b", HoldFeed.change(number - 1, 2, "a"), to: "a")
        #expect(another, "what is left of one that was cut can show a part")
    }

    @Test("An event of a table that its END's transaction wasn't held to can show a part")
    func aTableSeenTooLate() {
        var feed = HoldFeed()
        feed.add("end1", HoldFeed.end(1, [("moved", 1)], unread: ["moved"]), to: "t")
        #expect(feed.release() == ["t": ["end1"]], "nobody knew that the table is read")
        let isLoose = feed.add("m1", HoldFeed.change(1, 1, "moved"), to: "m")
        #expect(isLoose)
        feed.add("end2", HoldFeed.end(2, [("moved", 1)], unread: ["moved"]), to: "t")
        #expect(feed.release() == ["m": ["m1"]], "now it is known")
    }
}
