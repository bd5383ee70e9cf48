/// The suspicion that the source was restored from a backup. Its positions begin again from lower numbers then, and all
/// that it says would be older than what the warehouse has: lost, under a green light.
///
/// Its sign is many events over many keys that are superseded by newer changes though raw never had them, while nothing
/// newer comes out of their partition. Once more the same (a redelivery) is known to raw; what is late by itself stands
/// between newer events; and what a snapshot read is newer than is the normal course of a copy.
package struct RestoreSuspicion: Sendable {
    package static let events_min = 100
    package static let keys_min = 10

    /// Of one partition in one batch.
    struct Signs {
        var events = 0
        var keys: Set<UInt64> = []
        /// Something newer than all before came.
        var movesOn = false
        /// The least source time of those that were written later than all that was known before.
        var from_us: Int64?
    }

    private struct Streak {
        var events = 0
        var keys: Set<UInt64> = []
        var from_us: Int64?
    }

    private var streaks: [TopicPartition: Streak] = [:]

    package init() {}

    mutating func add(_ signs: [TopicPartition: Signs]) {
        for (partition, signs) in signs {
            if signs.movesOn {
                streaks[partition] = nil
            } else if signs.events > 0 {
                var streak = streaks[partition] ?? Streak()
                streak.events += signs.events
                streak.from_us = [streak.from_us, signs.from_us].compactMap { $0 }.min()
                // More than enough of them tell nothing more.
                if streak.keys.count < Self.keys_min { streak.keys.formUnion(signs.keys.prefix(Self.keys_min)) }
                streaks[partition] = streak
            }
        }
    }

    var isRaised: Bool {
        let events = streaks.values.reduce(0) { $0 + $1.events }
        let keys = streaks.values.reduce(into: Set<UInt64>()) { $0.formUnion($1.keys) }
        return events >= Self.events_min && keys.count >= Self.keys_min
    }

    /// Since when the source seems to be another, by its own clock; nil: its events don't tell.
    var from_us: Int64? { streaks.values.compactMap(\.from_us).min() }

    static let reason = """
        at least \(events_min) events that were never seen before are older than what the warehouse has: was the source \
        restored from a backup, or replaced?
        """
}

/// The batch wasn't written: it raises the suspicion.
struct RestoreSuspected: Error { var from_us: Int64? }

extension BatchApplier {
    /// Events of a keyed table that newer changes superseded, and those that were coalesced into them.
    ///
    /// - Parameter rawFrom_us: raw doesn't know any more what was loaded before.
    mutating func noteSigns(
        _ staged: StagedTable, _ events: [Int32], _ superseded: [(row: Int, by: NewerRow)], _ marks: Marks,
        rawFrom_us: Int64?
    ) {
        func name(_ event: ChangeEvent) -> UInt64 {
            var hash = Hash128()
            hash.add(staged.definition.source.description)
            hash.add(batch.arena.bytes(event.key))
            return hash.finish().low
        }
        var keys: Set<UInt64> = []
        for (row, by) in superseded where !by.isRead && staged.rows[row].event >= 0 {
            let event = batch.events[Int(staged.rows[row].event)]
            if event.operation != .read { keys.insert(name(event)) }
        }
        guard !keys.isEmpty else { return }
        for index in events {
            let event = batch.events[Int(index)]
            guard event.operation != .read, batch.spans.indices.contains(Int(event.span)) else { continue }
            // What retention has taken from raw, and comes once more, isn't news.
            if let rawFrom_us, event.sourceTime_us < rawFrom_us { continue }
            let key = name(event)
            guard keys.contains(key) else { continue }
            let partition = batch.spans[Int(event.span)].partition
            var found = signs[partition] ?? .init()
            found.events += 1
            found.keys.insert(key)
            if event.sourceTime_us != .min, event.sourceTime_us > marks.watermark(of: event.span) ?? .min {
                found.from_us = min(found.from_us ?? .max, event.sourceTime_us)
            }
            signs[partition] = found
        }
    }

    /// - Throws: `RestoreSuspected`
    mutating func suspect(_ marks: Marks, _ states: [TableID: TableState]) throws {
        guard var suspicion else { return }
        guard !states.values.contains(where: \.acceptsOlder) else {
            outcome.suspicion = RestoreSuspicion()
            return
        }
        for (partition, versions) in record.marks {
            let movesOn = versions.contains { table, version in
                marks.highest(of: table, from: partition).map { version > $0 } ?? true
            }
            if movesOn { signs[partition, default: .init()].movesOn = true }
        }
        suspicion.add(signs)
        guard !suspicion.isRaised else { throw RestoreSuspected(from_us: suspicion.from_us) }
        outcome.suspicion = suspicion
    }

    /// Without raw nobody can tell what was seen before. An event that stands lower in the source's log than what its
    /// partition gave, and was written later than all of that, is of another log.
    func refuseRestored(_ marks: Marks) throws {
        // What the partition gave of the table, looked up once for events that stand together.
        var known: (table: Int32, span: Int32, highest: Version?, watermark: Int64)?
        for event in batch.events where event.operation != .read && event.sourceTime_us != .min {
            let table = batch.tables[Int(event.table)].source
            if known?.table != event.table || known?.span != event.span {
                let partition =
                    batch.spans.indices.contains(Int(event.span)) ? batch.spans[Int(event.span)].partition : nil
                known = (
                    event.table, event.span, partition.flatMap { marks.highest(of: table, from: $0) },
                    marks.watermark(of: event.span) ?? .max
                )
            }
            guard let known, let highest = known.highest, event.version < highest, event.sourceTime_us > known.watermark
            else { continue }
            throw ReplicationError(
                .permanent,
                """
                \(table): an event stands lower in the source's log than earlier ones, and was written later: the source \
                was restored from a backup, or replaced
                """,
                remedy: """
                    without the raw layer there is no way on but a new copy: millrace drop --tables, then run again with \
                    the connector's snapshot
                    """, table: table)
        }
    }
}
