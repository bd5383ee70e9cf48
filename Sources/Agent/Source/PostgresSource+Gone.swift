import JSON
import Postgres
import Replication

/// Tables that the source has no more, or has under another name.
extension PostgresSource {
    /// Says so once of each; nil where there is none.
    ///
    /// - Parameter published: one that is there and only left the publication isn't gone.
    func lookForGone(_ published: Set<TableID>) async throws -> SourceStep? {
        let selector = settings.tables
        let missing = try await ledger.knownTables().filter { table in
            guard let oid = table.followed?.oid, oid != 0 else { return false }
            return selector.chooses(table.source.description) && !published.contains(table.source)
                && !goneTables.contains(oid)
        }
        guard !missing.isEmpty else { return nil }
        let found = try await control.with { try $0.names(of: missing.compactMap { $0.followed?.oid }) }
        let batch = RecordBatch(capacity: 1024)
        let span = batch.span(of: partition, startingAt: handed)
        for table in missing {
            guard let oid = table.followed?.oid, found[oid] != table.source else { continue }
            goneTables.insert(oid)
            let gone = GoneTable(oid: oid, table: table.source, name: found[oid]?.description)
            Array(gone.json.utf8).withUnsafeBytes {
                batch.append(span: span, offset: handed, tag: SourceRecord.goneTable, value: $0)
            }
        }
        guard !batch.records.isEmpty else { return nil }
        batch.advance(span: span, to: handed)
        return .records(hand(batch, to: handed, isUnfinished: false))
    }
}
