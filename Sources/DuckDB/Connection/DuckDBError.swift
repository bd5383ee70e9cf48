import CDuckDB

/// What went wrong in DuckDB, safe to log: it holds no cell values (see ``EngineMessage`` for how).
package struct DuckDBError: Error, Equatable, CustomStringConvertible {
    package enum Kind: Sendable, Equatable {
        /// Another process, or another `Database` of this process, has the file open. `holder` is its process
        /// id, where the engine could tell.
        case locked(path: String, holder: Int32?)
        /// A row breaks a primary key, unique, not null, check or foreign key constraint.
        case constraint
        /// A value can't be converted, computed or held by its column.
        case value
        /// Two transactions wrote the same rows; the transaction is lost and may be repeated.
        case conflict
        /// `memory_limit`, or the limit of the temporary directory, is reached.
        case outOfMemory
        case diskFull
        case io
        /// ``Interrupter/interrupt()`` stopped the statement.
        case interrupted
        /// A write to a database opened read-only.
        case readOnly
        /// A table, column, type or function isn't there, is there already, or doesn't fit its use.
        case catalog
        case syntax
        /// A setting isn't known or its value isn't allowed, or an extension is missing.
        case configuration
        /// The engine gave up on the database: nothing works until it is closed and opened again.
        case fatal
        /// DuckDB's library isn't there or can't be used.
        case library
        /// Called after `close()`, or after a failure that ended the object's life.
        case closed
        case other
    }

    package let kind: Kind
    /// The error's class and what the engine says of it, without values.
    package let message: String
    /// What the statement was for, as its caller put it ("merging shop.orders").
    package let purpose: String?
    /// What the user can do, where that is known.
    package let remedy: String?

    package init(_ kind: Kind, _ message: String, purpose: String? = nil, remedy: String? = nil) {
        self.kind = kind
        self.message = message
        self.purpose = purpose
        self.remedy = remedy
    }

    package var description: String {
        purpose.map { "\($0): \(message)" } ?? message
    }

    /// For what met a user's own SQL while it ran: functions of theirs put values where names stand.
    var withoutMessage: DuckDBError {
        switch kind {
        case .value, .constraint, .catalog, .syntax, .other:
            let message = "it fails on what the rows hold (the engine's message is withheld, as it may quote values)"
            return DuckDBError(kind, message, purpose: purpose, remedy: remedy)
        default: return self
        }
    }

    /// Made from a message of the engine's.
    init(engine message: UnsafePointer<CChar>?, purpose: String?, disclosing: EngineMessage.Disclosure = .nothing) {
        let text = message.map { String(cString: $0) } ?? ""
        let engine = EngineMessage(text, disclosing: disclosing)
        self.init(engine.kind, engine.text, purpose: purpose, remedy: engine.remedy)
    }

    /// Made from what an appender reports.
    init(appender: duckdb_appender?, purpose: String) {
        var data = duckdb_appender_error_data(appender)
        defer { duckdb_destroy_error_data(&data) }
        let text = duckdb_error_data_message(data).map { String(cString: $0) } ?? ""
        let engine = EngineMessage(className: Self.className(duckdb_error_data_error_type(data)), body: text)
        self.init(engine.kind, engine.text, purpose: purpose, remedy: engine.remedy)
    }

    /// As messages elsewhere begin, in small letters.
    private static func className(_ type: duckdb_error_type) -> String {
        switch type {
        case DUCKDB_ERROR_OUT_OF_RANGE: return "out of range"
        case DUCKDB_ERROR_CONVERSION: return "conversion"
        case DUCKDB_ERROR_DECIMAL: return "decimal"
        case DUCKDB_ERROR_MISMATCH_TYPE: return "mismatch type"
        case DUCKDB_ERROR_INVALID_TYPE: return "invalid type"
        case DUCKDB_ERROR_TRANSACTION: return "transactioncontext"
        case DUCKDB_ERROR_CATALOG: return "catalog"
        case DUCKDB_ERROR_CONSTRAINT: return "constraint"
        case DUCKDB_ERROR_BINDER: return "binder"
        case DUCKDB_ERROR_IO: return "io"
        case DUCKDB_ERROR_INTERRUPT: return "interrupt"
        case DUCKDB_ERROR_FATAL: return "fatal"
        case DUCKDB_ERROR_INTERNAL: return "internal"
        case DUCKDB_ERROR_INVALID_INPUT: return "invalid input"
        case DUCKDB_ERROR_OUT_OF_MEMORY: return "out of memory"
        default: return ""
        }
    }
}
