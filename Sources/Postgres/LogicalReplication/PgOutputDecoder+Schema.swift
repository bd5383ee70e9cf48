import Replication

/// Schemas of the source's tables, and what their changes make of the batch in hand. All of it happens where a relation is
/// described; rows pay nothing.
extension PgOutputDecoder {
    typealias RelationColumn = (name: String, type: ColumnType, isTold: Bool, isKey: Bool)

    /// Lets the table follow a relation's schema.
    func follow(
        _ table: ReplicatedTable, _ columns: [RelationColumn], _ facts: RelationFacts?, oid: UInt32, flagged: [String],
        isFull: Bool, at position: Int64, place: Int64
    ) {
        guard configuration.followsSchemas else { return }
        // Of a later time than the relation the catalog may tell of another column under the name.
        let isOfItsTime = facts.map { $0.oid == oid && $0.columns.map(\.name) == columns.map(\.name) } ?? false
        let traits = isOfItsTime ? facts?.traits ?? [:] : [:]
        var schema = SourceSchema(
            oid: oid, position: position,
            columns: columns.map { column in
                let trait = traits[column.name]
                return SourceSchema.Column(
                    column.name, number: trait?.number, type: column.isTold ? column.type : nil,
                    isNullable: trait.map { !$0.isNotNull })
            })
        schema.place = place
        schema.epoch = configuration.epoch
        if let facts, accords(facts, columns, flagged: flagged, isFull: isFull) {
            schema.key = facts.effectiveKey
            schema.identity = facts.isFull ? .full : facts.identity.isEmpty ? .nothing : .key
        }
        let isInBatch = table.batch == batchNumber
        let before = table.definition
        guard
            let evolution = table.evolve(
                to: schema, told: told(columns, traits), policy: configuration.schemaPolicy, isInBatch: isInBatch)
        else { return }
        batch.note(evolution, of: table.id)
        use(table)
        moved(table, from: before)
        guard isInBatch else { return }
        for (index, column) in before.columns.enumerated() where index < table.definition.columns.count {
            let now = table.definition.columns[index]
            if now.type != column.type, !column.type.isWidened(to: now.type) {
                settle(index, of: table, as: column.type)
            }
        }
        fillInitial(table, beyond: before.columns.count)
    }

    /// Whether the catalog's key is the relation's: it is asked when the relation comes, which may be later than the
    /// relation's own time.
    func accords(_ facts: RelationFacts, _ columns: [RelationColumn], flagged: [String], isFull: Bool) -> Bool {
        guard Set(facts.effectiveKey).isSubset(of: columns.map(\.name)) else { return false }
        // Copied rows come with what the catalog says of them.
        return flagged.isEmpty || isFull || facts.isFull == isFull && Set(flagged) == Set(facts.identity)
    }

    /// What rows have in columns that are new, as far as the catalog tells.
    private func told(_ columns: [RelationColumn], _ traits: [String: RelationFacts.Trait]) -> SchemaEvolution.Told {
        var told = SchemaEvolution.Told()
        for column in columns {
            guard let trait = traits[column.name], !trait.isFilled,
                InitialValue.isPlain(trait.missing, column.type)
            else { continue }
            told.initial.updateValue(trait.missing, forKey: column.name)
        }
        return told
    }

    func note(_ gone: GoneTable, at position: Int64) {
        guard configuration.select(gone.table) != nil else { return }
        batch.schemaChanges.append(
            SchemaChange(
                table: gone.table, kind: gone.name == nil ? .dropTable : .renameTable,
                state: configuration.schemaPolicy.breaking == .ignore ? .ignored : .waiting, before: "\(gone.oid)",
                after: gone.name, position: position))
    }

    /// Relations that were described before have their columns in other places now.
    func moved(_ table: ReplicatedTable, from before: TableDefinition) {
        guard before.columns.map(\.name) != table.definition.columns.map(\.name) else { return }
        let columns = table.definition.columns
        let places = before.columns.map { column -> Int32? in
            columns.firstIndex { $0.identity == column.identity }.map { Int32($0) }
        }
        for relation in relations.values where relation.table === table { relation.move(places) }
        if copying?.table === table { copying?.move(places) }
    }

    /// Rows that the batch has already were there before the new columns.
    private func fillInitial(_ table: ReplicatedTable, beyond width: Int) {
        let columns = table.definition.columns
        guard columns.count > width else { return }
        let fields = columns[width...].map { column -> Field in
            guard let initial = column.initial else { return .absent }
            return initial.text.map { .stretch(.text, batch.arena.append($0)) } ?? .null
        }
        for index in batch.events.indices
        where Int(batch.events[index].table) == table.index && Int(batch.events[index].width) <= width {
            let event = batch.events[index]
            func wider(_ image: Int32, with fields: [Field]) -> Int32 {
                guard image >= 0 else { return image }
                let start = Int32(batch.fields.count)
                for column in 0..<width { batch.fields.append(batch.field(image, column, width: event.width)) }
                batch.fields.append(contentsOf: fields)
                return start
            }
            batch.events[index].after = wider(event.after, with: fields)
            batch.events[index].before = wider(event.before, with: fields.map { _ in .absent })
            batch.events[index].width = Int32(columns.count)
            let isPartial = event.after >= 0 && fields.contains { !$0.isKnown }
            if isPartial { batch.events[index].flags.insert(.partial) }
        }
    }

    /// What a relation's rows have in columns that it lacks.
    func lacking(_ relation: Relation, at position: Int64) {
        let present = Set(relation.columns)
        let gone = Set(relation.table.goneColumns)
        for (index, column) in relation.table.definition.columns.enumerated() where !present.contains(Int32(index)) {
            if gone.contains(Int32(index)) {
                relation.gone.append(Int32(index))
            } else if let initial = column.initial, position <= initial.since {
                relation.initial.append((Int32(index), initial.text))
            }
        }
    }

    func fill(_ image: Int32, of relation: Relation) {
        for (column, text) in relation.initial {
            batch.fields[Int(image + column)] = text.map { .stretch(.text, batch.arena.append($0)) } ?? .null
        }
    }
}
