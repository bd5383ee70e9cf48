import DuckDB
import Postgres
import Replication

/// A replicated table as events tell of it.
struct LineageTable: Sendable, Equatable {
    var definition: TableDefinition
    /// Columns, by their names at the source, that the warehouse has as hashes.
    var hashed: Set<String> = []
    /// Columns, by the source's names, that the table's `where` reads.
    var filtered: [String] = []
    /// Of a Kafka source, in order.
    var topics: [String] = []
    /// Of this run.
    var ledger: LedgerEntry

    var id: TableID { definition.source }

    /// Anything but counts is another.
    func hasOtherShape(than other: LineageTable) -> Bool {
        definition != other.definition || hashed != other.hashed || filtered != other.filtered || topics != other.topics
    }

    /// Events whose rows stand in current.
    var written: Int { max(0, ledger.applied) }
    /// Events that were appended to raw.
    var appended: Int { max(0, ledger.read - ledger.duplicate - ledger.quarantined) }
}

/// A column of a dataset, and the source's column that it comes from.
struct LineageColumn: Sendable, Equatable {
    /// What becomes of a value on its way.
    enum Way: Sendable, Equatable { case same, hashed, document }

    var name: String
    var type: String?
    /// By the source's names; empty: it is ours, or nobody writes it any more.
    var from: [(name: String, way: Way)] = []

    static func == (a: LineageColumn, b: LineageColumn) -> Bool {
        a.name == b.name && a.type == b.type && a.from.elementsEqual(b.from) { $0 == $1 }
    }
}

extension LineageTable {
    /// Columns that the source still has, in order. Excluded ones are in no definition.
    private var followed: [Column] { definition.columns.filter { !$0.isKept && $0.goneSince == nil } }

    private func way(_ column: Column) -> LineageColumn.Way { column.isAny(of: hashed) ? .hashed : .same }

    /// The source's, by its names. The type of what is hashed isn't known here any more.
    func sourceColumns(typed: Bool) -> [LineageColumn] {
        followed.map { column in
            let isTyped = typed && way(column) != .hashed && column.type != .unknown
            return LineageColumn(name: column.nameAtSource, type: isTyped ? column.type.sql : nil)
        }
    }

    func currentColumns(_ engine: LineageFacts.Engine) -> [LineageColumn] {
        let made =
            switch engine {
            case .duckdb: DuckDBColumns.current(definition)
            case .postgres: PostgresColumns.current(definition)
            }
        let sources = Dictionary(followed.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        return made.map { name, type in
            LineageColumn(
                name: name, type: type, from: sources[name].map { [($0.nameAtSource, way($0))] } ?? [])
        }
    }

    /// What the live view shows of current.
    func liveColumns(_ engine: LineageFacts.Engine) -> [LineageColumn] {
        let current = Dictionary(
            currentColumns(engine).map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        return definition.liveColumns.compactMap { shown in
            guard var column = current[shown.column] else { return nil }
            column.name = shown.name
            return column
        }
    }

    /// Raw has all of a row's columns in each of its images.
    func rawColumns(_ engine: LineageFacts.Engine) -> [LineageColumn] {
        let made =
            switch engine {
            case .duckdb: DuckDBColumns.raw
            case .postgres: PostgresColumns.raw
            }
        func document(_ columns: [Column]) -> [(String, LineageColumn.Way)] {
            columns.map { ($0.nameAtSource, way($0) == .hashed ? .hashed : .document) }
        }
        let key = document(definition.key.map { definition.columns[$0] })
        let all = document(followed)
        return made.map { name, type in
            let from: [(String, LineageColumn.Way)] =
                switch name {
                case "key", "other_key": key
                case "before", "after": all
                default: []
                }
            return LineageColumn(name: name, type: type, from: from)
        }
    }
}
