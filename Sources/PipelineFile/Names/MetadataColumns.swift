/// The names of the four columns that we add to a current table, besides the version's.
package struct MetadataColumns: Sendable, Hashable {
    /// boolean; true where the row was deleted at the source.
    package var is_deleted = "is_deleted"
    /// The source transaction's time of the delete.
    package var deleted_at = "deleted_at"
    /// The source transaction's time of the last change.
    package var source_updated_at = "_source_updated_at"
    /// The agent's time of writing.
    package var loaded_at = "_loaded_at"

    package init() {}

    /// `default`.
    package static let standard = MetadataColumns()
    /// `fivetran`.
    package static let fivetran = MetadataColumns(is_deleted: "_fivetran_deleted", loaded_at: "_fivetran_synced")
    /// `airbyte`.
    package static let airbyte = MetadataColumns(
        deleted_at: "_ab_cdc_deleted_at", source_updated_at: "_ab_cdc_updated_at", loaded_at: "_airbyte_extracted_at")
    /// `peerdb`.
    package static let peerdb = MetadataColumns(is_deleted: "_PEERDB_IS_DELETED", loaded_at: "_PEERDB_SYNCED_AT")

    /// By the name that the pipeline file gives.
    package static let presets: [(name: String, columns: MetadataColumns)] = [
        ("default", standard), ("fivetran", fivetran), ("airbyte", airbyte), ("peerdb", peerdb),
    ]

    /// Columns of a current table whose names nobody chooses.
    package static let versionColumns = ["_version_epoch", "_version_commit", "_version_seq"]

    private init(
        is_deleted: String = standard.is_deleted, deleted_at: String = standard.deleted_at,
        source_updated_at: String = standard.source_updated_at, loaded_at: String = standard.loaded_at
    ) {
        self.is_deleted = is_deleted
        self.deleted_at = deleted_at
        self.source_updated_at = source_updated_at
        self.loaded_at = loaded_at
    }

    /// Each key of a `metadata_columns` map, in its order.
    static var keys: [(key: String, path: WritableKeyPath<MetadataColumns, String>)] {
        [
            ("is_deleted", \.is_deleted), ("deleted_at", \.deleted_at),
            ("_source_updated_at", \.source_updated_at), ("_loaded_at", \.loaded_at),
        ]
    }

    /// The four names.
    package var names: [String] { Self.keys.map { self[keyPath: $0.path] } }
}

extension MetadataColumns {
    /// Columns of ours that the source has too.
    package struct Collision: Sendable, Equatable {
        /// The source's columns in question, in the source's order.
        package var columns: [String]
        /// The part of the pipeline file that mends it, for `Try:`.
        package var remedy: String
    }

    /// What of a source table's columns has a name that we need, our version columns and `reserved`
    /// included; nil where nothing has. `ignoringCase`: as the warehouse does.
    package func collision(
        source: String, columns: [String], reserved: [String] = versionColumns, ignoringCase: Bool
    ) -> Collision? {
        func folded(_ name: String) -> String { ignoringCase ? name.lowercased() : name }
        let ours = Set(names.map(folded))
        let fixed = Set(reserved.map(folded))
        let inTheWay = columns.filter { ours.contains(folded($0)) || fixed.contains(folded($0)) }
        if inTheWay.isEmpty { return nil }

        var taken = Set(columns.map(folded)).union(ours).union(fixed)
        let theirs = Set(columns.map(folded))
        let renamed = Self.keys.compactMap { key, path -> String? in
            guard theirs.contains(folded(self[keyPath: path])) else { return nil }
            var name = "_millrace_" + key.drop { $0 == "_" }
            while taken.contains(folded(name)) { name += "_" }
            taken.insert(folded(name))
            return "\(key): \(name)"
        }
        let excluded = inTheWay.filter { fixed.contains(folded($0)) }
        var lines = ["tables:", "  - source: \(Self.quoted(source))"]
        if !renamed.isEmpty { lines.append("    metadata_columns: { \(renamed.joined(separator: ", ")) }") }
        if !excluded.isEmpty {
            lines.append("    columns: { exclude: [\(excluded.map(Self.quoted).joined(separator: ", "))] }")
        }
        return Collision(columns: inTheWay, remedy: lines.joined(separator: "\n"))
    }

    /// As YAML writes it: bare where nothing in it could mean something else.
    private static func quoted(_ name: String) -> String {
        let isBare =
            name.unicodeScalars.allSatisfy {
                $0.isASCII && ($0.properties.isAlphabetic || "0123456789_.".unicodeScalars.contains($0))
            }
            && (name.first.map { $0.isLetter || $0 == "_" } ?? false)
            && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(name.lowercased())
        if isBare { return name }
        let escaped = name.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
        return "\"\(escaped)\""
    }
}
