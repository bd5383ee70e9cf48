import JSON
import Replication

/// What must be remembered of a partition from one batch to the next, and across restarts: it is stored with the
/// checkpoint, as JSON:
///
/// `{"reads":[[offset,lsn]…],"run":{"at":"uuid","seen":{"uuid":count…}}}`
final class PartitionMemory {
    private static let reads_max = 64

    /// Positions of snapshot reads, each with the offset of the first record that had it; offsets ascend.
    @exclusivity(unchecked) private var reads: [(offset: Int64, lsn: Int64)] = []
    /// The position at which the last record without a key stood, and how often each image was seen there.
    private var runPosition = EventID.zero
    private var run: [EventID: Int64] = [:]
    private(set) var hasChanged = false

    // Not stored: a hint for records that can't be read.
    @exclusivity(unchecked) private(set) var table: TableState?
    private(set) var hasSeveralTables = false

    init() {}

    /// The position of the last snapshot read before the record at `offset`.
    func lastReadLSN(before offset: Int64) -> Int64? {
        reads.last { $0.offset < offset }?.lsn
    }

    @inline(__always)
    func noteRead(_ lsn: Int64, at offset: Int64) {
        if let last = reads.last, last.lsn == lsn || last.offset >= offset { return }
        reads.append((offset, lsn))
        if reads.count > Self.reads_max { reads.removeFirst() }
        hasChanged = true
    }

    /// How many equal images stood at this position before, in one run of equal positions.
    func ordinal(of image: EventID, at position: EventID) -> Int64 {
        if position != runPosition {
            runPosition = position
            run.removeAll(keepingCapacity: true)
        }
        let count = run[image, default: 0]
        run[image] = count + 1
        hasChanged = true
        return count
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
        writer.endObject()
        return writer.string
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
