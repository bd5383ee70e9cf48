/// What makes one table of current into another. Columns are known by their identities, as names may have gone from one to
/// another.
package struct TableChanges: Sendable {
    /// Names that columns get, to be given in this order: no two columns have one name in between.
    package private(set) var renames: [(from: String, to: String)] = []
    /// Columns that aren't there, which may be ones that nobody writes any more.
    package private(set) var additions: [Column] = []
    /// Columns that are there.
    package private(set) var kept: [(before: Column, now: Column)] = []

    private static let meanwhile = "millrace_renamed"

    package init(from known: TableDefinition, to definition: TableDefinition) {
        var known = known
        let hasIdentities = definition.followed != nil
        if hasIdentities { known.identify() }
        var free = known.retired + known.columns
        for column in definition.columns + definition.retired {
            let index = Self.index(of: column, in: free, hasIdentities: hasIdentities)
            if let index {
                kept.append((free.remove(at: index), column))
            } else {
                additions.append(column)
            }
        }
        var names = Set((known.retired + known.columns).map(\.name))
        var pending = kept.filter { $0.before.name != $0.now.name }.map { (from: $0.before.name, to: $0.now.name) }
        // Each goes at most once aside and once to its name; what can't be brought about so the warehouse refuses.
        var steps_max = 2 * pending.count
        while !pending.isEmpty, steps_max > 0 {
            steps_max -= 1
            // Where names go round, one of them steps aside.
            let index = pending.firstIndex { !names.contains($0.to) }
            let from = pending[index ?? 0].from
            let to = index.map { pending[$0].to } ?? Self.meanwhile
            renames.append((from, to))
            names.remove(from)
            names.insert(to)
            if let index { pending.remove(at: index) } else { pending[0].from = to }
        }
    }
}

extension TableChanges {
    /// Agents number columns for themselves: one of that identity is another column where raw knows it by other names.
    private static func index(of column: Column, in known: [Column], hasIdentities: Bool) -> Int? {
        guard hasIdentities, column.identity != 0 else { return known.firstIndex { $0.name == column.name } }
        let same = known.indices.filter { !Set(known[$0].namesInRaw).isDisjoint(with: column.namesInRaw) }
        return same.first { known[$0].identity == column.identity } ?? same.first { known[$0].name == column.name }
    }
}

extension TableDefinition {
    /// Numbers columns that have none yet, in their order.
    package mutating func identify() {
        for index in columns.indices where columns[index].identity == 0 { columns[index].identity = nextIdentity }
        for index in retired.indices where retired[index].identity == 0 { retired[index].identity = nextIdentity }
    }

    var nextIdentity: Int { max((columns + retired).map(\.identity).max() ?? 0, spentIdentity) + 1 }
}
