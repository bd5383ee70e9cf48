import Replication
import ReplicationTestKit
import Testing

@testable import Debezium

/// Random transactions over partitions of several topics, read in any interleaving: after each batch whole transactions
/// are out, a prefix in the order of commits; and in the end everything is, once, in the order of its partition.
@Suite("Whole transactions from any interleaving")
struct TransactionHoldPropertyTests {
    private struct Item {
        var name: String
        var mark: TransactionMark
        /// Of a change: which transaction and place.
        var change: (transaction: Int, order: Int)?
    }

    private struct History {
        var partitions: [String: [Item]] = [:]
        /// Events of each transaction, in the order of commits, by connector.
        var events: [[Int]] = []
        private var names = 0

        init(_ random: inout SeededRandom, streams: Int, isRedelivering: Bool, length: Int) {
            events = Array(repeating: [], count: streams)
            for number in 0..<(10 + random.below(length)) {
                let stream = random.below(streams)
                let places = 1 + random.below(random.chance(10) ? 60 : 6)
                events[stream].append(places)
                let tables = (0..<places).map { _ in random.below(3) }
                write(&random, stream, events[stream].count - 1, tables, from: 1)
                // A connector that begins anew sends the end of what it sent again.
                if isRedelivering, random.chance(20) {
                    write(&random, stream, events[stream].count - 1, tables, from: 1 + random.below(places))
                }
                if random.chance(20) { put(.none, "loose\(number)", in: "t\(stream).\(random.below(3)):0") }
            }
        }

        private mutating func put(
            _ mark: TransactionMark, _ name: String, in partition: String, _ change: (Int, Int)? = nil
        ) {
            names += 1
            partitions[partition, default: []].append(Item(name: "\(names) \(name)", mark: mark, change: change))
        }

        private mutating func write(
            _ random: inout SeededRandom, _ stream: Int, _ number: Int, _ tables: [Int], from first: Int
        ) {
            let streamID = Int32(stream)
            put(.begin(HoldFeed.id(number, streamID)), "begin", in: "\(stream).transaction")
            // In the middle of a transaction it may begin anew, too.
            let cut = random.chance(10) ? 1 + random.below(tables.count) : 0
            for order in (first <= cut ? Array(first...cut) : []) + Array(first...tables.count) {
                let table = tables[order - 1]
                put(
                    HoldFeed.change(number, Int64(order), "\(table)", stream: streamID), "\(number).\(order)",
                    in: "t\(stream).\(table):\((number + order) % 3)", (number, order))
            }
            let counts = (0..<3).map { table in ("\(table)", Int64(tables.count { $0 == table })) }
            put(
                HoldFeed.end(number, counts.filter { $0.1 > 0 }, stream: streamID), "end",
                in: "\(stream).transaction")
        }
    }

    private func check(seed: UInt64, streams: Int, isRedelivering: Bool, held_bytes_max: Int = .max) {
        var random = SeededRandom(seed: seed)
        let history = History(
            &random, streams: streams, isRedelivering: isRedelivering, length: held_bytes_max == .max ? 30 : 300)
        let names = history.partitions.keys.sorted()
        let byName = Dictionary(
            history.partitions.values.flatMap { $0 }.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        var read: [String: Int] = [:]
        var feed = HoldFeed(bytes_max: held_bytes_max)
        var applied = history.events.map { $0.map { _ in Set<Int>() } }
        while true {
            let open = names.filter { read[$0, default: 0] < history.partitions[$0, default: []].count }
            guard !open.isEmpty else { break }
            // A poll: some of some partitions, of one mostly if that may run ahead.
            let favourite = held_bytes_max == .max ? nil : open[random.below(open.count)]
            for partition in open where partition == favourite || random.chance(favourite == nil ? 40 : 5) {
                guard !feed.ahead().contains(partition) else { continue }
                let items = history.partitions[partition, default: []]
                let from = read[partition, default: 0]
                let to = min(items.count, from + 1 + random.below(random.chance(30) ? 20 : 4))
                for item in items[from..<to] { feed.add(item.name, item.mark, to: partition) }
                read[partition] = to
            }
            #expect(feed.hold.bytes <= held_bytes_max, "seed \(seed): too much is held")
            let limit = random.chance(30) ? 3 : Int.max
            while true {
                let released = feed.release(records_max: limit)
                guard !released.isEmpty else { break }
                for (partition, names) in released {
                    let stream = partition.hasPrefix("t1") ? 1 : 0
                    for name in names {
                        guard let change = byName[name]?.change else { continue }
                        applied[stream][change.transaction].insert(change.order)
                    }
                }
                for stream in 0..<streams {
                    let states = zip(applied[stream], history.events[stream]).map { ($0.count, $1) }
                    #expect(states.allSatisfy { $0.0 == 0 || $0.0 == $0.1 }, "seed \(seed): a part is out")
                    let first = states.firstIndex { $0.0 == 0 } ?? states.count
                    #expect(states[first...].allSatisfy { $0.0 == 0 }, "seed \(seed): not a prefix")
                }
            }
        }
        for partition in names {
            #expect(feed.out[partition] == history.partitions[partition]?.map(\.name), "seed \(seed): \(partition)")
        }
        #expect(feed.hold.isEmpty && feed.hold.bytes == 0 && feed.hold.cutCount == 0)
    }

    @Test("of one connector") func oneConnector() {
        for seed in 1...150 { check(seed: UInt64(seed), streams: 1, isRedelivering: false) }
    }

    @Test("of two connectors") func twoConnectors() {
        for seed in 1000...1100 { check(seed: UInt64(seed), streams: 2, isRedelivering: false) }
    }

    @Test("with partitions far ahead of others, and not more held than may be") func skewed() {
        for seed in 3000...3060 {
            check(seed: UInt64(seed), streams: 1, isRedelivering: false, held_bytes_max: 100_000)
        }
    }

    @Test("with transactions that are sent again, whole or from their middle") func redelivery() {
        for seed in 2000...2150 { check(seed: UInt64(seed), streams: 1 + seed % 2, isRedelivering: true) }
    }
}
