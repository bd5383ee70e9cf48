import Replication

/// What a source must see of pgoutput's messages itself.
package enum PgOutputMessage {
    /// Whom a relation message describes; nil if it isn't one.
    package static func relation(_ bytes: [UInt8]) -> (oid: UInt32, table: TableID)? {
        bytes.withUnsafeBytes { bytes in
            do throws(PgOutputCursor.Overrun) {
                var cursor = try PgOutputCursor(bytes)
                guard try cursor.byte() == UInt8(ascii: "R") else { return nil }
                let oid = try cursor.uint32()
                let schema = try cursor.string()
                return (oid, TableID(schema: schema.isEmpty ? "pg_catalog" : schema, table: try cursor.string()))
            } catch {
                return nil
            }
        }
    }
}
