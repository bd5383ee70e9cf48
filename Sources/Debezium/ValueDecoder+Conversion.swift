import JSON
import Replication

/// What isn't read straight into the column: arrays, hashed columns, and values whose type in the event isn't the
/// column's.
extension ValueDecoder {
    /// The JSON that `to_jsonb` makes of the array. Debezium's JSON keeps no dimensions.
    func array(_ tape: JSONTape, _ i: Int, _ detail: PlanDetail) throws(Misfit) -> Field {
        guard tape.kind(i) == .array, let plan = detail.element else { throw .kind(tape.kind(i)) }
        let start = arena.count
        arena.append(byte: 0x5B)
        // Elements are read into the scratch and written as JSON into the arena.
        let output = arena
        let mark = scratch.count
        defer {
            arena = output
            scratch.truncate(to: mark)
        }
        var isFirst = true
        for child in tape.children(i) {
            if !isFirst { output.append(byte: 0x2C) }
            isFirst = false
            arena = elements
            elements.removeAll()
            let field: Field
            do throws(Misfit) {
                field = try self.field(tape, child, plan)
            } catch {
                throw error == .bytesNotTold || error == .unitNotTold ? error : .element
            }
            arena = output
            FieldText.appendJSON(field, detail.elementType, from: elements, to: output)
        }
        output.append(byte: 0x5D)
        return .stretch(.json, ByteRange(offset: start, length: output.count - start))
    }

    /// The value's hash in its stead; the value doesn't stay in the arena.
    func hashed(_ field: Field, _ detail: PlanDetail, from mark: Int) -> Field {
        guard field.kind != .null else { return field }
        let held = scratch.count
        defer { scratch.truncate(to: held) }
        let text = FieldText.appendPostgresText(field, detail.natural, from: arena, to: scratch)
        arena.truncate(to: mark)
        return .stretch(.text, hash(scratch.bytes(text), arena))
    }

    /// A value of the event's type as one of the column's, where nothing is lost by it.
    func convert(_ field: Field, _ detail: PlanDetail, from mark: Int) throws(Misfit) -> Field {
        guard field.kind != .null else { return field }
        let held = scratch.count
        defer { scratch.truncate(to: held) }
        switch detail.target {
        case .unknown, .json, .jsonb, .array:
            guard detail.target.takesJSON || field.kind == .json else { throw .conversion }
            let json = FieldText.appendJSON(field, detail.natural, from: arena, to: scratch)
            arena.truncate(to: mark)
            return .stretch(.json, arena.append(scratch.bytes(json)))
        case .text, .other, .composite:
            let text = FieldText.appendPostgresText(field, detail.natural, from: arena, to: scratch)
            arena.truncate(to: mark)
            return .stretch(.text, arena.append(scratch.bytes(text)))
        default:
            let text = FieldText.appendPostgresText(field, detail.natural, from: arena, to: scratch)
            arena.truncate(to: mark)
            return try converted(scratch.bytes(text), detail)
        }
    }

    private func converted(_ text: UnsafeRawBufferPointer, _ detail: PlanDetail) throws(Misfit) -> Field {
        switch detail.target {
        case .smallint, .integer, .bigint:
            guard let value = JSONString.int64(text) else { throw .conversion }
            let fits =
                switch detail.target {
                case .smallint: Int16(exactly: value) != nil
                case .integer: Int32(exactly: value) != nil
                default: true
                }
            guard fits else { throw .outOfRange }
            return .int(value)
        case .real, .double:
            // Only what comes out as it went in: the digits of the nearest number are the text's own.
            guard let value = detail.target == .real ? DoubleText.parseSingle(text) : DoubleText.parse(text),
                isExact(value, text, single: detail.target == .real)
            else { throw .conversion }
            return .double(value)
        case .numeric(let precision, let scale):
            guard let parts = DecimalParts(text) else { throw .conversion }
            if let precision {
                let needed = parts.digitsNeeded(in: text)
                guard parts.kind == .finite, needed.whole <= max(0, precision - scale), needed.fraction <= max(scale, 0)
                else { throw .digits }
            }
            guard parts.kind == .finite else { return .stretch(.text, arena.append(text)) }
            // A double's digits may have an exponent.
            let given = scratch.append(String(decoding: text, as: UTF8.self))
            guard let digits = DecimalText.appendPlain(given, of: scratch, to: arena) else { throw .conversion }
            return .stretch(.text, digits)
        case .boolean:
            if text.elementsEqual("t".utf8) || text.elementsEqual("true".utf8) { return .bool(true) }
            if text.elementsEqual("f".utf8) || text.elementsEqual("false".utf8) { return .bool(false) }
            throw .conversion
        case .date where detail.natural == .text:
            guard let days = CalendarParse.date(text) else { throw .conversion }
            return Field(kind: .date, bits: days)
        case .timestamptz where detail.natural == .text:
            guard let time = CalendarParse.timestamptz(text) else { throw .conversion }
            return Field(kind: .timestamptz, bits: time)
        case .timestamp where detail.natural == .text:
            guard let time = CalendarParse.timestamp(text) else { throw .conversion }
            return Field(kind: .timestamp, bits: time)
        case .time where detail.natural == .text:
            guard let time = CalendarParse.time(text) else { throw .conversion }
            return Field(kind: .time, bits: time)
        default:
            throw .conversion
        }
    }

    private func isExact(_ value: Double, _ text: UnsafeRawBufferPointer, single: Bool) -> Bool {
        guard value.isFinite else { return true }
        let mark = scratch.count
        defer { scratch.truncate(to: mark) }
        // `text` lies in the scratch, which may move when it grows.
        let given = scratch.append(String(decoding: text, as: UTF8.self))
        let room = scratch.appendUninitialized(DoubleText.length_max)
        let length = DoubleText.write(value, single: single, form: .json, to: scratch.base + room.offset)
        scratch.truncate(to: room.offset + length)
        let written = ByteRange(offset: room.offset, length: length)
        guard let a = DecimalText.appendNormalized(given, of: scratch, to: scratch),
            let b = DecimalText.appendNormalized(written, of: scratch, to: scratch)
        else { return false }
        return scratch.bytes(a).elementsEqual(scratch.bytes(b))
    }
}

extension ColumnType {
    /// Takes any JSON.
    var takesJSON: Bool {
        switch self {
        case .unknown, .json, .jsonb: true
        default: false
        }
    }
}
