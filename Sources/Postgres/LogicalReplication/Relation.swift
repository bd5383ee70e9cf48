import Replication

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
    /// Columns that it lacks, as they were added later, with what its rows have in them (nil: NULL).
    var initial: [(column: Int32, text: String?)] = []
    /// Columns that it lacks, as they were dropped in this batch: new rows have nothing in them.
    var gone: [Int32] = []

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

    /// The table's columns have other places; nil: one isn't there any more.
    func move(_ places: [Int32?]) {
        plain = nil
        for place in columns.indices where columns[place] >= 0 {
            columns[place] = places[Int(columns[place])] ?? -1
            if columns[place] < 0 { uses[place] = .skip }
        }
        initial = initial.compactMap { entry in places[Int(entry.column)].map { ($0, entry.text) } }
        gone = gone.compactMap { places[Int($0)] }
    }
}
