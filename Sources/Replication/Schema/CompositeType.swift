/// A composite type of Postgres: one made by CREATE TYPE, or a table's row type.
package struct CompositeType: Hashable, Sendable {
    package struct Field: Hashable, Sendable {
        package let name: String
        package let type: ColumnType
        /// `"name":`, as it stands in the JSON form.
        let label: [UInt8]

        package init(_ name: String, _ type: ColumnType) {
            self.name = name
            self.type = type
            let arena = ByteArena(capacity: 64)
            let label = FieldText.appendString(arena.append(name), of: arena, to: arena)
            arena.append(byte: 0x3A)
            self.label = Array(arena.bytes(ByteRange(offset: label.offset, length: label.length + 1)))
        }
    }

    /// Composites in each other; what is deeper keeps Postgres' text.
    package static let depth_max = 16
    /// Fields of a composite, with those of the composites in it. Each level could double them.
    package static let fields_max = 1600

    /// Postgres' name of it: `public.address`.
    package let name: String
    /// In Postgres' order; at least one.
    package let fields: [Field]

    /// Nil for what is kept as Postgres' text: no warehouse but Postgres has a row without fields, or with names that
    /// differ in case alone.
    package init?(name: String, fields: [Field]) {
        let names = Set(fields.map { $0.name.utf8.map { $0 &- 0x41 < 26 ? $0 | 0x20 : $0 } })
        guard !fields.isEmpty, names.count == fields.count else { return nil }
        self.name = name
        self.fields = fields
    }

    /// With the fields that a later shape of the type has besides, behind its own; what it has stays as it is. Itself
    /// where that would be too much.
    func widened(by later: CompositeType) -> CompositeType {
        guard later.name == name else { return self }
        var fields = fields.map { field in
            guard let index = later.index(of: field.name.utf8) else { return field }
            return Field(field.name, field.type.widened(by: later.fields[index].type))
        }
        fields += later.fields.filter { index(of: $0.name.utf8) == nil }
        guard let wider = CompositeType(name: name, fields: fields), wider.fieldCount <= Self.fields_max else {
            return self
        }
        return wider
    }

    private var fieldCount: Int { fields.reduce(0) { $0 + 1 + ($1.type.composite?.fieldCount ?? 0) } }

    /// The index of the field of this name.
    func index(of name: some Collection<UInt8>) -> Int? {
        fields.firstIndex { $0.name.utf8.elementsEqual(name) }
    }
}

extension ColumnType {
    /// The composite that it is, or that its elements are.
    package var composite: CompositeType? {
        if case .composite(let composite) = leaf { composite } else { nil }
    }

    /// The same with the fields that composites have in a later shape of the type.
    package func widened(by later: ColumnType) -> ColumnType {
        switch (self, later) {
        case (.composite(let mine), .composite(let theirs)): .composite(mine.widened(by: theirs))
        case (.array(let mine), .array(let theirs)): .array(mine.widened(by: theirs))
        default: self
        }
    }

    /// The same with composites kept as Postgres' text, which is what a key must have: it is equal byte by byte.
    package var withoutComposites: ColumnType {
        switch self {
        case .composite(let composite): .other(composite.name)
        case .array(let element): .array(element.withoutComposites)
        default: self
        }
    }
}

// MARK: - Stored

extension ColumnType {
    /// What `_millrace.tables` and the records of a source carry, and `init(stored:)` reads: `sql`, with a composite's
    /// fields behind its name: `public.address{"street" text,"zip code" integer}`.
    package var stored: String {
        switch self {
        case .array(let element): element.stored + "[]"
        case .composite(let composite): composite.stored
        default: sql
        }
    }

    /// Reads what `stored` gave.
    package init(stored: String) {
        self = stored == "unknown" ? .unknown : ColumnType(sql: stored) ?? .unknown
    }
}

extension CompositeType {
    fileprivate var stored: String {
        let fields = fields.map { field in
            let name = field.name.utf8.split(separator: 0x22, omittingEmptySubsequences: false)
                .map { String(decoding: $0, as: UTF8.self) }.joined(separator: "\"\"")
            return "\"\(name)\" \(field.type.stored)"
        }
        return "\(name){\(fields.joined(separator: ","))}"
    }
}

/// Reads a composite's stored form. By bytes: a name may begin with a mark that makes one Character with its quote.
struct CompositeReader {
    private let bytes: [UInt8]
    private var at = 0

    /// Nil for what isn't one, as any other type's name.
    static func type(_ stored: String) -> ColumnType? {
        guard stored.utf8.contains(0x7B) else { return nil }
        var reader = CompositeReader(bytes: Array(stored.utf8))
        guard let type = reader.type(depth: 1), reader.at == reader.bytes.count, type.composite != nil else {
            return nil
        }
        return type
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private var byte: UInt8 { at < bytes.count ? bytes[at] : 0 }

    private mutating func take(_ wanted: UInt8) -> Bool {
        guard byte == wanted, at < bytes.count else { return false }
        at += 1
        return true
    }

    private func text(from start: Int) -> String { String(decoding: bytes[start..<at], as: UTF8.self) }

    /// A type up to the comma or brace that ends it.
    private mutating func type(depth: Int) -> ColumnType? {
        guard depth <= CompositeType.depth_max + 1 else { return nil }
        let start = at
        var isQuoted = false
        var parentheses = 0
        while at < bytes.count {
            let next = byte
            if next == 0x22 { isQuoted.toggle() }
            if !isQuoted {
                if next == 0x28 { parentheses += 1 }
                if next == 0x29 { parentheses -= 1 }
                if next == 0x7B || parentheses == 0 && (next == 0x2C || next == 0x7D) { break }
            }
            at += 1
        }
        let name = text(from: start)
        guard !isQuoted, parentheses == 0, !name.isEmpty else { return nil }
        // At the top another type, which its own reader reads.
        guard take(0x7B) else { return depth > 1 ? ColumnType(stored: name) : nil }
        guard let fields = fields(depth: depth), let composite = CompositeType(name: name, fields: fields) else {
            return nil
        }
        var type = ColumnType.composite(composite)
        while take(0x5B) {
            guard take(0x5D) else { return nil }
            type = .array(type)
        }
        return type
    }

    private mutating func fields(depth: Int) -> [CompositeType.Field]? {
        var fields: [CompositeType.Field] = []
        repeat {
            guard let name = quotedName(), take(0x20), let type = type(depth: depth + 1) else { return nil }
            fields.append(.init(name, type))
        } while take(0x2C)
        return take(0x7D) ? fields : nil
    }

    private mutating func quotedName() -> String? {
        guard take(0x22) else { return nil }
        var name: [UInt8] = []
        while at < bytes.count {
            let next = byte
            at += 1
            if next == 0x22, !take(0x22) { return String(decoding: name, as: UTF8.self) }
            name.append(next)
        }
        return nil
    }
}
