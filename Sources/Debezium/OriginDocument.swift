import JSON
import Replication

/// Where an event comes from, gathered from members, attributes and headers, and written as an envelope has it in its
/// `source`: so that all that is made of a source is made the same way of each form, ids and versions too.
final class OriginDocument {
    private let text = ByteArena(capacity: 1024)
    private let parser: JSONParser
    private var seen: UInt32 = 0
    /// The letter of `op`; 0: not told, 0xFF: no letter.
    private(set) var letter: UInt8 = 0
    /// `__deleted`; nil: not told.
    private(set) var isDeleted: Bool?
    /// Of Postgres the database isn't the table's schema, so it stands apart.
    private(set) var database = ByteRange.null
    private let aside = ByteArena(capacity: 64)
    private var totalOrder: Int64?
    /// As it is named, else as only one connector shows such a place; nil: neither.
    var connector: Connector? {
        if let named { return named }
        if has(.lsn) || has(.sequence) { return .postgres }
        if has(.file), has(.position) { return .mysql }
        if has(.commitLSN) || has(.changeLSN) { return .sqlserver }
        if has(.scn) || has(.commitSCN) { return .oracle }
        return has(.collection) ? .mongodb : nil
    }

    private var named: Connector?
    /// Something was told beside the row.
    private(set) var isTold = false

    init() throws(JSONError) { parser = try JSONParser() }

    func begin() {
        text.removeAll()
        aside.removeAll()
        seen = 0
        letter = 0
        isDeleted = nil
        database = .null
        named = nil
        totalOrder = nil
        isTold = false
        text.append(byte: 0x7B)
    }

    var databaseText: String? { database.isNull ? nil : aside.string(database) }

    func has(_ member: AddedMember) -> Bool { seen & bit(member) != 0 }

    private func bit(_ member: AddedMember) -> UInt32 { 1 << UInt32(member.rawValue) }

    /// Takes a member of a tape, unless it was told before or is null.
    func add(_ member: AddedMember, _ tape: JSONTape, _ i: Int) {
        isTold = true
        guard member != .unused, !has(member) else { return }
        switch tape.kind(i) {
        case .null, .array, .object, .skipped: return
        case .string:
            let raw = tape.rawValue(i)
            if take(member, raw) { return }
            write(member) { put($0, raw, quoted: !(member.isNumber && Self.isInteger(raw))) }
        case .true, .false, .integer, .fraction:
            let raw = tape.rawValue(i)
            if take(member, raw) { return }
            write(member) { put($0, raw, quoted: false) }
        }
    }

    /// Takes a header's plain text.
    func add(_ member: AddedMember, plain: UnsafeRawBufferPointer) {
        isTold = true
        guard member != .unused, !has(member), !plain.isEmpty, !plain.elementsEqual("null".utf8) else { return }
        if member.isNumber, Self.isInteger(plain) {
            if !take(member, plain) { write(member) { put($0, plain, quoted: false) } }
            return
        }
        let mark = aside.count
        let room = aside.appendUninitialized(6 * plain.count)
        let length = JSONString.escape(plain, into: aside.base + room.offset)
        let escaped = ByteRange(offset: room.offset, length: length)
        aside.truncate(to: room.offset + length)
        // The database's name stays where it is.
        if member == .database {
            database = escaped
            seen |= bit(member)
            return
        }
        if !take(member, aside.bytes(escaped)) { write(member) { put($0, aside.bytes(escaped), quoted: true) } }
        aside.truncate(to: mark)
    }

    /// What isn't written; true if it was one of these.
    private func take(_ member: AddedMember, _ raw: UnsafeRawBufferPointer) -> Bool {
        switch member {
        case .operation: letter = raw.count == 1 ? raw[0] : 0xFF
        case .deleted: isDeleted = raw.elementsEqual("true".utf8)
        case .database: database = aside.append(raw)
        case .totalOrder: totalOrder = JSONString.int64(raw)
        case .connector:
            named = Connector(name: raw)
            return false
        default: return false
        }
        seen |= bit(member)
        return true
    }

    private func write(_ member: AddedMember, _ body: (StaticString) -> Void) {
        seen |= bit(member)
        body(member.name)
    }

    private func put(_ name: StaticString, _ value: UnsafeRawBufferPointer, quoted: Bool) {
        if text.count > 1 { text.append(byte: 0x2C) }
        text.append(byte: 0x22)
        _ = text.append(UnsafeRawBufferPointer(name))
        text.append(byte: 0x22)
        text.append(byte: 0x3A)
        if quoted { text.append(byte: 0x22) }
        _ = text.append(value)
        if quoted { text.append(byte: 0x22) }
    }

    private static func isInteger(_ raw: UnsafeRawBufferPointer) -> Bool { JSONString.int64(raw) != nil }

    /// The document, which is its own `source`; valid until the next one. Nil for what can't be one.
    ///
    /// - Parameter databaseIsSchema: the connector's schemas are its databases.
    func finish(databaseIsSchema: Bool) -> JSONTape? {
        if databaseIsSchema, !database.isNull, !has(.schema) {
            put("db", aside.bytes(database), quoted: true)
        }
        if let totalOrder {
            if text.count > 1 { text.append(byte: 0x2C) }
            _ = text.append("\"transaction\":{\"total_order\":\(totalOrder)}")
        }
        text.append(byte: 0x7D)
        return try? parser.parse(text.bytes(ByteRange(offset: 0, length: text.count)))
    }
}
