/// Stored definitions that what is written by was held against, so that most commits pay the look at a number.
package struct Agreements {
    private struct Agreement {
        var digest: Int64
        var definition: TableDefinition
        var hasCurrent: Bool
    }

    private var agreed: [TableID: Agreement] = [:]
    private var refused: [TableID: (digest: Int64, count: Int)] = [:]
    /// Whoever is refused reads the table again, and knows it then.
    private static let refused_max = 5

    package init() {}

    fileprivate func has(_ definition: TableDefinition, _ digest: Int64, hasCurrent: Bool) -> Bool {
        guard let known = agreed[definition.source], known.digest == digest, known.hasCurrent || !hasCurrent else {
            return false
        }
        return known.definition == definition
    }

    fileprivate mutating func note(_ definition: TableDefinition, _ digest: Int64, hasCurrent: Bool) {
        agreed[definition.source] = Agreement(digest: digest, definition: definition, hasCurrent: hasCurrent)
    }

    /// - Returns: whether the same table, as it is, has refused so often that reading it again is of no use.
    fileprivate mutating func refuses(_ table: TableID, _ digest: Int64) -> Bool {
        let count = refused[table]?.digest == digest ? refused[table]?.count ?? 0 : 0
        refused[table] = (digest, count + 1)
        return count >= Self.refused_max
    }
}

extension WarehouseTransaction {
    /// Refuses to write by a definition that the table has outgrown: another agent may have renamed the column that has its
    /// name, and nothing else would tell. Behind the table's lock, before anything of it is written.
    ///
    /// - Parameters:
    ///   - state: as `lock` gave it.
    ///   - isWhole: it must have all columns that the table has, as raw's events are read by it, but for `excluded` ones.
    /// - Throws: `.restart`.
    func refuseOutdated(
        _ definition: TableDefinition, _ state: TableState?, _ layout: WarehouseLayout, isWhole: Bool = false,
        but excluded: Set<String> = []
    ) throws {
        guard let state, let digest = state.digest, definition.hasShape else { return }
        // What is deferred goes to raw alone, and may want columns that current hasn't yet.
        let hasCurrent = layout.hasCurrent && (isWhole || state.holds.isEmpty || !layout.hasRaw)
        if !isWhole, agreements.has(definition, digest, hasCurrent: hasCurrent) { return }
        guard let stored = try storedDefinition(definition.source) else { return }
        var conflict = definition.conflict(with: stored, hasCurrent: hasCurrent)
        if conflict == nil, isWhole,
            let column = definition.missing(of: stored).first(where: { !excluded.contains($0.name) })
        {
            conflict = "column \(column.name) is new"
        }
        guard let conflict else {
            if !isWhole { agreements.note(definition, digest, hasCurrent: hasCurrent) }
            return
        }
        var error = ReplicationError.outdated(definition.source, conflict)
        if agreements.refuses(definition.source, digest) {
            error.kind = .invariant
            error.message += ", also after it was read again"
        }
        throw error
    }
}
