import JSON
import Replication

/// Bytes, bit strings, and the types that Debezium takes apart.
extension ValueDecoder {
    func binary(_ tape: JSONTape, _ i: Int, _ form: ValueEncoding.Bytes) throws(Misfit) -> Field {
        guard tape.kind(i) == .string else { throw .kind(tape.kind(i)) }
        let raw = tape.rawValue(i)
        switch form {
        case .base64:
            guard let range = Base64.append(raw, to: arena) else { throw .base64 }
            return .stretch(.bytes, range)
        case .hex:
            guard raw.count % 2 == 0 else { throw .form }
            let range = arena.appendUninitialized(raw.count / 2)
            let bytes = arena.mutableBytes(range)
            for k in 0..<bytes.count {
                guard let high = hexValue(raw[2 * k]), let low = hexValue(raw[2 * k + 1]) else {
                    arena.truncate(to: range.offset)
                    throw .form
                }
                bytes[k] = high << 4 | low
            }
            return .stretch(.bytes, range)
        case .unknown: throw .bytesNotTold
        }
    }

    func textBytes(_ tape: JSONTape, _ i: Int, _ form: ValueEncoding.Bytes) throws(Misfit) -> Field {
        let range = try binary(tape, i, form).range
        let bytes = arena.bytes(range)
        guard !bytes.contains(0), String(validating: bytes, as: UTF8.self) != nil else {
            arena.truncate(to: range.offset)
            throw .form
        }
        return .stretch(.text, range)
    }

    /// Little-endian bytes, most significant bit last; the text has it first. `length` 0: as many as are needed.
    func bits(_ tape: JSONTape, _ i: Int, length: Int) throws(Misfit) -> Field {
        switch tape.kind(i) {
        case .true, .false:
            let range = arena.appendUninitialized(1)
            arena.mutableBytes(range)[0] = tape.kind(i) == .true ? 0x31 : 0x30
            return .stretch(.text, range)
        case .string: break
        default: throw .kind(tape.kind(i))
        }
        let mark = scratch.count
        defer { scratch.truncate(to: mark) }
        guard let range = Base64.append(tape.rawValue(i), to: scratch) else { throw .base64 }
        let bytes = scratch.bytes(range)
        func bit(_ k: Int) -> Bool { k / 8 < bytes.count && bytes[k / 8] >> UInt8(k % 8) & 1 == 1 }
        var needed = bytes.count * 8
        while needed > 0, !bit(needed - 1) { needed -= 1 }
        if length > 0, needed > length { throw .tooLong }
        let count = length > 0 ? length : needed
        let text = arena.appendUninitialized(count)
        let out = arena.mutableBytes(text)
        for k in 0..<count { out[k] = bit(count - 1 - k) ? 0x31 : 0x30 }
        return .stretch(.text, text)
    }

    /// `{"x":1.5,"y":-2.5,…}` → `(1.5,-2.5)`.
    func point(_ tape: JSONTape, _ i: Int) throws(Misfit) -> Field {
        guard tape.kind(i) == .object else {
            return .stretch(.text, try text(tape, i))
        }
        guard let x = tape.find("x", in: i), let y = tape.find("y", in: i) else { throw .form }
        for k in [x, y] {
            guard DecimalParts(tape.rawValue(k)) != nil else { throw .form }
        }
        let start = arena.count
        arena.append(byte: 0x28)
        _ = arena.append(tape.rawValue(x))
        arena.append(byte: 0x2C)
        _ = arena.append(tape.rawValue(y))
        arena.append(byte: 0x29)
        return .stretch(.text, ByteRange(offset: start, length: arena.count - start))
    }

    /// A JSON object, or a string that holds one → `"a"=>"1", "b"=>NULL`.
    func hstore(_ tape: JSONTape, _ i: Int) throws(Misfit) -> Field {
        switch tape.kind(i) {
        case .object: return try pairs(tape, i)
        case .string:
            let mark = scratch.count
            defer { scratch.truncate(to: mark) }
            let range = try unescaped(tape, i, to: scratch)
            // Read apart: while it is walked the scratch grows.
            let copy = ByteArena(capacity: range.length)
            _ = copy.append(scratch.bytes(range))
            guard let document = try? inner.parse(copy.bytes(ByteRange(offset: 0, length: range.length))) else {
                throw .document
            }
            return try pairs(document, document.root)
        default: throw .kind(tape.kind(i))
        }
    }

    private func pairs(_ tape: JSONTape, _ object: Int) throws(Misfit) -> Field {
        guard tape.kind(object) == .object else { throw .kind(tape.kind(object)) }
        let start = arena.count
        for child in tape.children(object) {
            if arena.count > start { _ = arena.append(", ") }
            guard let key = tape.key(child) else { throw .surrogate }
            quote(key)
            _ = arena.append("=>")
            switch tape.kind(child) {
            case .null: _ = arena.append("NULL")
            case .string:
                guard let value = tape.string(child) else { throw .surrogate }
                quote(value)
            default: throw .kind(tape.kind(child))
            }
        }
        return .stretch(.text, ByteRange(offset: start, length: arena.count - start))
    }

    private func quote(_ text: String) {
        arena.append(byte: 0x22)
        for byte in text.utf8 {
            if byte == 0x22 || byte == 0x5C { arena.append(byte: 0x5C) }
            arena.append(byte: byte)
        }
        arena.append(byte: 0x22)
    }
}
