import EventSchemas
import JSON
import Replication

/// Decodes Debezium's change events in JSON, with and without the schema part: envelopes, flattened events
/// (ExtractNewRecordState) and CloudEvents, also mixed in one topic. What is in Confluent's wire format becomes such JSON
/// first (`FramedReader`).
///
/// Pure and synchronous: what it makes of a record hangs on the record, on the configuration, and on what stood before
/// the record in its partition, which `ChangeBatch.decoderState` carries across restarts. A record that can't
/// be decoded never stops it: it goes to the batch's quarantine and is counted as read.
///
/// Not `Sendable`: its runner owns it, and decodes one batch after the other.
///
/// ```swift
/// let decoder = try DebeziumDecoder(configuration: configuration)
/// decoder.restore([partition: checkpoint.decoderState])
/// let batch = decoder.decode(records)
/// ```
///
/// What can't be told apart, and what is done:
/// - An update that sets a text to the very placeholder of unchanged columns counts as unchanged. In inserts
///   and reads the placeholder is a value.
/// - A key column that changes under a key of the pipeline file's own choice goes to quarantine, for
///   Debezium then sends no delete of the old key.
/// - A decimal without digits behind the point, in an event without a schema: see `EncodingModes.Decimal`.
/// - Reads of tables without a key are named by their offset.
/// - Two databases with tables of one name are told apart as long as the agent runs, not across restarts.
/// - A flattened event that shows no place in the source's log stands behind the last that did: `SourcePosition`.
/// - Debezium's JSON keeps no array's second dimension, no varbit's leading zeros and no months of a numeric interval.
package final class DebeziumDecoder: RecordDecoder {
    /// Plans of schemas that no event has any more are only let go all at once.
    private static let details_max = 100_000

    let configuration: DecoderConfiguration
    private(set) var epochs: SourceEpochs
    let values: ValueDecoder
    private let valueParser: JSONParser
    private let keyParser: JSONParser
    let headerParser: JSONParser
    /// For rows with a column called `schema`, which is no schema.
    let rowParser: JSONParser
    let schemas: SchemaCache
    let rowSchemas: SchemaCache
    let keySchemas: SchemaCache
    let headerSchemas: SchemaCache
    let addedFields: AddedMembers
    let addedHeaders: AddedMembers
    let origin: OriginDocument
    @exclusivity(unchecked) var tableNames: TableNames
    let placeholder: Placeholder
    /// Keys, values and headers have one each, since what one gives is used beside the others'.
    let framedValues: FramedReader?
    let framedKeys: FramedReader?
    let framedHeaders: FramedReader?
    private let takesEnvelopes: Bool

    @exclusivity(unchecked) var tables: [TableID: TableState] = [:]
    @exclusivity(unchecked) private var memories: [TopicPartition: PartitionMemory] = [:]
    /// Topics of which another partition than the first was seen.
    private var scattered: Set<String> = []
    let known: [TableID: TableDefinition]

    // The batch and record in hand.
    /// Of the record, in `records`.
    var recordIndex: Int32 = -1
    @exclusivity(unchecked) var records = RecordBatch(capacity: 64)
    @exclusivity(unchecked) var batch = ChangeBatch(capacity: 64)
    private var fieldsPerRecord = 8
    /// What stands in the arena up to there belongs to earlier events.
    @exclusivity(unchecked) var keptBytes = 0
    @exclusivity(unchecked) var batchNumber = 0
    @exclusivity(unchecked) var states: [TableState] = []
    @exclusivity(unchecked) private var spans: [Span] = []
    let after = ImageBuffer()
    let before = ImageBuffer()
    let keyImage = ImageBuffer()
    let otherKeyImage = ImageBuffer()
    @exclusivity(unchecked) var keyColumns = ContiguousArray<Int>()
    let rowJudge = RowJudge()

    private struct Span {
        var memory: PartitionMemory
        /// Its topic has several partitions.
        var isScattered: Bool
    }

    /// - Throws: `JSONError` where there is no memory for a parser.
    package init(configuration: DecoderConfiguration) throws(JSONError) {
        self.configuration = configuration
        epochs = configuration.epochs
        values = try ValueDecoder(hash: configuration.hash)
        valueParser = try JSONParser(skipping: ["schema"])
        keyParser = try JSONParser(skipping: ["schema"])
        headerParser = try JSONParser()
        rowParser = try JSONParser()
        let modes = configuration.modes
        schemas = try SchemaCache(modes: modes, isOfRows: false, numbers: 0)
        rowSchemas = try SchemaCache(modes: modes, isOfRows: true, numbers: 1 << 40)
        keySchemas = try SchemaCache(modes: modes, isOfRows: true, numbers: 2 << 40)
        headerSchemas = try SchemaCache(modes: modes, isOfRows: true, numbers: 3 << 40)
        let added = configuration.added
        addedFields = AddedMembers(prefix: added.fieldsPrefix, references: added.fields, hasDeleted: true)
        addedHeaders = AddedMembers(prefix: added.headersPrefix, references: added.headers, hasDeleted: false)
        origin = try OriginDocument()
        tableNames = TableNames(configuration)
        placeholder = Placeholder(configuration.placeholder)
        framedValues = try configuration.schemas.map { store throws(JSONError) in try FramedReader(store) }
        framedKeys = try configuration.schemas.map { store throws(JSONError) in try FramedReader(store) }
        framedHeaders = try configuration.schemas.map { store throws(JSONError) in try FramedReader(store) }
        takesEnvelopes = configuration.format == nil || configuration.format == .envelope
        known = Dictionary(configuration.knownTables.map { ($0.source, $0) }, uniquingKeysWith: { first, _ in first })
    }

    package func take(_ epochs: SourceEpochs) { self.epochs = epochs }

    /// What checkpoints kept for these partitions, before their first batch; nil or unreadable: nothing. What
    /// was remembered of them is forgotten. Returns the partitions whose state can't be read.
    @discardableResult
    package func restore(_ states: [TopicPartition: String?]) -> [TopicPartition] {
        var unreadable: [TopicPartition] = []
        for (partition, state) in states {
            let memory = state.flatMap { PartitionMemory(state: $0) }
            if state != nil, memory == nil { unreadable.append(partition) }
            memories[partition] = memory ?? PartitionMemory()
            if partition.partition > 0 { scattered.insert(partition.topic) }
        }
        return unreadable.sorted()
    }

    /// Decodes all records, in order. It remembers them: to decode records again that it had before (a batch whose
    /// commit failed), `restore` the state of the checkpoint first.
    ///
    /// A table that shows no more than its name in a batch (a truncate, events in quarantine) can have a definition
    /// without columns; it says nothing of its key then.
    package func decode(_ records: RecordBatch) -> ChangeBatch {
        begin(records)
        let all = records.records
        batch.records = records
        for (index, record) in all.enumerated() {
            recordIndex = Int32(index)
            decode(record)
        }
        return finish()
    }

    private func begin(_ records: RecordBatch) {
        self.records = records
        batch = ChangeBatch(capacity: max(records.held_bytes / 4, 4096))
        batch.events.reserveCapacity(records.records.count)
        // About as many fields to an event as in the last batch.
        batch.fields.reserveCapacity(records.records.count * fieldsPerRecord)
        batch.spans = records.spans
        batch.recordBytes = records.bytes
        values.arena = batch.arena
        keptBytes = 0
        batchNumber += 1
        states.removeAll(keepingCapacity: true)
        if values.details.count > Self.details_max {
            values.details.removeAll()
            for table in tables.values { table.forgetPlans() }
        }
        for span in records.spans where span.partition.partition > 0 { scattered.insert(span.partition.topic) }
        spans = records.spans.map { span in
            let memory = memories[span.partition] ?? PartitionMemory()
            memories[span.partition] = memory
            return Span(memory: memory, isScattered: scattered.contains(span.partition.topic))
        }
    }

    private func finish() -> ChangeBatch {
        for (index, state) in states.enumerated() {
            batch.tables[index] = state.definition
            if hasImmediateKey(state) { batch.immediateKeys.insert(index) }
        }
        for (index, span) in spans.enumerated() {
            if let state = span.memory.takeState() { batch.decoderState[index] = state }
        }
        let done = batch
        fieldsPerRecord = records.records.isEmpty ? 8 : done.fields.count / records.records.count + 1
        batch = ChangeBatch(capacity: 64)
        records = RecordBatch(capacity: 64)
        values.arena = batch.arena
        return done
    }

    /// A replica identity that isn't the whole row is an index that is checked at each change; and it is the key's.
    private func hasImmediateKey(_ state: TableState) -> Bool {
        guard state.identity == .coversKey, let key = configuration.catalogKeys[state.id] else { return false }
        return Set(key) == Set(state.definition.key.map { state.definition.columns[$0].name })
    }

    // MARK: - One record

    private func decode(_ record: RecordBatch.Record) {
        let memory = spans[Int(record.span)].memory
        guard record.hasValue else { return tombstone(record, memory, .null) }
        var bytes = records.value(of: record)
        if bytes.count == 4, bytes.elementsEqual("null".utf8) { return tombstone(record, memory, .text) }
        do throws(SchemaTrouble) {
            bytes = try unframedValue(bytes)
        } catch {
            return unread(record, memory, "the value: \(error.reason)")
        }
        let tape: JSONTape
        do throws(JSONError) {
            tape = try valueParser.parse(bytes)
        } catch {
            return unread(record, memory, notJSON(record, error))
        }
        guard tape.kind(tape.root) == .object else { return unread(record, memory, "the value is no JSON object") }

        var payload = tape.root
        var schemaAt: Int?
        if let (schema, inner) = tape.wrapped {
            if tape.isNull(inner) { return tombstone(record, memory, .wrapped(tape, schema: schema)) }
            guard tape.kind(inner) == .object else { return unread(record, memory, "the payload is no JSON object") }
            payload = inner
            schemaAt = schema
        }
        let envelope = Envelope(tape, payload)
        let kind = envelope.kind(tape)
        switch kind {
        case .change where takesEnvelopes:
            change(record, memory, tape, envelope, schemaAt)
        case .control: batch.control += 1
        default: decodeOther(kind, record, memory, tape, payload, envelope, schemaAt)
        }
    }

    private func change(
        _ record: RecordBatch.Record, _ memory: PartitionMemory, _ tape: JSONTape, _ envelope: Envelope,
        _ schemaAt: Int?
    ) {
        let letter = envelope.letter(tape)
        // A logical message, which is of no table.
        if letter == 0x6D {
            batch.control += 1
            return
        }
        if letter == Operation.delete.rawValue { noteDelete(record, memory) } else { memory.noteNoDelete() }
        let source = EventSource(tape, Int(envelope.source))
        guard let state = table(tape, source, memory) else {
            batch.readUnknown += 1
            return quarantine(record, nil, nil, "source names no table")
        }
        if state.connector == .unknown, source.connector >= 0 {
            state.learn(Connector(name: tape.rawValue(Int(source.connector))))
        }
        memory.note(state.connector)
        event(
            record, memory, state, letter,
            EventShape(
                tape: tape, origin: tape, envelope: envelope, source: source,
                // MongoDB's says no more of a document than that it is a text.
                schemaAt: state.connector == .mongodb ? nil : schemaAt, connector: state.connector))
    }

    func noteDelete(_ record: RecordBatch.Record, _ memory: PartitionMemory) {
        memory.noteDelete(of: record.key.isNull ? nil : records.arena.bytes(record.key))
    }

    /// Counts the record as one of the table's, and decodes it where it is replicated.
    @inline(__always)
    func event(
        _ record: RecordBatch.Record, _ memory: PartitionMemory, _ state: TableState, _ letter: UInt8,
        _ shape: EventShape
    ) {
        memory.note(state)
        guard state.isChosen else {
            batch.control += 1
            return
        }
        let known = Operation(rawValue: letter)
        if let known, !configuration.operations.contains(known) {
            batch.control += 1
            return
        }
        use(state)
        batch.read[state.index] += 1
        guard let operation = known else {
            return quarantine(record, state, nil, "op is none of c, u, d, t and r")
        }
        guard isOfItsDatabase(state, shape) else {
            return quarantine(
                record, state, operation,
                "an event of another database than the table's others: give each database a pipeline of its own; "
                    + "or start the agent anew, if the database was renamed")
        }
        let fields = batch.fields.count
        let bytes = batch.arena.count
        do throws(Trouble) {
            let context = EventContext(
                record: record, state: state, memory: memory, tape: shape.tape, envelope: shape.envelope,
                source: shape.source, operation: operation, schema: try schema(of: shape),
                origin: shape.origin, connector: shape.connector, hasAdded: shape.hasAdded,
                showsPlace: shape.showsPlace, isOperationTold: shape.isOperationTold)
            do throws(Trouble) {
                try append(context)
            } catch {
                undo(state, fields, bytes)
                try appendAnew(context, error, fields, bytes)
            }
            state.keepChanges()
        } catch {
            undo(state, fields, bytes)
            quarantine(record, state, operation, error.reason)
        }
    }

    /// Once more where the table follows what the event shows; if that fails, too, it doesn't.
    private func appendAnew(
        _ c: EventContext, _ trouble: Trouble, _ fields: Int, _ bytes: Int
    ) throws(Trouble) {
        guard trouble.isRenewed || trouble.otherKey != nil else { throw trouble }
        let (before, told, mixed) = (c.state.snapshot, batch.evolutions[c.state.id], batch.mixed)
        do throws(Trouble) {
            if trouble.isRenewed {
                guard followNames(c) else { throw trouble }
            } else {
                guard let key = trouble.otherKey, followKey(key, c) else { throw trouble }
            }
            c.memory.uncount(c.record.offset)
            try append(c)
        } catch {
            undo(c.state, fields, bytes)
            c.state.restore(before)
            batch.evolutions[c.state.id] = told
            batch.mixed = mixed
            throw error
        }
    }

    private func undo(_ state: TableState, _ fields: Int, _ bytes: Int) {
        state.undoChanges()
        batch.fields.removeLast(batch.fields.count - fields)
        batch.arena.truncate(to: max(bytes, keptBytes))
    }

    @inline(__always)
    private func schema(of shape: EventShape) throws(Trouble) -> ConnectSchema? {
        if let schema = shape.schema { return schema }
        guard let at = shape.schemaAt else { return nil }
        let tape = shape.tape
        guard let schema = schemas.schema(tape.rawValue(at), id: tape.skippedID, connector: shape.connector) else {
            throw Trouble("the schema block isn't understood")
        }
        return schema
    }

    func parseKey(_ bytes: UnsafeRawBufferPointer) throws(JSONError) -> JSONTape { try keyParser.parse(bytes) }

    func isScattered(_ record: RecordBatch.Record) -> Bool { spans[Int(record.span)].isScattered }
}
