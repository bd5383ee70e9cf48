import Agent
import Foundation
import JSON
import Kafka
import Logging
import Replication
import Testing

/// The steps of the corpus' `schema_evolution` as the real Debezium wrote them, without schema blocks: each is told as far as
/// its events show it.
private struct EventStep {
    var name: String
    /// How many records it has.
    var records: Int
    /// As docs/schema-changes.md says of Kafka and files.
    var kinds: [String]

    static let all = [
        EventStep(name: "snapshot", records: 5, kinds: ["new_table", "new_table"]),
        EventStep(name: "rows before any change", records: 2, kinds: []),
        EventStep(name: "add nullable column", records: 3, kinds: ["add_column"]),
        EventStep(name: "add column not null default", records: 3, kinds: ["add_column"]),
        EventStep(
            name: "add column with volatile default and serial", records: 1, kinds: ["add_column", "add_column"]),
        EventStep(name: "drop column", records: 4, kinds: ["drop_column"]),
        // No event tells it.
        EventStep(name: "rename column", records: 2, kinds: ["drop_column", "add_column"]),
        // Types stand in schema blocks alone.
        EventStep(name: "widen varchar", records: 2, kinds: []),
        EventStep(name: "int to bigint", records: 2, kinds: []),
        EventStep(name: "text to jsonb", records: 2, kinds: []),
        EventStep(name: "numeric scale change", records: 2, kinds: []),
        EventStep(name: "bigint to text", records: 2, kinds: []),
        EventStep(name: "not null and default dropped", records: 2, kinds: []),
        EventStep(name: "key to (id, seq)", records: 4, kinds: ["change_key"]),
        EventStep(name: "key to seq", records: 4, kinds: ["change_key"]),
        EventStep(name: "new table", records: 5, kinds: ["new_table"]),
        EventStep(name: "rename table", records: 2, kinds: ["new_table"]),
        EventStep(name: "drop and make a table anew", records: 2, kinds: ["drop_column", "drop_column", "add_column"]),
        EventStep(name: "new schema", records: 1, kinds: ["new_table"]),
        EventStep(name: "DDL inside one transaction with changes", records: 3, kinds: ["add_column"]),
        EventStep(name: "same name, other type", records: 1, kinds: []),
        EventStep(name: "enum value added", records: 2, kinds: ["add_column"]),
        EventStep(name: "rapid DDL", records: 5, kinds: ["add_column", "drop_column", "add_column", "drop_column"]),
    ]
}

/// Changes of tables as Debezium's events show them.
@Suite(.serialized) struct SchemaEventsTests {
    private static let file = "schema_evolution"

    /// What no event carries: rows that nothing touched behind a step have nothing in columns that came with it, nor under a
    /// key that they came to; decimals have no scale without a schema block, and numbers don't become text.
    private static func exceptions() throws -> CorpusFile {
        func of(_ table: String, _ columns: String?...) -> [CorpusFile.Exception] {
            columns.map { CorpusFile.Exception(table: table, column: $0, reason: "fact 19: no event says so") }
        }
        return CorpusFile(
            name: file,
            exceptions: of("public.acc", CorpusFile.Exception.rows, "age", "score")
                + of("app.acc", "extra", "st"))
    }

    @Test(arguments: Engine.allCases) func theCorpusFromAFile(engine: Engine) async throws {
        let folder = try TestFolder()
        let lines = try Corpus.lines(Self.file)
        let run = try await Self.exceptions().run(
            "sf_\(engine)", engine, path: folder.path("events.jsonl"), folder: folder)
        try await walk(run) { range in try folder.write(lines[..<range.upperBound], to: "events.jsonl") }
        // All of it once more, from before the changes.
        let before = try await run.schemaChanges()
        try await run.writing { warehouse, _ in
            try await warehouse.set(positions: [TopicPartition(topic: "file:events.jsonl", partition: 0): 0])
        }
        try await run.untilEnd()
        #expect(try await run.schemaChanges() == before)
        try await Self.exceptions().expectEqual(run, "once more")
    }

    /// In one run; all that waits is approved behind it, two changes of one key among them.
    @Test(arguments: Engine.allCases) func theCorpusFromABroker(engine: Engine) async throws {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let records = try Corpus.records(Self.file)
        let broker = try MockBroker(
            topics: Dictionary(uniqueKeysWithValues: Set(records.map(\.topic)).map { ($0, 1) }), logger: logger)
        defer { broker.close() }
        let producer = try Producer(brokers: broker.bootstrap, logger: logger)
        let run = try await Self.exceptions().run("sk_\(engine)", engine, brokers: broker.bootstrap)
        try await run.whileRunning { status, warehouse in
            var given = 0
            var seen = 0
            for step in EventStep.all {
                try await producer.send(Array(records[given..<given + step.records]))
                _ = try await producer.flush()
                given += step.records
                try await PostgresSourceTests.until("\(step.name) is read") {
                    let now = status.current
                    return now.events + now.control >= given
                }
                let changes = try await warehouse.schemaChanges()
                #expect(
                    changes.dropFirst(seen).map(\.kind.rawValue).sorted() == step.kinds.sorted(), "\(step.name)")
                seen = changes.count
            }
            #expect(given == records.count)
            #expect(status.current.holds.map(\.table.description) == ["public.acc"])
        }
        await producer.close()
        let decided = try await run.decide()
        #expect(decided.filter { $0.kind == .changeKey }.count == 2)
        try await run.untilEnd()
        try await run.looking { warehouse, _ in
            let (holds, aside) = (try await warehouse.holds(), try await warehouse.quarantine())
            #expect(holds.isEmpty && aside.isEmpty, "\(holds) \(aside.map(\.entry.reason))")
        }
        try await Self.exceptions().expectEqual(run, "at the end")
    }

    /// Step by step, each plan approved.
    private func walk(_ run: PipelineRun, _ give: (Range<Int>) async throws -> Void) async throws {
        var start = 0
        var seen = 0
        for step in EventStep.all {
            try await give(start..<start + step.records)
            start += step.records
            try await run.untilEnd()
            let changes = try await run.schemaChanges()
            #expect(changes.dropFirst(seen).map(\.kind.rawValue).sorted() == step.kinds.sorted(), "\(step.name)")
            for change in changes.dropFirst(seen) {
                #expect(change.state == (change.kind.isAdditive ? .applied : .waiting), "\(step.name): \(change)")
            }
            seen = changes.count
            if try await !run.decide().isEmpty { try await run.untilEnd() }
            try await run.looking { warehouse, _ in
                let holds = try await warehouse.holds()
                #expect(holds.isEmpty, "\(step.name): \(holds)")
                let aside = try await warehouse.quarantine()
                #expect(aside.isEmpty, "\(step.name): \(aside.map(\.entry.reason))")
            }
            #expect(try await run.schemaChanges().count == seen, "\(step.name): nothing is told twice")
        }
        #expect(start == (try Corpus.lines(Self.file)).count)
        try await Self.exceptions().expectEqual(run, "at the end")
    }

    // MARK: - Schema blocks

    private struct Member {
        var name: String
        var type: String
        var isOptional = true
        var value: String
    }

    /// An event of the table `public.t`, as a line of a file.
    private static func event(
        _ lsn: Int, _ members: [Member], op: String = "c", key: [String] = ["id"], hasBlock: Bool = true,
        partition: Int = 0
    ) -> Data {
        func field(_ member: Member) -> String {
            "{\"type\":\"\(member.type)\",\"optional\":\(member.isOptional),\"field\":\"\(member.name)\"}"
        }
        func wrapped(_ fields: [String], _ payload: String) -> String {
            guard hasBlock else { return payload }
            return
                "{\"schema\":{\"type\":\"struct\",\"fields\":[\(fields.joined(separator: ","))]},\"payload\":\(payload)}"
        }
        func row(_ members: [Member]) -> String {
            "{" + members.map { "\"\($0.name)\":\($0.value)" }.joined(separator: ",") + "}"
        }
        let keys = members.filter { key.contains($0.name) }
        let images = ["before", "after"].map {
            "{\"type\":\"struct\",\"fields\":[\(members.map(field).joined(separator: ","))],\"optional\":true,\"field\":\"\($0)\"}"
        }
        let isDelete = op == "d"
        let payload = """
            {"before":\(isDelete ? row(members) : "null"),"after":\(isDelete ? "null" : row(members)),\
            "source":{"connector":"postgresql","schema":"public","table":"t","txId":\(lsn),\
            "lsn":\(lsn),"sequence":"[\\"\(lsn)\\",\\"\(lsn)\\"]","ts_ms":1700000000000},"op":"\(op)","ts_ms":1}
            """
        let line = JSONValue.object([
            ("topic", .string("shop.public.t")), ("partition", .number("\(partition)")),
            ("key", .string(wrapped(keys.map(field), row(keys)))),
            ("value", .string(wrapped(images, payload))),
        ])
        return Data(line.serialized.utf8)
    }

    private static func id(_ value: Int) -> Member {
        Member(name: "id", type: "int32", isOptional: false, value: "\(value)")
    }

    private static func text(_ name: String, _ value: String) -> Member {
        Member(name: name, type: "string", value: "\"\(value)\"")
    }

    /// A pipeline over a file that grows.
    private final class Growing {
        var run: PipelineRun
        private let folder = try? TestFolder()
        private var lines: [Data] = []

        init(_ name: String, _ engine: Engine) async throws {
            run = try await PipelineRun(
                "\(name)_\(engine)", engine, source: "  file: { path: events.jsonl }",
                folder: try #require(folder))
        }

        func give(_ more: Data...) async throws { try await give(all: more) }

        func give(all more: [Data]) async throws {
            lines += more
            try folder?.write(lines, to: "events.jsonl")
            try await run.untilEnd()
        }

        func rows(
            _ columns: String, of view: String = "t", in layer: String = "_live", where filter: String = "true"
        ) async throws -> [[String?]] {
            let name = run.name
            return try await run.looking { warehouse, _ in
                try await warehouse.query(
                    "select \(columns) from (select * from \(name)\(layer).\(view)) as t where \(filter) order by 1",
                    rows_max: 100
                ).rows
            }
        }

        func quarantined() async throws -> Int {
            try await run.looking { warehouse, _ in try await warehouse.quarantine().count }
        }

        func kinds() async throws -> [SchemaChange.Kind] { try await run.schemaChanges().map(\.kind) }
    }

    /// What a delete brings first, behind a drop, and while a plan waits.
    @Test(arguments: Engine.allCases) func columnsThatNoInsertShowed(engine: Engine) async throws {
        let file = try await Growing("unshown", engine)
        try await file.give(
            Self.event(100, [Self.id(1), Self.text("a", "a"), Self.text("b", "b")]),
            Self.event(110, [Self.id(2), Self.text("a", "a"), Self.text("b", "b")]))
        try await file.give(Self.event(120, [Self.id(3), Self.text("b", "b")]))
        try await file.give(Self.event(130, [Self.id(2), Self.text("b", "b"), Self.text("x", "x")], op: "d"))
        try await file.give(Self.event(140, [Self.id(4), Self.text("b", "b"), Self.text("x", "y")]))
        #expect(
            try await file.rows("id, a, b, x") == [["1", "a", "b", nil], ["3", nil, "b", nil], ["4", nil, "b", "y"]])
        #expect(try await file.kinds() == [.newTable, .dropColumn, .addColumn])
        // In one batch with the drop.
        try await file.give(
            Self.event(150, [Self.id(5), Self.text("x", "z")]),
            Self.event(160, [Self.id(1), Self.text("x", "z"), Self.text("w", "w")], op: "d"))
        #expect(try await file.rows("id, b, x") == [["3", "b", nil], ["4", "b", "y"], ["5", nil, "z"]])
        // While the table waits.
        let number = Member(name: "x", type: "int32", value: "7")
        try await file.give(Self.event(170, [Self.id(6), number]))
        try await file.give(Self.event(180, [Self.id(3), number, Self.text("v", "v")], op: "d"))
        #expect(try await file.rows("id").count == 3)
        try await file.run.decide()
        try await file.run.untilEnd()
        #expect(try await file.rows("id, x") == [["4", nil], ["5", nil], ["6", "7"]])
        #expect(try await file.quarantined() == 0)
    }

    /// What the pipeline file leaves out from here on isn't taken for a column that comes.
    @Test(arguments: Engine.allCases) func aColumnLeftOutStaysItself(engine: Engine) async throws {
        let file = try await Growing("leftout", engine)
        let (a, b) = (Self.text("a", "a"), Self.text("b", "secret"))
        try await file.give(Self.event(100, [Self.id(1), a, b]))
        file.run.yaml += "tables: [{ source: public.t, columns: { exclude: [b] } }]\n"
        try await file.give(Self.event(110, [Self.id(2), a, b]))
        try await file.give(Self.event(120, [Self.id(3), a, b, Self.text("d", "d")]))
        try await file.give(Self.event(130, [Self.id(4), a, b, Self.text("d", "e")]))
        #expect(
            try await file.rows("id, a, b, d") == [
                ["1", "a", "secret", nil], ["2", "a", nil, nil], ["3", "a", nil, "d"], ["4", "a", nil, "e"],
            ])
        #expect(try await file.kinds() == [.newTable, .addColumn])
    }

    /// Members that stay away as they are null, and come again.
    @Test func nullsThatAreLeftOut() async throws {
        let file = try await Growing("nulls", .duckdb)
        let lines = (0..<64).map { number in
            let members = (0..<6).filter { number >> $0 & 1 == 1 }.map { Self.text("c\($0)", "v") }
            return Self.event(100 + number * 10, [Self.id(number)] + members, hasBlock: false)
        }
        file.run.yaml += "batch: { max_rows: 4 }\n"
        try await file.give(all: lines)
        let changes = try await file.kinds()
        #expect(changes.count < 40, "\(changes)")
        let rows = try await file.rows("id, c0, c1, c2, c3, c4, c5")
        #expect(rows.count == 64)
        for row in rows {
            let number = Int(row[0] ?? "") ?? -1
            let wanted = (0..<6).map { number >> $0 & 1 == 1 ? "v" : nil }
            #expect(row.dropFirst().map { $0.map { $0.filter { $0 != "\"" } } } == wanted, "\(row)")
        }
        #expect(try await file.quarantined() == 0)
    }

    /// Without blocks nothing tells of another column: what stays away in one event and is there in the next is the same.
    @Test(arguments: Engine.allCases) func aMemberThatStaysAwayForAWhile(engine: Engine) async throws {
        for isOneRun in [false, true] {
            let file = try await Growing("away_\(isOneRun)", engine)
            let (a, b) = (Self.text("a", "old"), Self.text("b", "there"))
            let lines = [
                Self.event(100, [Self.id(1), a, b], hasBlock: false),
                Self.event(110, [Self.id(2), a, b], hasBlock: false),
                // As an update that shows what it changes.
                Self.event(120, [Self.id(1), Self.text("b", "new")], op: "u", hasBlock: false),
                Self.event(130, [Self.id(2), Self.text("a", "new")], op: "u", hasBlock: false),
            ]
            if isOneRun {
                try await file.give(all: lines)
            } else {
                for line in lines { try await file.give(line) }
            }
            let rows = try await file.rows("id, a, b").map { $0.map { $0?.filter { $0 != "\"" } } }
            #expect(rows == [["1", "old", "new"], ["2", "new", "there"]], "\(isOneRun): \(rows)")
            // The plan that it was dropped removes nothing, once it is there again.
            let kinds = try await file.kinds()
            #expect(kinds == [.newTable, .dropColumn, .dropColumn, .addColumn], "\(kinds)")
            try await file.run.writing { warehouse, _ in
                let changes = try await warehouse.schemaChanges().filter { $0.kind == .dropColumn && $0.column == "a" }
                let definition = try await warehouse.knownTables().first
                var change = try #require(changes.first)
                change.dueAt_us = 0
                let step = try #require(try SchemaPlan.step(change, definition, now_us: 1))
                #expect(step.operations.isEmpty && step.change.state == .done)
            }
            // Away for good it has a plan of its own, and the earlier one has nothing to remove.
            try await file.give(Self.event(140, [Self.id(3), b], hasBlock: false))
            #expect(try await file.kinds() == kinds + [.dropColumn, .addColumn], "and b is there again")
            try await file.run.writing { warehouse, _ in
                let all = try await warehouse.schemaChanges()
                let definition = try await warehouse.knownTables().first
                let removed = try all.filter { $0.kind == .dropColumn && $0.column == "a" }.map { change -> Int in
                    var change = change
                    change.dueAt_us = 0
                    return try SchemaPlan.step(change, definition, beside: all, now_us: 1)?.operations.count ?? -1
                }
                #expect(removed == [0, 1])
            }
            #expect(try await file.quarantined() == 0)
        }
    }

    /// Dropped and added anew: another column, also for the event that shows it, and for what comes from before.
    @Test(arguments: Engine.allCases) func aNameThatComesAgain(engine: Engine) async throws {
        for isOneRun in [false, true] {
            let file = try await Growing("again_\(isOneRun)", engine)
            let lines = [
                Self.event(100, [Self.id(1), Self.text("a", "old")]), Self.event(110, [Self.id(2)]),
                Self.event(120, [Self.id(3), Self.text("a", "new")]),
            ]
            if isOneRun {
                try await file.give(lines[0], lines[1], lines[2])
            } else {
                for line in lines { try await file.give(line) }
            }
            #expect(try await file.kinds() == [.newTable, .dropColumn, .addColumn])
            let rows = try await file.rows("id, a, a_retired_1")
            #expect(rows.map { $0[0] } == ["1", "2", "3"])
            #expect(rows.map { $0[1]?.contains("new") } == [nil, nil, true], "\(rows)")
            #expect(rows.map { $0[2]?.contains("old") } == [true, nil, nil], "\(rows)")
            // Rows of behind the batch in which it was dropped lack nothing.
            let sparse = try await file.rows("id", of: "t where _version_columns is not null", in: "")
            #expect(isOneRun || sparse == [["2"]], "\(sparse)")
            // Another partition is behind; the rows are new to the warehouse.
            try await file.give(
                Self.event(104, [Self.id(4), Self.text("a", "late")], partition: 1),
                Self.event(114, [Self.id(5)], partition: 1),
                // Of behind the drop, and shown before the column was seen to be there again.
                Self.event(116, [Self.id(7), Self.text("a", "between")], partition: 1),
                Self.event(130, [Self.id(6), Self.text("a", "newer")], partition: 1))
            #expect(
                try await file.rows("id, a, a_retired_1", where: "id > 3") == [
                    ["4", nil, "late"], ["5", nil, nil], ["6", "newer", nil], ["7", "between", nil],
                ])
            #expect(try await file.kinds() == [.newTable, .dropColumn, .addColumn])
            #expect(try await file.quarantined() == 0)
        }
    }

    /// A read behind that tells of it, too, and of nothing else.
    @Test(arguments: Engine.allCases) func aReadShowsANameThatComesAgain(engine: Engine) async throws {
        let file = try await Growing("againread", engine)
        try await file.give(
            Self.event(100, [Self.id(1), Self.text("a", "old"), Self.text("b", "b")]),
            Self.event(110, [Self.id(2), Self.text("b", "b")]))
        try await file.give(
            Self.event(120, [Self.id(3), Self.text("a", "read"), Self.text("g", "made")], op: "r"),
            Self.event(130, [Self.id(4), Self.text("a", "new"), Self.text("b", "b")]))
        #expect(
            try await file.rows("id, a, a_retired_1") == [
                ["1", nil, "old"], ["2", nil, nil], ["3", "read", nil], ["4", "new", nil],
            ])
        #expect(try await file.kinds().filter { $0 == .dropColumn }.count == 1)
    }

    /// A name that no column can have puts its events aside, and the others go on.
    @Test func namesOfBlocksThatNoColumnCanHave() async throws {
        let file = try await Growing("longname", .duckdb)
        let long = Self.text(String(repeating: "n", count: 70), "v")
        try await file.give(
            Self.event(100, [Self.id(1), Self.text("a", "a")]),
            Self.event(110, [Self.id(2), Self.text("a", "b"), long]),
            Self.event(120, [Self.id(3), Self.text("a", "c")]))
        #expect(try await file.rows("id, a") == [["1", "a"], ["3", "c"]])
        #expect(try await file.kinds() == [.newTable])
        #expect(try await file.quarantined() == 1)
    }

    /// An event that is put aside leaves nothing of what it showed, and what it made of others' values stays theirs.
    @Test(arguments: Engine.allCases) func whatIsPutAsideChangesNothing(engine: Engine) async throws {
        let file = try await Growing("aside", engine)
        let number = Member(name: "v", type: "int32", value: "12345")
        try await file.give(Self.event(100, [Self.id(1), number]))
        // Another key, of which a column is null.
        try await file.give(
            Self.event(
                110, [Self.id(2), number, Member(name: "k", type: "int32", value: "null")], key: ["id", "k"]))
        #expect(try await file.quarantined() == 1)
        #expect(try await !file.kinds().contains(.changeKey))
        try await file.give(Self.event(120, [Self.id(3), number]))
        #expect(try await file.rows("id, v") == [["1", "12345"], ["3", "12345"]])
        // Of another type, in a batch with such of before, and without its key.
        try await file.give(
            Self.event(130, [Self.id(4), number]),
            Self.event(
                140,
                [Member(name: "id", type: "int32", isOptional: false, value: "null"), Self.text("v", "long enough")]),
            Self.event(150, [Self.id(5), Self.text("v", "something that is longer than what was cut")]))
        try await file.run.decide()
        try await file.run.untilEnd()
        #expect(
            try await file.rows("id, v") == [
                ["1", "12345"], ["3", "12345"], ["4", "12345"], ["5", "something that is longer than what was cut"],
            ])
        #expect(try await file.quarantined() == 2)
    }

    @Test(arguments: Engine.allCases, [true, false])
    func blocksTellTypes(engine: Engine, isApproved: Bool) async throws {
        let folder = try TestFolder()
        let run = try await PipelineRun(
            "blocks_\(engine)_\(isApproved)", engine, source: "  file: { path: events.jsonl }", folder: folder)
        var lines: [Data] = []
        var lsn = 100
        func give(_ members: Member...) async throws -> [SchemaChange] {
            let known = try await lines.isEmpty ? 0 : run.schemaChanges().count
            lsn += 10
            lines.append(
                Self.event(
                    lsn, [Member(name: "id", type: "int32", isOptional: false, value: "\(lines.count + 1)")] + members))
            try folder.write(lines, to: "events.jsonl")
            try await run.untilEnd()
            return try await Array(run.schemaChanges().dropFirst(known))
        }
        func rows() async throws -> [[String?]] {
            try await run.looking { warehouse, layout in
                let live = "\(layout.current)_live.t"
                return try await warehouse.query("select id, n, v from \(live) order by id", rows_max: 100).rows
            }
        }
        let v = Member(name: "v", type: "string", value: "\"a\"")
        #expect(try await give(Member(name: "n", type: "int32", value: "7"), v).map(\.kind) == [.newTable])
        // Larger than an integer: the column is widened before it is written.
        let wide = try await give(Member(name: "n", type: "int64", value: "5000000000"), v)
        #expect(wide.map(\.kind) == [.widenType] && wide[0].state == .applied, "\(wide)")
        let n = Member(name: "n", type: "int64", value: "8")
        let dropped = try await give(n)
        #expect(dropped.map(\.kind) == [.dropColumn] && dropped[0].state == .waiting)
        #expect(try await rows() == [["1", "7", "a"], ["2", "5000000000", "a"], ["3", "8", nil]])
        // A narrower one is a plan, and the table waits for it.
        let text = try await give(Member(name: "n", type: "string", value: "\"many\""))
        #expect(text.map(\.kind) == [.changeType] && text[0].state == .waiting)
        #expect(try await rows().count == 3, "its current stands still")
        #expect(try await give(Member(name: "n", type: "string", value: "\"9\"")).isEmpty, "nothing is told twice")
        try await run.decide(approving: isApproved)
        try await run.untilEnd()
        let aside = try await run.looking { warehouse, _ in try await warehouse.quarantine().count }
        if isApproved {
            #expect(try await rows().map { $0[1] } == ["7", "5000000000", "8", "many", "9"] && aside == 0)
        } else {
            #expect(try await rows().map { $0[1] } == ["7", "5000000000", "8", "9"] && aside == 1)
        }
        let known = try await run.schemaChanges()
        // From before the changes.
        try await run.writing { warehouse, _ in
            try await warehouse.set(positions: [TopicPartition(topic: "file:events.jsonl", partition: 0): 0])
        }
        try await run.untilEnd()
        #expect(try await run.schemaChanges() == known)
        #expect(try await rows().count == (isApproved ? 5 : 4))
    }

    /// Columns that must have a value, and no longer must.
    @Test func blocksTellWhatMayBeNull() async throws {
        let folder = try TestFolder()
        let run = try await PipelineRun(
            "blocks_null", .duckdb, source: "  file: { path: events.jsonl }", folder: folder)
        let lines = [true, false, true].enumerated().map { index, isOptional in
            Self.event(
                100 + index * 10,
                [
                    Member(name: "id", type: "int32", isOptional: false, value: "\(index)"),
                    Member(name: "n", type: "int32", isOptional: isOptional, value: "1"),
                ])
        }
        for count in 1...3 {
            try folder.write(lines[..<count], to: "events.jsonl")
            try await run.untilEnd()
        }
        #expect(try await run.schemaChanges().map(\.kind) == [.newTable, .setNotNull, .dropNotNull])
    }

    /// Events of two schemas, mixed for good: none is the later one, and the table goes on.
    @Test func mixedSchemasAreGivenUpOn() async throws {
        let folder = try TestFolder()
        let run = try await PipelineRun(
            "blocks_mixed", .duckdb, source: "  file: { path: events.jsonl }", rest: "batch: { max_rows: 3 }\n",
            folder: folder)
        let lines = (0..<60).map { number in
            var members = [Member(name: "id", type: "int32", isOptional: false, value: "\(number)")]
            if number % 2 == 0 { members.append(Member(name: "v", type: "string", value: "\"a\"")) }
            return Self.event(100 + number * 10, members)
        }
        try folder.write(lines, to: "events.jsonl")
        try await run.untilEnd()
        let changes = try await run.schemaChanges()
        #expect(changes.count <= 8, "\(changes.map(\.what))")
        // Its values may be in several columns, as blocks tell of others, but all of them are there.
        let count = try await run.looking { warehouse, layout -> [String?] in
            let columns = try await warehouse.knownTables().flatMap { $0.columns + $0.retired }.map(\.name).filter {
                $0.hasPrefix("v")
            }
            let sum = columns.map { "count(\($0))" }.joined(separator: " + ")
            return try await warehouse.query(
                "select count(*), \(sum) from \(layout.current).t", rows_max: 1
            ).rows[0]
        }
        #expect(count == ["60", "30"])
    }
}
