import Agent
import Foundation
import Replication
import Testing
import ThrowawayPostgres

/// Changes of the source's tables, live on a Postgres source, into both warehouses.
@Suite(.serialized) struct SchemaChangesTests {
    /// The tables that are there now, as the oracle names them.
    private static func tables(_ source: SourceDatabase) async throws -> [String] {
        try await source.sql(
            """
            SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
            WHERE c.relkind = 'r' AND n.nspname IN ('public', 'app') ORDER BY 1
            """
        ).split(separator: "\n").map(String.init)
    }

    @Test(arguments: Engine.allCases) func theCorpusLive(engine: Engine) async throws {
        let source = try await SourceDatabase("evolution_\(engine.rawValue)", SchemaStepCase.setup)
        let run = try await source.pipeline(engine)
        try await run.untilEnd()
        try await source.expectEqual(run, ["public.acc", "public.other"], "copied")
        var seen = try await run.schemaChanges().count
        for step in SchemaStepCase.all {
            try await source.sql(step.sql)
            try await run.untilEnd()
            let changes = try await run.schemaChanges()
            let kinds = changes.dropFirst(seen).map(\.kind.rawValue)
            #expect(kinds == step.kinds, "\(engine) \(step.name)")
            for change in changes.dropFirst(seen) {
                #expect(
                    change.state == (change.kind.isAdditive ? .applied : .waiting), "\(engine) \(step.name): \(change)")
            }
            seen = changes.count
            try await run.decide()
            try await run.untilEnd()
            let held = try await run.looking { warehouse, _ in try await warehouse.holds() }
            #expect(held.isEmpty, "\(engine) \(step.name)")
            try await source.expectEqual(run, try await Self.tables(source), step.name)
            #expect(try await run.schemaChanges().count == seen, "\(engine) \(step.name): nothing is told twice")
        }
    }
}
