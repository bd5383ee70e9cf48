/// Events of erased rows: raw gets their place in the source and nothing else, and current gets nothing.
extension BatchApplier {
    /// Takes the events of erased rows out of `events`, and gives what remains. What a key change says of an erased old
    /// key is taken from it; its new key has a row like any other.
    ///
    /// - Parameter events: none that raw has.
    mutating func hideErased(
        _ table: Int, _ events: [Int32], _ entry: inout LedgerEntry, _ transaction: some WarehouseTransaction
    ) throws -> [Int32] {
        let definition = batch.tables[table]
        guard !definition.isKeyless, definition.hasShape else { return events }
        let names = KeyNames(definition, transaction.keyEquality)
        var ownNames: [Int32: String] = [:]
        var otherNames: [Int32: String] = [:]
        for index in events {
            let event = batch.events[Int(index)]
            guard event.operation != .truncate else { continue }
            ownNames[index] = try names.name(ofKey: batch.arena.string(event.key))
            if !event.otherKey.isNull, event.operation != .delete {
                otherNames[index] = try names.name(ofKey: batch.arena.string(event.otherKey))
            }
        }
        let wanted = Set(ownNames.values).union(otherNames.values)
        var erasures = try transaction.erasures(definition.source, wanted.sorted())
        guard !erasures.isEmpty else { return events }

        var hidden: [Int32] = []
        var changed: Set<String> = []
        for index in events.sorted(by: { batch.events[Int($0)].version < batch.events[Int($1)].version }) {
            let event = batch.events[Int(index)]
            if let name = otherNames[index], let erasure = erasures[name], erasure.hides(event, endsRow: true) {
                forgetOldKey(index)
                ahead?.forget(table)
            }
            guard let name = ownNames[index], let erasure = erasures[name] else { continue }
            if erasure.hides(event, endsRow: event.operation == .delete) {
                hide(index, as: name)
                hidden.append(index)
            } else if event.operation != .delete, event.version < erasure.revivedBy ?? .all {
                erasures[name]?.revivedBy = event.version
                changed.insert(name)
            }
        }
        if !changed.isEmpty { try transaction.write(changed.sorted().compactMap { erasures[$0] }, reason: nil) }
        guard !hidden.isEmpty else { return events }
        hidden.sort()
        if writesRaw { try transaction.appendRaw(definition, batch, hidden) }
        entry.superseded += hidden.count
        let isHidden = Set(hidden)
        return events.filter { !isHidden.contains($0) }
    }

    private func hide(_ index: Int32, as name: String) {
        let key = batch.arena.append(Erasure.rawKey(name))
        batch.events[Int(index)].key = key
        batch.events[Int(index)].otherKey = .null
        batch.events[Int(index)].before = -1
        batch.events[Int(index)].after = -1
        batch.events[Int(index)].flags.remove(.partial)
    }

    private func forgetOldKey(_ index: Int32) {
        batch.events[Int(index)].otherKey = .null
        batch.events[Int(index)].before = -1
        batch.events[Int(index)].flags.remove(.moveCreate)
    }
}
