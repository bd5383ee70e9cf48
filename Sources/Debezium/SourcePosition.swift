import JSON
import Replication

/// Where an event stands at its source: what its version and its id are made of.
struct SourcePosition {
    var commit: Int64 = 0
    /// `Version.seq` without the mark of a key change's create.
    var seq: Int64 = 0
    /// Its version leans on a snapshot read that stood before it.
    var leansOnRead = false
    /// A snapshot read's own position, where streamed events may lean on it.
    var readLSN: Int64?
    /// The record's offset stands in for a position in the event's id.
    var isOffset = false
    /// The event shows no place of its own, so that it stands behind another's.
    var isBehind = false
    /// Two events of one row can stand at one position; only Postgres' multi-row inserts do.
    var hasRuns = false
    /// Its position may be another event's too, so that the images belong to its name.
    var isShared = false

    enum Trouble: String, Error {
        case noPosition = "source.lsn is missing"
        case sequence = "source.sequence isn't a list of positions"
        case file = "source.file or source.pos isn't a binlog position"
        case logBlock = "source.commit_lsn or source.change_lsn isn't a position in SQL Server's log"
        case scn = "source.commit_scn or source.scn isn't a system change number"
        case range = "source position is out of range"
        case noLog = "source shows no place in the log"
        case noTime = "source has no time to order events by"
    }
}

extension SourcePosition {
    static let place_max: Int64 = 1 << 61

    /// - Parameters:
    ///   - hash: takes what names the position.
    ///   - lastReadLSN: the last snapshot read's before this record, if there was one.
    ///   - totalOrder: the event's number in its transaction, where the connector tells it.
    init(
        _ tape: JSONTape, _ source: EventSource, _ connector: Connector, isRead: Bool, offset: Int64,
        lastReadLSN: @autoclosure () -> Int64?, totalOrder: @autoclosure () -> Int64?, hash: inout Hash128
    ) throws(Trouble) {
        switch connector {
        case .postgres:
            try postgres(tape, source, isRead: isRead, lastReadLSN: lastReadLSN(), hash: &hash)
        case .mysql, .mariadb:
            try binlog(tape, source, isRead: isRead, hash: &hash)
        case .sqlserver:
            try logBlocks(tape, source, isRead: isRead, hash: &hash)
        case .oracle:
            try changeNumbers(
                tape, source, isRead: isRead, offset: offset, lastReadSCN: lastReadLSN(), totalOrder: totalOrder(),
                hash: &hash)
        case .mongodb:
            try oplog(
                tape, source, isRead: isRead, offset: offset, totalOrder: totalOrder(), hash: &hash)
        default:
            try timed(tape, source, isRead: isRead, offset: offset, hash: &hash)
        }
    }

    private mutating func postgres(
        _ tape: JSONTape, _ source: EventSource, isRead: Bool, lastReadLSN: @autoclosure () -> Int64?,
        hash: inout Hash128
    ) throws(Trouble) {
        let lsn = source.lsn >= 0 ? tape.int64(Int(source.lsn)) : nil
        let transaction = source.transactionID >= 0 ? tape.int64(Int(source.transactionID)) : nil
        hash.add(UInt64(bitPattern: lsn ?? .min), UInt64(bitPattern: transaction ?? .min))
        hasRuns = true
        var place = lsn
        if source.sequence >= 0 {
            let raw = tape.rawValue(Int(source.sequence))
            hash.add(raw)
            guard let (first, second) = Self.sequence(raw) else { throw .sequence }
            place = second ?? lsn
            if let first {
                commit = first
            } else if isRead {
                guard let own = lsn ?? second else { throw .noPosition }
                commit = own
                readLSN = own
            } else {
                // The connector's first transaction after a start: it doesn't know the commit before it.
                guard let own = lsn ?? second else { throw .noPosition }
                commit = max(own, lastReadLSN() ?? own)
                leansOnRead = true
            }
        } else {
            guard let lsn else { throw .noPosition }
            commit = lsn
            if isRead {
                readLSN = lsn
            } else if let read = lastReadLSN(), read > lsn {
                // Of a transaction that was open across the snapshot.
                commit = read
                leansOnRead = true
            }
        }
        guard !isRead else { return }
        guard let place else { throw .noPosition }
        guard (0..<Self.place_max).contains(place), commit >= 0 else { throw .range }
        seq = 2 * place
    }

    /// What shows no place in the source's log ranks below all that does, so that events which show one later win.
    static let weakest: Int64 = -(1 << 62)

    /// Of an event that shows no place in the source's log. Behind the last one that did show one in its partition, it
    /// stands as many places on as offsets: each record in between took more of the log than that. Else it is ordered
    /// by the source's time, if that is told (nil: it isn't), and then by its offset.
    init(time_us: Int64?, offset: Int64, isRead: Bool, last: (offset: Int64, commit: Int64, seq: Int64)?)
        throws(Trouble)
    {
        isOffset = true
        guard (0..<Self.place_max - 1).contains(offset) else { throw .range }
        if let last, last.commit >= 0 || time_us == nil {
            isBehind = true
            commit = last.commit
            let (seq, overflow) = last.seq.addingReportingOverflow(2 * (offset - last.offset))
            guard !overflow else { throw .range }
            self.seq = seq
        } else if let time_us {
            guard time_us >= 0 else { throw .range }
            commit = Self.weakest + min(time_us, 1 << 61)
            seq = isRead ? 0 : 2 * (offset + 1)
        } else {
            isBehind = true
            commit = Self.weakest
            seq = 2 * (offset + 1)
        }
    }

    /// `["123","456"]`, as it stands escaped in the JSON; either may be null, or missing.
    private static func sequence(_ raw: UnsafeRawBufferPointer) -> (Int64?, Int64?)? {
        var values: (Int64?, Int64?) = (nil, nil)
        var index = 0
        var at = 0
        func skip() { while at < raw.count, raw[at] == 0x5C || raw[at] == 0x22 || raw[at] == 0x20 { at += 1 } }
        guard raw.first == 0x5B else { return nil }
        at = 1
        while true {
            skip()
            guard at < raw.count else { return nil }
            var value: Int64?
            if raw[at] == 0x6E {
                at += 4
            } else if raw[at] &- 0x30 < 10 {
                var number: UInt64 = 0
                let start = at
                while at < raw.count, raw[at] &- 0x30 < 10, at - start < 19 {
                    number = number &* 10 &+ UInt64(raw[at] - 0x30)
                    at += 1
                }
                value = Int64(exactly: number)
                if value == nil { return nil }
            } else if raw[at] != 0x5D {
                return nil
            }
            if index == 0 { values.0 = value } else if index == 1 { values.1 = value }
            index += 1
            skip()
            guard at < raw.count else { return nil }
            if raw[at] == 0x5D { return values }
            guard raw[at] == 0x2C else { return nil }
            at += 1
        }
    }
}
