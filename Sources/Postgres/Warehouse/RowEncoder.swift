import Replication

/// Writes the fields of one row after the other into a COPY, as text or in binary.
protocol RowEncoder {
    func beginRow(columns: Int)
    /// False: the value has no form here that is certain to be the same; the row has to go another way.
    func field(_ field: Field, _ type: ColumnType, _ column: Int) -> Bool
    func null()
    func flag(_ flag: Bool)
    /// A bigint.
    func number(_ number: Int64)
    func smallNumber(_ number: Int16)
    func text(_ text: String)
    /// A timestamptz; null where it isn't told.
    func moment(_ time_us: Int64)
    func version(_ version: Version)
    func uuid(_ id: EventID)
    func endRow() throws
}

extension FieldEncoder: RowEncoder {
    func beginRow(columns: Int) {}
    func field(_ field: Field, _ type: ColumnType, _ column: Int) -> Bool {
        self.field(field, type)
        return true
    }
    func null() { writer.null() }
    func flag(_ flag: Bool) { writer.field(flag) }
    func number(_ number: Int64) { writer.field(number) }
    func smallNumber(_ number: Int16) { writer.field(Int64(number)) }
    func text(_ text: String) { writer.field(text) }
    func endRow() throws { try writer.endLine() }
}

/// A row of a COPY: what is written of it is the same in both formats.
protocol CopiedRows {
    /// False: a value of it was refused, and what was written is to be forgotten.
    func write(_ index: Int, to encoder: some RowEncoder) -> Bool
}

extension PostgresTransaction {
    /// Brings `count` rows into a table by COPY: in binary where the forms of the source's columns are known, which
    /// spares the server most of its work; rows with a value that has no certain binary form follow as text.
    /// - Parameters:
    ///   - target: the table, with its columns where not all are written.
    ///   - columns: how many a row has.
    ///   - forms: of the source's columns; nil: all goes as text.
    /// - Returns: rows that the server took.
    func copyRows(
        _ rows: some CopiedRows, _ count: Int, of batch: ChangeBatch, into target: String, columns: Int,
        forms: [BinaryForm]?, for purpose: String
    ) throws -> Int {
        var rest: [Int]?
        var taken = 0
        if let forms {
            var left: [Int] = []
            taken = try session.copyIn("COPY \(target) FROM STDIN (FORMAT binary)", for: purpose) { buffer in
                let encoder = BinaryFieldEncoder(
                    writer: CopyBinaryWriter(buffer: buffer), batch: batch, scratch: scratch, forms: forms)
                encoder.writer.begin()
                for index in 0..<count {
                    let start = buffer.count
                    encoder.beginRow(columns: columns)
                    if rows.write(index, to: encoder) {
                        try encoder.endRow()
                    } else {
                        buffer.truncate(to: start)
                        left.append(index)
                    }
                }
                encoder.writer.end()
            }
            guard !left.isEmpty else { return taken }
            rest = left
        }
        return try taken
            + session.copyIn("COPY \(target) FROM STDIN", for: purpose) { buffer in
                let encoder = FieldEncoder(writer: buffer, batch: batch, scratch: scratch)
                for place in 0..<(rest?.count ?? count) {
                    _ = rows.write(rest?[place] ?? place, to: encoder)
                    try encoder.endRow()
                }
            }
    }
}
