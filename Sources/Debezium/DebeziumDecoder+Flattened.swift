import JSON
import Replication

/// Events of other forms than the envelope: told apart here, and flattened ones (ExtractNewRecordState) read.
extension DebeziumDecoder {
    func decodeOther(
        _ kind: Envelope.Kind, _ record: RecordBatch.Record, _ memory: PartitionMemory, _ tape: JSONTape,
        _ payload: Int, _ envelope: Envelope, _ schemaAt: Int?
    ) {
        switch kind {
        case .heartbeat where isHeartbeat(record, memory), .control: batch.control += 1
        case .change:
            let letter = envelope.letter(tape)
            // Logical messages keep their envelope in every form.
            guard letter != 0x6D else {
                batch.control += 1
                return
            }
            if letter == Operation.delete.rawValue { noteDelete(record, memory) } else { memory.noteNoDelete() }
            foreign(.envelope, record, memory)
        case .cloudEvent:
            guard takes(.cloudEvents) else { return foreign(.cloudEvents, record, memory) }
            cloudEvent(record, memory, tape, payload, envelope)
        case .flattened, .heartbeat:
            guard takes(.flattened) else { return foreign(.flattened, record, memory) }
            flattened(record, memory, tape, payload, schemaAt)
        }
    }

    private func takes(_ format: EventFormat) -> Bool {
        configuration.format == nil || configuration.format == format
    }

    private func foreign(_ format: EventFormat, _ record: RecordBatch.Record, _ memory: PartitionMemory) {
        let wanted = configuration.format?.word ?? "auto"
        unread(record, memory, "\(format.noun), where source.kafka.format is \(wanted)")
    }

    /// A time alone is a heartbeat, unless rows without their envelope are what comes here.
    private func isHeartbeat(_ record: RecordBatch.Record, _ memory: PartitionMemory) -> Bool {
        guard configuration.format == .flattened || memory.hasFlattened else { return true }
        if topic(of: record).hasPrefix("__debezium-heartbeat") { return true }
        guard let key = glanceAtKey(of: record) else {
            return false
        }
        let payload = key.wrapped?.payload ?? key.root
        return key.find("serverName", in: payload) != nil
    }

    // MARK: - Rows

    private func flattened(
        _ record: RecordBatch.Record, _ memory: PartitionMemory, _ whole: JSONTape, _ payload: Int, _ schemaAt: Int?
    ) {
        var tape = whole
        var schema: ConnectSchema?
        // A column called `schema` that was skipped for a schema.
        if schemaAt == nil, whole.children(payload).contains(where: { whole.kind($0) == .skipped }) {
            guard let again = try? rowParser.parse(records.value(of: record)) else {
                return unread(record, memory, "the value is not JSON")
            }
            tape = again
        }
        memory.noteNoDelete()
        origin.begin()
        for child in tape.children(payload) {
            if let member = addedFields[tape.rawKey(child)] { origin.add(member, tape, child) }
        }
        addHeaders(of: record)
        var letter = origin.letter
        if origin.isDeleted == true {
            letter = Operation.delete.rawValue
        } else if letter == 0, header("__debezium.oldkey", of: record) != nil {
            letter = Operation.create.rawValue
        }
        guard letter != 0x6D else {
            batch.control += 1
            return
        }
        // Truncates are dropped there, so that this is none.
        if letter == Operation.truncate.rawValue { letter = 0xFF }
        // Whatever it was, the row is as it says.
        let isTold = letter != 0
        if !isTold { letter = Operation.update.rawValue }
        let isDelete = letter == Operation.delete.rawValue
        if isDelete { noteDelete(record, memory) }

        let connector = connector(memory)
        if let schemaAt {
            schema = rowSchemas.schema(whole.rawValue(schemaAt), id: whole.skippedID, connector: connector)
            guard schema != nil else { return unread(record, memory, "the schema block isn't understood") }
        }
        guard let document = origin.finish(databaseIsSchema: connector.namesSchemasDatabases) else {
            return unread(record, memory, "what was added to a flattened event isn't understood")
        }
        let source = EventSource(document, document.root)
        guard let state = tableOf(record, memory, document, source, schema?.name, connector) else {
            return unread(record, memory, Self.untoldTable(.flattened))
        }
        if !origin.isTold, schema == nil, !state.hasChosenKey, !hasItsKey(record, tape, payload) {
            return unread(record, memory, "a row without its key's columns, of none of the formats that are read")
        }
        memory.noteFlattened(state.id)
        let showsPlace = showsPlace(connector)
        note(record, of: state, isDelete: isDelete, showsPlace: showsPlace, isOperationTold: isTold)
        event(
            record, memory, state, letter,
            EventShape(
                tape: tape, origin: document,
                envelope: Envelope(
                    before: isDelete ? payload : nil, after: isDelete ? nil : payload,
                    transaction: document.find("transaction", in: document.root)),
                source: source, schema: schema, connector: connector, hasAdded: true,
                showsPlace: showsPlace, isOperationTold: isTold))
    }

    /// Whether the row has the columns of its record's key: a row without anything beside it could be any document.
    private func hasItsKey(_ record: RecordBatch.Record, _ tape: JSONTape, _ row: Int) -> Bool {
        guard let key = glanceAtKey(of: record) else {
            return true
        }
        let object = key.wrapped?.payload ?? key.root
        // No key has more; and each is looked for among all columns.
        guard key.childCount(object) <= 64 else { return false }
        return key.children(object).allSatisfy { name in
            tape.children(row).contains { tape.key($0, equals: key.rawKey(name)) }
        }
    }

    // MARK: - What all forms but the envelope need

    static func untoldTable(_ format: EventFormat) -> String {
        "\(format.noun) whose table can't be told: add.fields=schema,table for ExtractNewRecordState, or `topic` in `tables`"
    }

    func topic(of record: RecordBatch.Record) -> String { records.spans[Int(record.span)].partition.topic }

    func addHeaders(of record: RecordBatch.Record) {
        for index in record.headers {
            let header = records.headers[Int(index)]
            guard !header.value.isNull, let member = addedHeaders[records.arena.bytes(header.name)] else { continue }
            let value = records.arena.bytes(header.value)
            // Connect's own converter writes plain text; the JSON converter a document.
            guard value.first == 0x7B || value.first == 0x22, let tape = try? headerParser.parse(value) else {
                origin.add(member, plain: value)
                continue
            }
            origin.add(member, tape, tape.wrapped?.payload ?? tape.root)
        }
    }

    /// The connector of the event in `origin`: as it says, or as only one shows such a place, or as is known otherwise.
    func connector(_ memory: PartitionMemory) -> Connector {
        if let own = origin.connector {
            memory.note(own)
            return own
        }
        if configuration.connector != .unknown { return configuration.connector }
        if memory.connector != .unknown { return memory.connector }
        // The catalog is a Postgres.
        return configuration.catalogTypes.isEmpty ? .unknown : .postgres
    }

    /// Whether `origin` has what the connector's versions are made of.
    func showsPlace(_ connector: Connector) -> Bool {
        switch connector {
        case .postgres: origin.has(.lsn) || origin.has(.sequence)
        case .mysql, .mariadb: origin.has(.file) && origin.has(.position)
        case .sqlserver: origin.has(.commitLSN) && (origin.has(.changeLSN) || origin.letter == Operation.read.rawValue)
        case .oracle: origin.has(.commitSCN) || origin.has(.scn)
        case .unknown: false
        default: origin.has(.time_ms) || origin.has(.time_us) || origin.has(.time_ns)
        }
    }

    /// The table that the event names, whole or in part.
    func tableOf(
        _ record: RecordBatch.Record, _ memory: PartitionMemory, _ document: JSONTape, _ source: EventSource,
        _ schemaName: String?, _ connector: Connector
    ) -> TableState? {
        let isWhole =
            (source.schema >= 0 || source.database >= 0) && (source.table >= 0 || source.collection >= 0)
        if isWhole {
            let state = self.table(document, source, memory, connector)
            state?.learn(connector)
            return state
        }
        let table = source.table >= 0 ? source.table : source.collection
        let hints = TableNames.Hints(
            schema: source.schema >= 0 ? document.string(Int(source.schema)) : nil,
            table: table >= 0 ? document.string(Int(table)) : nil,
            database: origin.databaseText, record: schemaName ?? keySchemaName(record), topic: topic(of: record))
        guard let id = tableNames.table(hints) ?? (hints.table == nil ? memory.flattenedTable : nil) else { return nil }
        return self.table(id, connector)
    }

    /// The name in the key's schema part, if it has one.
    private func keySchemaName(_ record: RecordBatch.Record) -> String? {
        guard let key = glanceAtKey(of: record), let schemaAt = key.wrapped?.schema else { return nil }
        return key.find("name", in: schemaAt).flatMap { key.string($0) }
    }
}
