/// Shows a row's fields to a `RowFilter`. Keeps its buffers from row to row.
package final class RowJudge {
    private let text = ByteArena(capacity: 256)
    private var ranges: [ByteRange] = []

    package init() {}

    /// - Parameters:
    ///   - columns: for each column of the filter its index in the table; -1 for one that no event had yet.
    ///   - field: the row's field of a column of the table; its bytes are in `arena`.
    package func verdict(
        _ filter: any RowFilter, _ columns: [Int], _ table: TableDefinition, in arena: ByteArena,
        field: (Int) -> Field
    ) -> FilterVerdict {
        // All texts first, and pointers to them then: a filter may look at several at once.
        text.removeAll()
        ranges.removeAll(keepingCapacity: true)
        for column in columns {
            var range = ByteRange.null
            if column >= 0 {
                let field = field(column)
                if field.isKnown, field.kind != .null, field.kind != .bool {
                    range = FieldText.appendPostgresText(field, table.columns[column].type, from: arena, to: text)
                }
            }
            ranges.append(range)
        }
        return filter.judge { index in
            let column = columns[index]
            guard column >= 0 else { return .unknown }
            let field = field(column)
            guard field.isKnown else { return .unknown }
            if field.kind == .null { return .null }
            let type = table.columns[column].type
            if field.kind == .bool { return .bool(field.bits != 0) }
            let bytes = text.bytes(ranges[index])
            switch type {
            case .boolean: return FieldText.bool(bytes).map(FilterValue.bool) ?? .text(bytes)
            case .smallint, .integer, .bigint, .real, .double, .numeric: return .number(bytes)
            default: return .text(bytes)
            }
        }
    }
}

extension FilterVerdict {
    /// How it marks the event.
    package var flags: ChangeEvent.Flags {
        switch self {
        case .pass: []
        case .reject: .filtered
        case .undecided: .undecided
        }
    }
}
