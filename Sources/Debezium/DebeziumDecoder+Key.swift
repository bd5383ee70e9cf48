import EventSchemas
import JSON
import Replication

/// The key of a record.
struct RecordKey {
    let tape: JSONTape
    /// The object with the key's columns.
    let object: Int
    let schema: ConnectSchema?
}

/// Keys: from the record, or from the image.
extension DebeziumDecoder {
    func recordKey(of c: EventContext) throws(Trouble) -> RecordKey? {
        guard !c.record.key.isNull else { return nil }
        var bytes = records.arena.bytes(c.record.key)
        if bytes.count == 4, bytes.elementsEqual("null".utf8) { return nil }
        do throws(SchemaTrouble) {
            bytes = try unframed(bytes, by: framedKeys)
        } catch {
            throw Trouble("the record's key: \(error.reason)")
        }
        let tape: JSONTape
        do throws(JSONError) {
            tape = try parseKey(bytes)
        } catch {
            throw Trouble("the record's key is not JSON: \(error)")
        }
        var object = tape.root
        var schema: ConnectSchema?
        if tape.kind(object) == .object, let (schemaAt, payload) = tape.wrapped {
            object = payload
            if let schemaAt {
                schema = keySchemas.schema(
                    tape.rawValue(schemaAt), id: tape.skippedID, connector: c.state.connector)
            }
        }
        if tape.isNull(object) { return nil }
        guard tape.kind(object) == .object else {
            // A transformation took the key apart. With a key of the pipeline file's it only names the event.
            guard !c.state.hasChosenKey else { return RecordKey(tape: tape, object: object, schema: nil) }
            throw Trouble("the record's key is no JSON object")
        }
        return RecordKey(tape: tape, object: object, schema: schema)
    }

    /// Whether the row's key comes from its image and not from the record's key.
    func takesKeyFromImage(_ c: EventContext, _ key: RecordKey?) -> Bool {
        key == nil || c.state.hasChosenKey
    }

    /// Fills `keyImage`, and settles the table's key where this is its first event. False: a table without a key.
    func settleKey(_ c: EventContext, _ key: RecordKey?, from image: ImageBuffer) throws(Trouble) -> Bool {
        let state = c.state
        if state.hasChosenKey, let chosen = state.choice?.key {
            try settle(chosen, state, from: image)
            return true
        }
        if let key {
            try settle(key, c)
            return true
        }
        if state.isKeyKnown {
            guard !state.definition.isKeyless else { return false }
            try takeKey(state, from: image)
            return true
        }
        if let columns = configuration.catalogKeys[state.id], !columns.isEmpty {
            try settle(columns, state, from: image)
            return true
        }
        state.setKey([])
        return false
    }

    /// The key's columns by name, from an image.
    private func settle(_ names: [String], _ state: TableState, from image: ImageBuffer) throws(Trouble) {
        if !state.isKeyKnown {
            var columns: [Int] = []
            for name in names {
                guard let slot = state.slot(named: name), state.slots[slot].column >= 0 else {
                    throw Trouble("the event lacks the key column \"\(name)\"")
                }
                columns.append(Int(state.slots[slot].column))
            }
            state.setKey(columns)
        }
        try takeKey(state, from: image)
    }

    private func takeKey(_ state: TableState, from image: ImageBuffer) throws(Trouble) {
        image.extend(to: state.definition.columns.count)
        keyImage.reset(state.definition.columns.count)
        for column in state.definition.key {
            let field = image[column]
            let name = state.definition.columns[column].name
            guard field.isKnown else { throw Trouble("the event lacks the key column \"\(name)\"") }
            guard field.kind != .null else { throw Trouble("key column \"\(name)\" is null") }
            keyImage[column] = field
        }
    }

    /// The key as the record has it.
    private func settle(_ key: RecordKey, _ c: EventContext) throws(Trouble) {
        let state = c.state
        let tape = key.tape
        keyImage.reset(state.definition.columns.count)
        keyColumns.removeAll(keepingCapacity: true)
        state.usePlans(of: c.schema)
        var position = 0
        for child in tape.children(key.object) {
            var slot = state.guessInKey(position)
            if slot < 0 || !state.matches(slot, tape.rawKey(child)) || tape.isKeyEscaped(child) {
                slot = try lookUp(tape, child, state, key.schema ?? c.schema)
                state.learnInKey(slot, at: position)
                keyImage.extend(to: state.definition.columns.count)
            }
            position += 1
            var column = Int(state.slots[slot].column)
            if column == Int(TableState.Slot.gone) {
                if let place = state.placeOfRetired(slot) {
                    column = place
                } else if !state.isBehind {
                    column = state.makeColumn(try self.column(columnName(tape, child), state, c.schema), of: slot)
                }
                keyImage.extend(to: state.definition.columns.count)
            }
            guard column >= 0 else { throw Trouble("a column of the key is excluded") }
            guard !tape.isNull(child) else {
                throw Trouble("key column \"\(state.definition.columns[column].name)\" is null")
            }
            do throws(Misfit) {
                keyImage[column] = try values.field(tape, child, keyPlan(slot, column, state, key.schema, c.schema))
            } catch {
                throw trouble(error, state, column)
            }
            keyColumns.append(column)
        }
        guard !keyColumns.isEmpty else { throw Trouble("the record's key has no columns") }
        if !state.isKeyKnown { return state.setKey(Array(keyColumns)) }
        guard keyColumns.count == state.definition.key.count, keyColumns.allSatisfy({ state.isKeyColumn($0) }) else {
            let theirs = keyColumns.map { state.definition.columns[$0].name }.joined(separator: ", ")
            let ours = state.definition.key.map { state.definition.columns[$0].name }.joined(separator: ", ")
            var trouble = Trouble(
                "the record's key is (\(theirs)), and the table's key is \(ours.isEmpty ? "none" : "(\(ours))")")
            trouble.otherKey = keyColumns.map { state.definition.columns[$0].nameAtSource }
            throw trouble
        }
    }

    /// - Parameter column: of the slot, or one that the source dropped.
    func keyPlan(
        _ slot: Int, _ column: Int, _ state: TableState, _ own: ConnectSchema?, _ schema: ConnectSchema?
    ) -> ColumnPlan {
        guard Int(state.slots[slot].column) == column else {
            return newPlan(state.definition.columns[column], state.name(of: slot), state, own ?? schema)
        }
        guard let own else { return plan(slot, state, schema) }
        let known = state.keyPlan(slot, schema: own.number)
        if known.operation != .unset { return known }
        let plan = newPlan(slot, state, own)
        state.setKeyPlan(plan, at: slot, schema: own.number)
        return plan
    }

    func appendKey(_ state: TableState, _ event: inout ChangeEvent) {
        guard let template = state.keyTemplate else { return }
        keyImage.extend(to: state.definition.columns.count)
        event.key = template.appendKey(from: batch.arena, to: batch.arena) { keyImage[$0] }
        event.group =
            template.needsGroup
            ? template.appendGroup(from: batch.arena, to: batch.arena) { keyImage[$0] } : event.key
    }
}
