import JSON
import Replication

/// The engine's text of a LIST or a STRUCT, in each other too, from JSON: `["a","b\"c",NULL,1.50]`,
/// `{"street":"x","zip code":1}`. Elements and fields stay text, which the engine casts each to its type; so no number
/// passes through a double.
enum NestedLiteral {
    /// Why it is no value of the column; nil if it was appended.
    typealias Misfit = String

    /// - Parameter json: well-formed, in the `to_jsonb` form of the array or composite.
    static func append(_ json: UnsafeRawBufferPointer, as form: ColumnForm, to sink: ByteArena) -> Misfit? {
        var scanner = JSONScanner(json)
        let misfit = form.kind == .list ? list(&scanner, form, to: sink) : structure(&scanner, form, to: sink)
        return misfit ?? (scanner.next() == 0 ? nil : wrong(form))
    }

    private static func wrong(_ form: ColumnForm) -> Misfit {
        form.kind == .list ? "not an array" : "not a row of the fields that the column has"
    }

    private static func list(_ scanner: inout JSONScanner, _ form: ColumnForm, to sink: ByteArena) -> Misfit? {
        guard scanner.take(0x5B) else { return wrong(form) }
        sink.append(byte: 0x5B)
        let element = form.children[0]
        if !scanner.take(0x5D) {
            while true {
                if let misfit = value(&scanner, element, to: sink) { return misfit }
                if scanner.take(0x5D) { break }
                guard scanner.take(0x2C) else { return wrong(form) }
                sink.append(byte: 0x2C)
            }
        }
        sink.append(byte: 0x5D)
        return nil
    }

    /// Fields that are left out are NULL to the engine.
    private static func structure(_ scanner: inout JSONScanner, _ form: ColumnForm, to sink: ByteArena) -> Misfit? {
        guard scanner.take(0x7B) else { return wrong(form) }
        sink.append(byte: 0x7B)
        if !scanner.take(0x7D) {
            var isFirst = true
            while true {
                guard scanner.next() == 0x22, let name = scanner.value(),
                    let plain = JSONString.unescaped(UnsafeRawBufferPointer(rebasing: name[1..<name.count - 1])),
                    scanner.take(0x3A)
                else { return wrong(form) }
                if scanner.next() == 0x6E {
                    guard scanner.value() != nil else { return wrong(form) }
                } else {
                    guard let field = form.children.first(where: { $0.nameBytes == plain }) else { return wrong(form) }
                    if !isFirst { sink.append(byte: 0x2C) }
                    isFirst = false
                    plain.withUnsafeBytes { quote($0, to: sink) }
                    sink.append(byte: 0x3A)
                    if let misfit = value(&scanner, field, to: sink) { return misfit }
                }
                if scanner.take(0x7D) { break }
                guard scanner.take(0x2C) else { return wrong(form) }
            }
        }
        sink.append(byte: 0x7D)
        return nil
    }

    /// An element or a field.
    private static func value(_ scanner: inout JSONScanner, _ form: ColumnForm, to sink: ByteArena) -> Misfit? {
        let first = scanner.next()
        guard let json = scanner.value() else { return "not an array or row" }
        if first == 0x6E {
            // The only bare word that is NULL: text is always quoted.
            for byte in "NULL".utf8 { sink.append(byte: byte) }
            return nil
        }
        if (form.kind == .list) != (first == 0x5B), form.kind != .json {
            return "an array of other dimensions than the column was declared with"
        }
        if form.kind == .list || form.kind == .structure { return append(json, as: form, to: sink) }
        return scalar(json, first, form, to: sink)
    }

    private static func scalar(
        _ value: UnsafeRawBufferPointer, _ first: UInt8, _ form: ColumnForm, to sink: ByteArena
    ) -> Misfit? {
        if form.kind == .json || first == 0x7B {
            quote(value, to: sink)
            return nil
        }
        guard first == 0x22 else {
            if form.kind == .decimal, !fits(value, form) { return tooMuch(form) }
            _ = sink.append(value)
            return nil
        }
        let content = UnsafeRawBufferPointer(rebasing: value[1..<value.count - 1])
        guard let plain = JSONString.unescaped(content) else { return "not JSON" }
        return plain.withUnsafeBytes { bytes in
            if form.kind == .decimal, !fits(bytes, form) { return tooMuch(form) }
            text(bytes, form.kind, to: sink)
            return nil
        }
    }

    /// Looked at here, so that the column is named.
    private static func fits(_ number: UnsafeRawBufferPointer, _ form: ColumnForm) -> Bool {
        DecimalText.parseDecimal(number, scale: form.scale, precision: form.precision) != nil
    }

    private static func tooMuch(_ form: ColumnForm) -> Misfit { "not a number that \(form.sqlType) can hold" }

    private static func text(_ bytes: UnsafeRawBufferPointer, _ element: ColumnForm.Kind, to sink: ByteArena) {
        switch element {
        case .blob where bytes.count >= 2 && bytes[0] == 0x5C:
            // `\xdead` is `\xDE\xAD` here; either case does.
            let out = ByteArena(capacity: 64)
            for i in stride(from: 2, to: bytes.count - 1, by: 2) {
                out.append(byte: 0x5C)
                out.append(byte: 0x78)
                out.append(byte: bytes[i])
                out.append(byte: bytes[i + 1])
            }
            quote(out.bytes(ByteRange(offset: 0, length: out.count)), to: sink)
        case .map:
            let out = ByteArena(capacity: 64)
            // One that isn't an hstore's text is left to the engine to refuse.
            let isMap = MapLiteral.append(bytes, to: out)
            quote(isMap ? out.bytes(ByteRange(offset: 0, length: out.count)) : bytes, to: sink)
        case .interval:
            bytes.filter { $0 != 0x2B }.withUnsafeBytes { quote($0, to: sink) }
        case .date, .timestamp, .timestamptz:
            Array(EraText.engine(String(decoding: bytes, as: UTF8.self)).utf8).withUnsafeBytes { quote($0, to: sink) }
        default: quote(bytes, to: sink)
        }
    }

    /// In double quotes, which a backslash escapes, as it does itself.
    static func quote(_ bytes: UnsafeRawBufferPointer, to sink: ByteArena) {
        sink.append(byte: 0x22)
        for byte in bytes {
            if byte == 0x22 || byte == 0x5C { sink.append(byte: 0x5C) }
            sink.append(byte: byte)
        }
        sink.append(byte: 0x22)
    }
}
