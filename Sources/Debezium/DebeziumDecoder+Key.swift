import JSON
import Replication

/// The key of a record.
struct RecordKey {
    let tape: JSONTape
    /// The object with the key's columns.
    let object: Int
    let schema: ConnectSchema?
}

/// The header of a key change: the other key.
struct MoveHeader {
    let value: ByteRange
}

/// Keys: from the record, from the image, and of the other half of a key change.
extension DebeziumDecoder {
    func recordKey(of c: EventContext) throws(Trouble) -> RecordKey? {
        guard !c.record.key.isNull else { return nil }
        let bytes = records.arena.bytes(c.record.key)
        if bytes.count == 4, bytes.elementsEqual("null".utf8) { return nil }
        let tape: JSONTape
        do throws(JSONError) {
            tape = try parseKey(bytes)
        } catch {
            throw Trouble("the record's key is not JSON: \(error)")
        }
        var object = tape.root
        var schema: ConnectSchema?
        if tape.kind(object) == .object, let (schemaAt, payload) = wrapped(tape) {
            object = payload
            if let schemaAt {
                schema = keySchemas.schema(
                    tape.rawValue(schemaAt), id: tape.skippedID, connector: c.state.connector)
            }
        }
        if tape.isNull(object) { return nil }
        guard tape.kind(object) == .object else {
            // A transformation took the key apart. With a key of the pipeline file's it only names the event.
            guard c.state.choice?.key == nil else { return RecordKey(tape: tape, object: object, schema: nil) }
            throw Trouble("the record's key is no JSON object")
        }
        return RecordKey(tape: tape, object: object, schema: schema)
    }

    /// Whether the row's key comes from its image and not from the record's key.
    func takesKeyFromImage(_ c: EventContext, _ key: RecordKey?) -> Bool {
        key == nil || c.state.choice?.key != nil
    }

    /// Fills `keyImage`, and settles the table's key where this is its first event. False: a table without a key.
    func settleKey(_ c: EventContext, _ key: RecordKey?, from image: ImageBuffer) throws(Trouble) -> Bool {
        let state = c.state
        if let chosen = state.choice?.key {
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
            let column = Int(state.slots[slot].column)
            guard column >= 0 else { throw Trouble("a column of the key is excluded") }
            guard !tape.isNull(child) else {
                throw Trouble("key column \"\(state.definition.columns[column].name)\" is null")
            }
            do throws(Misfit) {
                keyImage[column] = try values.field(tape, child, keyPlan(slot, state, key.schema, c.schema))
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
            throw Trouble(
                "the record's key is (\(theirs)), and the table's key is \(ours.isEmpty ? "none" : "(\(ours))")")
        }
    }

    private func keyPlan(
        _ slot: Int, _ state: TableState, _ own: ConnectSchema?, _ schema: ConnectSchema?
    ) -> ColumnPlan {
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

    // MARK: - Key changes

    func moveHeader(of c: EventContext) -> MoveHeader? {
        let name: StaticString
        switch c.operation {
        case .delete: name = "__debezium.newkey"
        case .create: name = "__debezium.oldkey"
        default: return nil
        }
        let length = name.utf8CodeUnitCount
        for index in c.record.headers {
            let header = records.headers[Int(index)]
            guard header.name.length == length else { continue }
            if records.arena.bytes(header.name).elementsEqual(UnsafeRawBufferPointer(name)) {
                return MoveHeader(value: header.value)
            }
        }
        return nil
    }

    /// Marks the event as half of a key change, with the other half's key where the header can be understood.
    func move(
        _ c: EventContext, _ key: RecordKey?, _ header: MoveHeader?, isPartial: Bool, _ event: inout ChangeEvent
    ) {
        guard let header else { return }
        // Under a key of its own choice the table's rows don't move when the record's key does.
        if takesKeyFromImage(c, key), !isRecordKey(c.state, key) { return }
        event.flags.insert(c.operation == .delete ? .moveDelete : .moveCreate)
        guard let template = c.state.keyTemplate, !header.value.isNull else { return }
        let mark = batch.arena.count
        if readOtherKey(c, key, header, refusingDefaults: isPartial && c.operation == .create) {
            event.otherKey = template.appendKey(from: batch.arena, to: batch.arena) { otherKeyImage[$0] }
        } else {
            batch.arena.truncate(to: mark)
        }
    }

    private func isRecordKey(_ state: TableState, _ key: RecordKey?) -> Bool {
        guard let key, key.tape.kind(key.object) == .object else { return false }
        var count = 0
        for child in key.tape.children(key.object) {
            guard let name = key.tape.key(child), let slot = state.slot(named: name) else { return false }
            let column = Int(state.slots[slot].column)
            guard column >= 0, state.isKeyColumn(column) else { return false }
            count += 1
        }
        return count == state.definition.key.count
    }

    /// Reads the header into `otherKeyImage`; false if it can't be understood.
    ///
    /// - Parameter refusingDefaults: a key of type defaults can be the trace of a replica identity that doesn't
    ///   cover the key, and then names a row that isn't the old one: nothing may be carried over from it.
    private func readOtherKey(
        _ c: EventContext, _ key: RecordKey?, _ header: MoveHeader, refusingDefaults: Bool
    ) -> Bool {
        let state = c.state
        guard let tape = try? headerParser.parse(records.arena.bytes(header.value)),
            tape.kind(tape.root) == .object
        else { return false }
        var object = tape.root
        var schema = key?.schema
        if let (schemaAt, payload) = wrapped(tape) {
            object = payload
            if let schemaAt {
                schema = headerSchemas.schema(tape.rawValue(schemaAt), id: 0, connector: state.connector) ?? schema
            }
        }
        guard tape.kind(object) == .object else { return false }
        otherKeyImage.reset(state.definition.columns.count)
        var count = 0
        var areDefaults = true
        for child in tape.children(object) {
            guard let name = tape.key(child), let slot = state.slot(named: name) else { return false }
            let column = Int(state.slots[slot].column)
            guard column >= 0, state.isKeyColumn(column), !tape.isNull(child) else { return false }
            let plan = keyPlan(slot, state, schema, c.schema)
            // A number for what the key writes as base64, and nobody to say what that means.
            if plan.operation == .json, let key, !isAlike(tape, child, key, name) { return false }
            guard let field = try? values.field(tape, child, plan), field.kind != .null else { return false }
            otherKeyImage[column] = field
            if !TypeDefault.matches(tape, child) { areDefaults = false }
            count += 1
        }
        if refusingDefaults, areDefaults, state.identity != .full, state.identity != .coversKey { return false }
        return count == state.definition.key.count
    }

    private func isAlike(_ tape: JSONTape, _ child: Int, _ key: RecordKey, _ name: String) -> Bool {
        for other in key.tape.children(key.object) where key.tape.key(other) == name {
            return key.tape.kind(other) == tape.kind(child)
        }
        return false
    }

    // MARK: - Keys that no row has

    /// Whether the delete's key consists of type defaults.
    func areDefaults(_ c: EventContext, _ key: RecordKey?, before object: Int) -> Bool {
        guard let key, !takesKeyFromImage(c, key) else { return areDefaults(c, keyColumnsOf: object) }
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
            if column >= 0, c.state.isKeyColumn(column) { continue }
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
