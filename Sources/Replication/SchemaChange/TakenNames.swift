import JSON

/// A name at the source that went from one column to another. What stands in the source's log before that, and is read once
/// more, has it for the one that had it then.
package struct TakenName: Hashable, Sendable {
    package var name: String
    /// What shows the later owner stands there or behind.
    package var since: Version
    /// Identities; 0: of a column that is removed.
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
        guard let first = taken.first else { return .present }
        let identity = taken.last { $0.since <= version }?.by ?? first.from
        return identity == 0 ? .removed : .column(identity)
    }

    package mutating func take(_ taken: [TakenName]) {
        takenNames += taken
        takenNames.removeFirst(max(0, takenNames.count - Self.takenNames_max))
    }

    /// Who had the name last, though it may be nobody's at the source any more; nil: no other column had it.
    fileprivate func lastOwner(of name: String, but identity: Int) -> Int? {
        if let taken = takenNames.last(where: { $0.name == name }) { return taken.by }
        if let gone = retired.last(where: { !$0.isKept && $0.identity != identity && $0.isCalled(name) }) {
            return gone.identity
        }
        if let renamed = columns.first(where: { $0.identity != identity && $0.formerNames.contains(name) }) {
            return renamed.identity
        }
        return spentNames.contains(name) ? 0 : nil
    }
}

extension SchemaEvolution {
    /// Names that have another owner from this schema on.
    ///
    /// - Parameter owners: by name, identities of those that had it in the schema before.
    static func taken(_ later: SourceSchema, _ wanted: TableDefinition, owners: [String: Int]) -> [TakenName] {
        let since = Version(epoch: later.epoch, commit: later.position, seq: later.place)
        return later.columns.compactMap { column in
            guard let now = wanted.columns.first(where: { $0.nameAtSource == column.name })?.identity else {
                return nil
            }
            guard let before = owners[column.name] ?? wanted.lastOwner(of: column.name, but: now), before != now
            else { return nil }
            return TakenName(name: column.name, since: since, from: before, by: now)
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
