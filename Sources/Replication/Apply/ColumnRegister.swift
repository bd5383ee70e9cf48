/// Which event a column's value comes from, kept for the few rows whose columns don't all stem from
/// the event that made the row's version (unchanged TOAST, columns of a newer schema).
///
/// Registers join by `max`, which makes merging independent of arrival order:
/// - `own`: version of the event of this key that decided the column; `.none` if none is known yet.
/// - not known: as of `own` there is no value (a delete, a truncate, or a create that carries the column over from
///   another key and waits for it).
/// - `carried`: for a column carried over by a key change at `own`: the version at the old key of the value.
package struct ColumnRegister: Hashable, Sendable, Comparable {
    package var own: Version
    package var isKnown: Bool
    package var carried: Version

    package init(own: Version, isKnown: Bool, carried: Version = .none) {
        self.own = own
        self.isKnown = isKnown
        self.carried = carried
    }

    package static let unseen = ColumnRegister(own: .none, isKnown: false)

    package static func < (a: ColumnRegister, b: ColumnRegister) -> Bool {
        if a.own != b.own { return a.own < b.own }
        if a.isKnown != b.isKnown { return b.isKnown }
        return a.carried < b.carried
    }
}

/// The sparse map `_version_columns` of one row: columns whose register isn't simply "known as of the row's version".
/// Stored as JSON text: `{"note":[e,c,s]}` known since then, `[e,c,s,null]` no value as of then, `[null]` never seen,
/// `[e,c,s,e2,c2,s2]` carried over at the first from the second.
package struct ColumnVersions: Hashable, Sendable {
    package var registers: [String: ColumnRegister] = [:]

    package init(registers: [String: ColumnRegister] = [:]) { self.registers = registers }

    package var isEmpty: Bool { registers.isEmpty }
    /// Some column has no value that we know of: the row is incomplete.
    package var isIncomplete: Bool { registers.values.contains { !$0.isKnown } }

    package var json: String {
        var text = "{"
        for (name, register) in registers.sorted(by: { $0.key < $1.key }) {
            if text.utf8.count > 1 { text += "," }
            text += JSONText.quoted(name) + ":["
            if register.own.isNone {
                text += "null"
            } else {
                text += "\(register.own.epoch),\(register.own.commit),\(register.own.seq)"
                if !register.isKnown {
                    text += ",null"
                } else if !register.carried.isNone {
                    text += ",\(register.carried.epoch),\(register.carried.commit),\(register.carried.seq)"
                }
            }
            text += "]"
        }
        return text + "}"
    }

    /// Nil if the text isn't such a map: somebody else wrote the column.
    package init?(json: String) {
        guard let object = JSONText.parseVersionMap(json) else { return nil }
        for (name, numbers) in object {
            switch numbers.count {
            case 1 where numbers[0] == nil:
                registers[name] = .unseen
            case 3, 4, 6:
                guard let e = numbers[0], let c = numbers[1], let s = numbers[2] else { return nil }
                let own = Version(epoch: e, commit: c, seq: s)
                if numbers.count == 3 {
                    registers[name] = ColumnRegister(own: own, isKnown: true)
                } else if numbers.count == 4, numbers[3] == nil {
                    registers[name] = ColumnRegister(own: own, isKnown: false)
                } else if numbers.count == 6, let e2 = numbers[3], let c2 = numbers[4], let s2 = numbers[5] {
                    registers[name] = ColumnRegister(
                        own: own, isKnown: true, carried: Version(epoch: e2, commit: c2, seq: s2))
                } else {
                    return nil
                }
            default:
                return nil
            }
        }
    }
}
