import JSON
import Replication

/// Positions of the connectors whose logs aren't Postgres'.
extension SourcePosition {
    /// The place is the position with the row in its low twenty bits; row 0 counts 1, so that a snapshot read at
    /// the same position ranks below.
    mutating func binlog(
        _ tape: JSONTape, _ source: EventSource, isRead: Bool, hash: inout Hash128
    ) throws(Trouble) {
        guard source.file >= 0, source.position >= 0, let position = tape.int64(Int(source.position)) else {
            throw .file
        }
        let file = tape.rawValue(Int(source.file))
        let row = source.row >= 0 ? tape.int64(Int(source.row)) ?? 0 : 0
        hash.add(file)
        hash.add(UInt64(bitPattern: position), UInt64(bitPattern: row))
        guard let dot = file.lastIndex(of: 0x2E),
            let number = JSONString.int64(UnsafeRawBufferPointer(rebasing: file[(dot + 1)...]).trimmingZeros)
        else { throw .file }
        guard (0..<1 << 41).contains(position), (0..<(1 << 20) - 1).contains(row), number >= 0 else { throw .range }
        commit = number
        seq = 2 * (position << 20 | (isRead ? 0 : row + 1))
    }

    /// By the source's time; what came at the same time stays in the partition's order.
    mutating func timed(
        _ tape: JSONTape, _ source: EventSource, isRead: Bool, offset: Int64, hash: inout Hash128
    ) throws(Trouble) {
        let time = source.time_us(tape)
        guard time != .min else { throw .noTime }
        commit = time
        guard (0..<Self.place_max - 1).contains(offset) else { throw .range }
        seq = isRead ? 0 : 2 * (offset + 1)
        var isNamed = false
        for i in [source.others.0, source.others.1, source.others.2, source.others.3, source.order] where i >= 0 {
            hash.add(tape.rawKey(Int(i)))
            hash.add(tape.rawValue(Int(i)))
            isNamed = true
        }
        // A time alone names no event: two changes of a row can share it.
        isOffset = !isNamed || isRead
        if isNamed { hash.add(time) }
    }

    // MARK: - SQL Server

    /// Bits of a log position's three parts: the log file's number, the block in it (in units of 512 bytes), the slot in
    /// the block. What has more is refused: 2^25 log files, 128 GiB in one, 1024 records in a block of 60 KiB.
    private static let fileBits = 25
    private static let blockBits = 28
    private static let slotBits = 10
    private static let serialBits = 3
    /// How far before its commit a change may stand.
    private static let distance_max: Int64 = 1 << 57

    /// By the commit's position, inside it by the change's, then by the event's number there. A change stands before
    /// its commit, so that its distance from it is what has to fit.
    mutating func logBlocks(
        _ tape: JSONTape, _ source: EventSource, isRead: Bool, hash: inout Hash128
    ) throws(Trouble) {
        for i in [source.others.0, source.others.1, source.others.2] where i >= 0 {
            hash.add(tape.rawKey(Int(i)))
            hash.add(tape.rawValue(Int(i)))
        }
        guard source.others.0 >= 0 else {
            // A snapshot of a database whose log has no captured change yet.
            guard isRead else { throw .noLog }
            return try weaklyTimed(tape, source)
        }
        let commit = try Self.logPosition(tape.rawValue(Int(source.others.0)))
        self.commit = commit
        isShared = isRead
        guard !isRead else { return }
        guard source.others.1 >= 0 else { throw .noLog }
        let change = try Self.logPosition(tape.rawValue(Int(source.others.1)))
        // In older versions a text.
        let serial = source.others.2 >= 0 ? JSONString.int64(tape.rawValue(Int(source.others.2))) ?? -1 : 0
        let distance = commit - change
        guard (0..<Self.distance_max).contains(distance), (0..<1 << Self.serialBits).contains(serial) else {
            throw .range
        }
        seq = 2 * ((Self.distance_max - distance) << Self.serialBits | serial)
    }

    /// `00000027:00000758:0005`, hexadecimal, as one number that is ordered like it.
    private static func logPosition(_ raw: UnsafeRawBufferPointer) throws(Trouble) -> Int64 {
        guard raw.count == 22, raw[8] == 0x3A, raw[17] == 0x3A,
            let file = hexadecimal(raw[0..<8]), let block = hexadecimal(raw[9..<17]),
            let slot = hexadecimal(raw[18..<22])
        else { throw .logBlock }
        guard file < 1 << fileBits, block < 1 << blockBits, slot < 1 << slotBits else { throw .range }
        return file << (blockBits + slotBits) | block << slotBits | slot
    }

    private static func hexadecimal(_ digits: Slice<UnsafeRawBufferPointer>) -> Int64? {
        var number: Int64 = 0
        for digit in digits {
            let value: UInt8
            switch digit {
            case 0x30...0x39: value = digit - 0x30
            case 0x41...0x46: value = digit - 0x37
            case 0x61...0x66: value = digit - 0x57
            default: return nil
            }
            number = number << 4 | Int64(value)
        }
        return number
    }

    // MARK: - Oracle

    /// By the commit's number, inside it by the event's number in the transaction: many changes of one transaction share
    /// their own number. Without it by the offset, which then names the event too, so that a second delivery is another.
    mutating func changeNumbers(
        _ tape: JSONTape, _ source: EventSource, isRead: Bool, offset: Int64, lastReadSCN: @autoclosure () -> Int64?,
        totalOrder: Int64?, hash: inout Hash128
    ) throws(Trouble) {
        for i in [source.others.0, source.others.1, source.others.2, source.others.3, source.transactionID] where i >= 0
        {
            hash.add(tape.rawKey(Int(i)))
            hash.add(tape.rawValue(Int(i)))
        }
        let own = try Self.changeNumber(tape, source.others.1)
        let told = try Self.changeNumber(tape, source.others.0)
        isShared = true
        if isRead {
            guard let number = told ?? own else { return try weaklyTimed(tape, source) }
            commit = number
            readLSN = number
            return
        }
        if let told {
            commit = told
        } else {
            // The first transaction of a fresh connector, perhaps one that was open across its snapshot.
            guard let own else { throw .noLog }
            commit = max(own, lastReadSCN() ?? own)
            leansOnRead = true
        }
        isShared = false
        isOffset = totalOrder == nil
        if let totalOrder { hash.add(totalOrder) }
        guard let place = totalOrder ?? Optional(offset + 1), (1..<Self.place_max).contains(place) else { throw .range }
        seq = 2 * place
    }

    /// Decimal digits, in a string or plain; nil where there is none.
    private static func changeNumber(_ tape: JSONTape, _ i: Int32) throws(Trouble) -> Int64? {
        guard i >= 0 else { return nil }
        guard let number = JSONString.int64(tape.rawValue(Int(i))), number >= 0 else { throw .scn }
        return number
    }

    // MARK: - MongoDB

    private static let ordinalBits = 23
    private static let offsetBits = 37

    /// By the oplog's second and the number in it. What one transaction did has one such place: then the event's number
    /// in the transaction decides, else its offset, which names the event too, so that a second delivery is another.
    mutating func oplog(
        _ tape: JSONTape, _ source: EventSource, isRead: Bool, offset: Int64, totalOrder: Int64?,
        hash: inout Hash128
    ) throws(Trouble) {
        let time = source.time_us(tape)
        guard time != .min else { throw .noTime }
        commit = time
        let ordinal = source.order >= 0 ? tape.int64(Int(source.order)) ?? -1 : 0
        let place = totalOrder ?? offset + 1
        guard (0..<1 << Self.ordinalBits).contains(ordinal), (1..<1 << Self.offsetBits).contains(place) else {
            throw .range
        }
        seq = 2 * (ordinal << Self.offsetBits | (isRead ? 0 : place))
        isOffset = isRead ? source.order < 0 : totalOrder == nil
        isShared = isRead
        if !isRead, let totalOrder { hash.add(totalOrder) }
        hash.add(UInt64(bitPattern: time), UInt64(bitPattern: ordinal))
    }

    /// A read without a place in the log ranks below all that has one.
    private mutating func weaklyTimed(_ tape: JSONTape, _ source: EventSource) throws(Trouble) {
        let time = source.time_us(tape)
        guard time >= 0 else { throw .noTime }
        commit = Self.weakest + min(time, 1 << 61)
        isOffset = true
    }
}

extension UnsafeRawBufferPointer {
    /// JSON's integers have no leading zeros; binlog files' numbers do.
    fileprivate var trimmingZeros: UnsafeRawBufferPointer {
        var at = 0
        while at + 1 < count, self[at] == 0x30 { at += 1 }
        return UnsafeRawBufferPointer(rebasing: self[at...])
    }
}
