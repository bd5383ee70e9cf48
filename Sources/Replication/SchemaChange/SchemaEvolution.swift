/// What becomes of a table when its source shows another schema: pure, so that every agent that meets the change makes the
/// same of it.
package struct SchemaEvolution: Sendable {
    /// What the warehouse gets at once.
    package var applied: TableDefinition
    /// What events have from here on. Where that isn't what is applied, the table is held until somebody decides.
    package var wanted: TableDefinition
    package var changes: [SchemaChange] = []
    /// Rows have values that no event brings and nobody tells: they are read at the source.
    package var needsCopy = false
    /// Events of the schema before may come with it: a table that is made for them is made as they want it.
    package var isOfEvents = false
    /// The pipeline file wants the agent to stop here.
    package var stops: SchemaChange?
    private let revives: Bool

    package var isHeld: Bool { changes.contains { $0.state == .waiting && $0.kind.holdsTable } }

    /// What the source told of a new column beside its schema.
    package struct Told: Sendable {
        /// By the column's name at the source: what earlier rows have in it. A column that isn't in it: nobody knows.
        package var initial: [String: String?] = [:]
        package init() {}
    }

    /// - Parameters:
    ///   - applied: what the warehouse has.
    ///   - wanted: what events had until now; follows a schema. Another where the table is held.
    ///   - later: of a later position, complete.
    ///   - choice: columns that it leaves out, hashes or types otherwise are none of the source's business.
    ///   - revives: a name that comes again is its column's, as nothing tells of another one.
    package init(
        _ applied: TableDefinition, wanted: TableDefinition, to later: SourceSchema, told: Told, choice: TableChoice,
        policy: SchemaPolicy, revives: Bool = false
    ) {
        self.applied = applied
        self.wanted = wanted
        self.revives = revives
        guard let before = wanted.followed else { return }
        self.applied.identify()
        self.wanted.identify()
        self.applied.followed = Self.held(later, applied.followed ?? before, before)
        self.wanted.followed = later
        let diff = SchemaDiff(from: before, to: later)
        // Rows that came between may have been taken for those of another column, or table, of the name.
        if diff.reusesName || later.oid != before.oid && later.oid != 0 && before.oid != 0 { needsCopy = true }
        let told = diff.isCertain ? told : Told()
        // As it was before any of them has its new name: two may have each other's.
        let owners = Owners(before, self.applied, self.wanted)
        for difference in diff.differences {
            take(difference, owners, before, later, told, choice, policy)
        }
        let taken = Self.taken(later, self.wanted, owners: owners.wanted)
        self.applied.take(taken)
        self.wanted.take(taken)
        self.applied.number(by: later)
        self.wanted.number(by: later)
    }

    /// Identities of the columns that had a name at the source before.
    private struct Owners {
        private var identities: [String: (applied: Int?, wanted: Int?)] = [:]

        init(_ before: SourceSchema, _ applied: TableDefinition, _ wanted: TableDefinition) {
            for column in before.columns {
                identities[column.name] = (
                    applied.index(ofSource: column.name).map { applied.columns[$0].identity },
                    wanted.index(ofSource: column.name).map { wanted.columns[$0].identity }
                )
            }
        }

        /// Of those that follow the source.
        var wanted: [String: Int] { identities.compactMapValues(\.wanted) }

        func indices(
            of name: String, _ applied: TableDefinition, _ wanted: TableDefinition
        ) -> (applied: Int, wanted: Int)? {
            guard let owner = identities[name],
                let index = applied.columns.firstIndex(where: { $0.identity == owner.applied }),
                let later = wanted.columns.firstIndex(where: { $0.identity == owner.wanted })
            else { return nil }
            return (index, later)
        }
    }

    /// The later schema without what is still waited for of earlier ones, so that it is met again by the next start.
    private static func held(_ later: SourceSchema, _ applied: SourceSchema, _ wanted: SourceSchema) -> SourceSchema {
        var schema = later
        // A column that was renamed meanwhile is the same one.
        let isSameTable = later.oid == wanted.oid
        func find(_ column: SourceSchema.Column, _ schema: SourceSchema) -> SourceSchema.Column? {
            if isSameTable, let number = column.number,
                let known = schema.columns.first(where: { $0.number == number })
            {
                return known
            }
            return schema.columns.first { known in
                known.name == column.name && (!isSameTable || known.number == nil || column.number == nil)
            }
        }
        schema.columns = later.columns.compactMap { column in
            guard let before = find(column, wanted) else { return column }
            guard let known = find(column, applied) else { return nil }
            var column = column
            if known.type != before.type { column.type = known.type }
            return column
        }
        if applied.key != wanted.key { schema.key = applied.key }
        return schema
    }

    /// Where there is no current: nothing waits for anybody.
    package var withoutCurrent: SchemaEvolution {
        var evolution = self
        evolution.applied = wanted
        for index in changes.indices where changes[index].state == .waiting && changes[index].kind.holdsTable {
            evolution.changes[index].state = .ignored
        }
        return evolution
    }

    private mutating func take(
        _ difference: SchemaDiff.Difference, _ owners: Owners, _ before: SourceSchema, _ later: SourceSchema,
        _ told: Told, _ choice: TableChoice, _ policy: SchemaPolicy
    ) {
        switch difference {
        case .added(let column): add(column, told, choice, policy, later.position)
        case .dropped(let column): drop(column, choice, policy, later.position)
        case .renamed(let old, let column): rename(old, column, owners, choice, policy, later.position)
        case .typed(let column, let type): retype(column, type, choice, policy, later.position)
        case .becameNotNull(let column):
            note(.setNotNull, column, choice, policy, later.position)
            setNullable(column, false)
        case .becameNullable(let column):
            note(.dropNotNull, column, choice, policy, later.position)
            setNullable(column, true)
        case .keyed(let old, let key): rekey(old, key, before, choice, policy, later.position)
        case .identityLowered(let old, let identity):
            record(
                SchemaChange(
                    table: applied.source, kind: .lowerIdentity, state: .waiting, before: "\(old)",
                    after: "\(identity)",
                    position: later.position), policy)
        }
    }

    /// Gives a change the state that the pipeline file wants for it. False: it isn't to be applied.
    @discardableResult private mutating func record(_ change: SchemaChange, _ policy: SchemaPolicy) -> Bool {
        var change = change
        if change.kind.isAdditive {
            // Nothing in the warehouse hangs on these.
            let isApplied = policy.additive == .apply || !change.kind.holdsTable
            change.state = isApplied ? .applied : .waiting
            if policy.additive == .stop { stops = stops ?? change }
        } else {
            change.state = policy.breaking == .ignore ? .ignored : .waiting
            if policy.breaking == .stop { stops = stops ?? change }
        }
        changes.append(change)
        return change.state != .waiting || !change.kind.holdsTable
    }

    private func isOurs(_ name: String, _ choice: TableChoice) -> Bool { !choice.excluded.contains(name) }

    private mutating func note(
        _ kind: SchemaChange.Kind, _ column: SourceSchema.Column, _ choice: TableChoice, _ policy: SchemaPolicy,
        _ position: Int64
    ) {
        guard isOurs(column.name, choice) else { return }
        // A key's columns are never NULL, which the key's own change tells.
        if let index = wanted.index(ofSource: column.name), wanted.columns[index].isKey { return }
        record(
            SchemaChange(
                table: applied.source, kind: kind, state: .waiting, column: column.name, position: position), policy)
    }

    private mutating func setNullable(_ column: SourceSchema.Column, _ isNullable: Bool) {
        if let index = applied.index(ofSource: column.name) { applied.columns[index].nullable = isNullable }
        if let index = wanted.index(ofSource: column.name) { wanted.columns[index].nullable = isNullable }
    }

    private mutating func add(
        _ column: SourceSchema.Column, _ told: Told, _ choice: TableChoice, _ policy: SchemaPolicy, _ position: Int64
    ) {
        guard isOurs(column.name, choice), !revive(column, policy, position) else { return }
        let type = choice.hashed.contains(column.name) ? .text : choice.types[column.name] ?? column.type ?? .unknown
        var made = Column(name: column.name, type: type, nullable: column.isNullable ?? true)
        made.number = column.number
        made.identity = max(applied.nextIdentity, wanted.nextIdentity)
        if choice.hashed.contains(column.name) {
            // The hash of a default is made where values are; NULL stays NULL.
            if let initial = told.initial[column.name], initial == nil {
                made.initial = .init(text: nil, since: position)
            }
        } else if let initial = told.initial[column.name] {
            made.initial = InitialValue(text: initial, since: position)
        }
        // A row without a key is known by all of its columns.
        if made.initial == nil || wanted.isKeyless { needsCopy = true }
        var change = SchemaChange(
            table: applied.source, kind: .addColumn, state: .applied, column: column.name, after: type.sql,
            position: position)
        applied.makeRoom(for: column.name)
        wanted.makeRoom(for: column.name)
        if let index = wanted.columns.firstIndex(where: { $0.name == column.name }) {
            // The key's own, which was dropped and is there again.
            wanted.columns[index].number = column.number
            needsCopy = true
            retype(column, wanted.columns[index].type, choice, policy, position)
            return
        }
        wanted.nameInRaw(&made)
        change.wanted = made
        change.identity = made.identity
        wanted.columns.append(made)
        if record(change, policy) { applied.columns.append(made) } else { unfollow(column.name) }
    }

    /// A name that comes again, and is taken for the column that stayed away. Where its plan is decided by then, nothing is
    /// removed.
    private mutating func revive(_ column: SourceSchema.Column, _ policy: SchemaPolicy, _ position: Int64) -> Bool {
        guard revives,
            let gone = wanted.retired.last(where: { !$0.isKept && $0.nameAtSource == column.name }),
            !wanted.columns.contains(where: { $0.name == gone.name })
        else { return false }
        wanted.revive(gone.identity)
        applied.revive(gone.identity)
        var change = SchemaChange(
            table: applied.source, kind: .addColumn, state: .applied, column: gone.name, before: gone.type.sql,
            after: gone.type.sql, position: position)
        change.identity = gone.identity
        changes.append(change)
        return true
    }

    /// A name that is free: `age_retired_1`.
    static func asideName(_ name: String, _ definition: TableDefinition) -> String {
        let taken = Set(
            definition.columns.map { $0.name.lowercased() } + definition.retired.map { $0.name.lowercased() })
        var number = 1
        while true {
            let suffix = "_retired_\(number)"
            var base = name
            while base.utf8.count + suffix.utf8.count > 63 { base.removeLast() }
            if !taken.contains((base + suffix).lowercased()) { return base + suffix }
            number += 1
        }
    }

    /// Until it is applied the source's schema counts as one without it, so that it is met again.
    private mutating func unfollow(_ name: String) { applied.followed?.columns.removeAll { $0.name == name } }

    private mutating func drop(
        _ column: SourceSchema.Column, _ choice: TableChoice, _ policy: SchemaPolicy, _ position: Int64
    ) {
        guard isOurs(column.name, choice), let index = applied.index(ofSource: column.name) else { return }
        let name = applied.columns[index].name
        var change = SchemaChange(
            table: applied.source, kind: .dropColumn, state: .waiting, column: name,
            before: applied.columns[index].type.sql,
            position: position)
        change.identity = applied.columns[index].identity
        change.dueAt_us = policy.deprecateAfter_us
        if wanted.isKeyless { needsCopy = true }
        // The key's own columns go with a change of the key, which holds the table.
        if !applied.columns[index].isKey { applied.retire(name, since: wanted.followed?.version) }
        if let index = wanted.columns.firstIndex(where: { $0.name == name }), !wanted.columns[index].isKey {
            wanted.retire(name, since: wanted.followed?.version)
        }
        record(change, policy)
    }

    private mutating func rename(
        _ old: SourceSchema.Column, _ column: SourceSchema.Column, _ owners: Owners, _ choice: TableChoice,
        _ policy: SchemaPolicy, _ position: Int64
    ) {
        guard let (index, later) = owners.indices(of: old.name, applied, wanted) else {
            // It was left out, and isn't any more.
            if isOurs(column.name, choice) { add(column, Told(), choice, policy, position) }
            return
        }
        let name = applied.columns[index].name
        var change = SchemaChange(
            table: applied.source, kind: .renameColumn, state: .waiting, column: name, before: old.name,
            after: column.name, position: position)
        change.identity = applied.columns[index].identity
        change.dueAt_us = policy.deprecateAfter_us
        applied.show(applied.columns[index].name, as: column.name)
        wanted.show(wanted.columns[later].name, as: column.name)
        // Back to the name that it has here: nothing is left to decide.
        applied.columns[index].sourceName = column.name == name ? nil : column.name
        wanted.columns[later].sourceName = column.name == name ? nil : column.name
        record(change, policy)
    }

    private mutating func retype(
        _ column: SourceSchema.Column, _ before: ColumnType, _ choice: TableChoice, _ policy: SchemaPolicy,
        _ position: Int64
    ) {
        guard choice.types[column.name] == nil, !choice.hashed.contains(column.name), let type = column.type,
            let index = applied.index(ofSource: column.name), let later = wanted.index(ofSource: column.name)
        else { return }
        let stored = applied.columns[index].type
        // As when somebody had it keep its type, or it has it again.
        guard stored != type, stored != .unknown else {
            if stored == type { wanted.columns[later].type = type }
            return
        }
        let isWidened = stored.isWidened(to: type)
        var change = SchemaChange(
            table: applied.source, kind: isWidened ? .widenType : .changeType, state: .waiting,
            column: applied.columns[index].name, before: stored.sql, after: type.sql, position: position)
        change.identity = applied.columns[index].identity
        var made = applied.columns[index]
        made.type = made.isKey ? type.withoutComposites : type
        change.wanted = made
        // By the pipeline file it keeps its type, and takes what fits.
        if !isWidened, policy.breaking == .ignore {
            record(change, policy)
            return
        }
        wanted.columns[later].type = made.type
        if record(change, policy) {
            applied.columns[index].type = made.type
        } else if let at = applied.followed?.columns.firstIndex(where: { $0.name == column.name }) {
            applied.followed?.columns[at].type = before
        }
    }

    private mutating func rekey(
        _ old: [String], _ key: [String], _ before: SourceSchema, _ choice: TableChoice, _ policy: SchemaPolicy,
        _ position: Int64
    ) {
        guard choice.key == nil else { return }
        let indices = key.compactMap { wanted.index(ofSource: $0) }
        guard indices.count == key.count else { return }
        var change = SchemaChange(
            table: applied.source, kind: .changeKey, state: .waiting, before: old.joined(separator: ", "),
            after: key.joined(separator: ", "), position: position)
        change.key = indices.map { wanted.columns[$0].name }
        if policy.breaking == .ignore {
            record(change, policy)
            return
        }
        // Back to what it is here: there is nothing to do.
        if Set(change.key) == Set(applied.keyNames) {
            wanted.rekey(applied.keyNames)
            applied.followed?.key = key
            return
        }
        record(change, policy)
        wanted.rekey(change.key)
        wanted.retireMissing(from: wanted.followed)
        applied.followed?.key = before.key
    }
}

extension TableDefinition {
    /// A name that is wanted for a new column: the one that has it, which the source dropped or renamed, gets another.
    ///
    /// - Parameter others: those for which room is being made already.
    mutating func makeRoom(for name: String, beside others: Set<String> = []) {
        if let index = retired.firstIndex(where: { $0.name == name }) {
            let aside = SchemaEvolution.asideName(name, self)
            retired[index].formerNames.append(name)
            retired[index].setAside(as: aside)
            for at in shown.indices where shown[at].column == name { shown[at] = ShownColumn(aside, of: aside) }
        }
        guard !others.contains(name), let index = columns.firstIndex(where: { $0.name == name }),
            let now = columns[index].sourceName
        else { return }
        // The source has that name for this column alone; not so of one that it dropped and that still is of the key.
        makeRoom(for: now, beside: others.union([name]))
        guard !columns.contains(where: { $0.name == now }) else { return }
        shown = liveColumns.filter { $0.name != name }
        columns[index].formerNames.append(name)
        rename(index, to: now)
        columns[index].sourceName = nil
        for at in shown.indices where shown[at].column == name { shown[at].column = now }
    }

    /// Columns that the schema hasn't, as they left the key with its change.
    mutating func retireMissing(from schema: SourceSchema?) {
        guard let schema else { return }
        let names = Set(schema.columns.map(\.name))
        for column in columns where !column.isKey && !names.contains(column.nameAtSource) { retire(column.name) }
    }

    /// Nobody writes the column any more; the live view goes on to show it.
    ///
    /// - Parameter version: of what first showed the table without it.
    package mutating func retire(_ name: String, since version: Version? = nil) {
        guard let index = columns.firstIndex(where: { $0.name == name }) else { return }
        shown = liveColumns
        columns[index].goneSince = version
        retired.append(columns.remove(at: index))
        key = key.map { $0 > index ? $0 - 1 : $0 }
    }

    /// The other way.
    mutating func revive(_ identity: Int) {
        guard let index = retired.firstIndex(where: { $0.identity == identity }) else { return }
        retired[index].goneSince = nil
        columns.append(retired.remove(at: index))
    }

    /// Neither has it nor had it.
    package func lacks(_ column: Column) -> Bool {
        !(columns + retired).contains { $0.identity == column.identity || $0.name == column.name }
    }

    /// With the columns that events brought and that neither this nor what waits for a person has; else as it is. The
    /// definition that a decoder has in hand isn't made: dropped columns stand in it, and what waits does.
    package func adding(
        what wanted: TableDefinition, beside waiting: TableDefinition?
    ) -> (made: TableDefinition, added: [Column]) {
        let there = Set((columns + retired + (waiting?.columns ?? []) + (waiting?.retired ?? [])).map(\.name))
        // A type that the pipeline file changed is the warehouse's to refuse.
        let isTyped = wanted.columns.contains { column in
            let known = [self, waiting].compactMap { $0?.columns.first { $0.name == column.name } }
            return !known.isEmpty && !known.contains { $0.type == column.type }
        }
        guard wanted.followed != nil, !isTyped else {
            let names = Set(columns.map(\.name))
            return (wanted, wanted.columns.filter { !names.contains($0.name) })
        }
        var made = self
        made.followed = followed ?? wanted.followed
        made.identify()
        var identity = max(made.nextIdentity, waiting?.nextIdentity ?? 0)
        let added = wanted.columns.filter { !there.contains($0.name) }.map { column -> Column in
            var column = column
            column.identity = identity
            identity += 1
            made.nameInRaw(&column)
            return column
        }
        made.columns += added
        return (made, added)
    }

    /// A batch's columns in their places, as they are called from here on, and new ones behind them.
    package func layout(over batch: TableDefinition) -> TableDefinition {
        var all = self
        let known = columns + retired
        all.columns = batch.columns.map { column in known.first { $0.identity == column.identity } ?? column }
        let names = Set(all.columns.map(\.name))
        all.columns += columns.filter { !names.contains($0.name) }
        all.key = keyNames.compactMap { name in all.columns.firstIndex { $0.name == name } }
        return all
    }

    package mutating func number(by schema: SourceSchema) {
        for index in columns.indices {
            let name = columns[index].nameAtSource
            guard let column = schema.columns.first(where: { $0.name == name }) else { continue }
            columns[index].number = column.number
        }
    }

    /// The live view shows the column under another name, too.
    mutating func show(_ column: String, as name: String) {
        // Not every engine tells names apart by case.
        guard !liveColumns.contains(where: { $0.name.lowercased() == name.lowercased() }) else { return }
        shown = liveColumns + [ShownColumn(name, of: column)]
    }

    package mutating func rekey(_ names: [String]) {
        key = names.compactMap { name in columns.firstIndex { $0.name == name } }
        for index in columns.indices {
            columns[index].isKey = key.contains(index)
            guard key.contains(index) else { continue }
            columns[index].type = columns[index].type.withoutComposites
            columns[index].nullable = false
        }
    }
}
