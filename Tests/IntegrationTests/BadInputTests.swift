import Foundation
import JSON
import Replication
import Testing

/// Hostile input ends in quarantine or a clear error; everything around it goes on, and nothing that was data is executed.
@Suite struct BadInputTests {
    private func line(_ topic: String, _ key: String?, _ value: String?) -> String {
        func text(_ string: String?) -> String { string.map { JSONText.quoted($0) } ?? "null" }
        return "{\"topic\":\(JSONText.quoted(topic)),\"key\":\(text(key)),\"value\":\(text(value))}"
    }

    private func good(_ id: Int, _ lsn: Int) -> String {
        line(SyntheticEvents.topic, SyntheticEvents.key(id), SyntheticEvents.value("c", lsn, id: id, v: "good"))
    }

    private func run(_ name: String, _ engine: Engine, _ lines: [Data]) async throws -> PipelineRun {
        let folder = try TestFolder()
        let path = folder.path("events.jsonl")
        try Data(lines.joined(separator: [0x0A])).write(to: URL(fileURLWithPath: path))
        let run = try await PipelineRun(
            name, engine, source: "  file: { path: \(JSONText.quoted(path)) }", folder: folder)
        try await run.untilEnd()
        return run
    }

    @Test(arguments: Engine.allCases) func badRecordsArePutAside(engine: Engine) async throws {
        let value = SyntheticEvents.value("c", 500, id: 5, v: "x")
        let bad: [Data] =
            [
                line(SyntheticEvents.topic, SyntheticEvents.key(5), String(value.dropLast(9))),
                line(
                    SyntheticEvents.topic, SyntheticEvents.key(5),
                    value.replacing("\"id\":5,\"v\"", with: "\"id\":\"five\",\"v\"")),
                line(SyntheticEvents.topic, nil, value.replacing("\"id\":5,\"v\"", with: "\"id\":null,\"v\"")),
                line(
                    SyntheticEvents.topic, SyntheticEvents.key(5), value.replacing("\"op\":\"c\"", with: "\"op\":\"z\"")
                ),
                line(
                    SyntheticEvents.topic, SyntheticEvents.key(5),
                    value.replacing("\"id\":5,\"v\"", with: "\"id\":99999999999,\"v\"")),
                line(SyntheticEvents.topic, SyntheticEvents.key(5), "[1,2,3]"),
                "this is no JSON",
                "{\"topic\":\"shop.public.items\",\"key\":",
            ].map { Data($0.utf8) } + [
                Data("{\"topic\":\"shop.public.items\",\"key\":null,\"value\":\"".utf8) + Data([0xFF, 0xFE])
                    + Data("\"}".utf8)
            ]
        var lines = [Data(good(1, 100).utf8)]
        for (index, item) in bad.enumerated() { lines += [item, Data(good(10 + index, 1000 + index).utf8)] }
        let run = try await run("bad", engine, lines)
        let result = try await run.looking { warehouse, _ in
            (
                try await warehouse.query("select count(*) from bad_live.items", rows_max: 1).rows[0][0],
                try await warehouse.quarantine(), try await warehouse.ledger().tables
            )
        }
        #expect(result.0 == "\(1 + bad.count)", "every good record around them is there")
        #expect(result.1.count == bad.count, "\(result.1.map(\.entry.reason))")
        for entry in result.1 {
            #expect(
                !entry.entry.reason.contains("five") && !entry.entry.reason.contains("99999999999"),
                "reasons hold no values")
        }
        for entry in result.2 { #expect(entry.addsUp) }
        #expect(result.2.reduce(0) { $0 + $1.quarantined } == bad.count)
    }

    @Test(arguments: Engine.allCases) func aTwentyMegabyteValueIsAValue(engine: Engine) async throws {
        let large = String(repeating: "0123456789abcdef", count: 20 << 16)
        let run = try await run(
            "large", engine,
            [
                Data(good(1, 100).utf8),
                Data(
                    line(
                        SyntheticEvents.topic, SyntheticEvents.key(2), SyntheticEvents.value("c", 200, id: 2, v: large)
                    ).utf8),
                Data(good(3, 300).utf8),
            ])
        let lengths = try await run.looking { warehouse, _ in
            try await warehouse.query("select id, length(v) from large_live.items order by id", rows_max: 9).rows
        }
        #expect(lengths == [["1", "4"], ["2", "\(20 << 20)"], ["3", "4"]])
    }

    @Test(arguments: Engine.allCases) func namesAreNeverExecuted(engine: Engine) async throws {
        let hostile = "x\"; drop table items; --'"
        let value = SyntheticEvents.value("c", 100, id: 1, v: "'; drop table items; --")
        let evil = value.replacing("\"table\":\"items\"", with: "\"table\":\(JSONText.quoted(hostile))")
            .replacing("\"field\":\"v\"", with: "\"field\":\(JSONText.quoted("v\"; select pg_sleep(9); --"))")
            .replacing("\"v\":\"'; drop", with: "\(JSONText.quoted("v\"; select pg_sleep(9); --")):\"'; drop")
        let run = try await run(
            "evil", engine,
            [
                Data(good(1, 90).utf8), Data(line("shop.evil", SyntheticEvents.key(1), evil).utf8),
                Data(good(2, 110).utf8),
            ])
        let found = try await run.looking { warehouse, _ in
            (
                try await warehouse.query("select count(*) from evil_live.items", rows_max: 1).rows,
                try await warehouse.query("select * from evil_live.\"x\"\"; drop table items; --'\"", rows_max: 9)
            )
        }
        #expect(found.0 == [["2"]])
        #expect(found.1.rows == [["1", "'; drop table items; --"]])
        #expect(found.1.columns.map(\.name) == ["id", "v\"; select pg_sleep(9); --"])
    }
}
