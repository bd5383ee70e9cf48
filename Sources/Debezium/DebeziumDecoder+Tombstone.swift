import JSON
import Replication

/// Records without a value: the mark behind a delete, or all that is left of one in flattened events.
extension DebeziumDecoder {
    enum TombstoneForm {
        case null
        /// The four bytes `null`, which only a transformation leaves.
        case text
        /// A schema part with the payload null, likewise.
        case wrapped(JSONTape, schema: Int?)
    }

    func tombstone(_ record: RecordBatch.Record, _ memory: PartitionMemory, _ form: TombstoneForm) {
        let key = record.key.isNull ? nil : records.arena.bytes(record.key)
        // The delete stands before it.
        if memory.hasJustDeleted(key) || configuration.format == .envelope || configuration.format == .cloudEvents {
            batch.control += 1
            return
        }
        origin.begin()
        addHeaders(of: record)
        let isSure =
            origin.letter == Operation.delete.rawValue || configuration.format == .flattened || memory.hasFlattened
        let connector = connector(memory)
        var schemaName: String?
        switch form {
        case .null where !isSure:
            batch.control += 1
            return
        case .wrapped(let tape, let schema?):
            schemaName = rowSchemas.schema(tape.rawValue(schema), id: tape.skippedID, connector: connector)?.name
        default: break
        }
        guard let document = origin.finish(databaseIsSchema: connector.namesSchemasDatabases) else {
            return unread(record, memory, "the headers of a tombstone aren't understood")
        }
        let source = EventSource(document, document.root)
        guard let state = tableOf(record, memory, document, source, schemaName, connector) else {
            guard isSure else {
                batch.control += 1
                return
            }
            return unread(record, memory, Self.untoldTable(.flattened))
        }
        let showsPlace = showsPlace(connector)
        noteTombstone(record, of: state, showsPlace: showsPlace)
        event(
            record, memory, state, Operation.delete.rawValue,
            EventShape(
                tape: document, origin: document,
                envelope: Envelope(
                    before: nil, after: nil, transaction: document.find("transaction", in: document.root)),
                source: source, connector: connector, showsPlace: showsPlace))
    }
}
