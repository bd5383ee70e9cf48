import JSON

/// A fact about an event that stands beside its row: under the name that it has in an envelope's `source` (or in the
/// envelope itself).
enum AddedMember: UInt8, CaseIterable {
    case operation, deleted
    case connector, schema, table, database, collection, sequence, lsn, transactionID, time_ms, time_us, time_ns
    case file, position, row, order, commitLSN, changeLSN, eventSerial, commitSCN, scn, ssn, rsID
    case totalOrder
    /// Added to the row, and of no use here.
    case unused

    /// The envelope's own name.
    var name: StaticString {
        switch self {
        case .operation: "op"
        case .deleted: "deleted"
        case .connector: "connector"
        case .schema: "schema"
        case .table: "table"
        case .database: "db"
        case .collection: "collection"
        case .sequence: "sequence"
        case .lsn: "lsn"
        case .transactionID: "txId"
        case .time_ms: "ts_ms"
        case .time_us: "ts_us"
        case .time_ns: "ts_ns"
        case .file: "file"
        case .position: "pos"
        case .row: "row"
        case .order: "ord"
        case .commitLSN: "commit_lsn"
        case .changeLSN: "change_lsn"
        case .eventSerial: "event_serial_no"
        case .commitSCN: "commit_scn"
        case .scn: "scn"
        case .ssn: "ssn"
        case .rsID: "rs_id"
        case .totalOrder: "total_order"
        case .unused: ""
        }
    }

    /// Written without quotes in an envelope, and as text in headers and CloudEvents.
    var isNumber: Bool {
        switch self {
        case .lsn, .transactionID, .time_ms, .time_us, .time_ns, .position, .row, .order, .eventSerial, .ssn,
            .totalOrder:
            true
        default: false
        }
    }

    /// Members of `source` that no position is made of.
    private static let otherSource = [
        "version", "name", "snapshot", "xmin", "origin", "origin_lsn", "gtid", "server_id", "thread", "query",
        "start_scn", "start_ts", "commit_ts", "user_name", "redo_sql", "row_id", "lcr_position", "redo_thread",
    ]

    /// Members of `source` that are read, and those that aren't.
    private static let ofSource: [(String, AddedMember)] =
        allCases.filter { ![.operation, .deleted, .totalOrder, .unused].contains($0) }.map { ("\($0.name)", $0) }
        + otherSource.map { ($0, .unused) }

    /// What the transformation adds for one of its references (`op`, `source.ts_ms`, `lsn:position`): the name behind
    /// the prefix, and what it is.
    init(reference: String, name: inout String) {
        let halves = reference.split(separator: ":", maxSplits: 1)
        let path = halves.first.map(String.init) ?? ""
        let parts = path.split(separator: ".", maxSplits: 1).map(String.init)
        name = halves.count == 2 ? String(halves[1]) : parts.joined(separator: "_")
        let field = parts.last ?? ""
        let ofTransaction = parts.count == 2 && parts[0] == "transaction"
        let own = parts.count == 1 && ["op", "ts_ms", "ts_us", "ts_ns", "id"].contains(field)
        if field == "op" {
            self = .operation
        } else if field == "total_order" {
            self = .totalOrder
        } else if ofTransaction || own {
            self = .unused
        } else {
            self = Self.ofSource.first { $0.0 == field }?.1 ?? .unused
        }
    }

    /// All names that the transformation can give behind its prefix when it isn't told others.
    fileprivate static func standardNames() -> [(String, AddedMember)] {
        var names: [(String, AddedMember)] = [
            // The envelope's own times are the connector's clock, not the source's.
            ("op", .operation), ("ts_ms", .unused), ("ts_us", .unused), ("ts_ns", .unused),
            ("transaction_id", .unused), ("transaction_total_order", .totalOrder), ("total_order", .totalOrder),
            ("transaction_data_collection_order", .unused), ("data_collection_order", .unused),
        ]
        for (name, member) in ofSource {
            names.append(("source_" + name, member))
            if !names.contains(where: { $0.0 == name }) { names.append((name, member)) }
        }
        return names
    }

    /// A CloudEvent's extension attributes: names of `source` without what CloudEvents don't allow in one.
    fileprivate static func cloudNames() -> [(String, AddedMember)] {
        var names: [(String, AddedMember)] = [("op", .operation), ("txtotalorder", .totalOrder)]
        for (name, member) in ofSource where member != .unused {
            names.append((name.replacing("_", with: ""), member))
        }
        return names
    }
}

/// Finds added members by their names.
struct AddedMembers {
    private let prefix: [UInt8]
    private let byLength: [[(name: [UInt8], member: AddedMember)]]
    /// It isn't prefixed.
    private static let deleted = Array("__deleted".utf8)

    /// - Parameters:
    ///   - references: nil: the standard names, unless the prefix is empty, which any column could have.
    ///   - hasDeleted: `__deleted` is one of them.
    init(prefix: String, references: [String]?, hasDeleted: Bool) {
        var names: [(String, AddedMember)] = []
        if let references {
            for reference in references {
                var name = ""
                let member = AddedMember(reference: reference, name: &name)
                names.append((name, member))
            }
        } else if !prefix.isEmpty {
            names = AddedMember.standardNames()
        }
        self.init(prefix: prefix, names: names, hasDeleted: hasDeleted)
    }

    static let cloudEvents = AddedMembers(prefix: "iodebezium", names: AddedMember.cloudNames(), hasDeleted: false)

    private init(prefix: String, names: [(String, AddedMember)], hasDeleted: Bool) {
        var all = names.map { (Array((prefix + $0.0).utf8), $0.1) }
        if hasDeleted { all.append((Self.deleted, .deleted)) }
        var byLength = [[(name: [UInt8], member: AddedMember)]](
            repeating: [], count: (all.map(\.0.count).max() ?? 0) + 1)
        for (name, member) in all where !byLength[name.count].contains(where: { $0.name == name }) {
            byLength[name.count].append((name, member))
        }
        self.byLength = byLength
        self.prefix = hasDeleted && !Self.deleted.starts(with: prefix.utf8) ? [] : Array(prefix.utf8)
    }

    subscript(_ name: UnsafeRawBufferPointer) -> AddedMember? {
        guard name.count < byLength.count, name.starts(with: prefix) else { return nil }
        for (known, member) in byLength[name.count] where name.elementsEqual(known) { return member }
        return nil
    }
}
