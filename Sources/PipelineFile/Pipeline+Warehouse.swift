extension Pipeline {
    /// `warehouse`: exactly one engine, and the schemas that we write in it.
    package struct Warehouse: Sendable, Equatable {
        package var engine: Engine
        /// `schemas`. Default named after the pipeline.
        package var schemas: Schemas

        package init(_ engine: Engine, schemas: Schemas) {
            self.engine = engine
            self.schemas = schemas
        }
    }

    /// Exactly one of `warehouse.duckdb` and `warehouse.postgres`.
    package enum Engine: Sendable, Equatable {
        case duckdb(DuckDB)
        case postgres(Postgres)
    }

    /// `warehouse.duckdb`.
    package struct DuckDB: Sendable, Equatable {
        /// `path`: the database file. Default `<pipeline>.duckdb` beside the pipeline file.
        package var path: String
        /// `memory_limit`: at least 16MiB. Default `512MiB`.
        package var memory_limit = ByteCount.mebibytes(512)
        /// `library`: libduckdb.so to load. Default: looked for. Example: `/usr/local/lib/libduckdb.so`.
        package var library: String?

        package init(path: String) {
            self.path = path
        }
    }

    /// `warehouse.postgres`.
    package struct Postgres: Sendable, Equatable {
        /// `url`. Required. Example: `postgres://loader@warehouse/analytics`.
        package var url: ConnectionURL

        package init(url: ConnectionURL) {
            self.url = url
        }
    }

    /// `warehouse.schemas`: four that differ from each other (DuckDB: also when case is ignored).
    package struct Schemas: Sendable, Equatable {
        /// `current`: tables with deleted rows marked. Default `<pipeline>`.
        package var current: String
        /// `raw`: tables of events. Default `<pipeline>_raw`.
        package var raw: String
        /// `live`: views of the rows that aren't deleted. Default `<pipeline>_live`.
        package var live: String
        /// `history`: views with valid_from and valid_to. Default `<pipeline>_history`.
        package var history: String

        /// The defaults of a pipeline.
        package init(pipeline: String) {
            current = pipeline
            raw = pipeline + "_raw"
            live = pipeline + "_live"
            history = pipeline + "_history"
        }
    }
}
