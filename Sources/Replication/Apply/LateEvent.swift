/// An event that came when the warehouse already had newer: its row, or (where the table has an allowed lateness) what
/// else came of its partition. Kept in raw like any other, and listed in `_millrace.late_events`; nothing is left out for
/// being late.
///
/// Snapshot reads are never late, nor is what a snapshot read is newer than: both are the normal course of a copy.
package struct LateEvent: Sendable, Equatable {
    package var table: TableID
    package var id: EventID
    package var operation: Operation
    /// JSON; nil for truncates and tables without a key.
    package var key: String?
    package var version: Version
    /// µs since 1970; `Int64.min`: not told.
    package var sourceTime_us: Int64
    /// How much newer the row was, by the source's clock, in µs; nil: its row wasn't newer, or one of both times isn't told.
    package var behindRow_us: Int64?
    /// How far behind the newest event of its partition's earlier batches, in µs; nil: not behind.
    package var behindWatermark_us: Int64?
    /// The row was newer: the event changed nothing of what its row says now.
    package var isSuperseded: Bool
    /// Later than the table allows.
    package var isTooLate: Bool

    package init(
        table: TableID, id: EventID, operation: Operation, key: String?, version: Version, sourceTime_us: Int64,
        behindRow_us: Int64?, behindWatermark_us: Int64?, isSuperseded: Bool, isTooLate: Bool
    ) {
        self.table = table
        self.id = id
        self.operation = operation
        self.key = key
        self.version = version
        self.sourceTime_us = sourceTime_us
        self.behindRow_us = behindRow_us
        self.behindWatermark_us = behindWatermark_us
        self.isSuperseded = isSuperseded
        self.isTooLate = isTooLate
    }
}

/// What was newer than a staged row.
package struct NewerRow: Sendable, Equatable {
    /// Its `_source_updated_at`; `Int64.min`: not told.
    package var time_us: Int64
    /// Its version is a snapshot read's.
    package var isRead: Bool

    package init(time_us: Int64, isRead: Bool) {
        self.time_us = time_us
        self.isRead = isRead
    }
}

extension BatchApplier {
    /// More of one commit are counted and not listed.
    static let late_max = 10_000

    /// Notes which of a table's events were late.
    ///
    /// - Parameters:
    ///   - superseded: staged rows that the warehouse had newer, with what it had.
    mutating func noteLate(
        _ definition: TableDefinition, _ events: [Int32], _ staged: StagedTable,
        _ superseded: [(row: Int, by: NewerRow)],
        _ marks: Marks, _ entry: inout LedgerEntry
    ) {
        // Without raw a second delivery looks the same.
        var newer: [Int32: NewerRow] = [:]
        if layout.hasRaw {
            for (row, by) in superseded where staged.rows[row].event >= 0 && !by.isRead {
                newer[staged.rows[row].event] = by
            }
        }
        let allowed_us = layout.allowedLateness_us[definition.source.description]
        guard !newer.isEmpty || allowed_us != nil else { return }
        for index in events {
            let event = batch.events[Int(index)]
            guard event.operation != .read else { continue }
            let by = newer[index]
            var behind_us: Int64?
            if let watermark = marks.watermark(of: event.span) {
                behind_us = Self.distance_us(from: event.sourceTime_us, to: watermark)
            }
            let isTooLate = allowed_us.map { (behind_us ?? 0) > $0 } ?? false
            guard by != nil || isTooLate else { continue }
            entry.late += 1
            if isTooLate { entry.tooLate += 1 }
            guard record.late.count < Self.late_max else { continue }
            let behindRow_us = by.flatMap { Self.distance_us(from: event.sourceTime_us, to: $0.time_us) }
            record.late.append(
                LateEvent(
                    table: definition.source, id: event.id, operation: event.operation,
                    key: event.key.isNull ? nil : batch.arena.string(event.key), version: event.version,
                    sourceTime_us: event.sourceTime_us, behindRow_us: behindRow_us, behindWatermark_us: behind_us,
                    isSuperseded: by != nil, isTooLate: isTooLate))
        }
    }

    /// Nil: the second isn't later, one of them isn't told, or they are further apart than can be said.
    private static func distance_us(from time_us: Int64, to later_us: Int64) -> Int64? {
        guard time_us != .min, later_us != .min, later_us > time_us else { return nil }
        let (distance, overflow) = later_us.subtractingReportingOverflow(time_us)
        return overflow ? nil : distance
    }
}
