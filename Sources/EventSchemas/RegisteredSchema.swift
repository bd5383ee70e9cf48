/// A schema as a registry keeps it.
package struct RegisteredSchema: Sendable, Equatable {
    package var id: UInt32
    package var format: SchemaFormat
    /// Avro's and JSON Schema's JSON, or a `.proto` file.
    package var text: String
    /// The schemas that it refers to, and those that they refer to: each behind what it needs itself.
    package var references: [Reference]

    package struct Reference: Sendable, Equatable {
        /// As the text that refers to it calls it: a `.proto` file's path, an Avro name, a `$ref`.
        package var name: String
        package var text: String

        package init(name: String, text: String) {
            self.name = name
            self.text = text
        }
    }

    package init(id: UInt32, format: SchemaFormat, text: String, references: [Reference] = []) {
        self.id = id
        self.format = format
        self.text = text
        self.references = references
    }

    /// Of the texts.
    package var bytes: Int { references.reduce(text.utf8.count) { $0 + $1.text.utf8.count + $1.name.utf8.count } }
}

/// What a registry calls `schemaType`.
package enum SchemaFormat: String, Sendable, CaseIterable {
    case avro = "AVRO"
    case jsonSchema = "JSON"
    case protobuf = "PROTOBUF"

    /// Its name in messages.
    package var name: String {
        switch self {
        case .avro: "Avro"
        case .jsonSchema: "JSON Schema"
        case .protobuf: "Protobuf"
        }
    }

    /// A schema of it, in messages.
    var schemaName: String { self == .jsonSchema ? name : "\(name) schema" }
}

/// Why a framed record, or a schema, can't be read. Names ids, types and fields, never a value.
package struct SchemaTrouble: Error, Equatable, Sendable {
    package var reason: String

    package init(_ reason: String) { self.reason = reason }
}
