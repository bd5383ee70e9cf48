/// What two schemas of one table differ in.
package struct SchemaDiff: Sendable, Equatable {
    package enum Difference: Sendable, Equatable {
        case added(SourceSchema.Column)
        case dropped(SourceSchema.Column)
        case renamed(from: SourceSchema.Column, to: SourceSchema.Column)
        /// `column` has its later name.
        case typed(column: SourceSchema.Column, from: ColumnType)
        case becameNotNull(SourceSchema.Column)
        case becameNullable(SourceSchema.Column)
        /// Names as they are later.
        case keyed(from: [String], to: [String])
        case identityLowered(from: SourceSchema.Identity, to: SourceSchema.Identity)

        package var isAdditive: Bool {
            switch self {
            case .added, .becameNullable: true
            case .typed(let column, let before): column.type.map { before.isWidened(to: $0) } ?? true
            case .dropped, .renamed, .becameNotNull, .keyed, .identityLowered: false
            }
        }
    }

    package var differences: [Difference]
    /// A column has the name now that another one had before.
    package var reusesName = false
    /// No column that is new could be one that isn't there any more, under another name.
    package var isCertain = true

    /// - Parameter later: complete (`SourceSchema.completed`).
    package init(from before: SourceSchema, to later: SourceSchema) {
        differences = []
        let pairs = Self.pairs(before, later)
        let matched = Set(pairs.map(\.before))
        var renames: [String: String] = [:]
        // First, so that their names are free.
        for (index, column) in before.columns.enumerated() where !matched.contains(index) {
            differences.append(.dropped(column))
        }
        for (index, column) in later.columns.enumerated() {
            guard let pair = pairs.first(where: { $0.later == index }) else { continue }
            let old = before.columns[pair.before]
            guard old.name != column.name else { continue }
            differences.append(.renamed(from: old, to: column))
            renames[old.name] = column.name
        }
        for (index, column) in later.columns.enumerated() {
            guard let pair = pairs.first(where: { $0.later == index }) else {
                differences.append(.added(column))
                continue
            }
            let old = before.columns[pair.before]
            if let type = old.type, let laterType = column.type, type != laterType,
                type.composite == nil || laterType.composite == nil
            {
                differences.append(.typed(column: column, from: type))
            }
            switch (old.isNullable, column.isNullable) {
            case (true, false): differences.append(.becameNotNull(column))
            case (false, true): differences.append(.becameNullable(column))
            default: break
            }
        }
        let gone = before.columns.indices.filter { !matched.contains($0) }.map { before.columns[$0] }
        let isUnknown = gone.contains { $0.number == nil } || later.columns.contains { $0.number == nil }
        isCertain = gone.isEmpty || before.oid == later.oid && !isUnknown
        reusesName = later.columns.enumerated().contains { index, column in
            let old = pairs.first { $0.later == index }.map { before.columns[$0.before].name }
            return old != column.name && before.columns.contains { $0.name == column.name }
        }
        if let key = before.key, let laterKey = later.key, Set(key.map { renames[$0] ?? $0 }) != Set(laterKey) {
            differences.append(.keyed(from: key.map { renames[$0] ?? $0 }, to: laterKey))
        }
        if let identity = before.identity, let laterIdentity = later.identity, laterIdentity < identity {
            differences.append(.identityLowered(from: identity, to: laterIdentity))
        }
    }

    /// Which columns are the same. Numbers tell where both have one: a column that was dropped and made anew under its name
    /// has another. Else the name does. One whose number isn't told, as it was renamed once more since, is what stood in its
    /// place: columns come in the order of their numbers, so that a new one would stand behind all.
    private static func pairs(_ before: SourceSchema, _ later: SourceSchema) -> [(before: Int, later: Int)] {
        let hasNumbers = before.oid == later.oid
        var pairs: [(before: Int, later: Int)] = []
        var free = Set(before.columns.indices)
        func take(_ old: Int, _ new: Int) {
            pairs.append((old, new))
            free.remove(old)
        }
        for (index, column) in later.columns.enumerated() {
            if hasNumbers, let number = column.number,
                let old = free.first(where: { before.columns[$0].number == number })
            {
                take(old, index)
            } else if let old = free.first(where: { old in
                let known = before.columns[old]
                return known.name == column.name && (!hasNumbers || known.number == nil || column.number == nil)
            }) {
                take(old, index)
            }
        }
        guard hasNumbers else { return pairs }
        for (index, column) in later.columns.enumerated()
        where column.number == nil && !pairs.contains(where: { $0.later == index }) {
            let lower = pairs.filter { $0.later < index }.compactMap { before.columns[$0.before].number }.max() ?? 0
            guard
                let upper = pairs.filter({ $0.later > index }).compactMap({ before.columns[$0.before].number }).min()
            else { continue }
            let between = free.filter { old in before.columns[old].number.map { lower < $0 && $0 < upper } ?? false }
            if between.count == 1, let old = between.first { take(old, index) }
        }
        return pairs
    }
}
