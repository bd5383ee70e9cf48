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

    /// The tuples of an Insert, Update or Delete: cells in the relation's order as texts, nil where one is null, unchanged or
    /// binary. Nil for other messages.
    package static func tuples(_ bytes: [UInt8]) -> [[[UInt8]?]]? {
        bytes.withUnsafeBytes { bytes in
            do throws(PgOutputCursor.Overrun) {
                var cursor = try PgOutputCursor(bytes)
                guard [UInt8(ascii: "I"), UInt8(ascii: "U"), UInt8(ascii: "D")].contains(try cursor.byte()) else {
                    return nil
                }
                _ = try cursor.uint32()
                var tuples: [[[UInt8]?]] = []
                while !cursor.isAtEnd {
                    guard [UInt8(ascii: "K"), UInt8(ascii: "O"), UInt8(ascii: "N")].contains(try cursor.byte()),
                        let tuple = try tuple(&cursor)
                    else { return nil }
                    tuples.append(tuple)
                }
                return tuples.isEmpty ? nil : tuples
            } catch {
                return nil
            }
        }
    }

    private static func tuple(_ cursor: inout PgOutputCursor) throws(PgOutputCursor.Overrun) -> [[UInt8]?]? {
        var cells: [[UInt8]?] = []
        for _ in 0..<max(0, try cursor.int16()) {
            switch try cursor.byte() {
            case UInt8(ascii: "n"), UInt8(ascii: "u"): cells.append(nil)
            case UInt8(ascii: "t"): cells.append(Array(try cursor.bytes(Int(try cursor.int32()))))
            case UInt8(ascii: "b"):
                _ = try cursor.bytes(Int(try cursor.int32()))
                cells.append(nil)
            default: return nil
            }
        }
        return cells
    }
}
