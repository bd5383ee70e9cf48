import JSON
import Replication

/// Reads records from an event file: a JSON object a line, plain or gzip (told by its first bytes).
///
/// `topic`; `partition` (null or missing: 0); `offset` (else the line's number, from 0); `timestamp` in ms;
/// `key` and `value`, text or null, or `key_b64` and `value_b64` for bytes; `headers`, a list of
/// `[name, value]`. Other members are passed over, and so are blank lines; headers of Connect's own context
/// (`__debezium.context.…`) are left out. A line that is no record is given back as a `MalformedLine`, and
/// reading goes on behind it.
///
/// Memory is bounded by the batch and the longest line. Reads block: call it from an executor of its own.
///
/// ```swift
/// let reader = try EventFileReader(path: path)
/// try reader.skip(toLine: checkpoint)
/// let read = try reader.read(into: batch, maxRecords: 100_000, maxBytes: 32 << 20)
/// checkpoint = read.lines.upperBound
/// ```
package final class EventFileReader {
    /// The file's as it was when opened.
    package let identity: EventFileIdentity
    /// Lines consumed so far; a checkpoint holds this, and `skip(toLine:)` returns to it.
    package private(set) var line = 0
    /// Whether the file has no more lines.
    package private(set) var isAtEnd = false

    private let lines: LineReader
    private let eventLine: EventLine
    private let path: String
    private let line_bytes_max: Int
    /// What broke off the reading; thrown again by every later read.
    private var failure: EventFileError?
    private var spans = BatchSpans()

    /// Bytes held for lines, besides what the batch holds.
    package var buffered_bytes: Int { lines.capacity + eventLine.buffered_bytes }

    /// What one `read` gave, besides the records in the batch.
    package struct Read: Sendable {
        /// The lines consumed, counted from 0: behind `upperBound` reading continues.
        package var lines: Range<Int>
        package var malformed: [MalformedLine]
        /// Whether the file has ended with this.
        package var isAtEnd: Bool
    }

    /// - Parameter line_bytes_max: longer lines are malformed.
    /// - Throws: `EventFileError` where the file can't be opened.
    package init(path: String, line_bytes_max: Int = 64 << 20) throws(EventFileError) {
        self.path = path
        self.line_bytes_max = min(line_bytes_max, JSONParser.length_max_bytes)
        lines = try LineReader(path: path, line_bytes_max: self.line_bytes_max)
        identity = lines.identity
        do {
            eventLine = try EventLine()
        } catch {
            throw EventFileError(kind: .readFailed, message: "cannot read \(path): \(error)", remedy: nil)
        }
    }

    /// Adds records to `batch`, which isn't emptied, until this read has given `maxRecords` of them (or as
    /// many malformed lines) or the batch and they hold `maxBytes`; at least one line is consumed, unless
    /// the file has ended.
    ///
    /// A record's span begins at the first offset met of its topic and partition in this batch, and ends
    /// behind the highest.
    ///
    /// - Throws: `EventFileError` where the file can't be read on. Lines before that place were given by
    ///   earlier reads.
    package func read(into batch: RecordBatch, maxRecords: Int, maxBytes: Int) throws(EventFileError) -> Read {
        if let failure { throw failure }
        spans.removeAll()
        let start = line
        var malformed: [MalformedLine] = []
        var records = 0
        var malformed_bytes = 0
        while !isAtEnd, records + malformed.count < max(maxRecords, 1),
            line == start || batch.bytes + malformed_bytes < maxBytes
        {
            guard let next = try nextLine(isFirst: line == start) else { break }
            if isBlank(next.bytes) { continue }
            do throws(MalformedLine.Reason) {
                if next.isTooLong { throw .tooLong(limit_bytes: line_bytes_max) }
                append(try eventLine.read(next.bytes), to: batch)
                records += 1
            } catch {
                let raw = next.bytes.prefix(MalformedLine.raw_bytes_max)
                malformed.append(
                    MalformedLine(line: line, offset_bytes: next.offset, reason: error, raw: Array(raw))
                )
                malformed_bytes += raw.count
            }
        }
        return Read(lines: start..<line, malformed: malformed, isAtEnd: isAtEnd)
    }

    /// Passes over lines until `line` of them are consumed. Only forwards.
    ///
    /// - Throws: `EventFileError` where the file is shorter than that or can't be read.
    package func skip(toLine target: Int) throws(EventFileError) {
        while line < target {
            guard try nextLine(isFirst: true) != nil else {
                throw EventFileError(
                    kind: .tooFewLines,
                    message: "\(path) has \(line) lines; the checkpoint stands behind line \(target)",
                    remedy: "put the file back that was read before, or give the pipeline a new name"
                )
            }
        }
    }

    /// The next line, counted; nil at the end, or where the file breaks off behind lines that this read
    /// has already: they are given first.
    private func nextLine(isFirst: Bool) throws(EventFileError) -> LineReader.Line? {
        do {
            guard let next = try lines.next() else {
                isAtEnd = true
                return nil
            }
            line += 1
            return next
        } catch {
            failure = error
            if isFirst { throw error }
            return nil
        }
    }

    private func append(_ record: EventLine.Record, to batch: RecordBatch) {
        let offset = record.offset ?? Int64(line - 1)
        let span = spans.index(of: eventLine.bytes(record.topic), record.partition, in: batch, startingAt: offset)
        batch.append(
            span: span, offset: offset, timestamp_ms: record.timestamp_ms,
            key: record.key.map(eventLine.bytes), value: record.value.map(eventLine.bytes)
        )
        for header in eventLine.headers {
            batch.appendHeader(name: eventLine.bytes(header.name), value: header.value.map(eventLine.bytes))
        }
        batch.advance(span: span, to: offset + 1)
    }

    private func isBlank(_ bytes: UnsafeRawBufferPointer) -> Bool {
        // Most lines begin with a brace.
        bytes.allSatisfy { $0 == 0x20 || $0 == 0x0D || $0 == 0x09 }
    }
}
