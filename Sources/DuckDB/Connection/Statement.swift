import CDuckDB

/// A prepared statement: parsed and planned once, executed with different parameters.
///
/// Not `Sendable`: it belongs where its ``Session`` does, which it keeps open.
package final class Statement {
    private var handle: duckdb_prepared_statement?
    private let session: Session
    private let purpose: String

    /// - Throws: kind `syntax` or `catalog` for SQL the engine doesn't accept.
    init(
        _ session: Session, _ sql: String, purpose: String, disclosing: EngineMessage.Disclosure = .nothing
    ) throws(DuckDBError) {
        self.session = session
        self.purpose = purpose
        let connection = try session.openConnection(purpose)
        try Session.checkText(sql, purpose)
        guard duckdb_prepare(connection, sql, &handle) == DuckDBSuccess else {
            let error = DuckDBError(engine: duckdb_prepare_error(handle), purpose: purpose, disclosing: disclosing)
            duckdb_destroy_prepare(&handle)
            throw error
        }
    }

    deinit { duckdb_destroy_prepare(&handle) }

    /// Whether it may be one that other SQL can select from.
    var isQuery: Bool {
        let type = duckdb_prepared_statement_type(handle)
        return type == DUCKDB_STATEMENT_TYPE_SELECT || type == DUCKDB_STATEMENT_TYPE_MULTI
    }

    var isExplain: Bool { duckdb_prepared_statement_type(handle) == DUCKDB_STATEMENT_TYPE_EXPLAIN }

    /// The columns it will give.
    var columns: [ResultColumn] {
        (0..<duckdb_prepared_statement_column_count(handle)).map { index in
            // The name is ours to free here, unlike that of a result's column.
            let name = duckdb_prepared_statement_column_name(handle, index)
            defer { duckdb_free(UnsafeMutableRawPointer(mutating: name)) }
            return ResultColumn(
                name: name.map { String(cString: $0) } ?? "",
                type: LogicalType(owning: duckdb_prepared_statement_column_logical_type(handle, index))
            )
        }
    }

    /// Executes it and returns how many rows it inserted, updated or deleted.
    @discardableResult
    package func execute(_ parameters: [Parameter] = []) throws(DuckDBError) -> Int {
        try result(parameters).rowsChanged
    }

    /// Executes it and reads its rows; see ``Session/forEachChunk(_:_:purpose:streaming:_:)``.
    package func forEachChunk(
        _ parameters: [Parameter] = [], streaming: Bool = false,
        _ body: (borrowing ChunkReader) throws -> Void
    ) throws {
        try result(parameters, streaming: streaming).forEachChunk(body)
    }

    func result(_ parameters: [Parameter] = [], streaming: Bool = false) throws(DuckDBError) -> QueryResult {
        _ = try session.openConnection(purpose)
        guard let handle, duckdb_nparams(handle) == idx_t(parameters.count) else {
            throw DuckDBError(.other, "\(parameters.count) parameters given for another number", purpose: purpose)
        }
        for (index, parameter) in parameters.enumerated() {
            guard parameter.bind(to: handle, at: idx_t(index + 1)) == DuckDBSuccess else {
                throw DuckDBError(.other, "parameter \(index + 1) could not be bound", purpose: purpose)
            }
        }
        let result = QueryResult(session, purpose: purpose)
        let state =
            streaming
            ? duckdb_execute_prepared_streaming(handle, result.handle)
            : duckdb_execute_prepared(handle, result.handle)
        guard state == DuckDBSuccess else { throw result.error }
        return result
    }
}
