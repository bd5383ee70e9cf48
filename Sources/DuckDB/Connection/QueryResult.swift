import CDuckDB

/// A column of a result.
package struct ResultColumn: Sendable, Equatable {
    package let name: String
    /// The type as SQL writes it: `DECIMAL(10,2)`, `INTEGER[]`, `STRUCT(a INTEGER)`.
    package let typeName: String
    let storage: ColumnStorage

    init(name: String, type: LogicalType) {
        self.name = name
        typeName = type.name
        storage = type.storage
    }
}

/// Owns a `duckdb_result`.
final class QueryResult {
    let handle: UnsafeMutablePointer<duckdb_result>
    /// Kept open while the result is: a streaming one still runs.
    private let session: Session
    private let purpose: String

    init(_ session: Session, purpose: String) {
        self.session = session
        self.purpose = purpose
        handle = .allocate(capacity: 1)
        handle.initialize(to: duckdb_result())
    }

    deinit {
        duckdb_destroy_result(handle)
        handle.deallocate()
    }

    var error: DuckDBError { DuckDBError(engine: duckdb_result_error(handle), purpose: purpose) }

    var rowsChanged: Int { Int(duckdb_rows_changed(handle)) }

    func columns() -> [ResultColumn] {
        (0..<duckdb_column_count(handle)).map { index in
            ResultColumn(
                name: duckdb_column_name(handle, index).map { String(cString: $0) } ?? "",
                type: LogicalType(owning: duckdb_column_logical_type(handle, index))
            )
        }
    }

    func forEachChunk(_ body: (borrowing ChunkReader) throws -> Void) throws {
        let columns = columns()
        while var chunk: duckdb_data_chunk = duckdb_fetch_chunk(handle.pointee) {
            defer { Self.destroy(&chunk) }
            let reader = ChunkReader(chunk, columns)
            if reader.rowCount > 0 { try body(reader) }
        }
        // A streaming result ends early, without a chunk, when the statement fails.
        if duckdb_result_error(handle) != nil { throw error }
    }

    private static func destroy(_ chunk: inout duckdb_data_chunk) {
        var optional: duckdb_data_chunk? = chunk
        duckdb_destroy_data_chunk(&optional)
    }
}
