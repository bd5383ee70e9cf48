import JSON
import Replication

/// Records that can't be decoded: put aside whole, and counted all the same.
extension DebeziumDecoder {
    /// A record that can't be read far enough to tell its table. The topic's only table so far is taken for its.
    func unread(_ record: RecordBatch.Record, _ memory: PartitionMemory, _ reason: String) {
        guard let state = memory.onlyTable else {
            batch.readUnknown += 1
            return quarantine(record, nil, nil, reason)
        }
        guard state.isChosen else {
            batch.control += 1
            return
        }
        use(state)
        batch.read[state.index] += 1
        quarantine(record, state, nil, reason)
    }

    func quarantine(
        _ record: RecordBatch.Record, _ state: TableState?, _ operation: Operation?, _ reason: String
    ) {
        var entry = QuarantineEntry(
            table: state?.id, partition: records.spans[Int(record.span)].partition, offset: record.offset,
            reason: state.map { "\($0.id): \(reason)" } ?? reason, operation: operation)
        if !configuration.withholdsBytes(state?.id) {
            if !record.key.isNull { entry.key = Array(records.arena.bytes(record.key)) }
            entry.value = Array(records.value(of: record))
            entry.headers = headers(of: record)
        }
        batch.quarantined.append(entry)
    }

    private func headers(of record: RecordBatch.Record) -> String? {
        guard !record.headers.isEmpty else { return nil }
        let writer = JSONWriter(capacity: 256)
        writer.beginArray()
        for index in record.headers {
            let header = records.headers[Int(index)]
            writer.beginArray()
            writer.string(records.arena.string(header.name))
            if header.value.isNull { writer.null() } else { writer.string(records.arena.string(header.value)) }
            writer.endArray()
        }
        writer.endArray()
        return writer.string
    }
}

/// Why an event goes to quarantine.
struct Trouble: Error {
    var reason: String
    /// The record's key has these columns, and the table's others.
    var otherKey: [String]?
    /// A dropped column's name is there again.
    var isRenewed = false

    init(_ reason: String) { self.reason = reason }
}
