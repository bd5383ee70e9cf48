import Foundation
import JSON
import Replication

/// What sweep is under way, in a file of the agent's folder: an agent that is started anew goes on with it. Tables that are
/// through are known by `_millrace.sweeps`. It names tables, and no key or value.
package struct SweepMemo: Sendable {
    package struct Entry: Sendable, Equatable {
        package var tables: [TableID]
        package var request: SweepRequest
        /// µs since 1970.
        package var startedAt_us: Int64
        /// How often it was gone on with.
        package var attempts = 0

        init(_ tables: [TableID], _ request: SweepRequest, startedAt_us: Int64 = Moment.now_us()) {
            self.tables = tables
            self.request = request
            self.startedAt_us = startedAt_us
        }
    }

    private let file: URL

    package init(dir: String, pipeline: String) {
        file = URL(fileURLWithPath: dir).appending(path: "sweep-\(pipeline).json")
    }

    /// Of none: takes the file away.
    func write(_ entries: [Entry]) {
        guard !entries.isEmpty else {
            try? FileManager.default.removeItem(at: file)
            return
        }
        let folder = file.deletingLastPathComponent()
        try? FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        // Without it a sweep isn't gone on with, and nothing else.
        try? Data(JSONValue.array(entries.map(\.json)).serialized.utf8).write(to: file, options: .atomic)
    }

    /// None where the file isn't one of ours.
    func read() -> [Entry] {
        guard let data = try? Data(contentsOf: file),
            let json = try? JSONValue(parsing: String(decoding: data, as: UTF8.self))
        else { return [] }
        return (json.array ?? []).compactMap(Entry.init(json:))
    }
}

extension SweepMemo.Entry {
    /// It has been begun so often without coming to its end: it may be what ends the agent.
    var isGivenUp: Bool { attempts >= 3 }

    /// Gone on with once more.
    var again: SweepMemo.Entry {
        var entry = self
        entry.attempts += 1
        return entry
    }

    fileprivate var json: JSONValue {
        let tables = tables.map { JSONValue.array([.string($0.schema), .string($0.table)]) }
        return .object(
            request.json + [
                ("tables", .array(tables)), ("started_at_us", .integer(startedAt_us)),
                ("attempts", .integer(Int64(attempts))),
            ])
    }

    fileprivate init?(json: JSONValue) {
        guard let request = try? SweepRequest(json: json), let startedAt_us = json["started_at_us"]?.int64 else {
            return nil
        }
        let tables = (json["tables"]?.array ?? []).compactMap { entry -> TableID? in
            guard let parts = entry.array?.compactMap(\.string), parts.count == 2 else { return nil }
            return TableID(schema: parts[0], table: parts[1])
        }
        guard !tables.isEmpty else { return nil }
        self.init(tables, request, startedAt_us: startedAt_us)
        attempts = Int(json["attempts"]?.int64 ?? 0)
    }
}

extension SweepMemo.Entry {
    /// What is left of it: tables without a sweep since that ended as it was asked.
    func left(
        of tables: [TableDefinition], _ sweeps: [TableID: (last: SweepRecord, proof: SweepRecord?)]
    ) -> [TableDefinition] {
        tables.filter { table in
            guard self.tables.contains(table.source) else { return false }
            guard let last = sweeps[table.source]?.last, last.startedAt_us >= startedAt_us else { return true }
            return request.kind == .repair && last.differences > 0
        }
    }
}
