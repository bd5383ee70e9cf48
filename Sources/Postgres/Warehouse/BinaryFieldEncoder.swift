import Foundation
import Replication

/// Writes fields in COPY's binary format, straight from the batch's arena. A field that stands as Postgres' text is read
/// here, which costs a fraction of what the server's input functions do.
///
/// Whatever isn't read with certainty is refused, so that the row goes as text and the server judges it.
struct BinaryFieldEncoder: RowEncoder {
    let writer: CopyBinaryWriter
    let batch: ChangeBatch
    let scratch: ByteArena
    let forms: [BinaryForm]

    func beginRow(columns: Int) { writer.beginRow(columns: columns) }

    @inline(__always)
    func field(_ field: Field, _ type: ColumnType, _ column: Int) -> Bool {
        let form = forms[column]
        switch (field.kind, form) {
        case (.null, _), (.unchanged, _), (.absent, _): writer.null()
        case (.int, .int8): writer.field(field.bits)
        case (.int, .int4), (.int, .int2): return integer(field.bits, form)
        case (.bool, .bool): writer.flag(field.bits != 0)
        case (.date, .date): return date(field.bits)
        case (.time, .time): writer.field(field.bits)
        case (.timestamp, .timestamp), (.timestamptz, .timestamptz): return moment(field.bits, form)
        case (.bytes, .bytea): writer.field(batch.bytes(field))
        case (.text, .text):
            guard case .unknown = type else {
                writer.field(batch.bytes(field))
                return true
            }
            return other(field, type, form)
        case (.text, _):
            guard case .unknown = type else { return read(batch.bytes(field), form) }
            return other(field, type, form)
        default: return other(field, type, form)
        }
        return true
    }

    /// By way of the text that the column would be given.
    @inline(never)
    private func other(_ field: Field, _ type: ColumnType, _ form: BinaryForm) -> Bool {
        switch type {
        case .json, .jsonb, .unknown:
            let mark = scratch.count
            defer { scratch.truncate(to: mark) }
            return read(scratch.bytes(FieldText.appendJSON(field, type, from: batch.arena, to: scratch)), form)
        default:
            return FieldText.withPostgresText(field, type, in: batch.arena, scratch: scratch) { read($0, form) }
        }
    }

    @inline(__always)
    private func read(_ text: UnsafeRawBufferPointer, _ form: BinaryForm) -> Bool {
        switch form {
        case .text: writer.field(text)
        case .timestamptz:
            guard Self.isYear(text), let time = CalendarParse.timestamptz(text) else { return false }
            return moment(time, form)
        case .timestamp:
            guard Self.isYear(text), let time = CalendarParse.timestamp(text) else { return false }
            return moment(time, form)
        case .numeric: return writer.numeric(text)
        case .int2, .int4, .int8:
            guard let number = Self.integer(text) else { return false }
            return integer(number, form)
        case .jsonb: writer.jsonb(text)
        case .date:
            guard Self.isYear(text), let days = CalendarParse.date(text) else { return false }
            return date(days)
        case .time:
            guard let time = CalendarParse.time(text) else { return false }
            writer.field(time)
        case .bool:
            guard text.count == 1, text[0] == 0x74 || text[0] == 0x66 else { return false }
            writer.flag(text[0] == 0x74)
        case .uuid: return writer.uuid(text)
        case .bytea: return writer.hex(text)
        case .float4, .float8: return float(text, form)
        }
        return true
    }

    // MARK: Numbers

    private func integer(_ number: Int64, _ form: BinaryForm) -> Bool {
        switch form {
        case .int8: writer.field(number)
        case .int4:
            guard let small = Int32(exactly: number) else { return false }
            writer.field(small)
        default:
            guard let small = Int16(exactly: number) else { return false }
            writer.field(small)
        }
        return true
    }

    /// Digits with perhaps a minus before them.
    @inline(__always)
    static func integer(_ text: UnsafeRawBufferPointer) -> Int64? {
        let isNegative = text.first == 0x2D
        let start = isNegative ? 1 : 0
        // 18 digits never overflow.
        guard text.count > start, text.count - start <= 18 else { return nil }
        var value: Int64 = 0
        for index in start..<text.count {
            let digit = text[index] &- 0x30
            guard digit < 10 else { return nil }
            value = value &* 10 &+ Int64(digit)
        }
        return isNegative ? -value : value
    }

    /// As the server's own input function reads it: by strtod and strtof.
    private func float(_ text: UnsafeRawBufferPointer, _ form: BinaryForm) -> Bool {
        guard text.count < 64, text.first.map({ $0 == 0x2D || $0 &- 0x30 < 10 }) ?? false,
            text.allSatisfy({ $0 &- 0x30 < 10 || $0 == 0x2D || $0 == 0x2B || $0 == 0x2E || $0 | 0x20 == 0x65 })
        else { return false }
        // What is too small for the type the server refuses.
        let isZero = text.prefix { $0 | 0x20 != 0x65 }.allSatisfy { $0 &- 0x31 >= 9 }
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
            guard let base = buffer.baseAddress else { return false }
            UnsafeMutableRawBufferPointer(buffer).copyBytes(from: text)
            buffer[text.count] = 0
            var end: UnsafeMutablePointer<CChar>?
            if form == .float8 {
                let value = strtod(base, &end)
                guard end == base + text.count, value.isFinite, value != 0 || isZero else { return false }
                writer.field(Int64(bitPattern: value.bitPattern))
            } else {
                let value = strtof(base, &end)
                guard end == base + text.count, value.isFinite, value != 0 || isZero else { return false }
                writer.field(Int32(bitPattern: value.bitPattern))
            }
            return true
        }
    }

    // MARK: Times

    /// Not a year with a sign, nor the year 0: ISO has them, the server doesn't.
    @inline(__always)
    private static func isYear(_ text: UnsafeRawBufferPointer) -> Bool {
        guard text.count >= 5, let first = text.first else { return false }
        if first == 0x2D || first == 0x2B { return text[1] &- 0x30 >= 10 }
        return !(first == 0x30 && text[1] == 0x30 && text[2] == 0x30 && text[3] == 0x30 && text[4] == 0x2D)
    }

    private func date(_ days: Int64) -> Bool {
        if days == .max || days == .min {
            writer.field(days == .max ? Int32.max : Int32.min)
            return true
        }
        // Days from 1970 to 2000, from where the server counts.
        guard let day = Int32(exactly: days - 10_957) else { return false }
        writer.field(day)
        return true
    }

    /// Microseconds since 1970; infinities are the extremes on both sides.
    @inline(__always)
    private func moment(_ time_us: Int64, _ form: BinaryForm) -> Bool {
        if time_us == .max || time_us == .min {
            writer.field(time_us)
            return true
        }
        let (time, isTooEarly) = time_us.subtractingReportingOverflow(CopyBinaryWriter.epoch_us)
        guard !isTooEarly, time != .min else { return false }
        writer.field(time)
        return true
    }

    // MARK: Our own columns

    func null() { writer.null() }
    func flag(_ flag: Bool) { writer.flag(flag) }
    func number(_ number: Int64) { writer.field(number) }
    func smallNumber(_ number: Int16) { writer.field(number) }
    func text(_ text: String) {
        var text = text
        text.withUTF8 { writer.field(UnsafeRawBufferPointer($0)) }
    }
    func moment(_ time_us: Int64) { writer.moment(time_us) }
    func version(_ version: Version) {
        writer.field(version.epoch)
        writer.field(version.commit)
        writer.field(version.seq)
    }
    func uuid(_ id: EventID) { writer.uuid(id) }
    func endRow() throws { try writer.flushIfFull() }
}
