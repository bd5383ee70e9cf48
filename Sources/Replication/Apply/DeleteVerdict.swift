import JSON

/// What a delete means that comes, within one source transaction, behind a create under the same key.
///
/// In the order of versions it ends what the create made. Under a deferrable key two rows may stand under one key until
/// the commit, and the delete may mean the other: `UPDATE t SET id = id + 1` moves 1 onto 2 before it moves 2 away.
package enum DeleteVerdict: Equatable, Sendable {
    /// Nothing lives under the key behind it: a plain delete.
    case ends
    /// A row lives on under the key, which these are the known values of, as JSON by column.
    /// - made: version of the event that made the row; `.none` if no event known did.
    /// - isCertain: false where nothing tells which of several rows it is; the columns are those in which they agree.
    case spares([String: String], made: Version, isCertain: Bool)

    package var isCertain: Bool {
        if case .spares(_, _, let isCertain) = self { return isCertain }
        return true
    }
}

/// What is found of one key's deletes that stand behind a create of their own transaction; all others are plain.
package struct KeyDeletes: Equatable, Sendable {
    package var verdicts: [Version: DeleteVerdict] = [:]
    /// Known values of the row that each ended, where that is known.
    package var ended: [Version: [String: String]] = [:]
    /// Which events the values come from: of the row that each ended, and of the one that it spared.
    package var endedOrigins: [Version: [String: Version]] = [:]
    package var sparedOrigins: [Version: [String: Version]] = [:]

    package init() {}
}

/// The rows under one key, event by event: a key holds one row outside of a transaction, and may hold several inside.
///
/// A function of the key's events alone, so what was delivered when, and in which batches, can't change it.
package struct KeyTenants {
    private struct Tenant: Equatable {
        var values: [String: String] = [:]
        /// Of each value, the event that says it: an older event that comes later can say another.
        var origins: [String: Version] = [:]
        var made: Version
        /// Made in the transaction in hand.
        var isNew: Bool

        func looksLike(_ other: Tenant) -> Bool { values == other.values }
    }

    /// A value of the row that a create with unchanged columns was moved from, as JSON, and the event that says it.
    package typealias Carried = (_ create: RawEvent, _ column: String) -> (json: String, origin: Version)?

    private let keyColumns: Set<String>
    private let carried: Carried
    private var tenants: [Tenant] = []
    /// Tenants that a delete ended without telling which.
    private var deaths = 0
    private var transaction: (epoch: Int64, id: Int64)?
    private var hasCreated = false
    private var found = KeyDeletes()

    /// - Parameters:
    ///   - events: of one key, in order of version; truncates left out.
    ///   - floors: versions of the table's truncates, ascending.
    ///   - isOccupied: a row of which no event is at hand lived under the key before.
    package static func deletes(
        _ events: [RawEvent], floors: [Version], key: Set<String>, isOccupied: Bool = false,
        carried: @escaping Carried = { _, _ in nil }
    ) -> KeyDeletes {
        guard hasDoubt(events) else { return KeyDeletes() }
        var key = KeyTenants(keyColumns: key, carried: carried)
        if isOccupied { key.tenants = [Tenant(made: .none, isNew: false)] }
        var last = Version.none
        for event in events {
            if RowMerge.floor(below: event.version, floors) > last { key.clear() }
            last = event.version
            key.step(event)
        }
        return key.found
    }

    /// Whether some delete stands behind a create of its own transaction: without one there is nothing to decide.
    private static func hasDoubt(_ events: [RawEvent]) -> Bool {
        var created: (Int64, Int64)?
        for event in events where event.transaction >= 0 {
            let own = (event.version.epoch, event.transaction)
            if event.operation == .create { created = own }
            if event.operation == .delete, let created, created == own { return true }
        }
        return false
    }

    private init(keyColumns: Set<String>, carried: @escaping Carried) {
        self.keyColumns = keyColumns
        self.carried = carried
    }

    private mutating func clear() {
        tenants = []
        deaths = 0
    }

    private mutating func step(_ event: RawEvent) {
        enter(event)
        switch event.operation {
        case .truncate: break
        case .read:
            // A state of the whole key, as of a snapshot.
            tenants = [tenant(event, over: nil)]
            deaths = 0
        case .create:
            if transaction == nil { clear() }
            hasCreated = true
            tenants.append(tenant(event, over: nil))
        case .update: update(event)
        case .delete: delete(event)
        }
    }

    /// Between two transactions a key is unique again.
    private mutating func enter(_ event: RawEvent) {
        let next = event.transaction < 0 || event.operation == .read ? nil : (event.version.epoch, event.transaction)
        if let transaction, let next, transaction == next { return }
        transaction = next
        hasCreated = false
        settle()
        if tenants.count > 1 { tenants.removeFirst(tenants.count - 1) }
        for index in tenants.indices { tenants[index].isNew = false }
    }

    /// What is left where deaths are undecided: the columns that all who may be it agree in.
    private mutating func settle() {
        guard deaths > 0 else { return }
        if let last = tenants.last, tenants.count > deaths {
            tenants = [
                Tenant(values: agreement, origins: agreedOrigins, made: last.made, isNew: last.isNew)
            ]
        } else {
            tenants = []
        }
        deaths = 0
    }

    private var agreement: [String: String] {
        guard let first = tenants.first else { return [:] }
        return first.values.filter { column, value in tenants.allSatisfy { $0.values[column] == value } }
    }

    /// Of what they agree in, the newest.
    private var agreedOrigins: [String: Version] {
        tenants.reduce(into: [:]) { $0.merge($1.origins) { max($0, $1) } }
    }

    private func tenant(_ event: RawEvent, over old: Tenant?) -> Tenant {
        var values = old?.values ?? [:]
        var origins = old?.origins ?? [:]
        for (column, value) in Self.members(event.after) {
            values[column] = value
            origins[column] = event.version
        }
        if event.version.createsMovedKey {
            for column in event.unchanged {
                let found = carried(event, column)
                values[column] = found?.json
                origins[column] = found?.origin
            }
        }
        return Tenant(values: values, origins: origins, made: event.version, isNew: transaction != nil)
    }

    private mutating func update(_ event: RawEvent) {
        guard tenants.count - deaths > 1 else {
            // The one that lives, whichever it was.
            settle()
            let old = tenants.last
            if let old, old.isNew, !Self.fits(old, image(event.before)) {
                // Not of the row that this transaction made: of an older one, of which no event has come.
                var other = tenant(event, over: nil)
                other.isNew = false
                return tenants.insert(other, at: 0)
            }
            tenants = [tenant(event, over: old)]
            tenants[0].isNew = old?.isNew ?? false
            return
        }
        let old = remove(event)
        var next = tenant(event, over: old)
        next.isNew = old?.isNew ?? false
        tenants.append(next)
    }

    private mutating func delete(_ event: RawEvent) {
        guard hasCreated else { return clear() }
        if let row = remove(event) {
            found.ended[event.version] = row.values
            found.endedOrigins[event.version] = row.origins
        }
        let living = tenants.count - deaths
        if living <= 0 {
            clear()
            found.verdicts[event.version] = .ends
        } else if deaths > 0 {
            found.verdicts[event.version] = .spares(agreement, made: tenants.last?.made ?? .none, isCertain: false)
            found.sparedOrigins[event.version] = agreedOrigins
        } else if let last = tenants.last {
            found.verdicts[event.version] = .spares(last.values, made: last.made, isCertain: true)
            found.sparedOrigins[event.version] = last.origins
        }
    }

    /// Takes away the tenant that the event's before-image shows; counts a death where it doesn't tell.
    private mutating func remove(_ event: RawEvent) -> Tenant? {
        let image = image(event.before)
        if tenants.count <= 1, deaths == 0 {
            guard let only = tenants.first else { return nil }
            // Not the row that this transaction made: an older one, of which no event has come.
            if only.isNew, !Self.fits(only, image) { return nil }
            return tenants.removeLast()
        }
        let fitting = tenants.indices.filter { Self.fits(tenants[$0], image) }
        if let first = fitting.first {
            if fitting.allSatisfy({ tenants[$0].looksLike(tenants[first]) }), deaths == 0 || fitting.count == 1 {
                return tenants.remove(at: first)
            }
            deaths += 1
            if deaths >= tenants.count { clear() }
            return nil
        }
        // None looks like it: the row that was there before, whose image we may not know whole.
        guard let old = tenants.firstIndex(where: { !$0.isNew }) else { return nil }
        return tenants.remove(at: old)
    }

    /// What a before-image tells beside the key.
    private func image(_ json: String?) -> [String: String] {
        Self.members(json).filter { !keyColumns.contains($0.key) }
    }

    private static func fits(_ tenant: Tenant, _ image: [String: String]) -> Bool {
        image.allSatisfy { column, value in tenant.values[column].map { $0 == value } ?? true }
    }

    static func members(_ json: String?) -> [String: String] {
        guard let json, let members = (try? JSONValue(parsing: json))?.members else { return [:] }
        return Dictionary(members.map { ($0.0, $0.1.serialized) }) { $1 }
    }
}
