import Replication

/// Rows as they go into a COPY, written into memory instead of to a server: what the writers cost alone.
package final class RenderedRows {
    package enum Form: Sendable {
        case currentBinary, currentText, raw
    }

    private let buffer = CopyTextWriter(flushAt: 1 << 20)
    private let scratch = ByteArena(capacity: 1 << 12)

    package init() {}

    /// Writes rows of current (`rows` by index in `staged`), or for raw all events of the table. Returns the bytes.
    package func write(_ staged: StagedTable, _ rows: [Int], _ batch: ChangeBatch, as form: Form) -> Int {
        defer { buffer.removeAll() }
        let table = staged.definition
        switch form {
        case .raw:
            let writer = RawRowWriter(table, batch, buffer, scratch, loadedAt_us: 0)
            for event in batch.events where Int(event.table) == staged.table { writer.write(event) }
        case .currentBinary:
            let encoder = BinaryFieldEncoder(
                writer: CopyBinaryWriter(buffer: buffer), batch: batch, scratch: scratch,
                forms: table.columns.map { BinaryForm($0.type) ?? .text })
            render(NewRows(staged: staged, rows: rows, batch: batch, loadedAt_us: 0), rows.count, to: encoder)
        case .currentText:
            let encoder = FieldEncoder(writer: buffer, batch: batch, scratch: scratch)
            render(NewRows(staged: staged, rows: rows, batch: batch, loadedAt_us: 0), rows.count, to: encoder)
        }
        return buffer.count
    }

    private func render(_ rows: NewRows, _ count: Int, to encoder: some RowEncoder) {
        for index in 0..<count {
            encoder.beginRow(columns: rows.staged.definition.columns.count + 8)
            _ = rows.write(index, to: encoder)
            // Nothing is handed on, so nothing is thrown.
            try? encoder.endRow()
        }
    }
}
