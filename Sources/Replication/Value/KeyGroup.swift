/// How a key column's value is brought into the one form that all values equal to it share.
indirect enum KeyGroupRule: Sendable, Equatable {
    /// The JSON form is that already.
    case asKey
    case decimal
    case float
    case characters
    case caseless
    case timetz
    case interval
    case jsonb
    /// A range or multirange of numerics.
    case decimals
    /// With bounds: whether arrays that differ in them alone are two.
    case array(KeyGroupRule, hasBounds: Bool)

    init(_ type: ColumnType, equality: KeyEquality) {
        switch (type, equality) {
        case (.numeric(_, _), .postgres): self = .decimal
        case (.numeric(let precision?, _), .duckdb) where precision <= 38: self = .decimal
        case (.real, _), (.double, _): self = .float
        case (.interval, _): self = .interval
        case (.timetz, .postgres): self = .timetz
        case (.jsonb, .postgres): self = .jsonb
        case (.array(let element), _):
            self = .array(KeyGroupRule(element.leaf, equality: equality), hasBounds: equality == .postgres)
        case (.other(let name), .postgres):
            let name = name.lowercased()
            let base = name.prefix { $0 != "(" }
            if base == "citext" || base.hasSuffix(".citext") {
                self = .caseless
            } else if base == "character" || base == "char" || base == "bpchar" {
                self = .characters
            } else if base == "numrange" || base == "nummultirange" {
                self = .decimals
            } else {
                self = .asKey
            }
        default: self = .asKey
        }
    }

    /// Appends the one form of a value; a text that can't be read as one of the type is its own form.
    func append(_ field: Field, _ type: ColumnType, from arena: ByteArena, to sink: ByteArena) {
        switch (self, field.kind) {
        case (.decimal, .text):
            if DecimalText.appendNormalized(field.range, of: arena, to: sink) != nil { return }
        case (.decimal, .int), (.decimal, .double):
            let start = sink.count
            let text = FieldText.appendPostgresText(field, .numeric(precision: nil, scale: 0), from: arena, to: sink)
            if DecimalText.appendNormalized(text, of: sink, to: sink) != nil {
                Self.close(gapFrom: start, length: text.length, in: sink)
                return
            }
            sink.truncate(to: start)
        case (.float, .text):
            let bytes = arena.bytes(field.range)
            if let value = type == .real ? DoubleText.parseSingle(bytes) : DoubleText.parse(bytes) {
                return Self.appendFloat(value, type, to: sink)
            }
        case (.float, .double): return Self.appendFloat(field.double, type, to: sink)
        case (.float, .int): return Self.appendFloat(Double(field.bits), type, to: sink)
        case (.characters, .text):
            var range = field.range
            let bytes = arena.bytes(range)
            while range.length > 0, bytes[range.length - 1] == 0x20 { range.length -= 1 }
            _ = sink.append(range, of: arena)
            return
        case (.caseless, .text): return Self.appendLowercased(field.range, of: arena, to: sink)
        case (.timetz, .text):
            if let (time, east) = CalendarParse.timetz(arena.bytes(field.range)) {
                // Postgres tells equal instants of other zones apart.
                FieldText.write(20, to: sink) { DecimalText.writeSigned(time, to: $0) }
                FieldText.write(20, to: sink) { out in
                    out.storeBytes(of: 0x40, as: UInt8.self)
                    return DecimalText.writeSigned(east, to: out + 1) + 1
                }
                return
            }
        case (.interval, .text):
            if let parts = IntervalParts(arena.bytes(field.range)),
                DecimalText.append(unscaled: parts.comparable_us, scale: 0, to: sink) != nil
            {
                return
            }
        case (.decimals, .text): return Self.appendDecimals(field.range, of: arena, to: sink)
        case (.jsonb, .json), (.jsonb, .text): return CanonicalJSON.append(field.range, of: arena, to: sink)
        case (.array(let element, _), .json):
            return CanonicalJSON.append(field.range, of: arena, to: sink, elements: element)
        case (.array(let element, let hasBounds), .text):
            let text = ByteArena()
            // The JSON form has no bounds.
            let bounds = hasBounds ? arena.bytes(field.range).prefix { $0 != 0x7B }.count : 0
            if bounds > 0 { _ = sink.append(ByteRange(offset: field.range.offset, length: bounds), of: arena) }
            FieldText.appendJSON(field, type, from: arena, to: text)
            let range = ByteRange(offset: 0, length: text.count)
            return CanonicalJSON.append(range, of: text, to: sink, elements: element)
        default: break
        }
        FieldText.appendJSON(field, type, from: arena, to: sink)
    }

    /// A text whose numbers are each brought into one form: `[1.0,2.50)` to `[1,2.5)`.
    private static func appendDecimals(_ range: ByteRange, of arena: ByteArena, to sink: ByteArena) {
        func isDigit(_ byte: UInt8) -> Bool { byte == 0x2D || byte == 0x2E || byte &- 0x30 < 10 }
        var at = range.offset
        let end = range.offset + range.length
        while at < end {
            let isNumber = isDigit(arena.base.load(fromByteOffset: at, as: UInt8.self))
            let start = at
            repeat {
                at += 1
            } while at < end && isDigit(arena.base.load(fromByteOffset: at, as: UInt8.self)) == isNumber
            let piece = ByteRange(offset: start, length: at - start)
            if isNumber, DecimalText.appendNormalized(piece, of: arena, to: sink) != nil { continue }
            _ = sink.append(piece, of: arena)
        }
    }

    /// Moves what stands behind a gap down over it.
    private static func close(gapFrom start: Int, length: Int, in sink: ByteArena) {
        let kept = sink.count - start - length
        (sink.base + start).copyMemory(from: sink.base + start + length, byteCount: kept)
        sink.truncate(to: start + kept)
    }

    private static func appendFloat(_ value: Double, _ type: ColumnType, to sink: ByteArena) {
        // -0 equals 0.
        FieldText.write(DoubleText.length_max, to: sink) {
            DoubleText.write(value == 0 ? 0 : value, single: type == .real, form: .json, to: $0)
        }
    }

    /// Letter by letter, as the `lower` of most locales; letters that become two (İ) keep their first.
    static func appendLowercased(_ range: ByteRange, of arena: ByteArena, to sink: ByteArena) {
        // A letter of two bytes (Ⱥ) can become one of three.
        sink.reserve(range.length * 3 / 2 + 4)
        let bytes = arena.bytes(range)
        let out = sink.base + sink.count
        var high: UInt8 = 0
        for i in 0..<bytes.count {
            let byte = bytes[i]
            high |= byte
            let isUpper = byte &- 0x41 < 26
            out.storeBytes(of: isUpper ? byte | 0x20 : byte, toByteOffset: i, as: UInt8.self)
        }
        if high < 0x80 {
            _ = sink.appendUninitialized(bytes.count)
            return
        }
        var lowered: [UInt8] = []
        for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
            let mapped = scalar.properties.lowercaseMapping.unicodeScalars.first ?? scalar
            lowered.append(contentsOf: UTF8.encode(mapped).map(Array.init) ?? [])
        }
        _ = lowered.withUnsafeBytes { sink.append($0) }
    }
}
