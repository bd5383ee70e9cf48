import JSON
import Replication

/// The header of a key change: the other key.
struct MoveHeader {
    let value: ByteRange
}

/// Key changes: Debezium sends a delete and a create, each with the other's key in a header.
extension DebeziumDecoder {
    func moveHeader(of c: EventContext) -> MoveHeader? {
        let name: StaticString
        switch c.operation {
        case .delete: name = "__debezium.newkey"
        case .create: name = "__debezium.oldkey"
        default: return nil
        }
        return header(name, of: c.record).map { MoveHeader(value: $0) }
    }

    /// The value of the record's header of this name; nil where there is none.
    func header(_ name: StaticString, of record: RecordBatch.Record) -> ByteRange? {
        let length = name.utf8CodeUnitCount
        for index in record.headers {
            let header = records.headers[Int(index)]
            guard header.name.length == length else { continue }
            if records.arena.bytes(header.name).elementsEqual(UnsafeRawBufferPointer(name)) { return header.value }
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
        // Without a place the halves can't be told to be one: nothing may be carried over.
        guard c.showsPlace else { return }
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
        guard let text = try? unframed(records.arena.bytes(header.value), by: framedHeaders),
            let tape = try? headerParser.parse(text), tape.kind(tape.root) == .object
        else { return false }
        var object = tape.root
        var schema = key?.schema
        if let (schemaAt, payload) = tape.wrapped {
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
            let plan = keyPlan(slot, column, state, schema, c.schema)
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
}
