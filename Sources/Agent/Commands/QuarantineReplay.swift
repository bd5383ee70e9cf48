import Debezium
import JSON
import Replication

/// Decodes and applies records of the quarantine again. No checkpoint moves; versions see to it that nothing older
/// wins, and that twice is once.
struct QuarantineReplay {
    private static let records_max = 1000

    let warehouse: any Warehouse
    let makeDecoder: @Sendable ([TableDefinition]) throws -> DebeziumDecoder
    let prepare: @Sendable (RecordBatch) async throws -> Void
    let validate: @Sendable (TableDefinition, [TableDefinition]) throws -> Void
    /// False beside a running agent, whose own decoder wouldn't know of new tables and columns.
    let mayChangeTables: Bool

    /// One outcome for each record, in the order of ids.
    func run(_ records: [QuarantinedRecord]) async throws -> [QuarantineOutcome] {
        var outcomes: [QuarantineOutcome] = []
        var usable: [QuarantinedRecord] = []
        for record in records {
            if let reason = Self.obstacle(record) {
                outcomes.append(.init(id: record.id, state: .waiting, reason: reason))
            } else {
                usable.append(record)
            }
        }
        for part in Self.parts(usable) { outcomes += try await replay(part) }
        return outcomes.sorted { $0.id < $1.id }
    }

    /// As many as are decoded at a time, in the order in which they stood.
    static func parts(_ records: [QuarantinedRecord]) -> [[QuarantinedRecord]] {
        let sorted = records.sorted {
            ($0.entry.partition, $0.entry.offset, $0.id) < ($1.entry.partition, $1.entry.offset, $1.id)
        }
        return stride(from: 0, to: sorted.count, by: records_max).map {
            Array(sorted[$0..<min($0 + records_max, sorted.count)])
        }
    }

    private static func obstacle(_ record: QuarantinedRecord) -> String? {
        if record.entry.value == nil {
            return
                "its bytes weren't kept, since columns are excluded or hashed, or the event was deferred: read it again "
                + "from \(record.entry.partition)@\(record.entry.offset) with millrace checkpoint set if raw hasn't got it; "
                + "else mend the row at the source"
        }
        // A line of an event file that is no record holds no key and value to decode.
        if record.entry.partition.topic.hasPrefix("file:") { return record.entry.reason }
        return nil
    }

    /// What the records say; those that can't be decoded are in the batch's quarantine.
    func decode(_ records: [QuarantinedRecord]) async throws -> ChangeBatch {
        try await decode(records, try await warehouse.knownTables())
    }

    private func decode(_ records: [QuarantinedRecord], _ known: [TableDefinition]) async throws -> ChangeBatch {
        let decoder = try makeDecoder(known)
        decoder.take(try await warehouse.epochs())
        for checkpoint in try await warehouse.checkpoints() {
            let source = checkpoint.partition.topic.hasPrefix("file:") ? "file" : "kafka"
            decoder.restore(DecoderStates.read(checkpoint.decoderState, of: checkpoint.partition, source: source))
        }
        let read = Self.batch(of: records)
        try await prepare(read)
        return decoder.decode(read)
    }

    private func replay(_ records: [QuarantinedRecord]) async throws -> [QuarantineOutcome] {
        let known = try await warehouse.knownTables()
        let batch = try await decode(records, known)
        var failed: [Position: String] = [:]
        for entry in Self.takeQuarantined(from: batch) { failed[Position(entry)] = entry.reason }
        // The events are the checkpoint's already: spans would claim it again.
        try await ensure(batch, known)

        let before = Set(try await warehouse.quarantine().map(\.id))
        let outcome = try await warehouse.apply(batch, advancing: [])
        var replaced = Set<Int64>()
        if outcome.quarantined > 0 {
            // What the warehouse refuses is put aside anew; the old entry goes on for it.
            for record in try await warehouse.quarantine() where !before.contains(record.id) {
                failed[Position(record.entry)] = record.entry.reason
                replaced.insert(record.id)
            }
            try await warehouse.settleQuarantine(replaced.sorted(), as: .discarded)
        }
        let done = records.filter { failed[Position($0.entry)] == nil }.map(\.id)
        if !done.isEmpty { try await warehouse.settleQuarantine(done, as: .replayed) }
        return records.map { record in
            let reason = failed[Position(record.entry)]
            return QuarantineOutcome(id: record.id, state: reason == nil ? .replayed : .waiting, reason: reason)
        }
    }

    struct Position: Hashable {
        var partition: TopicPartition
        var offset: Int64

        init(_ partition: TopicPartition, _ offset: Int64) {
            self.partition = partition
            self.offset = offset
        }

        init(_ entry: QuarantineEntry) { self.init(entry.partition, entry.offset) }
    }

    private func ensure(_ batch: ChangeBatch, _ known: [TableDefinition]) async throws {
        let used = Set(batch.events.map { Int($0.table) })
        let changed = used.sorted().map { batch.tables[$0] }.filter { definition in
            !known.contains { $0 == definition || definition.followed != nil && definition.isCovered(by: $0) }
        }
        guard !changed.isEmpty else { return }
        guard mayChangeTables else {
            throw ReplicationError(
                .environment, "the records bring tables or columns that the running agent doesn't know",
                remedy: "stop the agent, then: millrace quarantine replay")
        }
        for definition in changed {
            try validate(definition, known.filter { $0.source != definition.source })
        }
        try await warehouse.ensure(changed)
    }

    /// The records as they came, at their own partitions and offsets.
    private static func batch(of records: [QuarantinedRecord]) -> RecordBatch {
        let batch = RecordBatch()
        for record in records {
            let entry = record.entry
            let span = batch.span(of: entry.partition, startingAt: entry.offset)
            let value = entry.value ?? []
            value.withUnsafeBytes { value in
                if let key = entry.key {
                    key.withUnsafeBytes { batch.append(span: span, offset: entry.offset, key: $0, value: value) }
                } else {
                    batch.append(span: span, offset: entry.offset, key: nil, value: value)
                }
            }
            for (name, value) in headers(entry.headers) {
                name.withUnsafeBytes { name in
                    if let value {
                        value.withUnsafeBytes { batch.appendHeader(name: name, value: $0) }
                    } else {
                        batch.appendHeader(name: name, value: nil)
                    }
                }
            }
            batch.advance(span: span, to: entry.offset + 1)
        }
        return batch
    }

    private static func headers(_ text: String?) -> [(name: [UInt8], value: [UInt8]?)] {
        guard let text, let pairs = (try? JSONValue(parsing: text))?.array else { return [] }
        return pairs.compactMap { pair in
            guard let pair = pair.array, pair.count == 2, let name = pair[0].string else { return nil }
            return (Array(name.utf8), pair[1].string.map { Array($0.utf8) })
        }
    }

    /// Takes what failed again out of the batch, and out of what it counts as read: it is in quarantine already.
    private static func takeQuarantined(from batch: ChangeBatch) -> [QuarantineEntry] {
        let entries = batch.quarantined
        batch.quarantined = []
        for entry in entries {
            if let table = entry.table, let index = batch.tables.firstIndex(where: { $0.source == table }) {
                batch.read[index] -= 1
            } else {
                batch.readUnknown -= 1
            }
        }
        return entries
    }
}
