/// Tables that can't be adopted as they are.
extension AdoptionPlan {
    func findRefusal(
        _ theirs: [ForeignTable.Column], _ metadata: [(name: String, type: ColumnType)]
    ) -> ReplicationError? {
        historyMode(theirs) ?? missingKey() ?? strangeKey() ?? unreadableFlag(theirs) ?? wrongTypes(metadata)
    }

    package func refused(_ message: String, _ remedy: String) -> ReplicationError {
        ReplicationError(
            .configuration, "\(definition.source): \(message)", remedy: remedy, table: definition.source)
    }

    private func historyMode(_ theirs: [ForeignTable.Column]) -> ReplicationError? {
        let names = ["_fivetran_active", "_fivetran_start"]
        guard let column = theirs.first(where: { names.contains($0.name.lowercased()) }) else { return nil }
        return refused(
            "\(table.name) has a row for each version of a row: \(column.name) is of Fivetran's history mode",
            "let Fivetran sync the table in soft delete mode first, or set existing: replace for it in tables:")
    }

    private func missingKey() -> ReplicationError? {
        let key = Set(definition.key.map { definition.columns[$0].name })
        guard let column = added.first(where: { key.contains($0.name) }) else { return nil }
        return refused(
            "\(table.name) lacks the key column \(column.name)",
            "set existing: replace for it in tables:, or another target:")
    }

    private func strangeKey() -> ReplicationError? {
        let names = Set(definition.columns.map { fold($0.name) })
        guard let column = table.columns.first(where: { $0.isInPrimaryKey && !names.contains(fold($0.name)) }) else {
            return nil
        }
        return refused(
            "the primary key of \(table.name) has the column \(column.name), which the source doesn't have",
            "ALTER TABLE \(table.name) DROP CONSTRAINT …; or set existing: replace for it in tables:")
    }

    private func unreadableFlag(_ theirs: [ForeignTable.Column]) -> ReplicationError? {
        guard let maker, table.column(definition.metadata.isDeleted) == nil else { return nil }
        for (name, form) in Self.columns(of: maker, for: .isDeleted) where form == nil {
            guard let flag = theirs.first(where: { $0.name.lowercased() == name }),
                Self.form(of: flag.type, for: .isDeleted) == nil
            else { continue }
            return refused(
                "column \(flag.name) of \(table.name) has type \(flag.typeName), which doesn't tell what is deleted",
                "make it a boolean, or set existing: replace for it in tables:")
        }
        return nil
    }

    /// Columns in the place of ours that can't be ours.
    private func wrongTypes(_ metadata: [(name: String, type: ColumnType)]) -> ReplicationError? {
        let wrong = metadata.filter { column in table.column(column.name).map { $0.type != column.type } ?? false }
        guard let first = wrong.first, let found = table.column(first.name) else { return nil }
        return refused(
            "column \(found.name) of \(table.name) has type \(found.typeName), not \(first.type.sql)",
            remedy(without: Set(wrong.map { fold($0.name) })))
    }

    /// The part of the pipeline file that has ours beside them.
    private func remedy(without wrong: Set<String>) -> String {
        let fields = Field.allCases.map { ($0, $0.name(in: definition.metadata)) }
        guard fields.contains(where: { wrong.contains(fold($0.1)) }) else {
            // The names of the version's columns are nobody's choice.
            return "rename that column, or set existing: replace for the table in tables:"
        }
        let taken = Set((table.columns.map(\.name) + definition.columns.map(\.name)).map(fold))
        var parts: [String] = []
        for (field, wanted) in fields {
            var name = wanted
            if wrong.contains(fold(wanted)) {
                let usual = field.rawValue
                name = taken.contains(fold(usual)) ? "_millrace_\(usual.drop { $0 == "_" })" : usual
                while taken.contains(fold(name)) { name += "_" }
            }
            if name != field.rawValue { parts.append("\(field.rawValue): \(Self.yaml(name))") }
        }
        return """
            have ours beside theirs, with this in the pipeline file:
            tables:
              - source: \(Self.yaml(definition.source.description))
                metadata_columns: \(parts.isEmpty ? "default" : "{ \(parts.joined(separator: ", ")) }")
            """
    }

    /// Bare where nothing in it could mean something else.
    private static func yaml(_ name: String) -> String {
        let isBare = name.wholeMatch(of: #/[A-Za-z_][A-Za-z0-9_]*[_.][A-Za-z0-9_.]*/#) != nil
        return isBare ? name : JSONText.quoted(name)
    }
}
