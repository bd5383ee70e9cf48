import JSON

/// A name at the source that went from one column to another. What stands in the source's log before that, and is read once
/// more, has it for the one that had it then.
package struct TakenName: Hashable, Sendable {
    package var name: String
    /// Where the source was seen to have the name for the earlier owner no longer: what has it there or behind is the
    /// later one's.
    package var since: Version
    /// Identities; 0: nobody's, of a column that is removed.
    package var from: Int
    package var by: Int

    package init(name: String, since: Version, from: Int, by: Int) {
        self.name = name
        self.since = since
        self.from = from
        self.by = by
    }
}

package enum NameOwner: Sendable, Equatable {
    /// Whoever has the name now.
    case present
    /// By its identity.
    case column(Int)
    case removed
}

extension TableDefinition {
    /// More of a table's names aren't told apart: the oldest are let go.
    static let takenNames_max = 256

    /// Whose a name at the source was.
    package func owner(of name: String, at version: Version) -> NameOwner {
        guard !takenNames.isEmpty else { return .present }
        let taken = takenNames.filter { $0.name == name }
        guard let first = taken.first, let last = taken.last, version < last.since else { return .present }
        let identity = taken.last { $0.since <= version }?.by ?? first.from
        return identity == 0 ? .removed : .column(identity)
    }

    package mutating func take(_ taken: [TakenName]) {
        takenNames += taken
        takenNames.removeFirst(max(0, takenNames.count - Self.takenNames_max))
    }

    /// Who had the name last, though it may be nobody's at the source any more, and since when it hasn't, where that is
    /// known; nil: no other column had it.
    fileprivate func lastOwner(of name: String, but identity: Int) -> (identity: Int, goneSince: Version?)? {
        let taken = takenNames.last { $0.name == name }
        // Of a column that is removed by now.
        if let taken, taken.by == 0 { return (identity: 0, goneSince: taken.since) }
        let last = taken?.by
        let gone = retired.last { column in
            guard !column.isKept, column.identity != identity else { return false }
            return last.map { $0 == column.identity } ?? column.isCalled(name)
        }
        if let gone { return (identity: gone.identity, goneSince: gone.goneSince) }
        if let last { return (identity: last, goneSince: nil) }
        if let renamed = columns.first(where: { $0.identity != identity && $0.formerNames.contains(name) }) {
            return (identity: renamed.identity, goneSince: nil)
        }
        return spentNames.contains(name) ? (identity: 0, goneSince: nil) : nil
    }

    /// Whoever is called by the identity is called by another from here on.
    mutating func renumber(_ identity: Int, of name: String, to other: Int) {
        for index in takenNames.indices where takenNames[index].name == name {
            if takenNames[index].by == identity { takenNames[index].by = other }
            if takenNames[index].from == identity { takenNames[index].from = other }
        }
    }
}

extension SchemaEvolution {
    /// Names that have another owner from this schema on.
    ///
    /// - Parameter owners: by name, identities of those that had it in the schema before.
    static func taken(_ later: SourceSchema, _ wanted: TableDefinition, owners: [String: Int]) -> [TakenName] {
        later.columns.compactMap { column in
            guard let now = wanted.columns.first(where: { $0.nameAtSource == column.name })?.identity else {
                return nil
            }
            let last = wanted.lastOwner(of: column.name, but: now)
            guard let before = owners[column.name] ?? last?.identity, before != now else { return nil }
            // In the schema before it was the other's still.
            let since = owners[column.name] == nil ? last?.goneSince : nil
            return TakenName(name: column.name, since: since ?? later.version, from: before, by: now)
        }
    }
}

extension TakenName {
    var json: JSONValue {
        .array(
            [.string(name)]
                + [since.epoch, since.commit, since.seq, Int64(from), Int64(by)].map { .number(String($0)) })
    }

    init?(json: JSONValue) {
        guard let parts = json.array, parts.count == 6, let name = parts[0].string else { return nil }
        let numbers = parts.dropFirst().compactMap(\.int64)
        guard numbers.count == 5 else { return nil }
        self.init(
            name: name, since: Version(epoch: numbers[0], commit: numbers[1], seq: numbers[2]),
            from: Int(truncatingIfNeeded: numbers[3]), by: Int(truncatingIfNeeded: numbers[4]))
    }
}
