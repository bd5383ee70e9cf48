import JSON
import Replication

/// CloudEvents in JSON: the envelope's `source` as extension attributes, its images as `data`.
extension DebeziumDecoder {
    func cloudEvent(
        _ record: RecordBatch.Record, _ memory: PartitionMemory, _ tape: JSONTape, _ payload: Int, _ envelope: Envelope
    ) {
        memory.noteNoDelete()
        origin.begin()
        for child in tape.children(payload) {
            if let member = AddedMembers.cloudEvents[tape.rawKey(child)] { origin.add(member, tape, child) }
        }
        let type = tape.find("type", in: payload).flatMap { tape.string($0) } ?? ""
        guard origin.isTold || type.hasPrefix("io.debezium.") else {
            return unread(record, memory, "a CloudEvent that isn't Debezium's")
        }
        addFromID(tape, payload, type)
        guard origin.letter != 0x6D, !type.hasSuffix(".MessageEvent") else {
            batch.control += 1
            return
        }
        do throws(Trouble) {
            let parts = try data(tape, payload, envelope)
            cloudEvent(record, memory, tape, parts)
        } catch {
            unread(record, memory, error.reason)
        }
    }

    /// The images of a CloudEvent's data; -1 for what isn't there or null.
    private struct Parts {
        var before = -1
        var after = -1
        /// The data is the row itself, with what was added to it.
        var row = -1
        var schemaAt: Int?
    }

    private func data(_ tape: JSONTape, _ payload: Int, _ envelope: Envelope) throws(Trouble) -> Parts {
        var parts = Parts()
        var data = Int(envelope.data)
        guard data >= 0, !tape.isNull(data) else {
            if tape.find("data_base64", in: payload) != nil { throw binaryData(tape, payload) }
            guard origin.letter == Operation.truncate.rawValue else { throw Trouble("a CloudEvent without data") }
            return parts
        }
        guard tape.kind(data) == .object else { throw binaryData(tape, payload) }
        if tape.childCount(data) == 2, let schema = tape.find("schema", in: data),
            let inner = tape.find("payload", in: data)
        {
            guard tape.kind(inner) == .object else { throw Trouble("a CloudEvent whose data has no payload") }
            if tape.kind(schema) == .object { parts.schemaAt = schema }
            data = inner
        }
        let before = tape.find("before", in: data)
        let after = tape.find("after", in: data)
        // An envelope's images, and nothing else: a row can have a column of such a name.
        let images = (before == nil ? 0 : 1) + (after == nil ? 0 : 1)
        if images > 0, images == tape.childCount(data) {
            if let before, !tape.isNull(before) { parts.before = before }
            if let after, !tape.isNull(after) { parts.after = after }
        } else {
            parts.row = data
        }
        return parts
    }

    private func binaryData(_ tape: JSONTape, _ payload: Int) -> Trouble {
        let type = tape.find("datacontenttype", in: payload).flatMap { tape.string($0) } ?? ""
        if type.contains("avro") {
            return Trouble("a CloudEvent whose data is Avro (application/avro), which is not read")
        }
        if type.contains("protobuf") { return Trouble("a CloudEvent whose data is Protobuf, which is not read") }
        return Trouble("a CloudEvent whose data is no JSON object")
    }

    private func cloudEvent(
        _ record: RecordBatch.Record, _ memory: PartitionMemory, _ tape: JSONTape, _ parts: Parts
    ) {
        var letter = origin.letter
        let isTold = letter != 0
        if !isTold {
            let isDelete = parts.row < 0 && parts.after < 0
            letter = (isDelete ? Operation.delete : Operation.update).rawValue
        }
        let isDelete = letter == Operation.delete.rawValue
        if isDelete { noteDelete(record, memory) }
        let connector = connector(memory)
        let cache = parts.row < 0 ? schemas : rowSchemas
        var schema: ConnectSchema?
        if let at = parts.schemaAt {
            schema = cache.schema(tape.rawValue(at), id: 0, connector: connector)
            guard schema != nil else { return unread(record, memory, "the schema block isn't understood") }
        }
        guard let document = origin.finish(databaseIsSchema: connector.namesSchemasDatabases) else {
            return unread(record, memory, "the attributes of a CloudEvent aren't understood")
        }
        let source = EventSource(document, document.root)
        guard let state = tableOf(record, memory, document, source, schema?.name, connector) else {
            return unread(record, memory, Self.untoldTable(.cloudEvents))
        }
        let hasRow = parts.row >= 0
        event(
            record, memory, state, letter,
            EventShape(
                tape: tape, origin: document,
                envelope: Envelope(
                    before: hasRow && isDelete ? parts.row : parts.before,
                    after: hasRow && !isDelete ? parts.row : parts.after,
                    transaction: document.find("transaction", in: document.root)),
                source: source, schema: schema, connector: connector, hasAdded: hasRow,
                showsPlace: showsPlace(connector), isOperationTold: isTold))
    }

    /// Without extension attributes the place stands in the event's id
    /// (`name:shop;lsn:29274832;txId:565;sequence:[…]`), and the connector in its type.
    private func addFromID(_ tape: JSONTape, _ payload: Int, _ type: String) {
        func add(_ member: AddedMember, _ text: some StringProtocol) {
            var text = String(text)
            text.withUTF8 { origin.add(member, plain: UnsafeRawBufferPointer($0)) }
        }
        if !origin.has(.connector) {
            let parts = type.split(separator: ".")
            if parts.count > 3, type.hasPrefix("io.debezium.connector.") { add(.connector, parts[3]) }
        }
        let isPlaced = origin.has(.lsn) || origin.has(.sequence) || origin.has(.file)
        guard !isPlaced, let id = tape.find("id", in: payload).flatMap({ tape.string($0) }) else { return }
        let members: [String: AddedMember] = [
            "lsn": .lsn, "txId": .transactionID, "sequence": .sequence, "file": .file, "pos": .position, "row": .row,
            "change_lsn": .changeLSN, "commit_lsn": .commitLSN, "scn": .scn,
        ]
        for part in id.split(separator: ";") {
            let pair = part.split(separator: ":", maxSplits: 1)
            guard pair.count == 2, let member = members[String(pair[0])] else { continue }
            add(member, pair[1])
        }
    }
}
