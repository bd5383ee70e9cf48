import Replication

/// `_millrace.schema_changes`.
extension MetaTables {
    static func schemaChanges(_ session: Session, _ pipeline: String) throws -> [SchemaChange] {
        guard try version(session) ?? 0 >= 7 else { return [] }
        let columns = SchemaChange.columns.map { column in
            let name = SQLName.quoted(column.name)
            return column.form == .moment ? "CAST(epoch_us(\(name)) AS VARCHAR)" : "CAST(\(name) AS VARCHAR)"
        }
        var changes: [SchemaChange] = []
        try session.forEachChunk(
            "SELECT \(columns.joined(separator: ", ")) FROM \(name("schema_changes")) WHERE pipeline = ? ORDER BY id",
            [.text(pipeline)], purpose: "reading schema changes"
        ) { chunk in
            for row in 0..<chunk.rowCount {
                let values = columns.indices.map { chunk.text($0, row) }
                if let change = SchemaChange(values: values) { changes.append(change) }
            }
        }
        return changes
    }

    /// In the place of what stood under their numbers.
    static func write(_ changes: [SchemaChange], _ session: Session, _ pipeline: String) throws {
        let purpose = "writing schema changes"
        let names = SchemaChange.columns.map { SQLName.quoted($0.name) }
        let places = SchemaChange.columns.map { column in
            switch column.form {
            case .text: "?"
            case .number: "CAST(? AS BIGINT)"
            case .moment: "make_timestamptz(CAST(? AS BIGINT))"
            }
        }
        for change in changes {
            try session.execute(
                "DELETE FROM \(name("schema_changes")) WHERE pipeline = ? AND id = ?",
                [.text(pipeline), .int64(change.id)], purpose: purpose)
            try session.execute(
                """
                INSERT INTO \(name("schema_changes")) (pipeline, \(names.joined(separator: ", "))) \
                VALUES (?, \(places.joined(separator: ", ")))
                """, [.text(pipeline)] + change.values.map { $0.map { .text($0) } ?? .null }, purpose: purpose)
        }
    }

    static var schemaChangesScript: String {
        """
        CREATE TABLE IF NOT EXISTS \(name("schema_changes")) (
            pipeline VARCHAR, id BIGINT, source_schema VARCHAR, source_table VARCHAR, kind VARCHAR, class VARCHAR,
            state VARCHAR, what VARCHAR, column_name VARCHAR, before VARCHAR, after VARCHAR, definition VARCHAR,
            position BIGINT, detected_at TIMESTAMP WITH TIME ZONE, due_at TIMESTAMP WITH TIME ZONE,
            decided_at TIMESTAMP WITH TIME ZONE, finished_at TIMESTAMP WITH TIME ZONE, steps VARCHAR);
        ALTER TABLE \(name("tables")) ADD COLUMN IF NOT EXISTS evolution VARCHAR;
        """
    }
}
