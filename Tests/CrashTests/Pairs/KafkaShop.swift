import ChildProcess
import Foundation
import Kafka
import ReplicationTestKit

/// Debezium's events of two tables on a broker in this process.
final class KafkaShop: CrashSource {
    static let name = "kafka"
    static let plan = [
        CrashPlan(.ddl), CrashPlan(.read), CrashPlan(.staging), CrashPlan(.staged), CrashPlan(.commit),
        CrashPlan(.commit, isDelayed: true), CrashPlan(.committed), CrashPlan(nil),
        CrashPlan(.staging, isDelayed: true),
        CrashPlan(nil),
    ]
    static let shortPlan = [
        CrashPlan(.ddl), CrashPlan(.staging), CrashPlan(.commit, isDelayed: true), CrashPlan(.committed),
        CrashPlan(nil),
    ]
    /// A group's first member waits 3 s for others.
    static let random_ms = 2_800..<4_500
    static let tables = ["items", "orders"]

    private let broker: MockBroker
    private let producer: Producer
    private var random: SeededRandom
    private var pipeline = ""
    private var lsn = 0
    /// `id` and, as they stand in JSON, the other columns.
    private var rows: [String: [Int: [String]]] = [:]
    private var counts: [String: Int] = [:]
    private var width = 1

    init(seed: UInt64) throws {
        broker = try MockBroker(logger: silent)
        producer = try Producer(brokers: broker.bootstrap, logger: silent)
        random = SeededRandom(seed: seed)
    }

    var columns: [String] { (0..<width).map { "v\($0)" } }

    func begin(_ pipeline: String) async throws {
        self.pipeline = pipeline
        for table in Self.tables {
            try broker.createTopic("\(pipeline).public.\(table)", partitions: 4)
            rows[table] = [:]
            counts[table] = 0
        }
        width = 1
    }

    func feed(isWider: Bool) async throws {
        if isWider { width += 1 }
        var records: [OutgoingRecord] = []
        for _ in 0..<600 {
            lsn += 1
            let table = Self.tables[random.below(Self.tables.count)]
            let id = 1 + random.below(300)
            let before = rows[table]?[id]
            let isDelete = before != nil && random.below(8) == 0
            let values = isDelete ? before ?? [] : (0..<width).map { "\(lsn * 10 + $0)" }
            records.append(
                DebeziumRecord.change(
                    "\(pipeline).public.\(table)", table: table, op: isDelete ? "d" : before == nil ? "c" : "u",
                    key: id,
                    columns: values.enumerated().map { ("v\($0)", "int64", $1) }, lsn: lsn))
            rows[table]?[id] = isDelete ? nil : values
            counts[table, default: 0] += 1
        }
        try await producer.send(records)
        _ = try await producer.flush()
    }

    func yaml(attempt: Int) -> String {
        // A group of its own: the one that was killed would be waited for.
        """
        kafka:
          brokers: "\(broker.bootstrap)"
          topics: ["\(pipeline).public.*"]
          group: "\(pipeline)-\(attempt)"
          properties: { fetch.wait.max.ms: 10 }
        """
    }

    func target(_ table: String) -> String { table }

    func wanted() async throws -> [String: String] {
        var wanted: [String: String] = [:]
        for table in Self.tables {
            let rows = (rows[table] ?? [:]).sorted { $0.key < $1.key }
            let lines = rows.map { id, values in
                (["\(id)"] + values + Array(repeating: "-", count: width - values.count)).joined(separator: "|")
            }
            wanted[table] = "\(rows.count) \(try await Self.md5(lines.joined(separator: ",")))"
        }
        return wanted
    }

    private static func md5(_ text: String) async throws -> String {
        String(try await Command.runAside(["md5sum"], input: text).prefix(32))
    }

    func changes() async throws -> [String: Int] { counts }
    func end() async throws {}

    func close() async {
        await producer.close()
        broker.close()
    }
}
