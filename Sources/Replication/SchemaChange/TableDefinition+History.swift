extension TableDefinition {
    /// The table as its history shows it: with the columns that the source dropped, in the places that they had.
    package var withHistory: TableDefinition {
        var all = self
        let places = liveColumns.map(\.column)
        let kept = retired.filter { !$0.isKept && places.contains($0.name) }
        guard !kept.isEmpty else { return self }
        func place(_ column: Column) -> Int { places.firstIndex(of: column.name) ?? places.count }
        all.columns = (columns + kept).enumerated().sorted {
            (place($0.element), $0.offset) < (place($1.element), $1.offset)
        }.map(\.element)
        all.key = keyNames.compactMap { name in all.columns.firstIndex { $0.name == name } }
        return all
    }
}
