import Replication

/// Row images: columns in their places, as Postgres' text.
extension PgOutputDecoder {
    /// Whether the row is under another key now.
    func movesKey(from before: Int32, to after: Int32, _ relation: Relation) throws -> Bool {
        for column in relation.table.definition.key {
            let old = batch.fields[Int(before) + column]
            let new = batch.fields[Int(after) + column]
            // The old tuple has the identity's columns only; a key chosen elsewhere isn't in it.
            guard old.isKnown, old.kind != .null, new.isKnown, new.kind != .null else {
                if relation.isFull { continue }
                throw Misfit(
                    relation.table,
                    "the old row of an update lacks key column \"\(relation.table.definition.columns[column].name)\"",
                    .update)
            }
            if !batch.bytes(old).elementsEqual(batch.bytes(new)) { return true }
        }
        return false
    }

    /// An unchanged column's value stands in the old row, where that is whole.
    func fill(_ after: Int32, from before: Int32, _ relation: Relation) {
        for column in relation.columns where column >= 0 {
            guard batch.fields[Int(after + column)].kind == .unchanged else { continue }
            let old = batch.fields[Int(before + column)]
            // Where only the identity is there, the others are null without meaning it.
            if old.isKnown, old.kind != .null { batch.fields[Int(after + column)] = old }
        }
    }

    func isPartial(_ image: Int32, _ relation: Relation) -> Bool {
        for column in 0..<relation.table.definition.columns.count where !batch.fields[Int(image) + column].isKnown {
            return true
        }
        return false
    }

    func imageHash(_ image: Int32, _ table: ReplicatedTable) throws -> EventID {
        guard let template = table.imageTemplate else { throw Misfit(table, "the table's key isn't settled") }
        let width = table.definition.columns.count
        for column in 0..<width where batch.fields[Int(image) + column].kind == .unchanged {
            throw Misfit(table, "an unchanged column in an image of a table without a key")
        }
        let fields = batch.fields
        return template.hash(width: width, in: batch.arena, scratch: scratch) { fields[Int(image) + $0] }
    }

    func mark(_ filter: any RowFilter, _ table: ReplicatedTable, _ image: Int32, _ event: inout ChangeEvent) {
        let fields = batch.fields
        let verdict = judge.verdict(filter, table.filterColumns(filter), table.definition, in: batch.arena) {
            fields[Int(image) + $0]
        }
        event.flags.formUnion(verdict.flags)
    }

    // MARK: Tuples

    /// Room for an image of the table, all columns absent.
    func image(_ relation: Relation) -> Int32 {
        let start = Int32(batch.fields.count)
        batch.fields.append(contentsOf: repeatElement(.absent, count: relation.table.definition.columns.count))
        return start
    }

    /// What a row's columns are written to, and what is known of each: fetched once a row, since each look at a class's
    /// array counts references.
    private struct Places {
        /// The image's, by the table's columns.
        let fields: UnsafeMutablePointer<Field>
        /// By place in the relation.
        let columns: UnsafeBufferPointer<Int32>
        let uses: UnsafeBufferPointer<Relation.Use>
    }

    @inline(__always)
    private func withPlaces(_ image: Int32, _ relation: Relation, _ body: (Places) throws -> Void) throws {
        try batch.fields.withUnsafeMutableBufferPointer { fields in
            guard let first = fields.baseAddress else { return }
            try relation.columns.withUnsafeBufferPointer { columns in
                try relation.uses.withUnsafeBufferPointer { uses in
                    try body(Places(fields: first + Int(image), columns: columns, uses: uses))
                }
            }
        }
    }

    /// - Parameter whole: every column stands in it; else those outside of the identity are null without meaning it.
    func tuple(_ cursor: inout PgOutputCursor, _ relation: Relation, whole: Bool) throws -> Int32 {
        let image = image(relation)
        let count = try cursor.int16()
        guard count == relation.columns.count else {
            throw Misfit(relation.table, "a row of \(count) columns, where \(relation.columns.count) were described")
        }
        let arena = batch.arena
        try withPlaces(image, relation) { places in
            for place in 0..<count {
                let kind = try cursor.byte()
                var text = UnsafeRawBufferPointer(start: nil, count: 0)
                if kind == UInt8(ascii: "t") { text = try cursor.bytes(Int(try cursor.int32())) }
                let column = Int(places.columns[place])
                guard column >= 0 else { continue }
                switch kind {
                case UInt8(ascii: "t"):
                    places.fields[column] =
                        places.uses[place] == .keep
                        ? .stretch(.text, arena.append(text)) : try field(text, relation, place)
                case UInt8(ascii: "n"):
                    places.fields[column] = whole || relation.isIdentity[place] ? .null : .unchanged
                case UInt8(ascii: "u"): places.fields[column] = .unchanged
                default: throw Misfit(relation.table, "a column in a form that wasn't asked for")
                }
            }
        }
        if whole, !relation.initial.isEmpty { fill(image, of: relation) }
        return image
    }

    func field(_ text: UnsafeRawBufferPointer, _ relation: Relation, _ place: Int) throws -> Field {
        switch relation.uses[place] {
        case .keep, .skip: return .stretch(.text, batch.arena.append(text))
        case .hash: return .stretch(.text, configuration.hash(text, batch.arena))
        case .check, .byName:
            var field = Field.stretch(.text, batch.arena.append(text))
            if let type = relation.namedTypes[place] {
                field = .stretch(.json, FieldText.appendJSON(field, type, from: batch.arena, to: batch.arena))
            }
            let column = relation.table.definition.columns[Int(relation.columns[place])]
            if let reason = FieldMisfit.reason(field, column.type, in: batch.arena) {
                throw Misfit(relation.table, "column \"\(column.name)\" (\(column.type.sql)) \(reason)")
            }
            return field
        }
    }

    /// COPY's text: tabs between columns, `\N` for null, backslashes before what would be taken for either.
    func copyRow(_ row: UnsafeRawBufferPointer, _ relation: Relation) throws -> Int32 {
        let image = image(relation)
        var end = row.count
        if end > 0, row[end - 1] == 0x0A { end -= 1 }
        let arena = batch.arena
        try withPlaces(image, relation) { places in
            var at = 0
            for place in 0..<places.columns.count {
                let start = at
                var isEscaped = false
                while at < end, row[at] != 0x09 {
                    if row[at] == 0x5C {
                        isEscaped = true
                        at += 1
                    }
                    at += 1
                }
                guard at <= end, place == places.columns.count - 1 ? at == end : at < end else {
                    throw Misfit(relation.table, "a copied row has another number of columns than its relation", .read)
                }
                let text = UnsafeRawBufferPointer(rebasing: row[start..<at])
                at += 1
                let column = Int(places.columns[place])
                guard column >= 0 else { continue }
                if !isEscaped {
                    places.fields[column] =
                        places.uses[place] == .keep
                        ? .stretch(.text, arena.append(text)) : try field(text, relation, place)
                } else if text.count == 2, text[1] == UInt8(ascii: "N") {
                    places.fields[column] = .null
                } else {
                    scratch.removeAll()
                    Self.unescape(text, to: scratch)
                    places.fields[column] = try field(
                        scratch.bytes(ByteRange(offset: 0, length: scratch.count)), relation, place)
                }
            }
        }
        if !relation.initial.isEmpty { fill(image, of: relation) }
        return image
    }

    static func unescape(_ text: UnsafeRawBufferPointer, to sink: ByteArena) {
        var at = 0
        while at < text.count {
            var byte = text[at]
            at += 1
            if byte == 0x5C, at < text.count {
                switch text[at] {
                case UInt8(ascii: "b"): byte = 0x08
                case UInt8(ascii: "f"): byte = 0x0C
                case UInt8(ascii: "n"): byte = 0x0A
                case UInt8(ascii: "r"): byte = 0x0D
                case UInt8(ascii: "t"): byte = 0x09
                case UInt8(ascii: "v"): byte = 0x0B
                case let other: byte = other
                }
                at += 1
            }
            sink.append(byte: byte)
        }
    }
}
