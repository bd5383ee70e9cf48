import CrashPoint
import JSON
import PipelineFile
import Postgres
import Replication
import Synchronization

/// Makes rows that a sweep found to differ what the source has, one by one: each is read in a snapshot up to which the
/// warehouse has come, and written at its place in the log, unless the warehouse knows more of it by then. Then it is
/// tried again in a newer snapshot.
struct RowMender {
    /// Rows that a sweep mends so; with more, the table is to be copied anew.
    static let rows_max = 20_000
    /// Of one transaction, for which the table's other writers wait.
    private static let batch_max = 500

    let setup: PipelineSetup
    let warehouse: any Warehouse
    let route: any SweepRoute

    /// Rows of one table as they are to be mended, in one snapshot.
    ///
    /// - Returns: keys that more was known of, as they were given.
    func mend(
        _ keys: [[String]], of sweep: TableSweep, at moment: SourceSnapshot.Moment, _ source: SourceSnapshot,
        _ here: any WarehouseSnapshot
    ) async throws -> [[String]] {
        let table = sweep.definition
        guard let (published, filter) = try await source.facts(of: table.source, in: route.publication) else {
            throw ReplicationError(
                .environment, "\(table.source) can't be read at the source any more", remedy: "millrace check",
                table: table.source)
        }
        // What the warehouse hasn't got isn't made by a mend.
        var facts = published
        let columns = Set(table.columns.map(\.nameAtSource))
        facts.columns.removeAll { !columns.contains($0.name) }
        var left: [[String]] = []
        for start in stride(from: 0, to: keys.count, by: Self.batch_max) {
            try Task.checkCancellation()
            let part = Array(keys[start..<min(start + Self.batch_max, keys.count)])
            let objects = try await sweep.objects(of: part, source, here)
            let wanted = part.compactMap { objects[$0] }
            guard !wanted.isEmpty else { continue }
            let rows = Rows(
                facts: facts, filter: filter, key: table.key.map { table.columns[$0].nameAtSource },
                read: try wanted.filter(\.isAtSource).map { try Self.atSource($0.object, table) },
                gone: try wanted.filter { !$0.isAtSource }.map { try Self.atSource($0.object, table) })
            let unmended = try await write(rows, table, at: moment, source, "\(start)")
            left += try Self.keys(part, objects, unmended, KeyNames(table, setup.keyEquality))
        }
        return left
    }

    /// A key's columns as the source calls them.
    private static func atSource(_ object: String, _ table: TableDefinition) throws -> String {
        let renamed = table.key.map { table.columns[$0] }.filter { $0.sourceName != nil }
        guard !renamed.isEmpty, case .object(let members) = try JSONValue(parsing: object) else { return object }
        return JSONValue.object(
            members.map { name, value in (renamed.first { $0.name == name }?.nameAtSource ?? name, value) }
        ).serialized
    }

    /// What a transaction writes, as the snapshot has it.
    private struct Rows {
        var facts: RelationFacts
        var filter: String?
        var key: [String]
        var read: [String]
        var gone: [String]
    }

    /// How long a source transaction that comes in parts, or a server that is away, is waited for.
    private static let patience = Duration.seconds(60)

    /// Gives the keys that weren't written, as raw has them.
    private func write(
        _ rows: Rows, _ table: TableDefinition, at moment: SourceSnapshot.Moment, _ source: SourceSnapshot,
        _ number: String
    ) async throws -> [String] {
        let (commit, isAboveStored) = route.version(at: moment)
        let deadline = ContinuousClock.now + Self.patience
        var attempt = 0
        while true {
            do {
                // Read and decoded for each attempt, under a name of its own: one may have been written all the same.
                let records = Records(rows.facts, commit: commit, moment, "\(number)/\(attempt)")
                if !rows.read.isEmpty {
                    var chunk = CopyChunk(
                        facts: rows.facts, filter: rows.filter,
                        part: SourceServer.Part(
                            schema: table.source.schema, name: table.source.table, identity: "\(rows.facts.oid)/0",
                            blocks: 0, rows: 0), keys: rows.read)
                    chunk.keyColumns = rows.key
                    try await source.copy(chunk) { records.append($0) }
                    guard records.count == rows.read.count else {
                        throw ReplicationError(
                            .permanent, "rows of \(table.source) can't be read by their keys", table: table.source)
                    }
                }
                for object in rows.gone { try records.append(gone: object) }
                let batch = try await decoded(records.batch, table)
                let outcome = try await warehouse.mend(
                    RowMend(batch, unseen: try route.unseen(since: moment), isAboveStored: isAboveStored))
                CrashPoint.mend.reach()
                return outcome.unmended
            } catch let error as ReplicationError where error.kind == .passing && ContinuousClock.now < deadline {
                attempt += 1
                try await Task.sleep(for: .milliseconds(100))
            }
        }
    }

    private func decoded(_ records: RecordBatch, _ table: TableDefinition) async throws -> ChangeBatch {
        let decoder = try setup.makeCopyDecoder(
            known: [table], of: setup.pipeline.source.tables, followsSchemas: false)
        decoder.take(try await warehouse.epochs())
        let batch = decoder.decode(records)
        guard batch.quarantined.isEmpty else {
            throw ReplicationError(
                .permanent, "\(batch.quarantined.count) rows can't be mended: \(batch.quarantined[0].reason)",
                table: table.source)
        }
        // One row a key, read in one snapshot.
        batch.immediateKeys = Set(batch.tables.indices)
        batch.judge(by: setup.gate)
        return batch
    }

    /// - Parameter texts: keys as raw has them.
    private static func keys(
        _ keys: [[String]], _ objects: [[String]: (object: String, isAtSource: Bool)], _ texts: [String],
        _ names: KeyNames
    ) throws -> [[String]] {
        guard !texts.isEmpty else { return [] }
        let wanted = Set(try texts.map { try names.name(ofKey: $0) })
        return try keys.filter { key in
            guard let object = objects[key]?.object else { return false }
            return wanted.contains(try names.name(ofKey: names.key(object)))
        }
    }
}

extension RowMender {
    /// What a copy's worker would have read.
    private final class Records: Sendable {
        let batch = RecordBatch(capacity: 1 << 16)
        private let facts: RelationFacts
        private let commit: Int64
        private let time_ms: Int64
        private let rows = Mutex(0)

        var count: Int { rows.withLock { $0 } }

        init(_ facts: RelationFacts, commit: Int64, _ moment: SourceSnapshot.Moment, _ number: String) {
            self.facts = facts
            self.commit = commit
            time_ms = moment.takenAt_us / 1000
            _ = batch.span(of: TopicPartition(topic: "sweep:\(facts.table)", partition: 0), startingAt: commit)
            let json = [SourceRecord.copying] + Array(facts.json.utf8)
            // Unlike any chunk's: a row that is mended twice was read twice.
            let name = Array("mend/\(moment.snapshot)/\(moment.takenAt_us)/\(number)".utf8)
            json.withUnsafeBytes { value in
                name.withUnsafeBytes { batch.append(span: 0, offset: commit, key: $0, value: value) }
            }
        }

        func append(_ row: UnsafeRawBufferPointer) {
            // The history of the row goes on from there: when it became so at the source nobody knows.
            batch.append(span: 0, offset: commit, timestamp_ms: time_ms, tag: SourceRecord.row, value: row)
            rows.withLock { $0 += 1 }
        }

        /// - Parameter object: the key's columns as texts.
        func append(gone object: String) throws {
            let key = try JSONValue(parsing: object)
            let line = CopyTextWriter()
            for column in facts.columns {
                if let text = key[column.name]?.string { line.field(text) } else { line.null() }
            }
            try line.endLine()
            batch.append(
                span: 0, offset: commit, timestamp_ms: time_ms, tag: SourceRecord.gone, value: line.bytes)
            rows.withLock { $0 += 1 }
        }
    }
}
