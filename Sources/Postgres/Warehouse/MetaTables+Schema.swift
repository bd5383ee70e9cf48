import Replication

/// `_millrace.schema_changes`.
extension MetaTables {
    static func schemaChanges(_ session: Session, _ pipeline: String) throws -> [SchemaChange] {
        guard try version(session) ?? 0 >= 7 else { return [] }
        let columns = try SchemaChange.columns.map { column in
            let name = try quoteIdentifier(column.name)
            return column.form == .moment ? "(extract(epoch FROM \(name)) * 1000000)::bigint" : name
        }
        let rows = try session.query(
            """
            SELECT \(columns.joined(separator: ", ")) FROM \(name("schema_changes")) WHERE pipeline = $1 ORDER BY id
            """, [pipeline], for: "read schema changes")
        return (0..<rows.count).compactMap { row in
            SchemaChange(values: columns.indices.map { rows.string(row, $0) })
        }
    }

    /// In the place of what stood under their numbers.
    static func write(_ changes: [SchemaChange], _ session: Session, _ pipeline: String) throws {
        let names = try SchemaChange.columns.map { try quoteIdentifier($0.name) }
        let places = SchemaChange.columns.enumerated().map { index, column in
            switch column.form {
            case .text: "$\(index + 2)"
            case .number: "$\(index + 2)::bigint"
            case .moment: "timestamptz 'epoch' + $\(index + 2)::bigint * interval '1 microsecond'"
            }
        }
        let updates = names.map { "\($0) = excluded.\($0)" }
        for change in changes {
            _ = try session.query(
                """
                INSERT INTO \(name("schema_changes")) (pipeline, \(names.joined(separator: ", "))) \
                VALUES ($1, \(places.joined(separator: ", "))) \
                ON CONFLICT (pipeline, id) DO UPDATE SET \(updates.joined(separator: ", "))
                """, [pipeline] + change.values, for: "write schema changes")
        }
    }

    /// Since version 7.
    static var schemaChangesScript: String {
        """
        CREATE TABLE \(name("schema_changes")) (
            pipeline text, id bigint, source_schema text NOT NULL, source_table text NOT NULL, kind text NOT NULL,
            class text NOT NULL, state text NOT NULL, what text NOT NULL, column_name text, before text, after text,
            definition text, position bigint NOT NULL, detected_at timestamptz NOT NULL, due_at timestamptz,
            decided_at timestamptz, finished_at timestamptz, steps text NOT NULL, PRIMARY KEY (pipeline, id));
        ALTER TABLE \(name("tables")) ADD COLUMN evolution json;
        """
    }
}
