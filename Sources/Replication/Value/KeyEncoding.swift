import JSON

/// Whose equality of keys decides which events are of one row.
package enum KeyEquality: Sendable {
    /// Postgres' btree: `1.0` = `1.00`, citext without case, `char(n)` without trailing spaces …
    case postgres
    /// DuckDB's: what is VARCHAR there (citext, char, unconstrained numeric, timetz, json) is equal byte by byte.
    case duckdb
}

/// How a table's keys are written: made once per table, then used for each event.
///
/// The **key** is raw's: `{"id":1,"code":"A"}`, key columns in order, values as `FieldText.appendJSON`. The
/// **group** is the same bytes for two keys exactly if the warehouse calls them equal.
package struct KeyTemplate: Sendable {
    private struct Part: Sendable {
        var column: Int
        var type: ColumnType
        /// Where `{"id":` or `,"code":` stands in `pieces`.
        var start: Int
        var end: Int
        var rule: KeyGroupRule
    }

    private let parts: [Part]
    private let pieces: [UInt8]
    /// False where the key's own bytes do as its group.
    package let needsGroup: Bool

    /// `key`: indices in `columns`, at least one.
    package init(columns: [Column], key: [Int], equality: KeyEquality = .postgres) {
        let names = ByteArena(capacity: 256)
        let pieces = ByteArena(capacity: 256)
        var parts: [Part] = []
        for (i, column) in key.enumerated() {
            let start = pieces.count
            pieces.append(byte: i == 0 ? 0x7B : 0x2C)
            FieldText.appendString(names.append(columns[column].name), of: names, to: pieces)
            pieces.append(byte: 0x3A)
            let type = columns[column].type
            parts.append(
                Part(
                    column: column, type: type, start: start, end: pieces.count,
                    rule: KeyGroupRule(type, equality: equality)))
        }
        self.parts = parts
        self.pieces = Array(pieces.bytes(ByteRange(offset: 0, length: pieces.count)))
        needsGroup = parts.contains { $0.rule != .asKey }
    }

    package init(_ table: TableDefinition, equality: KeyEquality = .postgres) {
        self.init(columns: table.columns, key: table.key, equality: equality)
    }

    /// Whether keys of this type can be equal though their texts differ.
    package static func needsGroup(_ type: ColumnType, equality: KeyEquality = .postgres) -> Bool {
        KeyGroupRule(type, equality: equality) != .asKey
    }

    /// Appends the key's JSON object; `field` gives the field of a column by its index. The arenas may be one.
    @inline(__always)
    package func appendKey(from arena: ByteArena, to sink: ByteArena, field: (Int) -> Field) -> ByteRange {
        let start = sink.count
        for part in parts {
            pieces.withUnsafeBytes { bytes in
                _ = sink.append(UnsafeRawBufferPointer(rebasing: bytes[part.start..<part.end]))
            }
            FieldText.appendJSON(field(part.column), part.type, from: arena, to: sink)
        }
        sink.append(byte: 0x7D)
        return ByteRange(offset: start, length: sink.count - start)
    }

    /// Appends the key's group. Only needed, but always allowed, where `needsGroup`; a table's groups are either
    /// all made here or all its keys. The arenas may be one.
    @inline(__always)
    package func appendGroup(from arena: ByteArena, to sink: ByteArena, field: (Int) -> Field) -> ByteRange {
        let start = sink.count
        for part in parts {
            // Its length before each part, so that no two keys run into each other.
            let length = sink.appendUninitialized(4)
            let field = field(part.column)
            var count = UInt32.max
            if field.isKnown, field.kind != .null {
                part.rule.append(field, part.type, from: arena, to: sink)
                count = UInt32(truncatingIfNeeded: sink.count - length.offset - 4)
            }
            sink.base.storeBytes(of: count.bigEndian, toByteOffset: length.offset, as: UInt32.self)
        }
        return ByteRange(offset: start, length: sink.count - start)
    }
}

/// How a keyless table's rows are told apart: by a hash over their columns.
package struct ImageTemplate: Sendable {
    private let names: [UInt64]
    private let types: [ColumnType]

    package init(columns: [Column]) {
        types = columns.map(\.type)
        names = columns.map { column in
            var hash = Hash128()
            hash.add(column.name)
            return hash.finish().high
        }
    }

    /// A hash over the names and JSON forms of the first `width` columns; `field` gives a column's field by its index.
    ///
    /// Null and absent columns don't count: a row inserted before `ADD COLUMN` has the image that its delete shows
    /// later, with a null there. An unchanged column is marked: such an image is no row's. `scratch` is as
    /// before when this returns, and isn't `arena`.
    @inline(__always)
    package func hash(width: Int, in arena: ByteArena, scratch: ByteArena, field: (Int) -> Field) -> EventID {
        var hash = Hash128()
        let mark = scratch.count
        for i in 0..<min(width, types.count) {
            let field = field(i)
            switch field.kind {
            case .null, .absent: continue
            case .unchanged: hash.add(names[i], 2)
            default:
                hash.add(names[i], 1)
                hash.add(scratch.bytes(FieldText.appendJSON(field, types[i], from: arena, to: scratch)))
                scratch.truncate(to: mark)
            }
        }
        return hash.finish()
    }
}
