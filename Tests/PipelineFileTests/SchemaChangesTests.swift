import PipelineFile
import Testing

@Suite struct SchemaChangesTests {
    @Test func defaults() throws {
        let changes = try parse(minimal("")).schemaChanges
        #expect(changes.additive == .apply && changes.breaking == .plan)
        #expect(changes.deprecateAfter == .seconds(30 * 86_400))
    }

    @Test func words() throws {
        let changes = try parse(
            """
            pipeline: shop
            source: { postgres: { url: postgres://u@h/d } }
            warehouse: { duckdb: {} }
            schema_changes: { additive: plan, breaking: stop, deprecate_after: 0s }
            """
        ).schemaChanges
        #expect(changes.additive == .plan && changes.breaking == .stop && changes.deprecateAfter == .zero)
    }

    @Test(arguments: [
        ("additive: ignore", "6: schema_changes.additive: "), ("breaking: apply", "6: schema_changes.breaking: "),
        (
            "breaking: stop",
            "6: schema_changes.breaking: another way with breaking changes of this source is not built yet"
        ),
        ("deprecate_after: 1d", "6: schema_changes.deprecate_after: plans for changes of this source is not built yet"),
        ("deprecate_after: soon", "6: schema_changes.deprecate_after: "),
        ("additiv: apply", "6: schema_changes.additiv: there is no such key"),
    ])
    func refused(text: String, place: String) {
        let found = problems(minimal("schema_changes: { \(text) }"))
        #expect(found.count == 1 && found[0].hasPrefix(place), "\(found)")
    }
}
