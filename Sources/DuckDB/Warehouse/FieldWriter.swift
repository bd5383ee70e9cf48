import Replication

/// Writes fields of one table's images into the columns of a staging table, bytes to bytes: no object per value.
///
/// What a column can't hold is `ReplicationError.data` that names table, column and trouble, never the value.
final class FieldWriter {
    private let forms: [ColumnForm]
    private let kinds: [ColumnForm.Kind]
    private let source: TableID
    /// For text in another form than the arena has it.
    private let scratch = ByteArena()

    init(_ forms: [ColumnForm], of source: TableID) {
        self.forms = forms
        self.source = source
        kinds = forms.map(\.kind)
    }

    /// Sets the appender's column `column`, which is staged for the source's column of the same index. Nothing is
    /// set for a field that isn't a value: the row's end makes that NULL.
    @inline(__always)
    func write(_ field: Field, _ column: Int, _ arena: ByteArena, to appender: Appender) throws {
        switch (kinds[column], field.kind) {
        case (_, .null), (_, .unchanged), (_, .absent): return
        case (.int64, .int): appender.set(column, int64: field.bits)
        case (.text, .text): try text(arena.bytes(field.range), column, to: appender)
        case (.timestamptz, .timestamptz), (.timestamp, .timestamp): try moment(field.bits, column, to: appender)
        case (.int32, .int):
            guard let value = Int32(exactly: field.bits) else { throw misfit(column, "out of range") }
            appender.set(column, int32: value)
        case (.decimal, .text):
            let form = forms[column]
            guard
                let value = DecimalText.parseDecimal(
                    arena.bytes(field.range), scale: form.scale, precision: form.precision)
            else { throw misfit(column, "not a number that \(form.sqlType) can hold") }
            try appender.set(column, decimal: value)
        case (.bool, .bool): appender.set(column, bool: field.bits != 0)
        case (.double, .double): appender.set(column, double: field.double)
        default: try writeOther(field, column, arena, to: appender)
        }
    }

    func misfit(_ column: Int, _ trouble: String) -> ReplicationError {
        ReplicationError(
            .data, "\(source): column \(forms[column].name) (\(forms[column].sqlType)): \(trouble)", table: source)
    }

    // MARK: The rarer forms

    @inline(never)
    private func writeOther(_ field: Field, _ column: Int, _ arena: ByteArena, to appender: Appender) throws {
        let isText = field.kind == .text
        switch kinds[column] {
        case .int16:
            guard let value = Int16(exactly: try integer(field, column, arena)) else {
                throw misfit(column, "out of range")
            }
            appender.set(column, int16: value)
        case .int32:
            guard let value = Int32(exactly: try integer(field, column, arena)) else {
                throw misfit(column, "out of range")
            }
            appender.set(column, int32: value)
        case .int64: appender.set(column, int64: try integer(field, column, arena))
        case .float, .double: try float(field, column, arena, to: appender)
        case .decimal: try decimal(field, column, arena, to: appender)
        case .bool:
            guard isText, let value = Self.bool(arena.bytes(field.range)) else { throw unfit(field, column) }
            appender.set(column, bool: value)
        case .uuid:
            guard isText, let value = Self.uuid(arena.bytes(field.range)) else { throw unfit(field, column) }
            appender.set(column, uuidHigh: value.high, low: value.low)
        case .blob: try blob(field, column, arena, to: appender)
        case .date, .time, .timestamp, .timestamptz: try calendar(field, column, arena, to: appender)
        case .text:
            try FieldText.withPostgresText(field, forms[column].type, in: arena, scratch: scratch) {
                try text($0, column, to: appender)
            }
        case .json: try json(field, column, arena, to: appender)
        case .list, .structure: try nested(field, column, arena, to: appender)
        case .map:
            guard isText || field.kind == .json else { throw unfit(field, column) }
            scratch.removeAll()
            guard MapLiteral.append(arena.bytes(field.range), to: scratch) else {
                throw misfit(column, "not an hstore's text")
            }
            try text(scratch.bytes(ByteRange(offset: 0, length: scratch.count)), column, to: appender)
        case .interval:
            guard isText else { throw unfit(field, column) }
            scratch.removeAll()
            // The engine reads Postgres' text but for the plus signs.
            for byte in arena.bytes(field.range) where byte != 0x2B { scratch.append(byte: byte) }
            try text(scratch.bytes(ByteRange(offset: 0, length: scratch.count)), column, to: appender)
        }
    }

    private func unfit(_ field: Field, _ column: Int) -> ReplicationError {
        misfit(column, "a value of kind \(field.kind) that doesn't fit the type")
    }

    @inline(__always)
    private func text(_ bytes: UnsafeRawBufferPointer, _ column: Int, to appender: Appender) throws {
        do {
            try appender.set(column, utf8: bytes)
        } catch {
            throw misfit(column, "not UTF-8, or too long")
        }
    }

    private func integer(_ field: Field, _ column: Int, _ arena: ByteArena) throws -> Int64 {
        if field.kind == .int { return field.bits }
        guard field.kind == .text,
            let wide = DecimalText.parseDecimal(arena.bytes(field.range), scale: 0),
            let value = Int64(exactly: wide)
        else { throw unfit(field, column) }
        return value
    }

    private func float(_ field: Field, _ column: Int, _ arena: ByteArena, to appender: Appender) throws {
        let isSingle = kinds[column] == .float
        let value: Double
        switch field.kind {
        case .double: value = field.double
        case .int: value = Double(field.bits)
        case .text:
            let bytes = arena.bytes(field.range)
            guard let parsed = isSingle ? DoubleText.parseSingle(bytes) : DoubleText.parse(bytes) else {
                throw unfit(field, column)
            }
            value = parsed
        default: throw unfit(field, column)
        }
        if isSingle {
            guard !value.isFinite || Float(value).isFinite else { throw misfit(column, "out of range") }
            appender.set(column, float: Float(value))
        } else {
            appender.set(column, double: value)
        }
    }

    private func decimal(_ field: Field, _ column: Int, _ arena: ByteArena, to appender: Appender) throws {
        let form = forms[column]
        guard field.kind == .int || field.kind == .double else { throw unfit(field, column) }
        let value = FieldText.withPostgresText(field, form.type, in: arena, scratch: scratch) {
            DecimalText.parseDecimal($0, scale: form.scale, precision: form.precision)
        }
        guard let value else { throw misfit(column, "not a number that \(form.sqlType) can hold") }
        try appender.set(column, decimal: value)
    }

    private func blob(_ field: Field, _ column: Int, _ arena: ByteArena, to appender: Appender) throws {
        if field.kind == .bytes { return try appender.set(column, blob: arena.bytes(field.range)) }
        guard field.kind == .text else { throw unfit(field, column) }
        let bytes = arena.bytes(field.range)
        guard bytes.count >= 2, bytes.count % 2 == 0, bytes[0] == 0x5C, bytes[1] == 0x78 else {
            throw unfit(field, column)
        }
        scratch.removeAll()
        for i in stride(from: 2, to: bytes.count, by: 2) {
            guard let high = hexValue(bytes[i]), let low = hexValue(bytes[i + 1]) else { throw unfit(field, column) }
            scratch.append(byte: high << 4 | low)
        }
        try appender.set(column, blob: scratch.bytes(ByteRange(offset: 0, length: scratch.count)))
    }

    // MARK: Dates and times

    /// -290308-12-21 BC, with which the engine's timestamps begin.
    private static let moment_min: Int64 = -9_223_372_022_400_000_000

    /// Both know infinity; the engine's negative one is the largest negated.
    @inline(__always)
    private func moment(_ bits: Int64, _ column: Int, to appender: Appender) throws {
        if bits < Self.moment_min {
            guard bits == .min else { throw misfit(column, "before the engine's first timestamp") }
            return appender.set(column, int64: -.max)
        }
        appender.set(column, int64: bits)
    }

    private func calendar(_ field: Field, _ column: Int, _ arena: ByteArena, to appender: Appender) throws {
        var bits = field.bits
        let isText = field.kind == .text
        let bytes = isText ? arena.bytes(field.range) : UnsafeRawBufferPointer(start: nil, count: 0)
        switch (kinds[column], field.kind) {
        case (.date, .date), (.time, .time), (.timestamp, .timestamp), (.timestamptz, .timestamptz): break
        case (.date, .text): bits = try parsed(CalendarParse.date(bytes), field, column)
        case (.time, .text): bits = try parsed(CalendarParse.time(bytes), field, column)
        case (.timestamp, .text): bits = try parsed(CalendarParse.timestamp(bytes), field, column)
        case (.timestamptz, .text): bits = try parsed(CalendarParse.timestamptz(bytes), field, column)
        default: throw unfit(field, column)
        }
        switch kinds[column] {
        case .date:
            if bits == .max || bits == .min {
                appender.set(column, int32: bits == .max ? .max : -.max)
            } else {
                guard (-2_147_483_646...2_147_483_646).contains(bits) else { throw misfit(column, "out of range") }
                appender.set(column, int32: Int32(truncatingIfNeeded: bits))
            }
        case .time:
            guard (0...CalendarText.day_us).contains(bits) else { throw misfit(column, "out of range") }
            appender.set(column, int64: bits)
        default: try moment(bits, column, to: appender)
        }
    }

    private func parsed(_ bits: Int64?, _ field: Field, _ column: Int) throws -> Int64 {
        guard let bits else { throw unfit(field, column) }
        return bits
    }

    // MARK: Text that the engine converts

    private func json(_ field: Field, _ column: Int, _ arena: ByteArena, to appender: Appender) throws {
        if field.kind == .json { return try text(arena.bytes(field.range), column, to: appender) }
        scratch.removeAll()
        let range = FieldText.appendJSON(field, forms[column].type, from: arena, to: scratch)
        try text(scratch.bytes(range), column, to: appender)
    }

    private func nested(_ field: Field, _ column: Int, _ arena: ByteArena, to appender: Appender) throws {
        guard field.kind == .json || field.kind == .text else { throw unfit(field, column) }
        scratch.removeAll()
        let json = ByteArena(capacity: 64)
        let range = FieldText.appendJSON(field, forms[column].type, from: arena, to: json)
        if let trouble = NestedLiteral.append(json.bytes(range), as: forms[column], to: scratch) {
            throw misfit(column, trouble)
        }
        try text(scratch.bytes(ByteRange(offset: 0, length: scratch.count)), column, to: appender)
    }

    // MARK: Small texts

    private static func bool(_ bytes: UnsafeRawBufferPointer) -> Bool? {
        switch String(decoding: bytes, as: UTF8.self) {
        case "t", "true": true
        case "f", "false": false
        default: nil
        }
    }

    private static func uuid(_ bytes: UnsafeRawBufferPointer) -> EventID? {
        var words: (UInt64, UInt64) = (0, 0)
        var digits = 0
        for byte in bytes where byte != 0x2D {
            guard let value = hexValue(byte), digits < 32 else { return nil }
            if digits < 16 { words.0 = words.0 << 4 | UInt64(value) } else { words.1 = words.1 << 4 | UInt64(value) }
            digits += 1
        }
        return digits == 32 ? EventID(high: words.0, low: words.1) : nil
    }
}
