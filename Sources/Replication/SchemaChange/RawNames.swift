import JSON

/// Names under which raw's images hold a table's columns. Raw is never changed, and a name may have been another column's
/// before: so a column's events are told apart from those of others by names that nobody else has.
extension TableDefinition {
    /// Whether raw has, or may have, events of another column under that name.
    ///
    /// - Parameter index: of the column that may have it.
    func isSpent(_ name: String, but index: Int? = nil) -> Bool {
        spentNames.contains(name) || retired.contains { $0.namesInRaw.contains(name) }
            || columns.indices.contains { $0 != index && columns[$0].namesInRaw.contains(name) }
    }

    /// Gives a column, which is still to be added, a name in raw of its own: `age_2` where another was called `age` there.
    func nameInRaw(_ column: inout Column) {
        guard isSpent(column.name) else { return }
        let taken = Set(columns.map(\.name) + retired.map(\.name))
        var number = 2
        while isSpent("\(column.name)_\(number)") || taken.contains("\(column.name)_\(number)") { number += 1 }
        column.namesInRaw = ["\(column.name)_\(number)"]
    }

    /// Its events come under the new name from here on, unless another column's came under that.
    mutating func rename(_ index: Int, to name: String) {
        var names = columns[index].namesInRaw
        if !isSpent(name, but: index) {
            names.removeAll { $0 == name }
            names.append(name)
        }
        columns[index].name = name
        columns[index].namesInRaw = names
    }
}

extension Column {
    /// What a column that is renamed to stand aside was called by: nothing is written under the new name.
    mutating func setAside(as name: String) {
        let names = namesInRaw
        self.name = name
        namesInRaw = names
    }
}

/// Turns names in raw's images into those that columns have now.
package struct RawNames: Sendable {
    /// Nil: of a column that is gone.
    package let changed: [String: String?]

    /// Nil: all names are as they are in raw.
    package init?(_ definition: TableDefinition) {
        var changed: [String: String?] = [:]
        for name in definition.spentNames { changed.updateValue(nil, forKey: name) }
        // What a change of its type keeps beside a column was never another one.
        let retired = definition.retired.filter { !$0.isKept }
        for column in retired + definition.columns {
            for name in column.namesInRaw { changed[name] = column.name }
        }
        for column in retired + definition.columns where changed[column.name] == nil {
            changed.updateValue(nil, forKey: column.name)
        }
        self.changed = changed.filter { $0.key != $0.value }
        if self.changed.isEmpty { return nil }
    }

    private func name(_ name: String) -> String? { changed[name] ?? name }

    package func names(_ names: [String]) -> [String] { names.compactMap(name) }

    /// An image that isn't a JSON object stays as it is.
    package func image(_ text: String) -> String {
        guard case .object(let members)? = try? JSONValue(parsing: text) else { return text }
        return JSONValue.object(members.compactMap { member in name(member.key).map { ($0, member.value) } }).serialized
    }

    package func event(_ event: RawEvent) -> RawEvent {
        var event = event
        event.before = event.before.map(image)
        event.after = event.after.map(image)
        event.unchanged = names(event.unchanged)
        return event
    }
}
