import DuckDB
import Postgres
import Replication
import ReplicationTestKit

/// Writes the rows of one batch over and over: how fast, and with how many allocations. Values stand in it as Postgres' text,
/// as a slot's stream brings them.
struct WritingSpeed {
    enum Writer: String, CaseIterable {
        case coalesce
        case postgres, postgres_text, postgres_raw
        case duckdb, duckdb_raw
    }

    struct Outcome: Codable {
        var writer: String
        var events = 0
        var seconds = 0.0
        /// Nil where nobody counts them.
        var allocations: Int?
    }

    let writer: Writer

    private static let table = TableDefinition(
        source: TableID(schema: "public", table: "orders"), target: "orders",
        columns: [
            Column(name: "id", type: .bigint, isKey: true, nullable: false), Column(name: "customer_id", type: .bigint),
            Column(name: "status", type: .text), Column(name: "total_amount", type: .numeric(precision: 12, scale: 2)),
            Column(name: "note", type: .text), Column(name: "created_at", type: .timestamptz),
            Column(name: "updated_at", type: .timestamptz),
        ], key: [0])

    /// 10,000 changes of 8,000 rows.
    private static func batch() -> ChangeBatch {
        let note = String(repeating: "as it was ordered, ", count: 3)
        let specs = (0..<10_000).map { place -> EventSpec in
            let id = place % 5 == 4 ? place - 4 : place
            return EventSpec(
                place % 5 == 4 ? .update : .create, table.source,
                .change(epoch: 0, commit: 1000 + Int64(place / 10), place: Int64(place % 10 + 1)),
                after: [
                    .text("\(id)"), .text("\(id % 997)"), .text("paid"), .text("\(id % 9973).\(10 + id % 90)"),
                    .text(note),
                    .text("2026-11-26 10:\(10 + id % 50):21.123456+00"), .text("2026-11-26 11:\(10 + id % 50):21.5+00"),
                ], transaction: Int64(place / 10))
        }
        return BatchBuilder([table]).batch(specs)
    }

    func run(events wanted: Int, allocations: () -> Int?) throws -> Outcome {
        let batch = Self.batch()
        let events = batch.events.indices.map { Int32($0) }
        func coalesced() -> StagedTable { Coalescer.coalesce(batch, table: 0, events: events, floors: []).staged }
        let staged = coalesced()
        // Folded images come behind the decoded ones.
        let fields = batch.fields.count
        let rows = staged.rows.indices.filter { index in
            let row = staged.rows[index]
            return row.mode == .full && !row.isDeleted && row.registers < 0
        }
        let rendered = RenderedRows()
        let appended = writer == .duckdb || writer == .duckdb_raw ? try AppendedRows(staged.definition) : nil
        /// Returns the rows or events written.
        func once() throws -> Int {
            switch writer {
            case .coalesce:
                defer { batch.fields.removeLast(batch.fields.count - fields) }
                return coalesced().rows.isEmpty ? 0 : events.count
            case .postgres: return rendered.write(staged, rows, batch, as: .currentBinary) > 0 ? rows.count : 0
            case .postgres_text: return rendered.write(staged, rows, batch, as: .currentText) > 0 ? rows.count : 0
            case .postgres_raw: return rendered.write(staged, rows, batch, as: .raw) > 0 ? events.count : 0
            case .duckdb:
                try appended?.writeCurrent(staged, rows, batch)
                return rows.count
            case .duckdb_raw:
                try appended?.writeRaw(staged.definition, batch, events)
                return events.count
            }
        }
        var outcome = Outcome(writer: writer.rawValue)
        // What is made once is made before.
        guard try once() > 0 else {
            throw ReplicationError(.invariant, "\(writer.rawValue): there is nothing to write")
        }
        let before = allocations()
        let started = ContinuousClock.now
        repeat { outcome.events += try once() } while outcome.events < wanted
        outcome.seconds = (ContinuousClock.now - started) / .seconds(1)
        if let before, let after = allocations() { outcome.allocations = after - before }
        return outcome
    }
}
