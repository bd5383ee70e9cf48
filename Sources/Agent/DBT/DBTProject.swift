import Replication

/// What `millrace dbt` writes of a pipeline: a pure function of what is known of its tables.
///
/// Two sources: `<pipeline>`, the live views, is what people build on; `<pipeline>_current` has the deleted rows too, which
/// incremental models must see. A model each: `stg_<pipeline>__<table>`.
package struct DBTProject: Sendable {
    package struct Table: Sendable {
        package var definition: TableDefinition
        /// The engine's names of its columns' types, by the column.
        package var types: [String: String]
        package var quality = TableQuality()
        /// Columns that the warehouse has as hashes, by any name of theirs.
        package var hashed: Set<String> = []
        package var comments = SourceComments.Table()
        /// Nil: nobody said when it is stale.
        package var staleness_max: Duration?

        package init(_ definition: TableDefinition, types: [String: String] = [:]) {
            self.definition = definition
            self.types = types
        }
    }

    /// Something that isn't as it could be, for the person who asked.
    package struct Note: Sendable, Equatable {
        /// As `schema.table`; nil: of all of them.
        package var table: String?
        package var message: String
    }

    package let layout: WarehouseLayout
    package let tables: [Table]
    let dialect: SweepDialect
    /// The engine knows MERGE.
    let hasMerge: Bool
    private let names: [TableID: String]

    /// - Parameters:
    ///   - tables: those without a shape are left out.
    ///   - serverVersion: Postgres' `server_version_num`.
    package init(_ layout: WarehouseLayout, engine: String, serverVersion: Int, tables: [Table]) {
        self.layout = layout
        self.tables = tables.filter(\.definition.hasShape)
        dialect = engine == "duckdb" ? .duckdb : .postgres
        hasMerge = engine == "duckdb" || serverVersion >= 150_000
        var taken = DBTTakenNames()
        var names: [TableID: String] = [:]
        let room = DBTNames.bytes_max - "stg_\(layout.pipeline)__".utf8.count
        // Who has a plain name keeps it, whatever tables come.
        let targets = self.tables.map { ($0.definition.source, $0.definition.target) }
        for (source, target) in targets where DBTNames.isPlain(target) { names[source] = taken.take(target, room) }
        for (source, target) in targets where !DBTNames.isPlain(target) {
            names[source] = taken.take(DBTNames.plain(target, or: "table"), room)
        }
        self.names = names
    }

    /// The table's name in the project, in its sources and behind `stg_<pipeline>__`.
    func modelName(_ table: Table) -> String { names[table.definition.source] ?? "" }

    /// The live view's name of a column.
    func shown(_ column: Int, of table: Table) -> String {
        let name = table.definition.columns[column].name
        return table.definition.liveColumns.first { $0.column == name }?.name ?? name
    }

    package static let sourcesFile = "sources.yml"
    package func isModelFile(_ name: String) -> Bool {
        name.hasPrefix("stg_\(layout.pipeline)__") && name.hasSuffix(".sql")
    }

    package func files() -> (files: [DBTFile], notes: [Note]) {
        var notes: [Note] = []
        var testNames = DBTTakenNames()
        let tests = tables.map { table in
            let tests = DBTDataTests(table, self, names: &testNames)
            notes += tests.leftOut.map {
                Note(table: table.definition.source.description, message: "not tested by dbt: \($0)")
            }
            return tests.tests
        }
        for table in tables {
            guard let freshness = freshness(of: table), freshness.isRounded else { continue }
            notes.append(
                Note(
                    table: table.definition.source.description,
                    message: "dbt counts in minutes: stale after \(freshness.minutes) of them"))
        }
        let sources = DBTFile(name: Self.sourcesFile, body: DBTSources(project: self, tests: tests).text)
        let models = tables.map { table in
            DBTFile(
                name: "stg_\(layout.pipeline)__\(modelName(table)).sql",
                body: DBTModel(table: table, project: self).text)
        }
        return ([sources] + models, notes)
    }

    func freshness(of table: Table) -> DBTFreshness? {
        table.staleness_max.map { DBTFreshness(table: table.definition, layout: layout, staleness_max: $0) }
    }
}
