import Replication

/// Cells of `_millrace`'s and the tables' own columns, NULL as nil.
extension ChunkReader {
    func text(_ column: Int, _ row: Int) -> String? { isNull(column, row) ? nil : string(column, row) }
    func integer(_ column: Int, _ row: Int) -> Int64? { isNull(column, row) ? nil : int64(column, row) }
    /// NULL as 0.
    func count(_ column: Int, _ row: Int) -> Int { Int(integer(column, row) ?? 0) }
    func blob(_ column: Int, _ row: Int) -> [UInt8]? { isNull(column, row) ? nil : Array(bytes(column, row)) }
    /// NULL as false.
    func flag(_ column: Int, _ row: Int) -> Bool { !isNull(column, row) && bool(column, row) }

    /// Three columns from `column` on; `.none` where the first is NULL.
    func version(_ column: Int, _ row: Int) -> Version {
        if isNull(column, row) { return .none }
        return Version(epoch: int64(column, row), commit: int64(column + 1, row), seq: int64(column + 2, row))
    }

    func eventID(_ column: Int, _ row: Int) -> EventID {
        let halves = uuid(column, row)
        return EventID(high: halves.high, low: halves.low)
    }

    func table(_ column: Int, _ row: Int) -> TableID? {
        guard !isNull(column, row), !isNull(column + 1, row) else { return nil }
        return TableID(schema: string(column, row), table: string(column + 1, row))
    }
}
