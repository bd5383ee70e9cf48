/// One side of a comparison.
package protocol SweepReader: Sendable {
    /// All cells as the engine prints them. SQL of our own making, without values of rows in its errors.
    func rows(_ sql: String) async throws -> [[String?]]
    func close() async
}

/// A table whose rows several connections read in one snapshot, each a range of its blocks by `ctid`.
package struct SharedRelation: Sendable {
    package let blocks: Int64
    /// A connection with the snapshot, for as long as that is open.
    package let open: @Sendable () async throws -> any SweepReader

    package init(blocks: Int64, open: @escaping @Sendable () async throws -> any SweepReader) {
        self.blocks = blocks
        self.open = open
    }
}

/// What the warehouse held at one moment, read beside its writer on a connection and a thread of its own.
package protocol WarehouseSnapshot: SweepReader {
    /// A table's raw a page at a time, from 0, in no order; nil behind the last page. A page may be empty.
    func rawEvents(_ table: TableDefinition, page: Int) async throws -> [RawEvent]?
    /// All of raw's events of these keys, as raw has them; and all truncates if `truncates`.
    func rawEvents(_ table: TableDefinition, keys: [String], truncates: Bool) async throws -> [RawEvent]
    /// As `rows`, of SQL that a user wrote a part of: one statement, or it is refused. What its reading meets is told; what its
    /// running meets may speak of values, and only its kind is.
    func rows(ofUsers sql: String) async throws -> [[String?]]
    /// As `Warehouse.query`, without holding its writer up.
    func query(_ query: AsOfQuery, rows_max: Int) async throws -> QueryResult
    /// Stops a statement that runs now; from any thread. The snapshot is to be closed then.
    nonisolated func interrupt()
    /// Gives up the locks of tables that were read, and what an error has left; the snapshot stays.
    func letGo() async throws
    /// - Parameter relation: as it stands in SQL.
    /// - Returns: nil where the engine shares the work of one query out itself.
    func shares(of relation: String) async throws -> SharedRelation?
}

extension WarehouseSnapshot {
    package func letGo() async throws {}
    package func shares(of relation: String) async throws -> SharedRelation? { nil }
}

/// What a sweep found of one table, as `_millrace.sweeps` keeps it: counts, and no key or value.
package struct SweepRecord: Sendable, Equatable {
    package var table: TableID
    package var startedAt_us: Int64
    package var finishedAt_us: Int64
    /// The source's, as it names it.
    package var snapshot: String
    /// All that the snapshot shows stands before that position of the source's log.
    package var position: Int64
    /// At the source, in the snapshot.
    package var rows: Int64
    /// Columns that were compared, and those that couldn't be.
    package var columns: [String]
    package var uncovered: [String]
    package var digestSource: String
    package var digestWarehouse: String
    package var missing: Int
    package var extra: Int
    package var different: Int
    /// Rows that were changed whenever they were looked at.
    package var moved: Int
    package var repaired: Int

    /// `snapshot` of a sweep that compared current with what raw says.
    package static let fold = "fold(raw)"
    package var isFold: Bool { snapshot == Self.fold || isRecent && snapshot.hasSuffix(" \(Self.fold)") }

    /// `snapshot` of a sweep of the rows alone of which something came in so many seconds: it proves nothing of the others.
    package static func recent(_ recent_s: Int, _ snapshot: String) -> String { "recent \(recent_s) s: \(snapshot)" }
    package var isRecent: Bool { snapshot.hasPrefix(Self.recentStart) }
    package static let recentStart = "recent "

    package var differences: Int { missing + extra + different }
    /// Nothing differs, and nothing was left out.
    package var isEqual: Bool { differences == 0 && moved == 0 && uncovered.isEmpty }

    package init(
        table: TableID, startedAt_us: Int64, finishedAt_us: Int64, snapshot: String, position: Int64, rows: Int64,
        columns: [String], uncovered: [String], digestSource: String, digestWarehouse: String, missing: Int,
        extra: Int, different: Int, moved: Int, repaired: Int = 0
    ) {
        self.table = table
        self.startedAt_us = startedAt_us
        self.finishedAt_us = finishedAt_us
        self.snapshot = snapshot
        self.position = position
        self.rows = rows
        self.columns = columns
        self.uncovered = uncovered
        self.digestSource = digestSource
        self.digestWarehouse = digestWarehouse
        self.missing = missing
        self.extra = extra
        self.different = different
        self.moved = moved
        self.repaired = repaired
    }
}

extension SweepRecord {
    /// Of the cells that engines read of `_millrace.sweeps`, in the order of these members.
    package init(_ cells: [String?], names: (String) throws -> [String]) throws {
        guard cells.count == 16, cells.allSatisfy({ $0 != nil }) else { throw Self.damaged }
        func text(_ index: Int) -> String { cells[index] ?? "" }
        func number(_ index: Int) throws -> Int64 {
            guard let number = Int64(text(index)) else { throw Self.damaged }
            return number
        }
        self.init(
            table: TableID(schema: text(0), table: text(1)), startedAt_us: try number(2), finishedAt_us: try number(3),
            snapshot: text(4), position: try number(5), rows: try number(6), columns: try names(text(7)),
            uncovered: try names(text(8)), digestSource: text(9), digestWarehouse: text(10),
            missing: Int(try number(11)), extra: Int(try number(12)), different: Int(try number(13)),
            moved: Int(try number(14)), repaired: Int(try number(15)))
    }

    private static let damaged = ReplicationError(
        .environment, "_millrace.sweeps holds something that millrace didn't write")

    /// What is known of each table: of a table that differed as a whole, sweeps of its recent rows don't change that.
    ///
    /// - Parameter records: of each table and of whole and recent ones the newest that is equal and the newest that isn't.
    package static func latest(_ records: [SweepRecord]) -> [TableID: (last: SweepRecord, proof: SweepRecord?)] {
        Dictionary(grouping: records, by: \.table).compactMapValues { records in
            let newest = records.sorted { $0.finishedAt_us > $1.finishedAt_us }
            guard let any = newest.first else { return nil }
            let whole = newest.first { !$0.isRecent }
            let last = whole.map { $0.differences > 0 ? $0 : any } ?? any
            return (last, newest.first { $0.isEqual && !$0.isRecent })
        }
    }
}
