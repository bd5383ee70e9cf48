import JSON

/// A row of `_millrace.schema_changes`, as texts: each warehouse casts them to its own types.
extension SchemaChange {
    package enum Form: Sendable { case text, number, moment }

    /// Behind `pipeline`, in order. Moments are µs since 1970.
    package static let columns: [(name: String, form: Form)] = [
        ("id", .number), ("source_schema", .text), ("source_table", .text), ("kind", .text), ("class", .text),
        ("state", .text), ("what", .text), ("column_name", .text), ("before", .text), ("after", .text),
        ("definition", .text), ("position", .number), ("detected_at", .moment), ("due_at", .moment),
        ("decided_at", .moment), ("finished_at", .moment), ("steps", .text),
    ]

    package var values: [String?] {
        let definition =
            wanted == nil && key.isEmpty && identity == nil && boundary == nil
            ? nil
            : JSONValue.object([
                ("column", wanted?.json ?? .null), ("key", .array(key.map(JSONValue.string))),
                ("id", identity.map { .number(String($0)) } ?? .null),
                (
                    "boundary",
                    boundary.map { .array([$0.epoch, $0.commit, $0.seq].map { .number(String($0)) }) } ?? .null
                ),
            ]).serialized
        let steps = JSONValue.array(
            steps.map { .object([("what", .string($0.what)), ("at_us", .number(String($0.at_us)))]) })
        return [
            String(id), table.schema, table.table, kind.rawValue, kind.isAdditive ? "additive" : "breaking",
            state.rawValue, what, column, before, after, definition, String(position), String(detectedAt_us),
            dueAt_us.map { String($0) }, decidedAt_us.map { String($0) }, finishedAt_us.map { String($0) },
            steps.serialized,
        ]
    }

    /// Nil: somebody else wrote it.
    package init?(values: [String?]) {
        guard values.count == Self.columns.count, let id = values[0].flatMap({ Int64($0) }), let schema = values[1],
            let name = values[2], let kind = values[3].flatMap(Kind.init(rawValue:)),
            let state = values[5].flatMap(State.init(rawValue:)), let position = values[11].flatMap({ Int64($0) })
        else { return nil }
        self.init(
            table: TableID(schema: schema, table: name), kind: kind, state: state, column: values[7],
            before: values[8], after: values[9], position: position)
        self.id = id
        if let definition = values[10].flatMap({ try? JSONValue(parsing: $0) }) {
            wanted = definition["column"].flatMap(Column.init(json:))
            key = definition["key"]?.array?.compactMap(\.string) ?? []
            identity = definition["id"]?.int64.map { Int(truncatingIfNeeded: $0) }
            if let parts = definition["boundary"]?.array?.compactMap(\.int64), parts.count == 3 {
                boundary = Version(epoch: parts[0], commit: parts[1], seq: parts[2])
            }
        }
        detectedAt_us = values[12].flatMap { Int64($0) } ?? 0
        dueAt_us = values[13].flatMap { Int64($0) }
        decidedAt_us = values[14].flatMap { Int64($0) }
        finishedAt_us = values[15].flatMap { Int64($0) }
        steps =
            (values[16].flatMap { try? JSONValue(parsing: $0) })?.array?.compactMap { step in
                guard let what = step["what"]?.string, let at_us = step["at_us"]?.int64 else { return nil }
                return Step(what: what, at_us: at_us)
            } ?? []
    }

    /// Those of `changes` that aren't known yet, numbered and dated. One that is met again, after a restart or in a replay,
    /// is known: what is decided stays so.
    package static func new(_ changes: [SchemaChange], beside known: [SchemaChange], now_us: Int64) -> [SchemaChange] {
        var made: [SchemaChange] = []
        var id = known.map(\.id).max() ?? 0
        for var change in changes {
            let all = known + made
            let isKnown = all.contains { one in
                guard one.isSame(as: change) else { return false }
                // A column that was there again in between is dropped anew.
                guard !all.contains(where: { $0.revives(one) }) else { return false }
                // A table is gone once.
                return one.state.isOpen || one.position >= change.position || change.kind == .dropTable
                    || change.kind == .renameTable
                    || change.isOfOneTime && change.identity == one.identity && change.column == one.column
            }
            guard !isKnown else { continue }
            id += 1
            change.id = id
            change.detectedAt_us = now_us
            change.dueAt_us = change.dueAt_us.map { now_us + $0 }
            if !change.state.isOpen { change.finishedAt_us = now_us }
            change.note("seen", at_us: now_us)
            made.append(change)
        }
        return made
    }
}
