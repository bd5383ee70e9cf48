import CDuckDB

/// The values of the current row.
extension Appender {
    @inline(__always)
    private func store<T: BitwiseCopyable>(_ column: Int, _ value: T, _ storage: ColumnStorage) {
        let slot = at(column, storage)
        slot.pointee.data.assumingMemoryBound(to: T.self)[state.pointee.row] = value
    }

    /// The column's slot, checked and marked as set.
    @inline(__always)
    private func at(_ column: Int, _ storage: ColumnStorage) -> UnsafeMutablePointer<Slot> {
        precondition(UInt(bitPattern: column) < UInt(bitPattern: columnCount), "no such column")
        let slot = slots + column
        precondition(slot.pointee.storage == storage, "the column is set as another type")
        slot.pointee.filledRow = state.pointee.row
        return slot
    }

    package func set(_ column: Int, bool value: Bool) { store(column, value ? 1 : 0 as UInt8, .bool) }
    package func set(_ column: Int, int8 value: Int8) { store(column, value, .int8) }
    package func set(_ column: Int, int16 value: Int16) { store(column, value, .int16) }
    /// INTEGER, or the days of a DATE.
    package func set(_ column: Int, int32 value: Int32) { store(column, value, .int32) }
    /// BIGINT, or the microseconds of TIME, TIMESTAMP and TIMESTAMPTZ.
    package func set(_ column: Int, int64 value: Int64) { store(column, value, .int64) }
    package func set(_ column: Int, uint8 value: UInt8) { store(column, value, .uint8) }
    package func set(_ column: Int, uint16 value: UInt16) { store(column, value, .uint16) }
    package func set(_ column: Int, uint32 value: UInt32) { store(column, value, .uint32) }
    package func set(_ column: Int, uint64 value: UInt64) { store(column, value, .uint64) }
    package func set(_ column: Int, float value: Float) { store(column, value, .float) }
    package func set(_ column: Int, double value: Double) { store(column, value, .double) }

    package func set(_ column: Int, int128 value: Int128) {
        store(column, duckdb_hugeint(lower: UInt64(truncatingIfNeeded: value), upper: Int64(value >> 64)), .int128)
    }

    /// The 16 bytes in two big-endian halves.
    package func set(_ column: Int, uuidHigh high: UInt64, low: UInt64) {
        store(column, duckdb_uhugeint(lower: low, upper: high ^ (1 << 63)), .uuid)
    }

    /// The unscaled value of a DECIMAL of any width.
    ///
    /// - Throws: kind `value` if it has more digits than the column; the row may be given another value then.
    package func set(_ column: Int, decimal unscaled: Int128) throws(DuckDBError) {
        precondition(UInt(bitPattern: column) < UInt(bitPattern: columnCount), "no such column")
        let slot = slots + column
        // The engine takes the stored integer as it is: a number too wide would be stored and read as nonsense.
        let bound = slot.pointee.decimalBound
        precondition(bound != 0, "the column is no DECIMAL")
        guard unscaled < bound && unscaled > -bound else { throw unfit(column, "has more digits than the column") }
        switch slot.pointee.storage {
        case .int16: store(column, Int16(truncatingIfNeeded: unscaled), .int16)
        case .int32: store(column, Int32(truncatingIfNeeded: unscaled), .int32)
        case .int64: store(column, Int64(truncatingIfNeeded: unscaled), .int64)
        default: set(column, int128: unscaled)
        }
    }

    /// VARCHAR. The bytes are copied.
    ///
    /// - Throws: kind `value` if they aren't UTF-8, or more than 4 GiB; the row may be given another value then.
    package func set(_ column: Int, utf8 bytes: UnsafeRawBufferPointer) throws(DuckDBError) {
        if let start = bytes.baseAddress, !cduckdb_is_utf8(start.assumingMemoryBound(to: UInt8.self), bytes.count) {
            throw unfit(column, "is not UTF-8")
        }
        try assign(column, bytes, isText: true)
    }

    /// VARCHAR, for the edges: a String's bytes are UTF-8 already.
    package func set(_ column: Int, string value: String) throws(DuckDBError) {
        var value = value
        let outcome: Result<Void, DuckDBError> = value.withUTF8 { utf8 in
            Result { () throws(DuckDBError) in
                try assign(column, UnsafeRawBufferPointer(utf8), isText: true)
            }
        }
        try outcome.get()
    }

    /// BLOB. The bytes are copied.
    package func set(_ column: Int, blob bytes: UnsafeRawBufferPointer) throws(DuckDBError) {
        try assign(column, bytes, isText: false)
    }

    @inline(__always)
    private func assign(_ column: Int, _ bytes: UnsafeRawBufferPointer, isText: Bool) throws(DuckDBError) {
        guard bytes.count <= Int(UInt32.max) else { throw unfit(column, "is longer than 4 GiB") }
        let slot = at(column, .bytes)
        precondition(slot.pointee.isText == isText, "the column is set as another type")
        state.pointee.unwritten_bytes += bytes.count
        cduckdb_assign_bytes(
            slot.pointee.vector, slot.pointee.data.assumingMemoryBound(to: duckdb_string_t.self),
            idx_t(state.pointee.row), bytes.baseAddress, bytes.count
        )
    }

    package func setNull(_ column: Int) {
        precondition(UInt(bitPattern: column) < UInt(bitPattern: columnCount), "no such column")
        let slot = slots + column
        let row = state.pointee.row
        slot.pointee.filledRow = row
        if slot.pointee.validity == nil {
            duckdb_vector_ensure_validity_writable(slot.pointee.vector)
            slot.pointee.validity = duckdb_vector_get_validity(slot.pointee.vector)
        }
        slot.pointee.validity?[row >> 6] &= ~(1 << UInt64(row & 63))
    }

    /// Only for the error's sake; no value is in the message.
    private func unfit(_ column: Int, _ problem: String) -> DuckDBError {
        DuckDBError(
            .value, "a value of column \(columns[column].name) (\(columns[column].kind.sqlName)) \(problem)",
            purpose: purpose
        )
    }
}
