import Foundation
import PipelineFile
import Postgres
import Replication

/// A dataset as OpenLineage names it: the place it is in, and its name there.
struct LineageDataset: Hashable, Sendable {
    var namespace: String
    var name: String
}

/// What events say of the pipeline itself; nothing of it is a secret.
///
/// Names are those of OpenLineage's naming specification: `postgres://host:port` with `database.schema.table`,
/// `kafka://host:port` with the topic, `file` with the path. It has none for DuckDB: `duckdb://` with the file's path and
/// `database.schema.table`, where the database is the file's name without its ending, is what openlineage-dbt tells of
/// dbt-duckdb, so that the models on top join.
struct LineageFacts: Sendable {
    enum Source: Sendable, Equatable {
        /// Namespace, database.
        case postgres(String, String)
        /// Namespace; and of its catalog, if it has one, namespace and database.
        case kafka(String, catalog: Catalog?)
        /// An absolute path.
        case file(String)
    }

    struct Catalog: Sendable, Equatable {
        var namespace: String
        var database: String
    }

    enum Engine: Sendable { case duckdb, postgres }

    /// Of the jobs.
    var namespace: String
    var version: String
    var source: Source
    var engine: Engine
    /// Of the warehouse.
    var warehouse: Catalog
    var layout: WarehouseLayout

    init(
        namespace: String, version: String, source: Source, engine: Engine, warehouse: Catalog, layout: WarehouseLayout
    ) {
        self.namespace = namespace
        self.version = version
        self.source = source
        self.engine = engine
        self.warehouse = warehouse
        self.layout = layout
    }

    init(
        _ pipeline: Pipeline, _ settings: Pipeline.OpenLineage, layout: WarehouseLayout,
        version: String = ProgramVersion.text,
        environment: [String: String] = ProcessInfo.processInfo.environment,
        folder: String = FileManager.default.currentDirectoryPath
    ) {
        func server(_ url: ConnectionURL) -> Catalog {
            let address = ServerAddress(url: url.text, environment: environment)
            return Catalog(
                namespace: "postgres://\(address?.authority ?? "localhost:5432")",
                database: address?.database ?? "postgres")
        }
        let source: Source =
            switch pipeline.source.input {
            case .postgres(let postgres):
                { Source.postgres($0.namespace, $0.database) }(server(postgres.url))
            case .kafka(let kafka):
                .kafka("kafka://\(Self.broker(kafka.brokers))", catalog: kafka.catalog.map(server))
            case .file(let file): .file(Self.absolute(file.path, in: folder))
            }
        let warehouse: (Engine, Catalog) =
            switch pipeline.warehouse.engine {
            case .postgres(let postgres): (.postgres, server(postgres.url))
            case .duckdb(let duckdb): (.duckdb, Self.file(Self.absolute(duckdb.path, in: folder)))
            }
        self.init(
            namespace: settings.namespace, version: version, source: source, engine: warehouse.0,
            warehouse: warehouse.1, layout: layout)
    }

    /// The first of `host:port,host:port`; a protocol before it is none of its name.
    static func broker(_ brokers: String) -> String {
        var first = brokers.split(separator: ",").first.map { $0.trimmingCharacters(in: .whitespaces) } ?? ""
        if let scheme = first.range(of: "://") { first = String(first[scheme.upperBound...]) }
        if let user = first.lastIndex(of: "@") { first = String(first[first.index(after: user)...]) }
        if first.isEmpty { first = "localhost" }
        let isBracketed = first.hasPrefix("[")
        let hasPort = isBracketed ? first.contains("]:") : first.contains(":")
        return hasPort ? first : "\(first):9092"
    }

    private static func absolute(_ path: String, in folder: String) -> String {
        URL(fileURLWithPath: path, relativeTo: URL(fileURLWithPath: folder, isDirectory: true)).standardizedFileURL.path
    }

    private static func file(_ path: String) -> Catalog {
        let name = path.split(separator: "/").last.map(String.init) ?? path
        // As the engine itself names a file's database: up to the first dot.
        let stem = name.split(separator: ".", omittingEmptySubsequences: false).first.map(String.init) ?? name
        return Catalog(namespace: "duckdb://\(path)", database: stem.isEmpty ? name : stem)
    }

    // MARK: Datasets

    func warehouse(_ schema: String, _ target: String) -> LineageDataset {
        LineageDataset(namespace: warehouse.namespace, name: "\(warehouse.database).\(schema).\(target)")
    }

    /// What a table's changes are read from; several where it is spread over topics, none where those aren't known yet.
    func sources(of table: LineageTable) -> [LineageDataset] {
        switch source {
        case .postgres(let namespace, let database):
            [LineageDataset(namespace: namespace, name: "\(database).\(table.id)")]
        case .kafka(let namespace, _): table.topics.map { LineageDataset(namespace: namespace, name: $0) }
        case .file(let path): [LineageDataset(namespace: "file", name: path)]
        }
    }

    /// The table that the source's database can be asked for; nil: nothing can be asked.
    func compared(_ table: TableID) -> LineageDataset? {
        switch source {
        case .postgres(let namespace, let database):
            LineageDataset(namespace: namespace, name: "\(database).\(table)")
        case .kafka(_, let catalog?):
            LineageDataset(namespace: catalog.namespace, name: "\(catalog.database).\(table)")
        case .kafka, .file: nil
        }
    }
}
