import CLibPQ

/// The answer of one statement, in text format. Bytes lie in libpq's memory and live as long as the object.
package final class Rows {
    let result: OpaquePointer
    package let count: Int
    package let columnCount: Int

    /// Takes the result over.
    init(_ result: OpaquePointer) {
        self.result = result
        count = Int(PQntuples(result))
        columnCount = Int(PQnfields(result))
    }

    deinit { PQclear(result) }

    /// The bytes of a value, valid while this object lives; nil for null.
    package func bytes(_ row: Int, _ column: Int) -> UnsafeRawBufferPointer? {
        precondition(row >= 0 && row < count && column >= 0 && column < columnCount, "no such row or column")
        let row = Int32(row)
        let column = Int32(column)
        guard PQgetisnull(result, row, column) == 0 else { return nil }
        return UnsafeRawBufferPointer(
            start: PQgetvalue(result, row, column), count: Int(PQgetlength(result, row, column)))
    }

    package func string(_ row: Int, _ column: Int) -> String? {
        bytes(row, column).map { String(decoding: $0, as: UTF8.self) }
    }

    /// nil for null and for what isn't an integer.
    package func integer(_ row: Int, _ column: Int) -> Int64? {
        string(row, column).flatMap { Int64($0) }
    }

    /// False for null.
    package func bool(_ row: Int, _ column: Int) -> Bool {
        bytes(row, column)?.first == UInt8(ascii: "t")
    }

    package var columnNames: [String] {
        (0..<columnCount).map { PQfname(result, Int32($0)).map { String(cString: $0) } ?? "" }
    }

    package func column(named name: String) -> Int? {
        columnNames.firstIndex(of: name)
    }

    package func typeOID(_ column: Int) -> UInt32 {
        PQftype(result, Int32(column))
    }

    /// Rows that the statement inserted, updated, deleted, copied or selected.
    package var affected: Int {
        PQcmdTuples(result).flatMap { Int(String(cString: $0)) } ?? 0
    }

    /// `INSERT 0 1`, `COMMIT`, …
    package var commandTag: String {
        PQcmdStatus(result).map { String(cString: $0) } ?? ""
    }
}
