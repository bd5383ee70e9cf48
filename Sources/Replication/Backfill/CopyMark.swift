/// A piece of an initial copy or backfill that is durable: a row of `_millrace.backfills`, written in the transaction of
/// the rows that it stands for. What is marked isn't read again after a restart.
package struct CopyMark: Sendable, Equatable {
    package enum State: String, Sendable {
        /// The table's copy has begun; set by the first commit that knows of it.
        case copying
        case done
    }

    /// The slot under which changes are streamed meanwhile: the pipeline's, or a backfill's own.
    package var job: String
    /// As it is replicated: the root of a partitioned table that is published by its root.
    package var table: TableID
    /// The relation that is read, with its file, which changes when the table is rewritten: `16385/16391`.
    /// Empty for the table as a whole.
    package var part: String
    /// Number of the chunk; -1: the table as a whole.
    package var chunk: Int64
    package var state: State
    /// First block, and the one behind the last; nil: to the end.
    package var blocks: (from: Int64, to: Int64?)
    /// The snapshot's position: the version of its rows.
    package var snapshot: Int64
    package var rows: Int64
    /// Of the table as a whole: it is copied from the beginning, and older marks of it stand for nothing any more. Not
    /// stored: writing the mark takes them away.
    package var startsOver: Bool

    package init(
        job: String, table: TableID, part: String = "", chunk: Int64 = -1, state: State = .done,
        blocks: (from: Int64, to: Int64?) = (0, nil), snapshot: Int64, rows: Int64,
        startsOver: Bool = false
    ) {
        self.startsOver = startsOver
        self.job = job
        self.table = table
        self.part = part
        self.chunk = chunk
        self.state = state
        self.blocks = blocks
        self.snapshot = snapshot
        self.rows = rows
    }

    package var isWholeTable: Bool { chunk < 0 }

    package static func == (a: CopyMark, b: CopyMark) -> Bool {
        a.job == b.job && a.table == b.table && a.part == b.part && a.chunk == b.chunk && a.state == b.state
            && a.blocks.from == b.blocks.from && a.blocks.to == b.blocks.to && a.snapshot == b.snapshot
            && a.rows == b.rows
    }

    /// Marks of one name replace each other.
    package func replaces(_ other: CopyMark) -> Bool {
        job == other.job && table == other.table && (startsOver || part == other.part && chunk == other.chunk)
    }
}
