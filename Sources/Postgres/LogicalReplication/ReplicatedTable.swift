import Replication

/// A replicated table as the decoder of a Postgres source knows it, whatever relations bring its rows.
final class ReplicatedTable {
    let id: TableID
    /// Nil: it isn't replicated.
    let choice: TableChoice?
    /// The start of every event's id.
    let seed: Hash128
    /// Of the batch in hand: columns that the source drops stay in it until its end.
    private(set) var definition: TableDefinition
    /// Of what comes behind the batch.
    private(set) var following: TableDefinition
    /// What the warehouse has, or gets with the batch; another than what follows where a change waits for a person.
    private(set) var applied: TableDefinition
    /// Columns that the source dropped since, and that relations of before still bring.
    private var revived: [Column] = []
    private(set) var isKeyKnown: Bool
    /// The warehouse had it before this decoder did.
    private let wasKnown: Bool
    private(set) var keyTemplate: KeyTemplate?
    private(set) var imageTemplate: ImageTemplate?
    private let equality: KeyEquality
    private var filterIndices: [Int] = []
    private var filterWidth = -1

    /// Of the batch in hand.
    var batch = 0
    var index = 0

    /// Its key is checked at each change, as the stream's last description of it has it.
    var hasImmediateKey = false
    /// The last batch in which that wasn't so.
    var deferrableBatch = -1

    /// Excluded or hashed columns stand in its messages.
    let withholdsBytes: Bool

    init(
        _ id: TableID, choice: TableChoice?, known: TableDefinition?, equality: KeyEquality, withholdsBytes: Bool
    ) {
        self.id = id
        self.withholdsBytes = withholdsBytes
        self.choice = choice
        self.equality = equality
        var seed = Hash128()
        seed.add(id.schema)
        seed.add(id.table)
        self.seed = seed
        definition = known ?? TableDefinition(source: id, target: choice?.target ?? "", columns: [], key: [])
        wasKnown = known?.hasShape ?? false
        isKeyKnown = wasKnown
        if let choice {
            definition.target = choice.target
            definition.metadata = choice.metadata
            definition.existing = choice.existing
            definition.isFiltered = choice.filter != nil
        }
        following = definition
        applied = definition
        if isKeyKnown { makeTemplates() }
    }

    /// Of another schema than what the batch began with.
    var isChanging: Bool { definition != following }

    /// Columns of the definition in hand that nobody writes any more.
    var goneColumns: [Int32] {
        let there = Set(following.columns.map(\.name))
        return definition.columns.indices.filter { !there.contains(definition.columns[$0].name) }.map(Int32.init)
    }

    /// Whether what stands there is of before the schema that is followed.
    func isBehind(_ position: Int64, epoch: Int64) -> Bool {
        following.followed.map { (epoch, position) < ($0.epoch, $0.position) } ?? false
    }

    // MARK: Schemas

    /// What a schema of the source makes of the table; nil: nothing new.
    ///
    /// - Parameter isInBatch: the batch has events of the table already.
    func evolve(
        to schema: SourceSchema, told: SchemaEvolution.Told, policy: SchemaPolicy, isInBatch: Bool
    ) -> SchemaEvolution? {
        guard let choice, isKeyKnown else { return nil }
        var schema = schema
        if choice.key != nil { schema.key = nil }
        // One that isn't left out any more is a new one.
        schema.columns.removeAll { choice.excluded.contains($0.name) }
        if following.followed == nil, wasKnown { followBaseline(schema, choice) }
        guard let followed = following.followed else {
            begin(schema)
            return nil
        }
        let later = schema.completed(from: followed)
        guard !later.isSame(as: followed) else {
            revived = []
            return nil
        }
        guard !schema.isOlder(than: followed) else { return nil }
        revived = []
        let evolution = SchemaEvolution(
            applied, wanted: following, to: later, told: told, choice: choice, policy: policy)
        following = evolution.wanted
        applied = evolution.applied
        set(isInBatch ? following.layout(over: definition) : following)
        return evolution
    }

    /// A table that an earlier version made counts as having followed its own columns, so that what its source changed until
    /// now is a change like any other. No numbers tell columns apart; nor is an older version's type the source's where the
    /// pipeline file chooses it.
    private func followBaseline(_ schema: SourceSchema, _ choice: TableChoice) {
        definition.identify()
        following.identify()
        for column in definition.columns where choice.excluded.contains(column.name) && !column.isKey {
            following.retire(column.name)
        }
        let baseline = SourceSchema(
            oid: schema.oid, position: .min,
            columns: following.columns.map { column in
                let isChosen = choice.hashed.contains(column.name) || choice.types[column.name] != nil
                return .init(
                    column.name, type: isChosen || column.isKey || column.type == .unknown ? nil : column.type)
            }, key: choice.key == nil ? following.keyNames : nil)
        following.followed = baseline
        definition.followed = baseline
        applied = following
    }

    /// The first schema of a new table.
    private func begin(_ schema: SourceSchema) {
        func take(_ definition: inout TableDefinition) {
            definition.followed = schema
            definition.number(by: schema)
            definition.identify()
        }
        take(&following)
        take(&definition)
        if following.followed?.key == nil {
            let key = definition.keyNames
            following.followed?.key = key
            definition.followed?.key = key
        }
        applied = following
    }

    /// Ends the batch. True where its columns have other places from here on.
    func endBatch() -> Bool {
        var next = following
        next.columns += revived.filter { column in !next.columns.contains { $0.name == column.name } }
        guard next != definition else { return false }
        set(next)
        return true
    }

    /// The source dropped a column of that name, as far as is known.
    private func isGone(_ name: String) -> Bool {
        following.index(ofSource: name) == nil
            && (following.spentNames.contains(name)
                || following.retired.contains { !$0.isKept && $0.nameAtSource == name })
    }

    /// The place of a column that the source dropped since; nil where there is none of the name.
    private func revive(_ name: String) -> Int? {
        following.retired.last { $0.name == name || $0.formerNames.contains(name) }.map(revive)
    }

    private func revive(_ column: Column) -> Int {
        if let index = definition.columns.firstIndex(where: { $0.name == column.name }) { return index }
        revived.append(column)
        var all = definition
        all.columns.append(column)
        set(all)
        return all.columns.count - 1
    }

    private func set(_ next: TableDefinition) {
        definition = next
        filterWidth = -1
        if isKeyKnown { makeTemplates() }
    }

    // MARK: Columns and key

    /// The table's column for a column of a relation; nil: it is left out. One of a new table is added, and where schemas
    /// aren't followed any that is new.
    ///
    /// - Parameter version: where the relation stands; nil: it is a copy's, whose names are those of now.
    func column(
        named name: String, type: ColumnType, isNullable: Bool, at version: Version?, follows: Bool
    ) -> Int? {
        guard let choice, !choice.excluded.contains(name) else { return nil }
        // Of before another column had the name.
        switch version.map({ following.owner(of: name, at: $0) }) ?? .present {
        case .present: break
        case .removed: return nil
        case .column(let identity):
            if let index = definition.columns.firstIndex(where: { $0.identity == identity }) { return index }
            return following.retired.first { $0.identity == identity }.map(revive)
        }
        // Beside other events a copy's names are those of now alone.
        let isNow = version == nil && !follows
        let known =
            isNow ? definition.columns.firstIndex { $0.nameAtSource == name } : definition.index(ofSource: name)
        if let index = known {
            if definition.columns[index].type == .unknown {
                definition.columns[index].type = wanted(name, type, choice)
                following = definition
                applied = definition
            }
            return index
        }
        if definition.followed != nil {
            // The catalog has the name again, and no event has told of it yet.
            if !follows, isGone(name) { return nil }
            if let index = revive(name) { return index }
            guard !follows else { return nil }
        }
        definition.columns.append(Column(name: name, type: wanted(name, type, choice), nullable: isNullable))
        following = definition
        applied = definition
        if isKeyKnown { makeTemplates() }
        return definition.columns.count - 1
    }

    /// Gives a composite the fields that its type has got since. Returns the type that it had until now; nil where
    /// there is nothing new.
    func widen(_ index: Int, to type: ColumnType) -> ColumnType? {
        let before = definition.columns[index].type
        let after = before.widened(by: type)
        guard after != before else { return nil }
        let name = definition.columns[index].name
        definition.columns[index].type = after
        for at in following.columns.indices where following.columns[at].name == name {
            following.columns[at].type = after
        }
        for at in applied.columns.indices where applied.columns[at].name == name { applied.columns[at].type = after }
        if isKeyKnown { makeTemplates() }
        return before
    }

    private func wanted(_ name: String, _ type: ColumnType, _ choice: TableChoice) -> ColumnType {
        choice.hashed.contains(name) ? .text : choice.types[name] ?? type
    }

    /// Settles the key where it isn't yet. Returns names that aren't columns.
    func settleKey(_ names: [String]) -> [String] {
        guard !isKeyKnown else { return [] }
        var key: [Int] = []
        var missing: [String] = []
        for name in choice?.key ?? names {
            if let index = definition.columns.firstIndex(where: { $0.name == name }) {
                key.append(index)
            } else {
                missing.append(name)
            }
        }
        guard missing.isEmpty else { return missing }
        definition.key = key
        for index in key {
            definition.columns[index].isKey = true
            definition.columns[index].type = definition.columns[index].type.withoutComposites
            definition.columns[index].nullable = false
        }
        isKeyKnown = true
        following = definition
        applied = definition
        makeTemplates()
        return []
    }

    private func makeTemplates() {
        keyTemplate = definition.isKeyless ? nil : KeyTemplate(definition, equality: equality)
        imageTemplate = definition.isKeyless ? ImageTemplate(columns: definition.columns) : nil
    }

    /// Indices of the columns that the filter looks at; -1 for one that isn't there.
    func filterColumns(_ filter: any RowFilter) -> [Int] {
        if filterWidth != definition.columns.count {
            filterWidth = definition.columns.count
            filterIndices = filter.indices(in: definition)
        }
        return filterIndices
    }
}
