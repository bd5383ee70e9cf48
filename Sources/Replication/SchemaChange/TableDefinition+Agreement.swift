/// Whether a table is still what somebody knows it as: other agents follow its source beside this one, and people decide on
/// plans.
extension TableDefinition {
    /// Why what was made by this definition can't be written to the table as it is stored by now; nil: it can, as what came
    /// since only adds to it.
    ///
    /// Types aren't compared: they get wider in place, and everything else that becomes of them is a decision, which raises
    /// the revision.
    /// - Parameter hasCurrent: rows are written, and not raw alone.
    package func conflict(with stored: TableDefinition, hasCurrent: Bool = true) -> String? {
        guard hasShape, stored.hasShape else { return nil }
        guard revision >= stored.revision else { return "a schema change of it was decided" }
        let there = stored.columns + stored.retired.filter { !$0.isKept }
        for column in columns {
            guard let counterpart = column.counterpart(in: there) else {
                // Another one has its name, or nobody has: a table that is held has yet to get it.
                guard hasCurrent else { continue }
                return "column \(column.name) isn't the one that it has"
            }
            if hasCurrent, counterpart.name != column.name {
                return "column \(column.name) is called \(counterpart.name)"
            }
            if !counterpart.namesInRaw.contains(column.nameInRaw) {
                return "column \(column.name) has another name in raw"
            }
        }
        if hasCurrent, Set(keyNames) != Set(stored.keyNames) { return "it has another key" }
        return nil
    }

    /// Columns of the table as it is stored that this definition has no word of.
    package func missing(of stored: TableDefinition) -> [Column] {
        let there = columns + retired
        var stored = stored
        if followed != nil { stored.identify() }
        return (stored.columns + stored.retired).filter { column in
            column.counterpart(in: there).map { $0.identity != column.identity && $0.name != column.name } ?? true
        }
    }

    /// What a warehouse makes of a table that is stored and that somebody wants to be like this; nil: nothing, as it has all
    /// of that already.
    ///
    /// - Parameters:
    ///   - changes: what is to be recorded with it, and `known` what is.
    /// - Throws: `.restart` where this rests on what the table isn't any more.
    package func made(
        over stored: TableDefinition, recording changes: [SchemaChange], beside known: () throws -> [SchemaChange]
    ) throws -> TableDefinition? {
        guard hasShape, stored.hasShape else { return isOutdated(by: stored) ? nil : self }
        guard !isOutdated(by: stored) else {
            if let conflict = conflict(with: stored) { throw ReplicationError.outdated(source, conflict) }
            let plans = changes.filter { $0.table == source && !$0.kind.isAdditive }
            if !plans.isEmpty, let plan = SchemaChange.new(plans, beside: try known(), now_us: 0).first {
                throw ReplicationError.outdated(source, "\(plan.what), but a later schema of it is followed")
            }
            return nil
        }
        // Who follows none adds to what there is, by names.
        guard let followed, let storedSchema = stored.followed else { return self }
        let missing = missing(of: stored)
        guard !missing.isEmpty || !Set(stored.spentNames).isSubset(of: spentNames) else { return self }
        // Columns that events brought which tell no schema: each agent has those that it met.
        let isMerged = missing.allSatisfy { column in stored.columns.contains { $0.name == column.name } }
        guard followed.isSame(as: storedSchema), isMerged, !missing.isEmpty else {
            let name = missing.first.map { "column \($0.name) is new" } ?? "a column of it was removed"
            throw ReplicationError.outdated(source, name)
        }
        return merged(into: stored)
    }

    /// Whether nothing that commits in hand write by is another: what is followed may be.
    package func isLaidOut(as other: TableDefinition) -> Bool {
        func isAlike(_ one: [Column], _ other: [Column]) -> Bool {
            one.elementsEqual(other) {
                $0.name == $1.name && $0.type == $1.type && $0.namesInRaw == $1.namesInRaw
                    && $0.identity == $1.identity
            }
        }
        return revision == other.revision && target == other.target && key == other.key
            && isAlike(columns, other.columns) && isAlike(retired, other.retired)
    }

    /// With the columns that another agent has added, in the places that they have. Those of ours that have such a one's
    /// number get others.
    private func merged(into stored: TableDefinition) -> TableDefinition {
        var all = self
        let taken = Set(missing(of: stored).map(\.identity))
        for index in columns.indices where taken.contains(columns[index].identity) {
            all.columns[index].identity = max(all.nextIdentity, stored.nextIdentity)
        }
        let own = all.columns
        let names = Set(stored.columns.map(\.name))
        all.columns = stored.columns.map { column in own.first { $0.name == column.name } ?? column }
        all.columns += own.filter { !names.contains($0.name) }
        all.key = keyNames.compactMap { name in all.columns.firstIndex { $0.name == name } }
        return all
    }
}

extension Column {
    /// The same column as somebody else knows it. Agents number columns for themselves, so raw's names tell: they are a
    /// column's own for ever.
    func counterpart(in all: [Column]) -> Column? {
        let names = Set(namesInRaw)
        let same = all.filter { !names.isDisjoint(with: $0.namesInRaw) }
        return same.first { $0.identity == identity && $0.name == name } ?? same.first { $0.name == name }
            ?? same.first { $0.identity == identity } ?? same.first
    }
}

extension ReplicationError {
    /// The table isn't what was known of it: who reads it again can go on.
    package static func outdated(_ table: TableID, _ what: String) -> ReplicationError {
        ReplicationError(
            .restart, "\(table) was changed by another agent or a decision: \(what)",
            remedy: "run the command again; an agent goes on by itself", table: table)
    }
}
