import Postgres
import Replication
import SerialQueue

/// What people wrote about a source's tables and columns (`COMMENT ON`).
package struct SourceComments: Sendable, Equatable {
    package struct Table: Sendable, Equatable {
        package var table: String?
        /// By the column's name at the source.
        package var columns: [String: String] = [:]

        package init(table: String? = nil, columns: [String: String] = [:]) {
            self.table = table
            self.columns = columns
        }
    }

    package var tables: [TableID: Table] = [:]

    package init() {}
}

/// Reads them from a Postgres' catalog once, on a thread of its own.
actor CommentReader {
    private let executor = SerialQueueExecutor(label: "comments")
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    /// More characters of one aren't a description.
    private static let length_max = 10_000

    func read(url: String) throws -> SourceComments {
        let session = try Session(url: url)
        defer { session.close() }
        let rows = try session.query(
            """
            SELECT n.nspname::text, c.relname::text, a.attname::text, left(d.description, \(Self.length_max))
            FROM pg_catalog.pg_description d
            JOIN pg_catalog.pg_class c ON c.oid = d.objoid AND c.relkind IN ('r', 'p')
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
            LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0
            WHERE d.classoid = 'pg_catalog.pg_class'::regclass AND (d.objsubid = 0 OR NOT a.attisdropped)
            AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND d.description <> ''
            """, for: "read the comments of tables and columns")
        var comments = SourceComments()
        for row in 0..<rows.count {
            guard let schema = rows.string(row, 0), let table = rows.string(row, 1), let text = rows.string(row, 3)
            else {
                continue
            }
            let id = TableID(schema: schema, table: table)
            if let column = rows.string(row, 2) {
                comments.tables[id, default: .init()].columns[column] = text
            } else {
                comments.tables[id, default: .init()].table = text
            }
        }
        return comments
    }
}
