import CSimdJSON

/// What a token of a tape is.
public enum JSONKind: UInt8, Sendable {
    case null, `false`, `true`
    /// A number without fraction and exponent, of any size.
    case integer
    /// A number with a fraction or an exponent.
    case fraction
    case string, object, array
    /// A container that was not walked, at the parser's wish: balanced, its grammar unchecked.
    case skipped
}

/// A parsed document: its values as tokens, in document order, named by their indices.
///
/// Public, as its parts are, though the package is all that uses it: the compiler inlines across modules
/// what is `@inlinable` in public types, and nothing in `package` ones.
///
/// A view: it holds neither the document nor the parser, and is valid until the parser's next parse, as
/// long as the parser lives (keep it in a property, not in a temporary) and the document's bytes stay.
/// Indices must come from the tape itself; they aren't checked. Nothing here allocates but what returns a
/// `String`.
public struct JSONTape {
    @usableFromInline let base: UnsafeRawPointer
    @usableFromInline let tokens: UnsafePointer<csimdjson_token>
    /// Tokens in all.
    @usableFromInline package let count: Int
    /// Names the bytes of the skipped member, where that is the document's first: from one parser, the
    /// same number means the same bytes (and the same number isn't used twice). 0 where there is none,
    /// or where it isn't kept.
    @usableFromInline package let skippedID: UInt32

    init(base: UnsafeRawPointer, tokens: UnsafePointer<csimdjson_token>, count: Int, skippedID: UInt32) {
        self.base = base
        self.tokens = tokens
        self.count = count
        self.skippedID = skippedID
    }

    @inlinable package var root: Int { 0 }

    @inlinable
    package func kind(_ i: Int) -> JSONKind { JSONKind(rawValue: tokens[i].kind).unsafelyUnwrapped }

    @inlinable
    package func isNull(_ i: Int) -> Bool { tokens[i].kind == JSONKind.null.rawValue }

    /// The token behind `i` and all that is in it: its next sibling, unless it is the last.
    @inlinable
    package func next(_ i: Int) -> Int { Int(tokens[i].next) }

    /// Members or elements, at most 65535 whatever there are. 0 for what isn't a walked container.
    @inlinable
    package func childCount(_ i: Int) -> Int { Int(tokens[i].count) }

    /// The members of an object or elements of an array, in order; nothing for other kinds.
    @inlinable
    package func children(_ i: Int) -> Children {
        Children(tokens: tokens, at: i + 1, end: Int(tokens[i].next))
    }

    /// A value's bytes: a number or literal as written, a string's content without quotes and still
    /// escaped, a container with its brackets.
    @inlinable
    package func rawValue(_ i: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: base + Int(tokens[i].value_offset), count: Int(tokens[i].value_length))
    }

    /// Where `rawValue` begins in the document.
    @inlinable
    package func offset(_ i: Int) -> Int { Int(tokens[i].value_offset) }

    /// Whether a string has escapes. Without, `rawValue` is its UTF-8.
    @inlinable
    package func isEscaped(_ i: Int) -> Bool { tokens[i].flags & 1 != 0 }

    /// Whether the member's key has escapes. Without, `rawKey` is its UTF-8.
    @inlinable
    package func isKeyEscaped(_ i: Int) -> Bool { tokens[i].flags & 2 != 0 }

    /// A member's key without quotes, still escaped; empty for what is no member.
    @inlinable
    package func rawKey(_ i: Int) -> UnsafeRawBufferPointer {
        let length = Int(tokens[i].key_length)
        return UnsafeRawBufferPointer(start: length == 0 ? base : base + Int(tokens[i].key_offset), count: length)
    }

    /// Whether `i` is the member of this key; `text` is ASCII.
    @inlinable @inline(__always)
    package func key(_ i: Int, equals text: StaticString) -> Bool {
        csimdjson_key_is(tokens + i, base, text.utf8Start, text.utf8CodeUnitCount)
            || isKeyEscaped(i) && escapedKey(i, equals: UnsafeRawBufferPointer(text))
    }

    /// The same for a key known only at run time, in UTF-8.
    @inlinable
    package func key(_ i: Int, equals text: UnsafeRawBufferPointer) -> Bool {
        csimdjson_key_is(tokens + i, base, text.baseAddress ?? base, text.count)
            || isKeyEscaped(i) && escapedKey(i, equals: text)
    }

    /// The first member of this key; nil where there is none or `object` is no object.
    @inlinable
    package func find(_ key: StaticString, in object: Int) -> Int? {
        guard tokens[object].kind == JSONKind.object.rawValue else { return nil }
        for i in children(object) where self.key(i, equals: key) { return i }
        return nil
    }

    /// An integer as it is; nil for what isn't one (a fraction neither), or doesn't fit.
    @inlinable
    package func int64(_ i: Int) -> Int64? {
        guard tokens[i].kind == JSONKind.integer.rawValue else { return nil }
        var value: Int64 = 0
        let fits = csimdjson_int64(base + Int(tokens[i].value_offset), Int(tokens[i].value_length), &value)
        return fits ? value : nil
    }

    @inlinable
    package func bool(_ i: Int) -> Bool? {
        switch kind(i) {
        case .true: true
        case .false: false
        default: nil
        }
    }

    /// A string's text; nil for other kinds, or for half a surrogate pair.
    package func string(_ i: Int) -> String? {
        kind(i) == .string ? text(rawValue(i), escaped: isEscaped(i)) : nil
    }

    /// A member's key; nil for what is no member, or for half a surrogate pair.
    package func key(_ i: Int) -> String? {
        tokens[i].key_offset == CSIMDJSON_NO_KEY ? nil : text(rawKey(i), escaped: isKeyEscaped(i))
    }

    /// Whether all strings and keys from token `i` up to `next(i)` have only JSON's escapes: for what
    /// isn't unescaped, where the parser didn't check.
    package func escapesAreValid(_ i: Int) -> Bool {
        for token in i..<next(i) where tokens[token].flags != 0 {
            let value = rawValue(token)
            let key = rawKey(token)
            if isEscaped(token), !csimdjson_escapes_are_valid(value.baseAddress, value.count) { return false }
            if isKeyEscaped(token), !csimdjson_escapes_are_valid(key.baseAddress, key.count) { return false }
        }
        return true
    }

    private func text(_ raw: UnsafeRawBufferPointer, escaped: Bool) -> String? {
        guard escaped else { return String(decoding: raw, as: UTF8.self) }
        var valid = true
        let text = String(unsafeUninitializedCapacity: raw.count) { room in
            let length = csimdjson_unescape(raw.baseAddress, raw.count, room.baseAddress)
            valid = length >= 0
            return max(length, 0)
        }
        return valid ? text : nil
    }

    @usableFromInline
    func escapedKey(_ i: Int, equals text: UnsafeRawBufferPointer) -> Bool {
        guard let key = key(i) else { return false }
        return key.utf8.elementsEqual(text)
    }

    /// Indices of an object's members or an array's elements.
    public struct Children: Sequence, IteratorProtocol {
        @usableFromInline let tokens: UnsafePointer<csimdjson_token>
        @usableFromInline var at: Int
        @usableFromInline let end: Int

        @inlinable
        init(tokens: UnsafePointer<csimdjson_token>, at: Int, end: Int) {
            self.tokens = tokens
            self.at = at
            self.end = end
        }

        @inlinable
        public mutating func next() -> Int? {
            guard at < end else { return nil }
            defer { at = Int(tokens[at].next) }
            return at
        }
    }
}
