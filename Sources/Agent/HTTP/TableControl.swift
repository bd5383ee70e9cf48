import CrashPoint
import JSON
import Replication

/// Which tables a command is about.
package enum TableSelection: Sendable, Equatable {
    case all
    /// Source or target names, with or without their schema.
    case named([String])
}

/// What a part of a release did.
package struct ReleaseProgress: Sendable, Equatable {
    package struct Table: Sendable, Equatable {
        package var source: String
        /// Deferred events that were taken up, and those of them that were put into quarantine.
        package var events: Int
        package var quarantined: Int
        /// Why the table is held now: what was to be released isn't as expected.
        package var closed: String?

        package init(source: String, events: Int, quarantined: Int = 0, closed: String? = nil) {
            self.source = source
            self.events = events
            self.quarantined = quarantined
            self.closed = closed
        }
    }

    package var tables: [Table] = []
    /// False: ask again for the rest.
    package var isDone = true

    package init() {}

    package mutating func add(_ more: ReleaseProgress) {
        for table in more.tables {
            if let at = tables.firstIndex(where: { $0.source == table.source }) {
                tables[at].events += table.events
                tables[at].quarantined += table.quarantined
                tables[at].closed = table.closed
            } else {
                tables.append(table)
            }
        }
        isDone = more.isDone
    }
}

/// What a suspicion that the source was restored turned out to be.
package enum RestoreVerdict: String, Sendable, CaseIterable {
    /// The same events once more, or late ones: they are older than what is there, and rightly so.
    case redelivery
    /// The source was restored from a backup: what it says since is newer than all before.
    case newEpoch = "new-epoch"
}

extension WarehouseControl {
    /// How long one call of `release` works.
    private static var release_s: Double { 2 }
    /// What a step shall take in memory at most, and the most events.
    private static var step_bytes: Int { 32 << 20 }
    private static var step_max: Int { 50_000 }

    /// The more the better, while the stream goes on to defer.
    private static func limit(after step: ReleaseStep) -> Int {
        guard step.count > 0 else { return BatchApplier.release_max }
        return min(step_max, max(500, step_bytes / max(1, step.bytes / step.count)))
    }

    package func holds() async throws -> [TableHold] { try await atWork().holds() }

    package func pause(_ selection: TableSelection) async throws -> [String] {
        let warehouse = try atWork()
        guard layout.hasRaw, layout.hasCurrent else {
            throw CommandFailure(
                ExitStatus.usage, "a table can't be paused without its raw layer, which keeps what comes meanwhile",
                try: "set layers: { raw: true, current: true } in the pipeline file, or stop the agent")
        }
        let tables = try await chosen(selection).map(\.source)
        // Applied later, as what was deferred is, their rows would be away for a while.
        if let table = tables.first(where: { running?.status.current.progress.resyncing.contains($0) ?? false }) {
            throw CommandFailure(
                ExitStatus.usage, "\(table) is being resynced, and can be paused behind that", try: "millrace status")
        }
        if !tables.isEmpty { try await warehouse.hold(tables, .paused, reason: "paused by hand") }
        await noteHolds()
        return tables.map(\.description)
    }

    package func resync(_ selection: TableSelection) async throws -> [String] {
        let warehouse = try atWork()
        guard let job = copyJob else {
            throw CommandFailure(
                ExitStatus.usage, "what this source has of a table can't be asked for beside its events",
                try: "with source.kafka.catalog: millrace backfill; else read the topics again: "
                    + "millrace checkpoint set --to-offset earliest")
        }
        try layout.requireLayers("a resync")
        let tables = try await chosen(selection).map(\.source)
        if let hold = try await warehouse.holds().first(where: { tables.contains($0.table) }) {
            throw CommandFailure(
                ExitStatus.usage, "\(hold.table) is held (\(hold.reason)), and can be resynced behind that",
                try: hold.remedy)
        }
        let progress = running?.status.current.progress
        for table in tables {
            if progress?.resyncing.contains(table) ?? false {
                throw CommandFailure(ExitStatus.usage, "\(table) is being resynced already", try: "millrace status")
            }
            if progress?.copying[table] != nil {
                throw CommandFailure(
                    ExitStatus.usage, "\(table) is still being copied for the first time", try: "millrace status")
            }
        }
        guard !tables.isEmpty else { return [] }
        // Before it is begun: what stops now is begun by the next start.
        try await warehouse.forgetCopied(job: job, tables)
        await running?.copyAnew(tables)
        running?.status.update { $0.progress.resyncing.formUnion(tables) }
        return tables.map(\.description)
    }

    package func release(
        _ kind: TableHold.Kind, _ selection: TableSelection, quarantinesAll: Bool
    ) async throws -> ReleaseProgress {
        let warehouse = try atWork()
        let held = Set(try await warehouse.holds().filter { $0.kind == kind }.map(\.table))
        let started = ContinuousClock.now
        var progress = ReleaseProgress()
        for table in try await chosen(selection) where held.contains(table.source) {
            var found = ReleaseProgress.Table(source: table.source.description, events: 0)
            var options = releaseOptions(table.source)
            options.quarantinesAll = quarantinesAll
            var isDone = false
            while !isDone, ContinuousClock.now - started < .seconds(Self.release_s) || found.events == 0 {
                let step = try await warehouse.release(table, kind, options)
                CrashPoint.committed.reach()
                found.events += step.count
                found.quarantined += step.outcome.quarantined
                found.closed = step.closed
                isDone = step.isDone
                running?.status.released(step.outcome)
                options.limit = Self.limit(after: step)
            }
            progress.tables.append(found)
            if !isDone {
                progress.isDone = false
                break
            }
        }
        await noteHolds()
        return progress
    }

    package func decide(_ verdict: RestoreVerdict) async throws {
        let warehouse = try atWork()
        let holds = try await warehouse.holds().filter { $0.kind == .restored }
        guard !holds.isEmpty else {
            throw CommandFailure(
                ExitStatus.usage, "no table is held by a suspicion that the source was restored", try: "millrace status"
            )
        }
        // Begun by a call that didn't come to its end.
        if holds.contains(where: { $0.epoch != nil }) {
            guard verdict == .newEpoch else {
                throw CommandFailure(
                    ExitStatus.usage, "a new epoch was begun already, and what is left of it is to be released",
                    try: "millrace release --as new-epoch")
            }
            return
        }
        switch verdict {
        case .redelivery: try await warehouse.acceptRedelivery()
        case .newEpoch:
            guard let running else { return try await warehouse.beginEpoch() }
            try await running.rejoin { try await warehouse.beginEpoch() }
        }
    }

    /// What the page and the metrics show; the runner looks by itself each second.
    private func noteHolds() async {
        guard let status = running?.status, let holds = try? await warehouse.holds() else { return }
        status.update { $0.holds = holds }
    }

    /// In order of their names.
    func chosen(_ selection: TableSelection) async throws -> [TableDefinition] {
        let known = try await warehouse.knownTables().sorted { $0.source < $1.source }
        guard case .named(let names) = selection else { return known }
        var chosen: [TableDefinition] = []
        for name in names {
            guard let table = try one(name, among: known.map { ($0.source, $0.target) }) else {
                throw CommandFailure(
                    ExitStatus.usage, "no table \(Console.printable(name)) is known", try: "millrace status")
            }
            if !chosen.contains(where: { $0.source == known[table].source }) { chosen.append(known[table]) }
        }
        return chosen
    }

    /// Place of the table that a name means, by the source's names or by the warehouse's; nil: none does.
    ///
    /// - Parameter target: nil: it has no table in the warehouse yet.
    /// - Throws: where it means several.
    func one(_ name: String, among tables: [(source: TableID, target: String?)]) throws -> Int? {
        // What it is called at the source comes first: there is no longer name to tell it by.
        if let exact = tables.firstIndex(where: { $0.source.description == name }) { return exact }
        let found = tables.indices.filter { index in
            let (source, target) = tables[index]
            let targets = target.map { [$0, "\(layout.current).\($0)", "\(layout.live).\($0)"] } ?? []
            return ([source.description, source.table] + targets).contains(name)
        }
        guard found.count > 1 else { return found.first }
        throw CommandFailure(
            ExitStatus.usage, "\(Console.printable(name)) means \(found.count) tables",
            try: "name it with its schema: \(found.map { tables[$0].source.description }.joined(separator: " or "))")
    }
}

// MARK: Forms

extension TableSelection {
    var json: JSONValue {
        switch self {
        case .all: .object([("all", .bool(true))])
        case .named(let names): .object([("tables", .array(names.map(JSONValue.string)))])
        }
    }

    init?(json: JSONValue) {
        if json["all"]?.bool == true {
            self = .all
            return
        }
        guard let names = json["tables"]?.array, !names.isEmpty else { return nil }
        let texts = names.compactMap(\.string)
        guard texts.count == names.count else { return nil }
        self = .named(texts)
    }
}

extension ReleaseProgress {
    var json: JSONValue {
        let tables = tables.map { table -> JSONValue in
            .object([
                ("source", .string(table.source)), ("events", .integer(table.events)),
                ("quarantined", .integer(table.quarantined)), ("held", .text(table.closed)),
            ])
        }
        return .object([("tables", .array(tables)), ("done", .bool(isDone))])
    }

    init?(json: JSONValue) {
        guard let list = json["tables"]?.array, let isDone = json["done"]?.bool else { return nil }
        self.init()
        self.isDone = isDone
        for entry in list {
            guard let source = entry["source"]?.string, let events = entry["events"]?.int64 else { return nil }
            tables.append(
                .init(
                    source: source, events: Int(events), quarantined: Int(entry["quarantined"]?.int64 ?? 0),
                    closed: entry["held"]?.string))
        }
    }
}

extension TableHold {
    package var json: JSONValue {
        .object([
            ("schema_name", .string(table.schema)), ("table_name", .string(table.table)),
            ("kind", .string(kind.rawValue)),
            ("reason", .string(reason)), ("since", .moment(since_us)), ("since_us", .integer(since_us)),
        ])
    }

    package init?(json: JSONValue) {
        guard let schema = json["schema_name"]?.string, let name = json["table_name"]?.string,
            let kind = json["kind"]?.string.flatMap(Kind.init(rawValue:)), let reason = json["reason"]?.string,
            let since_us = json["since_us"]?.int64
        else { return nil }
        self.init(table: TableID(schema: schema, table: name), kind: kind, reason: reason, since_us: since_us)
    }
}
