import CDuckDB

/// Writes rows into a table, column-wise in chunks of 2,048, past the SQL parser.
///
/// ```swift
/// let appender = try Appender(session, into: .temporary("stage"), [.init("id", .int64), .init("name", .varchar)],
///     purpose: "staging shop.orders")
/// appender.set(0, int64: 1)
/// try appender.set(1, utf8: bytes)
/// try appender.endRow()
/// try appender.close()
/// ```
/// Per row each column is set at most once, in any order; those not set become NULL, and columns of the table that
/// aren't among the appender's get their default. Rows are in the table after `flush()` or `close()`, but the
/// engine may write earlier ones by itself, and outside a transaction it commits those at once: use one.
/// After an error nothing more can be written; `close()` then only releases. An appender that is released without
/// `close()` drops what it holds.
///
/// The setters are made for the hot path: no allocation per value, and only checks that keep memory safe. Setting
/// a column as something it isn't, or one that isn't there, is a programming error and stops the process.
/// Not `Sendable`: it belongs where its ``Session`` does, which it keeps open.
package final class Appender {
    /// A column of the chunk being filled.
    struct Slot {
        var vector: duckdb_vector
        var data: UnsafeMutableRawPointer
        /// Made at the first NULL of a chunk.
        var validity: UnsafeMutablePointer<UInt64>?
        /// The row that was set last, -1 if none.
        var filledRow: Int
        let storage: ColumnStorage
        let isText: Bool
        let decimalBound: Int128
    }

    /// On the heap and never moved, so that setting a value touches no class field that Swift must check for
    /// exclusive access.
    struct State {
        var row = 0
        var isUsable = true
        /// Handed to the engine's appender and not written to the table.
        var unwritten_bytes = 0
    }

    /// Of rows that the engine's appender may hold. Left alone it holds 204,800 rows, of whatever size, in memory that
    /// it counts to nothing (`duckdb_memory()`, `memory_limit`).
    private static let unwritten_maxBytes = 4 << 20

    let slots: UnsafeMutablePointer<Slot>
    let state: UnsafeMutablePointer<State>
    let columnCount: Int
    private let capacity: Int
    private let chunk: duckdb_data_chunk
    private var handle: duckdb_appender?
    private let session: Session
    let columns: [AppenderColumn]
    let purpose: String

    /// - Parameter columns: some or all of the table's, in any order. A kind that isn't the column's type is
    ///   cast by the engine chunk by chunk: text into DATE, INTERVAL or INTEGER[], say. Text goes into a JSON column
    ///   unchecked: the engine doesn't parse it there.
    /// - Throws: kind `catalog` if the table or a column isn't there.
    package init(
        _ session: Session, into target: AppenderTarget, _ columns: [AppenderColumn], purpose: String
    ) throws(DuckDBError) {
        let handle = try Self.open(session, target, columns, purpose)
        let types = columns.map { LogicalType($0.kind) }
        var pointers = types.map(\.pointer)
        guard let chunk = duckdb_create_data_chunk(&pointers, idx_t(columns.count)) else {
            var unused: duckdb_appender? = handle
            duckdb_appender_destroy(&unused)
            throw DuckDBError(.other, "the engine made no chunk for these columns", purpose: purpose)
        }
        self.handle = handle
        self.chunk = chunk
        self.session = session
        self.columns = columns
        self.purpose = purpose
        columnCount = columns.count
        capacity = Int(duckdb_vector_size())
        state = .allocate(capacity: 1)
        state.initialize(to: State())
        slots = .allocate(capacity: columns.count)
        for index in columns.indices {
            let vector = Self.vector(chunk, index)
            (slots + index).initialize(
                to: Slot(
                    vector: vector.handle, data: vector.data, validity: nil, filledRow: -1,
                    storage: types[index].storage, isText: columns[index].kind == .varchar,
                    decimalBound: columns[index].kind.decimalBound
                )
            )
        }
    }

    deinit {
        release()
        var chunk: duckdb_data_chunk? = self.chunk
        duckdb_destroy_data_chunk(&chunk)
        state.deallocate()
        slots.deallocate()
    }

    private static func open(
        _ session: Session, _ target: AppenderTarget, _ columns: [AppenderColumn], _ purpose: String
    ) throws(DuckDBError) -> duckdb_appender {
        let connection = try session.openConnection(purpose)
        var handle: duckdb_appender?
        // On failure too there is a handle, which has the message and must be destroyed.
        var state = duckdb_appender_create_ext(connection, target.catalog, target.schema, target.table, &handle)
        for column in columns where state == DuckDBSuccess {
            state = duckdb_appender_add_column(handle, column.name)
        }
        guard state == DuckDBSuccess, let handle, !columns.isEmpty else {
            let error =
                columns.isEmpty
                ? DuckDBError(.other, "an appender needs a column", purpose: purpose)
                : DuckDBError(appender: handle, purpose: purpose)
            duckdb_appender_destroy(&handle)
            throw error
        }
        return handle
    }

    private static func vector(
        _ chunk: duckdb_data_chunk, _ index: Int
    ) -> (handle: duckdb_vector, data: UnsafeMutableRawPointer) {
        guard let vector = duckdb_data_chunk_get_vector(chunk, idx_t(index)),
            let data = duckdb_vector_get_data(vector)
        else { preconditionFailure("a chunk has a vector with data for each of its columns") }
        return (vector, data)
    }

    // MARK: Rows

    /// Ends the current row, and hands a full chunk to the engine.
    package func endRow() throws(DuckDBError) {
        let row = state.pointee.row
        for column in 0..<columnCount where slots[column].filledRow != row { setNull(column) }
        state.pointee.row = row + 1
        if row + 1 == capacity { try append() }
    }

    /// Forgets what was set of the current row, as if it had not been begun.
    package func abandonRow() {
        let row = state.pointee.row
        for column in 0..<columnCount where slots[column].filledRow == row {
            slots[column].filledRow = -1
            slots[column].validity?[row >> 6] |= 1 << UInt64(row & 63)
        }
    }

    /// Writes all ended rows to the table.
    ///
    /// - Throws: kind `constraint` or `value` if the table doesn't take a row; the appender is of no use then, and
    ///   a transaction around it is to be rolled back.
    package func flush() throws(DuckDBError) {
        try append()
        guard duckdb_appender_flush(handle) == DuckDBSuccess else { throw failure() }
    }

    /// Writes all ended rows to the table and releases the engine's appender. After an error it only releases.
    package func close() throws(DuckDBError) {
        guard state.pointee.isUsable else { return release() }
        try append()
        guard duckdb_appender_close(handle) == DuckDBSuccess else { throw failure() }
        release()
    }

    /// Hands the chunk to the engine and begins the next one.
    private func append() throws(DuckDBError) {
        guard state.pointee.isUsable else { throw DuckDBError(.closed, "the appender is closed", purpose: purpose) }
        guard state.pointee.row > 0 else { return }
        duckdb_data_chunk_set_size(chunk, idx_t(state.pointee.row))
        guard duckdb_append_data_chunk(handle, chunk) == DuckDBSuccess else { throw failure() }
        duckdb_data_chunk_reset(chunk)
        // Of a value that isn't text 8 bytes, of text what the engine has for one besides the text.
        state.pointee.unwritten_bytes += state.pointee.row * columnCount * 16
        state.pointee.row = 0
        if state.pointee.unwritten_bytes >= Self.unwritten_maxBytes {
            guard duckdb_appender_flush(handle) == DuckDBSuccess else { throw failure() }
            state.pointee.unwritten_bytes = 0
        }
        for index in 0..<columnCount {
            // A reset chunk may have other memory.
            let vector = Self.vector(chunk, index)
            slots[index].vector = vector.handle
            slots[index].data = vector.data
            slots[index].validity = nil
            slots[index].filledRow = -1
        }
    }

    private func failure() -> DuckDBError {
        let error = DuckDBError(appender: handle, purpose: purpose)
        release()
        return error
    }

    private func release() {
        state.pointee.isUsable = false
        guard handle != nil else { return }
        // Destroying writes what is left, which nobody asked for.
        cduckdb_appender_discard(handle)
        duckdb_appender_destroy(&handle)
        handle = nil
    }
}
