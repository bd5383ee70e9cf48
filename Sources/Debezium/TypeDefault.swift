import JSON
import Replication

/// What Debezium writes for a NOT NULL column that the source didn't send.
enum TypeDefault {
    static func matches(_ tape: JSONTape, _ i: Int) -> Bool {
        switch tape.kind(i) {
        case .false: return true
        case .null, .true, .skipped: return false
        case .integer, .fraction: return tape.rawValue(i).allSatisfy { $0 == 0x30 || $0 == 0x2E || $0 == 0x2D }
        case .string: return text(tape.rawValue(i))
        case .array: return tape.childCount(i) == 0
        case .object: return tape.children(i).allSatisfy { tape.isNull($0) || matches(tape, $0) }
        }
    }

    private static let texts: [StaticString] = [
        "0", "AA==", "{}", "00000000-0000-0000-0000-000000000000", "00:00:00Z", "1970-01-01Z",
    ]

    private static func text(_ raw: UnsafeRawBufferPointer) -> Bool {
        if raw.isEmpty { return true }
        if texts.contains(where: { raw.elementsEqual(UnsafeRawBufferPointer($0)) }) { return true }
        // With any count of zeros behind the second.
        let epoch: StaticString = "1970-01-01T00:00:00"
        guard raw.starts(with: UnsafeRawBufferPointer(epoch)) else { return false }
        return raw.dropFirst(epoch.utf8CodeUnitCount).allSatisfy { $0 == 0x30 || $0 == 0x2E || $0 == 0x5A }
    }
}

/// Keys that no row has: a replica identity that doesn't cover the key gives type defaults in its stead.
extension DebeziumDecoder {
    /// Whether the delete's key consists of type defaults.
    func areDefaults(_ c: EventContext, _ key: RecordKey?, before object: Int?) -> Bool {
        guard let key, !takesKeyFromImage(c, key) else {
            return object.map { areDefaults(c, keyColumnsOf: $0) } ?? false
        }
        for child in key.tape.children(key.object) where !TypeDefault.matches(key.tape, child) { return false }
        return true
    }

    func areDefaults(_ c: EventContext, keyColumnsOf object: Int) -> Bool {
        for child in c.tape.children(object) {
            guard let name = c.tape.key(child), let slot = c.state.slot(named: name) else { continue }
            let column = Int(c.state.slots[slot].column)
            if column >= 0, c.state.isKeyColumn(column), !TypeDefault.matches(c.tape, child) { return false }
        }
        return true
    }

    /// Whether the image shows a value of a column that isn't the key's: neither null, nor a default of the type,
    /// nor the column's own default as the schema has it.
    func hasOtherValues(_ c: EventContext, _ object: Int) -> Bool {
        for child in c.tape.children(object) where !c.tape.isNull(child) && !TypeDefault.matches(c.tape, child) {
            guard let name = c.tape.key(child), let slot = c.state.slot(named: name) else { continue }
            let column = Int(c.state.slots[slot].column)
            if column == Int(TableState.Slot.added) || column >= 0 && c.state.isKeyColumn(column) { continue }
            if let described = c.schema?.column(named: c.state.name(of: slot)), !described.fallback.isEmpty,
                c.tape.rawValue(child).elementsEqual(described.fallback)
            {
                continue
            }
            return true
        }
        return false
    }
}
