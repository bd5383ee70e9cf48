/// Records as a broker or an event file gave them, not yet decoded: the unit between a source and
/// its decoder.
///
/// Keys, values and header parts lie in `arena`; a null key or value is `ByteRange.null`, which
/// differs from an empty one. Of a value that begins as an earlier one of its partition only the rest may lie there: most of
/// an event that brings its schema is the schema.
///
/// `@unchecked Sendable`: one owner at a time, handed on whole.
package final class RecordBatch: @unchecked Sendable {
    package let arena: ByteArena
    package private(set) var records: ContiguousArray<Record>
    package private(set) var headers: [Header] = []
    /// The partitions read from, with where reading began and ended. A record names its partition by
    /// its index here. A partition may be listed without records: its position moved all the same
    /// (transaction markers, compaction, the end of the partition).
    package private(set) var spans: [PartitionSpan] = []
    /// By span: the value that others may begin as.
    private var patterns: [ByteRange] = []
    /// Not written anew for each value that begins as another.
    private var spared_bytes = 0
    /// The value that was put together last, and whose it is.
    private let whole = ByteArena(capacity: 64)
    private var wholeOf = (head: ByteRange.null, tail: ByteRange.null)

    package init(capacity: Int = 1 << 16) {
        arena = ByteArena(capacity: capacity)
        records = capacity >= BlockPool.block_min ? ArrayPool.takeRecords() : []
    }

    deinit { ArrayPool.give(&records) }

    package struct Record: Sendable {
        /// Index into `spans`.
        package var span: Int32
        package var offset: Int64
        /// The record's own timestamp in ms since 1970, -1 where there is none.
        package var timestamp_ms: Int64
        package var key: ByteRange
        /// The value's first bytes, as an earlier value has them; empty where it lies in one piece.
        var head: ByteRange
        /// What comes behind `head`; null: there is no value.
        var tail: ByteRange
        /// Indices into `headers`.
        package var headers: Range<Int32>

        package var hasValue: Bool { !tail.isNull }
        /// In bytes; 0 without one.
        package var valueLength: Int { hasValue ? head.length + tail.length : 0 }
        /// What it counts for where batches are bounded, without headers: see `weight_bytes` of the batch.
        package var weight_bytes: Int {
            max(key.length + tail.length, (key.length + valueLength) / RecordBatch.folds_max)
        }
        /// The place of a value that was appended in one piece.
        @inline(__always)
        package var wholeValue: ByteRange {
            precondition(head.length == 0, "the value lies in two pieces")
            return tail
        }
    }

    package struct Header: Sendable {
        package var name: ByteRange
        package var value: ByteRange
    }

    /// `start` is the consumer's position before the first record of this batch, `end` behind the
    /// last: what the checkpoint must be before, and is after, this batch.
    package struct PartitionSpan: Sendable, Equatable {
        package var partition: TopicPartition
        package var start: Int64
        package var end: Int64

        package init(partition: TopicPartition, start: Int64, end: Int64) {
            self.partition = partition
            self.start = start
            self.end = end
        }
    }

    package var isEmpty: Bool { records.isEmpty && !spans.contains { $0.end != $0.start } }
    /// Bytes of keys, values and headers.
    package var bytes: Int { arena.count + spared_bytes }
    /// What they take here.
    package var held_bytes: Int { arena.count }
    /// What they count for where batches are bounded: what they take here; but what is decoded of them may be all of them,
    /// so no less than a part of that.
    package var weight_bytes: Int { max(held_bytes, bytes / Self.folds_max) }
    fileprivate static let folds_max = 8

    /// The index of `partition` in `spans`, made with `start` if it wasn't there.
    package func span(of partition: TopicPartition, startingAt start: @autoclosure () -> Int64) -> Int32 {
        if let index = spans.firstIndex(where: { $0.partition == partition }) { return Int32(index) }
        let start = start()
        spans.append(PartitionSpan(partition: partition, start: start, end: start))
        return Int32(spans.count - 1)
    }

    /// Moves a span's end: the position behind what was read.
    package func advance(span: Int32, to end: Int64) {
        if end > spans[Int(span)].end { spans[Int(span)].end = end }
    }

    package func append(
        span: Int32, offset: Int64, timestamp_ms: Int64 = -1,
        key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer?
    ) {
        add(
            span, offset, timestamp_ms, key: key.map { arena.append($0) } ?? .null,
            tail: value.map { arena.append($0) } ?? .null)
    }

    private func add(
        _ span: Int32, _ offset: Int64, _ timestamp_ms: Int64, key: ByteRange,
        head: ByteRange = ByteRange(offset: 0, length: 0), tail: ByteRange
    ) {
        let first = Int32(headers.count)
        records.append(
            Record(
                span: span, offset: offset, timestamp_ms: timestamp_ms, key: key, head: head, tail: tail,
                headers: first..<first))
    }

    /// The same, and what the value has in common with an earlier one of the span isn't kept again.
    package func appendFolded(
        span: Int32, offset: Int64, timestamp_ms: Int64 = -1,
        key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer?
    ) {
        let common = value.map { commonBytes($0, span) } ?? 0
        guard let value, common > 0 else {
            append(span: span, offset: offset, timestamp_ms: timestamp_ms, key: key, value: value)
            if let value, value.count >= Self.pattern_min { setPattern(records[records.count - 1].tail, span) }
            return
        }
        spared_bytes += common
        add(
            span, offset, timestamp_ms, key: key.map { arena.append($0) } ?? .null,
            head: ByteRange(offset: patterns[Int(span)].offset, length: common),
            tail: arena.append(UnsafeRawBufferPointer(rebasing: value[common...])))
    }

    /// Shorter values are kept as they are, and so is one that has less in common with its span's pattern than `common_min`.
    private static let pattern_min = 1024
    private static let common_min = 512

    private func setPattern(_ value: ByteRange, _ span: Int32) {
        while patterns.count <= Int(span) { patterns.append(.null) }
        patterns[Int(span)] = value
    }

    /// 0: too few to be spared.
    private func commonBytes(_ value: UnsafeRawBufferPointer, _ span: Int32) -> Int {
        guard Int(span) < patterns.count, value.count >= Self.pattern_min else { return 0 }
        let place = patterns[Int(span)]
        guard !place.isNull, let new = value.baseAddress, let old = arena.bytes(place).baseAddress else { return 0 }
        let most = min(value.count, place.length) & ~7
        var at = 0
        while at < most,
            new.loadUnaligned(fromByteOffset: at, as: UInt64.self)
                == old.loadUnaligned(fromByteOffset: at, as: UInt64.self)
        { at += 8 }
        // One that has little in common with the pattern is the better pattern: a schema changed.
        return at >= max(Self.common_min, min(value.count, place.length) / 4) ? at : 0
    }

    /// A record's value; empty without one. Valid until the next append, or until another record's is asked for: not for two
    /// threads at once.
    package func value(of record: Record) -> UnsafeRawBufferPointer {
        guard record.head.length > 0 else { return arena.bytes(record.tail) }
        // Asked for again it must be where it was.
        if (record.head, record.tail) != wholeOf {
            whole.removeAll()
            whole.reserve(record.valueLength)
            _ = whole.append(arena.bytes(record.head))
            _ = whole.append(arena.bytes(record.tail))
            wholeOf = (record.head, record.tail)
        }
        return whole.bytes(ByteRange(offset: 0, length: record.valueLength))
    }

    /// The same; nil without one.
    package func optionalValue(of record: Record) -> UnsafeRawBufferPointer? {
        record.hasValue ? value(of: record) : nil
    }

    /// Appends a record of another batch, with its headers.
    package func append(_ record: Record, of other: RecordBatch, span: Int32) {
        appendFolded(
            span: span, offset: record.offset, timestamp_ms: record.timestamp_ms,
            key: record.key.isNull ? nil : other.arena.bytes(record.key), value: other.optionalValue(of: record))
        for index in record.headers {
            let header = other.headers[Int(index)]
            appendHeader(
                name: other.arena.bytes(header.name),
                value: header.value.isNull ? nil : other.arena.bytes(header.value))
        }
    }

    /// Appends a record without a key whose value is `tag` and the bytes of `value`.
    package func append(
        span: Int32, offset: Int64, timestamp_ms: Int64 = -1, tag: UInt8, value: UnsafeRawBufferPointer
    ) {
        arena.append(byte: tag)
        let range = arena.append(value)
        add(
            span, offset, timestamp_ms, key: .null,
            tail: ByteRange(offset: range.offset - 1, length: range.length + 1))
    }

    /// Adds a header to the record appended last. Connect's own context headers carry nothing that
    /// replication needs; the caller leaves out what begins with `__debezium.context.`.
    package func appendHeader(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer?) {
        headers.append(Header(name: arena.append(name), value: value.map { arena.append($0) } ?? .null))
        let last = records.count - 1
        records[last].headers = records[last].headers.lowerBound..<Int32(headers.count)
    }

    /// A record's headers as `[["name","value"]…]`, nil if it has none; for quarantine.
    package func headersJSON(_ record: Record) -> String? {
        guard !record.headers.isEmpty else { return nil }
        let pairs = record.headers.map { index in
            let header = headers[Int(index)]
            let value = header.value.isNull ? "null" : JSONText.quoted(arena.string(header.value))
            return "[\(JSONText.quoted(arena.string(header.name))),\(value)]"
        }
        return "[\(pairs.joined(separator: ","))]"
    }

    package func removeAll() {
        arena.removeAll()
        records.removeAll(keepingCapacity: true)
        headers.removeAll(keepingCapacity: true)
        spans.removeAll()
        patterns.removeAll()
        spared_bytes = 0
        wholeOf = (.null, .null)
    }
}

package struct TopicPartition: Hashable, Sendable, Comparable, CustomStringConvertible {
    package var topic: String
    package var partition: Int32

    package init(topic: String, partition: Int32) {
        self.topic = topic
        self.partition = partition
    }

    package var description: String { "\(topic):\(partition)" }

    package static func < (a: TopicPartition, b: TopicPartition) -> Bool {
        (a.topic, a.partition) < (b.topic, b.partition)
    }
}
