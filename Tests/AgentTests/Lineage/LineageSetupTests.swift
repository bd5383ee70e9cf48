import Logging
import PipelineFile
import Replication
import Testing

@testable import Agent

@Suite("Lineage: what of a pipeline is told")
struct LineageSetupTests {
    @Test("Tables that aren't chosen aren't told, hashed columns are known as such, and an excluded one isn't named")
    func tables() throws {
        let text = """
            pipeline: shop
            source: { file: { path: f }, include: ["public.*"] }
            warehouse: { duckdb: {} }
            tables:
              - { source: public.orders, where: "status <> 'x' and card is null", columns: { exclude: [card], hash: [email] } }
            lineage: { openlineage: { file: lineage.jsonl } }
            """
        let setup = PipelineSetup(
            try Pipeline.parse(text: text, file: "millrace.yaml", environment: [:]), logger: Logger(label: "test"))
        var snapshot = AgentStatus.Snapshot()
        for schema in ["public", "other"] {
            let id = TableID(schema: schema, table: "orders")
            let definition = TableDefinition(
                source: id, target: "orders",
                columns: ["id", "status", "email"].map { Column(name: $0, type: .text) }, key: [0])
            snapshot.tables[id] = .init(definition: definition, ledger: .init(table: id), topics: ["b", "a"])
        }
        let tables = setup.lineageTables(snapshot)
        #expect(tables.map(\.id.description) == ["public.orders"])
        #expect(tables[0].hashed == ["email"] && tables[0].filtered == ["status"] && tables[0].topics == ["a", "b"])
        #expect(setup.makeLineage() != nil)
    }
}
