import JSON
import Replication

/// `millrace erase TABLE KEY --reason R`.
package struct EraseCommand: Sendable {
    package var table: String
    package var key: String
    package var reason: String

    package init(table: String, key: String, reason: String) {
        self.table = table
        self.key = key
        self.reason = reason
    }

    /// Returns the exit code.
    package func run(_ context: CommandContext) async throws -> Int32 {
        let setup = try context.loadSetup()
        let outcome = try await context.withControl(setup, readOnly: false) {
            try await $0.erase(table, key: key, reason: reason)
        }
        if context.json {
            context.console.result(outcome.json.serialized)
            return ExitStatus.ok
        }
        let report = outcome.report
        var lines: [String] = []
        if report.wasErased, !report.hadRow, report.events == 0, report.records == 0 {
            lines.append("it was erased before, and nothing of it came since")
        } else {
            let earlier = report.earlierKeys > 0 ? ", also under \(Self.count(report.earlierKeys, "earlier key"))" : ""
            lines.append(
                """
                \(Console.printable(outcome.source)): erased \(report.hadRow ? "the row" : "no row"), \
                \(Self.count(report.events, "event")) of raw\(earlier) and \(Self.count(report.records, "record")) of the quarantine
                """)
        }
        lines.append("the key's hash is \(report.keyHash)")
        context.console.result(lines.joined(separator: "\n"))
        if report.wasLive {
            context.logger.warning(
                "the row was live: if the source still has it, its next change brings it back; delete it there")
        }
        if report.movedOn {
            context.logger.warning(
                "a key change gave the row another key, under which it lives on: erase that one, too")
        }
        if outcome.unread > 0 {
            context.logger.warning(
                "\(Self.count(outcome.unread, "record")) of the quarantine can't be read and may be about it: millrace quarantine show \(outcome.unreadIDs.map(String.init).joined(separator: ", "))"
            )
        }
        return ExitStatus.ok
    }

    private static func count(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }
}

/// What `erase` answers.
package struct ErasureOutcome: Sendable, Equatable {
    /// The table, as the source calls it.
    package var source: String
    package var report: ErasureReport
    /// Records of the quarantine of which nobody can tell whose they are.
    package var unread = 0
    /// The first of them.
    package var unreadIDs: [Int64] = []

    package init(source: String, report: ErasureReport) {
        self.source = source
        self.report = report
    }
}

extension ErasureOutcome {
    package var json: JSONValue {
        let version = report.version
        return .object([
            ("source", .string(source)), ("key_hash", .string(report.keyHash)),
            (
                "version",
                version.isNone
                    ? .null : .array([.integer(version.epoch), .integer(version.commit), .integer(version.seq)])
            ),
            ("row", .bool(report.hadRow)), ("was_live", .bool(report.wasLive)), ("events", .integer(report.events)),
            ("records", .integer(report.records)), ("earlier_keys", .integer(report.earlierKeys)),
            ("moved_on", .bool(report.movedOn)), ("was_erased", .bool(report.wasErased)),
            ("unread", .integer(unread)), ("unread_ids", .array(unreadIDs.map(JSONValue.integer))),
        ])
    }

    package init?(json: JSONValue) {
        guard let source = json["source"]?.string, let hash = json["key_hash"]?.string,
            let events = json["events"]?.int64, let records = json["records"]?.int64
        else { return nil }
        var report = ErasureReport(keyHash: hash)
        if let parts = json["version"]?.array?.compactMap(\.int64), parts.count == 3 {
            report.version = Version(epoch: parts[0], commit: parts[1], seq: parts[2])
        }
        report.hadRow = json["row"]?.bool ?? false
        report.wasLive = json["was_live"]?.bool ?? false
        report.events = Int(events)
        report.records = Int(records)
        report.earlierKeys = Int(json["earlier_keys"]?.int64 ?? 0)
        report.movedOn = json["moved_on"]?.bool ?? false
        report.wasErased = json["was_erased"]?.bool ?? false
        self.init(source: source, report: report)
        unread = Int(json["unread"]?.int64 ?? 0)
        unreadIDs = json["unread_ids"]?.array?.compactMap(\.int64) ?? []
    }
}
