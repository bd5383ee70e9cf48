import Replication

/// Types by the OIDs that are the same on every server, for relations that the catalog no longer knows.
enum BuiltinTypes {
    /// Of these a relation's message tells the type as it was then; the catalog, which is asked later, as it is now.
    static func isTold(_ oid: UInt32) -> Bool {
        switch oid {
        case 16, 17, 20, 21, 23, 25, 114, 700, 701, 1043, 1082, 1083, 1114, 1184, 1186, 1266, 1700, 2950, 3802: true
        default: false
        }
    }

    static func type(oid: UInt32, typmod: Int32) -> ColumnType {
        switch oid {
        case 16: .boolean
        case 17: .bytea
        case 20: .bigint
        case 21: .smallint
        case 23: .integer
        case 25: .text
        case 114: .json
        case 700: .real
        case 701: .double
        case 1043: typmod >= 4 ? .other("character varying(\(typmod - 4))") : .text
        case 1082: .date
        case 1083: .time
        case 1114: .timestamp(digits: typmod >= 0 ? Int(typmod) : 6)
        case 1184: .timestamptz
        case 1186: .interval
        case 1266: .timetz
        case 1700:
            typmod >= 4
                // Eleven bits with a sign.
                ? .numeric(
                    precision: Int((typmod - 4) >> 16 & 0xFFFF), scale: Int((((typmod - 4) & 0x7FF) ^ 1024) - 1024))
                : .numeric(precision: nil, scale: 0)
        case 2950: .uuid
        case 3802: .jsonb
        default: .text
        }
    }
}
