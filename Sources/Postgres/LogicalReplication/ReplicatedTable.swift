import Replication

/// A replicated table as the decoder of a Postgres source knows it, whatever relations bring its rows.
final class ReplicatedTable {
    let id: TableID
    /// Nil: it isn't replicated.
    let choice: TableChoice?
    /// The start of every event's id.
    let seed: Hash128
    private(set) var definition: TableDefinition
    private(set) var isKeyKnown: Bool
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
        isKeyKnown = known?.hasShape ?? false
        if let choice {
            definition.target = choice.target
            definition.metadata = choice.metadata
            definition.existing = choice.existing
            definition.isFiltered = choice.filter != nil
        }
        if isKeyKnown { makeTemplates() }
    }

    /// The table's column for a column of a relation; nil: it is excluded. A new one is added.
    func column(named name: String, type: ColumnType, isNullable: Bool) -> Int? {
        guard let choice, !choice.excluded.contains(name) else { return nil }
        if let index = definition.columns.firstIndex(where: { $0.name == name }) {
            if definition.columns[index].type == .unknown {
                definition.columns[index].type = wanted(name, type, choice)
            }
            return index
        }
        definition.columns.append(Column(name: name, type: wanted(name, type, choice), nullable: isNullable))
        if isKeyKnown { makeTemplates() }
        return definition.columns.count - 1
    }

    /// Gives a composite the fields that its type has got since. Returns the type that it had until now; nil where
    /// there is nothing new.
    func widen(_ index: Int, to type: ColumnType) -> ColumnType? {
        let before = definition.columns[index].type
        let after = before.widened(by: type)
        guard after != before else { return nil }
        definition.columns[index].type = after
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

/// A relation as its last message or facts described it: which column of the table each of its own is.
final class Relation {
    /// What becomes of a column's text.
    enum Use: Equatable {
        case skip
        case keep
        case hash
        /// The warehouse's column has another type: the value is looked at before it is stored.
        case check
        /// The warehouse's composite has other fields than the source's: they are told apart by their names.
        case byName
    }

    let table: ReplicatedTable
    /// By place in the relation: index in the table's columns, -1 where it is left out.
    var columns: ContiguousArray<Int32> = []
    var uses: ContiguousArray<Use> = []
    /// By place: the source's types, where their fields are told by name.
    var namedTypes: [Int: ColumnType] = [:]
    /// By place: whether old tuples that aren't whole hold it.
    let isIdentity: ContiguousArray<Bool>
    let isFull: Bool
    /// Why none of its changes can be applied: the key isn't what it was, or isn't there.
    var problem: String?
    /// Why updates and deletes can't: their old rows don't tell the key.
    var identityProblem: String?
    var copiedAt: Int64?

    init(table: ReplicatedTable, isIdentity: ContiguousArray<Bool>, isFull: Bool, copiedAt: Int64?) {
        self.table = table
        self.isIdentity = isIdentity
        self.isFull = isFull
        self.copiedAt = copiedAt
    }

    /// Rows need no more than being cut into their columns, and have all that the table has.
    var isPlain: Bool {
        let width = table.definition.columns.count
        if let known = plain, known.width == width { return known.isPlain }
        let isPlain =
            table.choice != nil && table.choice?.filter == nil && problem == nil && !table.definition.isKeyless
            && uses.allSatisfy { $0 == .keep || $0 == .skip } && Set(columns.filter { $0 >= 0 }).count == width
        plain = (width, isPlain)
        return isPlain
    }
    /// As it was found for a table of so many columns.
    private var plain: (width: Int, isPlain: Bool)?

    /// From here on the column's composites are told by the names that `type` gives to their fields.
    func name(_ type: ColumnType, of column: Int) {
        plain = nil
        for place in columns.indices where Int(columns[place]) == column && uses[place] == .keep {
            uses[place] = .byName
            namedTypes[place] = type
        }
    }
}
