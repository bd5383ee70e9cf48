extension InitialValue {
    /// Whether every warehouse makes the value of a text as it stands; of other types it is read at the source.
    package static func isPlain(_ text: String?, _ type: ColumnType) -> Bool {
        guard let text else { return true }
        switch type {
        case .boolean, .smallint, .integer, .bigint, .text, .uuid, .json, .jsonb: return true
        // Neither what isn't finite nor eras, which not every engine writes alike.
        case .real, .double, .numeric, .date, .time, .timestamp, .timestamptz:
            return text.utf8.allSatisfy { ($0 < 0x41 || $0 == UInt8(ascii: "e")) && $0 >= 0x20 }
        case .other(let name): return !name.lowercased().hasSuffix("hstore")
        case .bytea, .timetz, .interval, .array, .composite, .unknown: return false
        }
    }
}

extension TableDefinition {
    /// The column that a change is about, by whatever name it has now.
    func index(of change: SchemaChange) -> Int? {
        if let identity = change.identity { return columns.firstIndex { $0.identity == identity } }
        guard let name = change.column else { return nil }
        return columns.firstIndex { $0.name == name } ?? index(ofSource: name)
    }

    /// Whether it follows an older schema than the other, or is of before a decision, and so has nothing to say.
    package func isOutdated(by other: TableDefinition) -> Bool {
        if revision != other.revision { return revision < other.revision }
        // Who follows none hasn't seen that the other does.
        return other.followed.map { followed?.isOlder(than: $0) ?? true } ?? false
    }

    /// Whether a table that follows the same schema has all that events of this one need, as they do which came before a
    /// column was dropped.
    package func isCovered(by known: TableDefinition) -> Bool {
        guard followed == known.followed, target == known.target, keyNames == known.keyNames else { return false }
        let there = known.columns + known.retired
        return columns.allSatisfy { column in there.contains { $0.name == column.name && $0.type == column.type } }
            && known.columns.allSatisfy { column in columns.contains { $0.name == column.name } }
    }
}
