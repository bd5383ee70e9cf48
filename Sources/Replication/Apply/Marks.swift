/// A batch's events by table.
package struct EventsByTable {
    package private(set) var events: [[Int32]]
    var hasTruncate = false

    package init(_ batch: ChangeBatch, leavingOut refused: [Int32: String]) {
        events = .init(repeating: [], count: batch.tables.count)
        for index in batch.events.indices {
            if !refused.isEmpty, refused[Int32(index)] != nil { continue }
            if batch.events[index].operation == .truncate { hasTruncate = true }
            events[Int(batch.events[index].table)].append(Int32(index))
        }
    }

    /// Tables that have events.
    var indices: [Int] { events.indices.filter { !events[$0].isEmpty } }
}

/// Which events may be in raw already: those not above the table's highest version over all
/// partitions, and all of a partition that has no mark.
struct Marks {
    private var highest: [TableID: Version] = [:]
    private var unmarkedSpans: Set<Int32> = []
    /// By span: the newest source time of the partition's earlier batches.
    private var watermarks: [Int32: Int64] = [:]
    private var isEverything = false
    private var own: [TopicPartition: [TableID: Version]] = [:]

    /// Raw may have any event: the events come from there.
    static var everything: Marks {
        var marks = Marks([], [])
        marks.isEverything = true
        return marks
    }

    init(_ checkpoints: [Checkpoint], _ advances: [CheckpointAdvance]) {
        for checkpoint in checkpoints {
            for (table, version) in checkpoint.marks where version > highest[table, default: .none] {
                highest[table] = version
            }
        }
        for advance in advances
        where checkpoints.first(where: { $0.partition == advance.partition })?.marks.isEmpty ?? true {
            unmarkedSpans.formUnion(advance.spans.map(Int32.init))
        }
        for advance in advances {
            guard let time = checkpoints.first(where: { $0.partition == advance.partition })?.sourceTime_us else {
                continue
            }
            for span in advance.spans { watermarks[Int32(span)] = time }
        }
        for advance in advances {
            own[advance.partition] = checkpoints.first { $0.partition == advance.partition }?.marks
        }
        // On the very first batch nothing is in raw, whatever the partition.
        if highest.isEmpty { unmarkedSpans = [] }
    }

    /// The highest version of the table that came out of the partition itself.
    func highest(of table: TableID, from partition: TopicPartition) -> Version? { own[partition]?[table] }

    /// Nil: nothing came of the span's partition before.
    func watermark(of span: Int32) -> Int64? { watermarks[span] }

    func suspects(_ event: ChangeEvent, _ table: TableID) -> Bool {
        if isEverything { return true }
        if event.flags.contains(.fresh) { return false }
        guard let high = highest[table] else { return unmarkedSpans.contains(event.span) }
        return event.version <= high || event.flags.contains(.alwaysProbe) || unmarkedSpans.contains(event.span)
    }

    /// Whether earlier events of the event's source transaction may be in the warehouse.
    func mayHaveBegun(_ event: ChangeEvent, _ table: TableID) -> Bool {
        if isEverything { return true }
        guard let high = highest[table] else { return unmarkedSpans.contains(event.span) }
        return (event.version.epoch, event.version.commit) <= (high.epoch, high.commit)
            || event.flags.contains(.alwaysProbe) || unmarkedSpans.contains(event.span)
    }
}
