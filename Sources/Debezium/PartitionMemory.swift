import JSON
import Replication

/// What must be remembered of a partition from one batch to the next, and across restarts: it is stored with the
/// checkpoint, as JSON:
///
/// `{"reads":[[offset,lsn]…],"run":{"at":"uuid","seen":{"uuid":count…}},"place":[offset,commit,seq],"deleted":"uuid",`
/// `"connector":"postgresql","flattened":["schema","table"]}`, of which all but the first are there when they are known.
final class PartitionMemory {
    private static let reads_max = 64

    /// Positions of snapshot reads, each with the offset of the first record that had it; offsets ascend.
    @exclusivity(unchecked) private var reads: [(offset: Int64, lsn: Int64)] = []
    /// The position at which the last record without a key stood, and how often each image was seen there.
    private var runPosition = EventID.zero
    private var run: [EventID: Int64] = [:]
    private(set) var hasChanged = false
    /// Where the last event stood that showed where, for those that don't.
    @exclusivity(unchecked) private var place = (offset: Int64.min, commit: Int64(0), seq: Int64(0))
    /// The key of the last data record, where that was a delete which a tombstone may follow.
    @exclusivity(unchecked) private var deleted: EventID?
    /// The last connector that events named.
    @exclusivity(unchecked) private(set) var connector = Connector.unknown
    /// Flattened events were seen, in which a tombstone is a delete.
    private(set) var hasFlattened = false
    /// The table of all of them, if it was one.
    private(set) var flattenedTable: TableID?
    private var hasSeveralFlattened = false

    // Not stored: the image that was counted last, and of which record.
    private var counted: (image: EventID, offset: Int64)?
    // Not stored: a hint for records that can't be read.
    @exclusivity(unchecked) private(set) var table: TableState?
    private(set) var hasSeveralTables = false

    init() {}

    /// The position of the last snapshot read before the record at `offset`, and not before `start`.
    func lastReadLSN(from start: Int64, before offset: Int64) -> Int64? {
        reads.last { $0.offset < offset && $0.offset >= start }?.lsn
    }

    @inline(__always)
    func noteRead(_ lsn: Int64, at offset: Int64) {
        if let last = reads.last, last.lsn == lsn || last.offset >= offset { return }
        reads.append((offset, lsn))
        if reads.count > Self.reads_max { reads.removeFirst() }
        hasChanged = true
    }

    /// How many equal images stood at this position before, in one run of equal positions.
    func ordinal(of image: EventID, at position: EventID, offset: Int64) -> Int64 {
        counted = (image, offset)
        if position != runPosition {
            runPosition = position
            run.removeAll(keepingCapacity: true)
        }
        let count = run[image, default: 0]
        run[image] = count + 1
        hasChanged = true
        return count
    }

    /// The record is read once more: its image counts once.
    func uncount(_ offset: Int64) {
        guard let last = counted, last.offset == offset, let count = run[last.image] else { return }
        run[last.image] = count > 1 ? count - 1 : nil
        counted = nil
    }

    // MARK: - Events that don't show all

    @inline(__always)
    func notePlace(_ version: Version, at offset: Int64) {
        guard offset > place.offset else { return }
        place = (offset, version.commit, version.seq & ~1)
        hasChanged = true
    }

    /// The last place shown before the record at `offset`, and not before `start`.
    func lastPlace(from start: Int64, before offset: Int64) -> (offset: Int64, commit: Int64, seq: Int64)? {
        place.offset < offset && place.offset != .min && place.offset >= start ? place : nil
    }

    /// The record is another than a delete that a tombstone may follow.
    @inline(__always)
    func noteNoDelete() {
        guard deleted != nil else { return }
        deleted = nil
        hasChanged = true
    }

    func noteDelete(of key: UnsafeRawBufferPointer?) {
        deleted = Self.name(key)
        hasChanged = true
    }

    /// A tombstone of this key belongs to the delete before it.
    func hasJustDeleted(_ key: UnsafeRawBufferPointer?) -> Bool { deleted == Self.name(key) }

    private static func name(_ key: UnsafeRawBufferPointer?) -> EventID {
        var hash = Hash128()
        if let key { hash.add(key) }
        return hash.finish()
    }

    @inline(__always)
    func note(_ connector: Connector) {
        guard connector != self.connector, connector != .unknown else { return }
        self.connector = connector
        hasChanged = true
    }

    func noteFlattened(_ table: TableID) {
        guard !hasFlattened || flattenedTable != table, !hasSeveralFlattened else { return }
        hasSeveralFlattened = hasFlattened
        hasFlattened = true
        flattenedTable = hasSeveralFlattened ? nil : table
        hasChanged = true
    }

    @inline(__always)
    func note(_ state: TableState) {
        if table === state { return }
        if table != nil { hasSeveralTables = true }
        table = state
    }

    /// The table of every record so far, if it was one.
    var onlyTable: TableState? { hasSeveralTables ? nil : table }

    // MARK: - Storing

    /// The state to store, if it changed since the last call.
    func takeState() -> String? {
        guard hasChanged else { return nil }
        hasChanged = false
        let writer = JSONWriter(capacity: 256)
        writer.beginObject()
        writer.key("reads")
        writer.beginArray()
        for read in reads {
            writer.beginArray()
            writer.number(read.offset)
            writer.number(read.lsn)
            writer.endArray()
        }
        writer.endArray()
        if !run.isEmpty {
            writer.key("run")
            writer.beginObject()
            writer.member("at", runPosition.text)
            writer.key("seen")
            writer.beginObject()
            for (image, count) in run.sorted(by: { ($0.key.high, $0.key.low) < ($1.key.high, $1.key.low) }) {
                writer.member(image.text, count)
            }
            writer.endObject()
            writer.endObject()
        }
        storeRest(writer)
        writer.endObject()
        return writer.string
    }

    private func storeRest(_ writer: JSONWriter) {
        if place.offset != .min {
            writer.key("place")
            writer.beginArray()
            for number in [place.offset, place.commit, place.seq] { writer.number(number) }
            writer.endArray()
        }
        if let deleted { writer.member("deleted", deleted.text) }
        if connector != .unknown { writer.member("connector", connector.rawValue) }
        if hasFlattened {
            writer.key("flattened")
            writer.beginArray()
            if let flattenedTable {
                writer.string(flattenedTable.schema)
                writer.string(flattenedTable.table)
            }
            writer.endArray()
        }
    }

    private func restoreRest(_ value: JSONValue) -> Bool {
        if let place = value["place"] {
            guard let numbers = place.array?.compactMap(\.int64), numbers.count == 3 else { return false }
            self.place = (numbers[0], numbers[1], numbers[2])
        }
        if let deleted = value["deleted"] {
            guard let id = deleted.string.flatMap({ EventID(text: $0) }) else { return false }
            self.deleted = id
        }
        if let connector = value["connector"] {
            guard let name = connector.string.flatMap({ Connector(rawValue: $0) }) else { return false }
            self.connector = name
        }
        if let names = value["flattened"] {
            guard let names = names.array?.compactMap(\.string), names.isEmpty || names.count == 2 else { return false }
            hasFlattened = true
            hasSeveralFlattened = names.isEmpty
            flattenedTable = names.isEmpty ? nil : TableID(schema: names[0], table: names[1])
        }
        return true
    }

    /// Nil for what isn't such a state.
    init?(state: String) {
        guard let value = try? JSONValue(parsing: state), let reads = value["reads"]?.array else { return nil }
        for read in reads {
            guard let pair = read.array, pair.count == 2, let offset = pair[0].int64, let lsn = pair[1].int64 else {
                return nil
            }
            self.reads.append((offset, lsn))
        }
        guard restoreRest(value) else { return nil }
        guard let run = value["run"] else { return }
        guard let at = run["at"]?.string.flatMap({ EventID(text: $0) }), let seen = run["seen"]?.members else {
            return nil
        }
        runPosition = at
        for (name, count) in seen {
            guard let image = EventID(text: name), let count = count.int64 else { return nil }
            self.run[image] = count
        }
    }
}
