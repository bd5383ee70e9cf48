import JSON
import Replication

/// Changes of tables, as their events show them: a schema block that isn't the one before, members that come or stay away,
/// another key. No event tells a rename: to these it is a column that is dropped and another that is added.
extension DebeziumDecoder {
    /// Whether the event tells its table's schema: of a relational database's connector, whose images have all columns, and
    /// at a place that the source made, which tells what is newer. Reads have columns that changes haven't (generated ones).
    @inline(__always)
    func followsSchemas(_ c: EventContext, _ position: SourcePosition) -> Bool {
        guard configuration.followsSchemas, c.operation == .create || c.operation == .update else { return false }
        return c.state.connector.hasWholeRows && c.showsPlace && !position.isOffset
    }

    /// Of before the schema that is followed.
    @inline(__always)
    func isBehind(_ state: TableState, _ position: SourcePosition, _ version: Version) -> Bool {
        guard let since = state.followedSince, !position.isOffset else { return false }
        return version < since
    }

    /// What the event's schema block says, before its row is read.
    @inline(__always)
    func followBlock(_ c: EventContext, _ version: Version) {
        guard let block = c.schema, block.number != c.state.followedNumber, c.state.followedSince != nil,
            !c.state.isUnsteady
        else { return }
        follow(c, block, version)
    }

    private func follow(_ c: EventContext, _ block: ConnectSchema, _ version: Version) {
        guard !c.state.isBehind else { return }
        c.state.followedNumber = block.number
        guard !c.state.isSame(block.number) else { return }
        // What no table can have is put aside with its events.
        guard let schema = told(by: block, c, version) else { return }
        follow(schema, c.state, isOfNames: false)
        c.state.noteSame(block.number)
    }

    /// What the event's members say, behind its row; and where nothing is followed yet, that begins here.
    @inline(__always)
    func followShape(_ c: EventContext, _ version: Version) {
        guard c.state.hasNewShape else { return }
        followMembers(c, version)
    }

    private func followMembers(_ c: EventContext, _ version: Version) {
        let state = c.state
        state.keepChanges()
        guard state.isKeyKnown, !state.isBehind else { return }
        state.hasNewShape = false
        // A block was looked at before.
        guard state.followedSince == nil || c.schema == nil && !state.isUnsteady else { return }
        guard let schema = c.schema.map({ told(by: $0, c, version) }) ?? toldByMembers(c, version) else { return }
        guard state.followedSince != nil else {
            state.begin(schema)
            state.followedNumber = c.schema?.number ?? 0
            return
        }
        follow(schema, state, isOfNames: true)
        state.followedNumber = 0
    }

    /// A record's key of other columns than the table's. True: the table follows it.
    func followKey(_ key: [String], _ c: EventContext) -> Bool {
        guard configuration.followsSchemas, c.state.connector.hasWholeRows, c.state.isPlaced, !c.state.hasChosenKey,
            !c.state.definition.isKeyless, let followed = c.state.definition.followed
        else { return false }
        var schema = placed(followed, c.state.version)
        // Columns that are new with it.
        for name in key where !schema.columns.contains(where: { $0.name == name }) {
            schema.columns.append(.init(name, type: type(of: name, c)))
        }
        schema.key = key
        guard !c.state.isBehind else { return false }
        follow(schema, c.state, isOfNames: c.schema == nil)
        return Set(c.state.definition.keyNames) == Set(key)
    }

    private func type(of name: String, _ c: EventContext) -> ColumnType? {
        var text = name
        let described = c.schema.flatMap { schema in
            text.withUTF8 { schema.column(named: UnsafeRawBufferPointer($0)) }
        }
        return described.flatMap { $0.isAssumed ? nil : $0.type } ?? configuration.catalogTypes[c.state.id]?[name]
    }

    // MARK: What is told

    /// Nil: it has names that no column can have, or too many.
    private func told(by block: ConnectSchema, _ c: EventContext, _ version: Version) -> SourceSchema? {
        let excluded = c.state.choice?.excluded ?? []
        let isFit = block.columns.allSatisfy {
            (1...Self.name_max_bytes).contains($0.name.count) && !$0.name.contains(0)
                || excluded.contains(String(decoding: $0.name, as: UTF8.self))
        }
        guard block.columns.count <= Self.columns_max, isFit else { return nil }
        let known = c.state.definition.followed.map { Set($0.columns.map(\.name)) }
        let columns = block.columns.compactMap { column -> SourceSchema.Column? in
            let name = String(decoding: column.name, as: UTF8.self)
            if let slot = c.state.slot(named: name) {
                guard c.state.slots[slot].column != TableState.Slot.added || !c.hasAdded else { return nil }
            } else if c.hasAdded, isAdded(name, c.state) {
                return nil
            }
            // What isn't told is made of what is assumed, and isn't compared with that later.
            let isNew = known.map { !$0.contains(name) } ?? false
            let assumed = isNew ? configuration.catalogTypes[c.state.id]?[name] ?? column.type : nil
            return .init(
                name, type: column.isAssumed ? assumed : column.type,
                isNullable: column.isAssumed ? nil : column.isOptional)
        }
        return placed(SourceSchema(position: version.commit, columns: columns), version)
    }

    /// Without a block: names alone. A new column has the type that was found for it.
    private func toldByMembers(_ c: EventContext, _ version: Version) -> SourceSchema {
        var columns: [SourceSchema.Column] = []
        let known = Set((c.state.definition.followed?.columns ?? []).map(\.name))
        for child in c.tape.children(Int(c.envelope.after)) {
            guard let name = c.tape.key(child), let slot = c.state.slot(named: name) else { continue }
            var place = Int(c.state.slots[slot].column)
            if place == Int(TableState.Slot.gone) { place = c.state.placeOfRetired(slot) ?? place }
            guard place >= 0 else { continue }
            let column = c.state.definition.columns[place]
            columns.append(.init(name, type: known.isEmpty || known.contains(name) ? nil : column.type))
        }
        return placed(SourceSchema(position: version.commit, columns: columns), version)
    }

    private func placed(_ schema: SourceSchema, _ version: Version) -> SourceSchema {
        var schema = schema
        (schema.epoch, schema.position, schema.place) = (version.epoch, version.commit, version.seq)
        return schema
    }

    /// A member of a dropped column's name, in an event of behind the drop: another column, which is followed before the
    /// event is read. A read tells nothing else.
    func followNames(_ c: EventContext) -> Bool {
        let state = c.state
        guard configuration.followsSchemas, state.connector.hasWholeRows, state.isPlaced, !state.isBehind,
            c.envelope.after >= 0, let followed = state.definition.followed
        else { return false }
        let isRead = c.operation == .read
        guard isRead || state.follows else { return false }
        var columns = isRead ? followed.columns : []
        for child in c.tape.children(Int(c.envelope.after)) {
            guard let name = c.tape.key(child) else { return false }
            if isRead, followed.columns.contains(where: { $0.name == name }) || state.retired(named: name) == nil {
                continue
            }
            if let slot = state.slot(named: name), [-1, TableState.Slot.added].contains(state.slots[slot].column) {
                continue
            }
            if c.hasAdded, isAdded(name, c.state) { continue }
            columns.append(.init(name, type: type(of: name, c)))
        }
        follow(placed(SourceSchema(position: 0, columns: columns), c.state.version), c.state, isOfNames: false)
        return true
    }

    // MARK: What becomes of it

    private func follow(_ schema: SourceSchema, _ state: TableState, isOfNames: Bool) {
        let before = state.definition
        let policy = configuration.schemaPolicy
        let wasUnsteady = state.isUnsteady
        let found = state.evolve(to: schema, policy: policy, isOfNames: isOfNames)
        if state.isUnsteady, !wasUnsteady { batch.mixed.insert(state.id) }
        guard let evolution = found else { return }
        batch.note(evolution, of: state.id)
        for (index, column) in before.columns.enumerated() {
            let now = state.definition.columns[index].type
            if now != column.type, !column.type.isWidened(to: now) { settle(index, of: state, as: column.type) }
        }
    }

    /// The column has another type from here on: what the batch has of it becomes JSON, which says what it was.
    private func settle(_ column: Int, of state: TableState, as type: ColumnType) {
        guard state.batch == batchNumber else { return }
        for event in batch.events where Int(event.table) == state.index && column < Int(event.width) {
            for image in [event.before, event.after] where image >= 0 {
                let field = batch.fields[Int(image) + column]
                guard field.isKnown, field.kind != .null, field.kind != .json else { continue }
                let range = FieldText.appendJSON(field, type, from: batch.arena, to: batch.arena)
                batch.fields[Int(image) + column] = .stretch(.json, range)
            }
        }
        // Also where the event in hand fails.
        keptBytes = batch.arena.count
    }
}

extension Connector {
    /// Of a relational database, whose images have all columns of their tables.
    fileprivate var hasWholeRows: Bool {
        switch self {
        case .postgres, .mysql, .mariadb, .sqlserver, .oracle: true
        case .mongodb, .other, .unknown: false
        }
    }
}
