import CDuckDB

/// Up to 2,048 rows of a result, read in place by (column, row), both from 0.
///
/// Valid only during the call it is given to. Reading a column as something it isn't, or a column or row that isn't
/// there, is a programming error and stops the process; what a NULL's place reads as is undefined.
package struct ChunkReader: ~Copyable {
    private struct Column {
        let data: UnsafeRawPointer
        let validity: UnsafePointer<UInt64>?
        let storage: ColumnStorage
    }

    package let rowCount: Int
    package let columns: [ResultColumn]
    private let vectors: [Column]

    init(_ chunk: duckdb_data_chunk, _ columns: [ResultColumn]) {
        rowCount = Int(duckdb_data_chunk_get_size(chunk))
        self.columns = columns
        vectors = columns.indices.compactMap { index in
            let vector = duckdb_data_chunk_get_vector(chunk, idx_t(index))
            guard let data = duckdb_vector_get_data(vector) else { return nil }
            return Column(
                data: data, validity: UnsafePointer(duckdb_vector_get_validity(vector)),
                storage: columns[index].storage
            )
        }
    }

    package func isNull(_ column: Int, _ row: Int) -> Bool {
        precondition(row < rowCount)
        guard let validity = vectors[column].validity else { return false }
        return validity[row >> 6] & (1 << UInt64(row & 63)) == 0
    }

    package func bool(_ column: Int, _ row: Int) -> Bool { load(column, row, .bool, as: UInt8.self) != 0 }

    /// INTEGER, or the days since 1970 of a DATE.
    package func int32(_ column: Int, _ row: Int) -> Int32 { load(column, row, .int32, as: Int32.self) }

    /// Any integer up to 64 bits; the unscaled value of a DECIMAL up to 18 digits; the days of a DATE; the
    /// microseconds of TIME, TIMESTAMP and TIMESTAMPTZ; UBIGINT if it fits.
    package func int64(_ column: Int, _ row: Int) -> Int64 {
        let wide = int128(column, row)
        guard let value = Int64(exactly: wide) else {
            preconditionFailure("column \(columns[column].name) holds more than 64 bits")
        }
        return value
    }

    /// Any integer, and the unscaled value of any DECIMAL.
    package func int128(_ column: Int, _ row: Int) -> Int128 {
        precondition(row < rowCount)
        let vector = vectors[column]
        func value<T: FixedWidthInteger>(_ type: T.Type) -> Int128 {
            Int128(vector.data.loadUnaligned(fromByteOffset: row * MemoryLayout<T>.stride, as: T.self))
        }
        switch vector.storage {
        case .int64: return value(Int64.self)
        case .int32: return value(Int32.self)
        case .int16: return value(Int16.self)
        case .int8: return value(Int8.self)
        case .bool, .uint8: return value(UInt8.self)
        case .uint16: return value(UInt16.self)
        case .uint32: return value(UInt32.self)
        case .uint64: return value(UInt64.self)
        case .int128:
            let halves = load(column, row, .int128, as: duckdb_hugeint.self)
            return Int128(halves.upper) << 64 | Int128(halves.lower)
        case .float, .double, .bytes, .uuid, .opaque:
            preconditionFailure("column \(columns[column].name) is no integer but \(columns[column].typeName)")
        }
    }

    /// FLOAT or DOUBLE.
    package func double(_ column: Int, _ row: Int) -> Double {
        vectors[column].storage == .float
            ? Double(load(column, row, .float, as: Float.self)) : load(column, row, .double, as: Double.self)
    }

    /// The 16 bytes of a UUID in two big-endian halves.
    package func uuid(_ column: Int, _ row: Int) -> (high: UInt64, low: UInt64) {
        let halves = load(column, row, .uuid, as: duckdb_uhugeint.self)
        return (halves.upper ^ (1 << 63), halves.lower)
    }

    /// A VARCHAR (JSON too).
    package func string(_ column: Int, _ row: Int) -> String {
        String(decoding: bytes(column, row), as: UTF8.self)
    }

    /// The bytes of a VARCHAR or BLOB, in place: valid as long as this reader.
    package func bytes(_ column: Int, _ row: Int) -> UnsafeRawBufferPointer {
        precondition(row < rowCount && vectors[column].storage == .bytes)
        let element = vectors[column].data + row * MemoryLayout<duckdb_string_t>.stride
        let length = Int(element.load(as: UInt32.self))
        // Up to 12 bytes stand behind the length; longer ones have a prefix of 4 and then their address.
        if length <= 12 { return UnsafeRawBufferPointer(start: element + 4, count: length) }
        return UnsafeRawBufferPointer(start: element.load(fromByteOffset: 8, as: UnsafeRawPointer.self), count: length)
    }

    private func load<T: BitwiseCopyable>(_ column: Int, _ row: Int, _ storage: ColumnStorage, as: T.Type) -> T {
        let vector = vectors[column]
        precondition(row >= 0 && row < rowCount && vector.storage == storage, "the column is read as another type")
        return vector.data.loadUnaligned(fromByteOffset: row * MemoryLayout<T>.stride, as: T.self)
    }
}
