/// A change of a source table's schema, and what becomes of it: a row of `_millrace.schema_changes`. One that isn't
/// additive, and so could break what reads the table, is a plan, which waits for a person.
package struct SchemaChange: Sendable, Equatable {
    package enum Kind: String, Sendable, CaseIterable {
        case newTable = "new_table"
        case addColumn = "add_column"
        case widenType = "widen_type"
        case dropNotNull = "drop_not_null"
        case dropColumn = "drop_column"
        case renameColumn = "rename_column"
        case changeType = "change_type"
        case changeKey = "change_key"
        case setNotNull = "set_not_null"
        case lowerIdentity = "lower_identity"
        case dropTable = "drop_table"
        case renameTable = "rename_table"

        package var isAdditive: Bool {
            switch self {
            case .newTable, .addColumn, .widenType, .dropNotNull: true
            default: false
            }
        }

        /// Until it is decided the table's current stands still: its events want another table than there is.
        package var holdsTable: Bool {
            switch self {
            case .addColumn, .widenType, .changeType, .changeKey: true
            default: false
            }
        }
    }

    package enum State: String, Sendable, CaseIterable {
        /// Additive, and done at once.
        case applied
        /// For a person: `millrace schema approve` or `rollback`.
        case waiting
        /// What is left of it is done when its time has come.
        case approved
        case done
        case rolledBack = "rolled_back"
        /// By the pipeline file: `breaking: ignore`.
        case ignored

        package var isOpen: Bool { self == .waiting || self == .approved }
    }

    package struct Step: Sendable, Equatable {
        package var what: String
        /// µs since 1970.
        package var at_us: Int64
    }

    /// In its pipeline, from 1; 0: not stored yet.
    package var id: Int64 = 0
    package var table: TableID
    package var kind: Kind
    package var state: State
    /// The column's name in the warehouse.
    package var column: String?
    /// Types, names, keys: whatever its kind is about.
    package var before: String?
    package var after: String?
    /// The column as it shall be.
    package var wanted: Column?
    /// The column's in its table, which its name may no longer tell when it is decided.
    package var identity: Int?
    /// Of a type that was changed: the newest version that rows had then.
    package var boundary: Version?
    /// Of a key: its names in the warehouse.
    package var key: [String] = []
    /// Commit position at the source of the first transaction that showed it.
    package var position: Int64
    package var detectedAt_us: Int64 = 0
    /// Before that what the source no longer has stays as it is, approved or not.
    package var dueAt_us: Int64?
    package var decidedAt_us: Int64?
    package var finishedAt_us: Int64?
    package var steps: [Step] = []

    package init(
        table: TableID, kind: Kind, state: State, column: String? = nil, before: String? = nil, after: String? = nil,
        position: Int64
    ) {
        self.table = table
        self.kind = kind
        self.state = state
        self.column = column
        self.before = before
        self.after = after
        self.position = position
    }

    /// A table that wasn't there.
    package static func new(table: TableID) -> SchemaChange {
        SchemaChange(table: table, kind: .newTable, state: .applied, position: 0)
    }

    /// The same change, met again: after a restart, or in a replay.
    package func isSame(as other: SchemaChange) -> Bool {
        let isSameColumn =
            identity == nil || other.identity == nil ? column == other.column : identity == other.identity
        return table == other.table && kind == other.kind && isSameColumn && before == other.before
            && after == other.after
    }

    /// A column is added once, whoever of several agents meets it.
    var isOfOneTime: Bool { kind == .addColumn && identity != nil && before == nil }

    /// Whether it tells that the column which the other tells of was there again behind that.
    func revives(_ drop: SchemaChange) -> Bool {
        kind == .addColumn && before != nil && table == drop.table && identity != nil && identity == drop.identity
            && id > drop.id
    }

    /// Whether it is about that column.
    func isAbout(_ column: Column) -> Bool {
        if let identity, column.identity != 0 { return identity == column.identity }
        return column.name == self.column || self.column.map { column.isCalled($0) } ?? false
    }

    /// Of a table that is gone: whether it was the one of that number.
    package func isAbout(_ oid: UInt32?) -> Bool { before == nil || oid == nil || before == "\(oid ?? 0)" }

    /// In a line.
    package var what: String {
        let name = column.map { "column \($0)" } ?? "\(table)"
        return switch kind {
        case .newTable: "table \(table) is new"
        case .addColumn where before != nil: "\(name) is there again, and is taken for the one that was dropped"
        case .addColumn: "\(name) (\(after ?? "")) was added"
        case .widenType: "\(name) was widened from \(before ?? "") to \(after ?? "")"
        case .dropNotNull: "\(name) may be NULL now"
        case .dropColumn: "\(name) was dropped"
        case .renameColumn: "column \(before ?? "") was renamed to \(after ?? "")"
        case .changeType: "\(name) was changed from \(before ?? "") to \(after ?? "")"
        case .changeKey: "the key was changed from (\(before ?? "")) to (\(after ?? ""))"
        case .setNotNull: "\(name) may no longer be NULL"
        case .lowerIdentity: "the replica identity was lowered from \(before ?? "") to \(after ?? "")"
        case .dropTable: "table \(table) was dropped"
        case .renameTable: "table \(table) was renamed to \(after ?? "")"
        }
    }

    package mutating func note(_ what: String, at_us: Int64) { steps.append(Step(what: what, at_us: at_us)) }
}
