import CDuckDB

/// A value bound to a statement's `?` or `$1`; never part of its text, nor of any message.
package enum Parameter: Sendable, Equatable {
    case null
    case bool(Bool)
    case int64(Int64)
    case double(Double)
    /// VARCHAR. The engine converts it to what the statement needs: dates, decimals, JSON.
    case text(String)
    /// BLOB.
    case bytes([UInt8])
    /// UUID, its 16 bytes in two big-endian halves.
    case uuid(high: UInt64, low: UInt64)

    /// Binds to parameter `index`, from 1.
    func bind(to statement: duckdb_prepared_statement, at index: idx_t) -> duckdb_state {
        switch self {
        case .null: return duckdb_bind_null(statement, index)
        case .bool(let value): return duckdb_bind_boolean(statement, index, value)
        case .int64(let value): return duckdb_bind_int64(statement, index, value)
        case .double(let value): return duckdb_bind_double(statement, index, value)
        case .text(var value):
            return value.withUTF8 { utf8 in
                utf8.withMemoryRebound(to: CChar.self) { bytes in
                    // An empty string may come without an address, which the engine would take for NULL.
                    bytes.baseAddress.map { duckdb_bind_varchar_length(statement, index, $0, idx_t(bytes.count)) }
                        ?? duckdb_bind_varchar_length(statement, index, "", 0)
                }
            }
        case .bytes(let value):
            return value.withUnsafeBytes { bytes in
                bytes.baseAddress.map { duckdb_bind_blob(statement, index, $0, idx_t(bytes.count)) }
                    ?? duckdb_bind_blob(statement, index, "", 0)
            }
        case .uuid(let high, let low):
            var value = duckdb_create_uuid(duckdb_uhugeint(lower: low, upper: high))
            defer { duckdb_destroy_value(&value) }
            return duckdb_bind_value(statement, index, value)
        }
    }
}

extension Parameter: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByNilLiteral
{
    package init(stringLiteral value: String) { self = .text(value) }
    package init(integerLiteral value: Int64) { self = .int64(value) }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(nilLiteral: ()) { self = .null }
}
