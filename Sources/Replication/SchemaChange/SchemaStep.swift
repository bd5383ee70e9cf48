/// What is done in the warehouse for a plan, in one transaction: the operations in their order, then the table's definition
/// and the plan as they are from then on.
package struct SchemaStep: Sendable {
    package enum Operation: Sendable, Equatable {
        case addColumn(Column)
        case widen(Column)
        /// In rows' maps, too.
        case renameColumn(String, to: String)
        /// The column is kept under another name, and made anew with what it held, as far as that can be cast.
        case retype(Column, aside: String)
        /// The other way: what was kept is the column again, with what was written since, as far as that can be cast.
        /// Rows of up to `until` weren't written since, and keep what was kept.
        case restore(String, from: String, aside: String, until: Version?)
        case dropColumn(String)
        /// The table is kept under another name, and made anew with the rows whose new key is known.
        case rekey

        /// A view that shows the column stands in its way.
        package var changesShownColumns: Bool {
            switch self {
            case .widen, .dropColumn: true
            default: false
            }
        }
    }

    package var definition: TableDefinition
    package var operations: [Operation] = []
    package var change: SchemaChange
    /// What the source alone knows: its copy counts as never made.
    package var copiesAnew = false
    /// The plan's row alone is written: nothing is done, and nobody has to begin anew.
    package var isNote = false

    package init(_ definition: TableDefinition, _ change: SchemaChange) {
        self.definition = definition
        self.definition.revision += 1
        self.change = change
    }
}

/// A plan's way: from `waiting` by a person's word to `approved`, and to `done` when its time has come.
package enum SchemaPlan {
    /// Why a plan can't be gone on with so.
    package struct Refusal: Error, Sendable, Equatable {
        package var message: String
        package var remedy: String
    }

    /// What is to be done for an approved plan now; nil: its time hasn't come.
    ///
    /// - Parameter others: the pipeline's changes.
    package static func step(
        _ change: SchemaChange, _ definition: TableDefinition?, beside others: [SchemaChange] = [], now_us: Int64
    ) throws(Refusal) -> SchemaStep? {
        guard let definition else {
            var change = change
            change.finish("nothing is left of the table", at_us: now_us)
            return SchemaStep(change.nothing, change)
        }
        var step = SchemaStep(definition, change)
        switch change.kind {
        case .addColumn: step.addColumn(now_us)
        case .widenType: try step.widen(now_us)
        case .changeType: try step.retype(now_us)
        case .changeKey: try step.rekey(now_us)
        case .dropColumn:
            guard now_us >= change.dueAt_us ?? 0 else { return nil }
            step.dropColumn(now_us, wasThereAgain: others.contains { $0.revives(change) })
        case .renameColumn:
            let isRenamed = change.steps.contains { $0.what == SchemaStep.renamed }
            guard !isRenamed || now_us >= change.dueAt_us ?? 0 else { return nil }
            if isRenamed { step.dropAlias(now_us) } else { step.rename(now_us) }
        case .newTable, .dropNotNull, .setNotNull, .lowerIdentity, .dropTable, .renameTable:
            step.change.finish("taken note of", at_us: now_us)
        }
        return step
    }

    package static func rollback(
        _ change: SchemaChange, _ definition: TableDefinition?, now_us: Int64
    ) throws(Refusal) -> SchemaStep {
        guard change.state.isOpen || change.state == .done && change.kind == .changeType else {
            throw Refusal(
                message: "change \(change.id) is \(change.state.rawValue), and can't be rolled back",
                remedy: "millrace schema list")
        }
        var step = SchemaStep(definition ?? change.nothing, change)
        switch change.kind {
        case .renameColumn: try step.rollBackRename()
        case .changeType where change.state == .done: try step.restore()
        case .changeType, .widenType, .addColumn: step.accept()
        case .changeKey: step.followKey()
        default: break
        }
        step.change.state = .rolledBack
        step.change.decidedAt_us = now_us
        step.change.finishedAt_us = now_us
        step.change.note("rolled back", at_us: now_us)
        return step
    }
}

extension SchemaChange {
    fileprivate mutating func finish(_ what: String, at_us: Int64) {
        state = .done
        finishedAt_us = at_us
        note(what, at_us: at_us)
    }
}

extension SchemaStep {
    /// What a warehouse found when it made a column anew.
    ///
    /// - Parameter newest: version of the newest row, as `[epoch, commit, seq]`.
    package mutating func noteCast(lost: Int64, newest: String?) {
        let parts = (newest ?? "").split { "[], ()".contains($0) }.compactMap { Int64($0) }
        change.boundary = parts.count == 3 ? Version(epoch: parts[0], commit: parts[1], seq: parts[2]) : .none
        guard lost > 0 else { return }
        change.note(
            "\(lost) values can't be cast: they are NULL until the source has been copied",
            at_us: change.finishedAt_us ?? 0)
    }

    static let renamed = "renamed; the old name is an alias in the live view"

    fileprivate mutating func followKey() {
        let columns = definition.columns
        definition.followed?.key = change.key.map { name in
            columns.first { $0.name == name }?.nameAtSource ?? name
        }
    }

    /// The source's schema with the column as it is there.
    private mutating func follow(_ column: Column) {
        let name = column.nameAtSource
        if let at = definition.followed?.columns.firstIndex(where: { $0.name == name }) {
            definition.followed?.columns[at].type = column.type
        } else {
            definition.followed?.columns.append(
                .init(name, number: column.number, type: column.type, isNullable: column.nullable))
        }
    }

    fileprivate mutating func addColumn(_ now_us: Int64) {
        if var column = change.wanted, !definition.columns.contains(where: { $0.name == column.name }) {
            let planned = column.identity
            column.identity = definition.nextIdentity
            definition.renumber(planned, of: column.nameAtSource, to: column.identity)
            change.identity = column.identity
            change.wanted?.identity = column.identity
            operations.append(.addColumn(column))
            definition.columns.append(column)
            follow(column)
            copiesAnew = column.initial == nil
        }
        change.finish("added", at_us: now_us)
    }

    /// The column that the plan is about, by whatever name it has now; nil: it was dropped since, and the plan ends with that.
    /// Where that can't be told, the table would go on as if it had been changed.
    private mutating func place(_ now_us: Int64) throws(SchemaPlan.Refusal) -> (at: Int, wanted: Column)? {
        guard let column = change.wanted, let at = definition.index(of: change) else {
            if change.wanted != nil, change.identity != nil {
                change.finish("the column was dropped since", at_us: now_us)
                return nil
            }
            throw SchemaPlan.Refusal(
                message: "the column that change \(change.id) is about isn't there any more",
                remedy: "millrace schema rollback \(change.id)")
        }
        return (at, column)
    }

    fileprivate mutating func widen(_ now_us: Int64) throws(SchemaPlan.Refusal) {
        guard let (at, column) = try place(now_us) else { return }
        definition.columns[at].type = column.type
        operations.append(.widen(definition.columns[at]))
        follow(definition.columns[at])
        change.finish("widened", at_us: now_us)
    }

    fileprivate mutating func retype(_ now_us: Int64) throws(SchemaPlan.Refusal) {
        guard let (at, column) = try place(now_us) else { return }
        var old = definition.columns[at]
        let aside = SchemaEvolution.asideName(old.name, definition)
        old.formerNames.append(old.name)
        old.setAside(as: aside)
        old.identity = definition.nextIdentity
        old.keptFor = definition.columns[at].identity
        // It isn't shown, but where it stood the new one is.
        definition.shown = definition.liveColumns
        definition.retired.append(old)
        definition.columns[at].type = column.type
        operations.append(.retype(definition.columns[at], aside: aside))
        // Rows are known by it: the table is made anew with those of which it is known now.
        if definition.columns[at].isKey { operations.append(.rekey) }
        follow(definition.columns[at])
        copiesAnew = true
        change.finish("a new column has the values, the old one is kept beside it", at_us: now_us)
    }

    fileprivate mutating func restore() throws(SchemaPlan.Refusal) {
        if let at = definition.index(of: change), definition.columns[at].isKey {
            throw SchemaPlan.Refusal(
                message: "a change of the key that is done isn't rolled back", remedy: "millrace schema list")
        }
        guard let at = definition.index(of: change),
            let kept = definition.retired.lastIndex(where: {
                $0.keptFor == definition.columns[at].identity && $0.type.sql == change.before
            })
        else {
            throw SchemaPlan.Refusal(
                message: "the column that change \(change.id) kept isn't there any more", remedy: "millrace schema list"
            )
        }
        var new = definition.columns[at]
        let (name, aside) = (new.name, SchemaEvolution.asideName(new.name, definition))
        operations.append(
            .restore(name, from: definition.retired[kept].name, aside: aside, until: change.boundary))
        new.formerNames.append(name)
        new.setAside(as: aside)
        new.identity = definition.nextIdentity
        new.keptFor = definition.columns[at].identity
        // What the source has now is read there, as far as it fits.
        copiesAnew = true
        definition.columns[at].type = definition.retired[kept].type
        definition.retired.remove(at: kept)
        definition.retired.append(new)
    }

    fileprivate mutating func rekey(_ now_us: Int64) throws(SchemaPlan.Refusal) {
        // By the names that they have now.
        change.key = change.key.map { name in
            definition.columns.contains { $0.name == name }
                ? name : definition.index(ofSource: name).map { definition.columns[$0].name } ?? name
        }
        let there = change.key.allSatisfy { name in definition.columns.contains { $0.name == name } }
        guard !change.key.isEmpty, !definition.isKeyless, there else {
            throw SchemaPlan.Refusal(
                message: """
                    \(change.table): a table that gets a key, or loses it, can't be brought from one to the other yet (not yet)
                    """,
                remedy:
                    "millrace schema rollback \(change.id), or leave the table out and take it in under another target")
        }
        operations.append(.rekey)
        definition.rekey(change.key)
        definition.retireMissing(from: definition.followed)
        followKey()
        copiesAnew = true
        change.finish("made anew under the new key; the table as it was is kept", at_us: now_us)
    }

    fileprivate mutating func dropColumn(_ now_us: Int64, wasThereAgain: Bool) {
        // Never what a change of its type keeps beside it.
        if let at = definition.retired.firstIndex(where: { !$0.isKept && change.isAbout($0) }) {
            // The later drop has a plan of its own.
            if wasThereAgain {
                change.finish("it was there again, and was dropped once more: nothing is removed", at_us: now_us)
                return
            }
            let gone = definition.retired.remove(at: at)
            if let since = gone.goneSince {
                definition.take([TakenName(name: gone.nameAtSource, since: since, from: gone.identity, by: 0)])
            }
            definition.shown.removeAll { $0.column == gone.name }
            definition.spentIdentity = max(definition.spentIdentity, gone.identity)
            definition.spentNames += gone.namesInRaw.filter { !definition.spentNames.contains($0) }
            operations.append(.dropColumn(gone.name))
        } else if definition.columns.contains(where: change.isAbout) {
            change.finish("it is there again: nothing is removed", at_us: now_us)
            return
        }
        change.finish("removed", at_us: now_us)
    }

    fileprivate mutating func rename(_ now_us: Int64) {
        change.note(Self.renamed, at_us: now_us)
        guard let at = definition.index(of: change), let name = definition.columns[at].sourceName,
            !definition.columns[at].isKey,
            !definition.columns.contains(where: { $0.name == name }),
            !definition.retired.contains(where: { $0.name == name })
        else { return }
        let old = definition.columns[at].name
        definition.shown = definition.liveColumns
        definition.columns[at].formerNames.append(old)
        definition.rename(at, to: name)
        definition.columns[at].sourceName = nil
        for index in definition.shown.indices where definition.shown[index].column == old {
            definition.shown[index].column = name
        }
        operations.append(.renameColumn(old, to: name))
    }

    fileprivate mutating func dropAlias(_ now_us: Int64) {
        let old = change.before ?? ""
        definition.shown.removeAll { $0.name == old && $0.column != old }
        change.finish("the alias was removed", at_us: now_us)
    }

    fileprivate mutating func rollBackRename() throws(SchemaPlan.Refusal) {
        let name = change.column ?? ""
        let alias = change.after ?? ""
        guard !(definition.columns + definition.retired).contains(where: { $0.name == name && !change.isAbout($0) })
        else {
            throw SchemaPlan.Refusal(
                message: "the name \(name) is another column's now",
                remedy: "millrace schema approve \(change.id), where it waits")
        }
        if let at = definition.columns.firstIndex(where: { $0.name == alias && $0.formerNames.contains(name) }) {
            definition.columns[at].formerNames.removeAll { $0 == name }
            definition.rename(at, to: name)
            definition.columns[at].sourceName = alias
            for index in definition.shown.indices where definition.shown[index].column == alias {
                definition.shown[index].column = name
            }
            operations.append(.renameColumn(alias, to: name))
        }
        definition.shown.removeAll { $0.name == alias && $0.column == name }
    }

    /// The source is as it is, and the table stays as it is: the two differ from here on.
    fileprivate mutating func accept() {
        guard var column = change.wanted else { return }
        // Nobody is called by the number of one that isn't added.
        if change.kind == .addColumn {
            definition.spentIdentity = max(definition.spentIdentity, change.identity ?? column.identity)
        }
        if let at = definition.index(of: change) {
            column.name = definition.columns[at].name
            column.sourceName = definition.columns[at].sourceName
        }
        follow(column)
    }
}
