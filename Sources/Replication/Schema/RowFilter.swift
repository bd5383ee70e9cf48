/// A table's `where`, as the decoder and the applier see it.
package protocol RowFilter: Sendable {
    /// Names of the columns that it looks at.
    var columns: [String] { get }
    /// The verdict over the values of `columns`, by index.
    func judge(_ value: (Int) -> FilterValue) -> FilterVerdict
}

extension RowFilter {
    /// Where the table has each of its columns; -1 for one that isn't there.
    package func indices(in table: TableDefinition) -> [Int] {
        columns.map { name in table.columns.firstIndex { $0.name == name } ?? -1 }
    }
}

package enum FilterValue {
    case null
    /// Unchanged or absent in the event.
    case unknown
    case bool(Bool)
    /// Decimal text.
    case number(UnsafeRawBufferPointer)
    /// Postgres' text form.
    case text(UnsafeRawBufferPointer)
    /// A date or timestamp in ISO form; compares as a moment.
    case time(UnsafeRawBufferPointer)
}

package enum FilterVerdict: Sendable {
    case pass
    case reject
    /// It hangs on an unknown value.
    case undecided
}
