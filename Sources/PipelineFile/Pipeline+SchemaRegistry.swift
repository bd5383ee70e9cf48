extension Pipeline {
    /// `source.kafka.schema_registry`, `source.file.schema_registry`: where the schemas of records in Confluent's wire
    /// format are.
    package struct SchemaRegistry: Sendable, Equatable {
        /// Exactly one of `url` and `file`.
        package var place: Place
        /// `basic_auth`: `user:password`; or as part of `url`. Default none.
        package var basicAuth: Secret?
        /// `ca_file`: certificates (PEM) to trust, in the place of the system's. Default none.
        package var ca_file: String?
        /// `timeout`: of one request, 100ms to 5m. Default `10s`.
        package var timeout = Duration.seconds(10)

        package enum Place: Sendable, Equatable {
            /// Without user and password. Example: `http://localhost:8081`.
            case url(ConnectionURL)
            /// A JSON object a line: `subject`, `version`, `id`, `schema`, and, where it isn't Avro, `schemaType`;
            /// `references` as the registry gives them.
            case file(String)
        }

        package init(_ place: Place) {
            self.place = place
        }
    }
}

extension Pipeline.Source {
    package var format: Pipeline.Format {
        switch input {
        case .kafka(let kafka): kafka.format
        case .file(let file): file.format
        case .postgres: .auto
        }
    }

    package var schemaRegistry: Pipeline.SchemaRegistry? {
        switch input {
        case .kafka(let kafka): kafka.schemaRegistry
        case .file(let file): file.schemaRegistry
        case .postgres: nil
        }
    }
}
