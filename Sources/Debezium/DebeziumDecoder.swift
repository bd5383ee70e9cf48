import EventSchemas
import JSON
import Replication

/// Decodes Debezium's change events: envelopes in JSON, with and without the schema part, and whatever `FramedReader`
/// makes such JSON of.
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
/// - Debezium's JSON keeps no array's second dimension, no varbit's leading zeros and no months of a numeric interval.
package final class DebeziumDecoder: RecordDecoder {
    /// Plans of schemas that no event has any more are only let go all at once.
    private static let details_max = 100_000

    let configuration: DecoderConfiguration
    let values: ValueDecoder
    private let valueParser: JSONParser
    private let keyParser: JSONParser
    let headerParser: JSONParser
    let schemas: SchemaCache
    let keySchemas: SchemaCache
    let headerSchemas: SchemaCache
    let placeholder: Placeholder
    /// Keys, values and headers have one each, since what one gives is used beside the others'.
    let framedValues: FramedReader?
    let framedKeys: FramedReader?
    let framedHeaders: FramedReader?

    @exclusivity(unchecked) private var tables: [TableID: TableState] = [:]
    @exclusivity(unchecked) private var memories: [TopicPartition: PartitionMemory] = [:]
    /// Topics of which another partition than the first was seen.
    private var scattered: Set<String> = []
    private let known: [TableID: TableDefinition]

    // The batch and record in hand.
    /// Of the record, in `records`.
    var recordIndex: Int32 = -1
    @exclusivity(unchecked) var records = RecordBatch(capacity: 64)
    @exclusivity(unchecked) var batch = ChangeBatch(capacity: 64)
    private var fieldsPerRecord = 8
    @exclusivity(unchecked) private var batchNumber = 0
    @exclusivity(unchecked) private var states: [TableState] = []
    @exclusivity(unchecked) private var spans: [Span] = []
    let after = ImageBuffer()
    let before = ImageBuffer()
    let keyImage = ImageBuffer()
    let otherKeyImage = ImageBuffer()
    @exclusivity(unchecked) var keyColumns = ContiguousArray<Int>()
    let rowJudge = RowJudge()

    private struct Span {
        var memory: PartitionMemory
        /// The epoch of all its records, where it is one.
        var epoch: Int64?
        /// Its topic has several partitions.
        var isScattered: Bool
    }

    /// - Throws: `JSONError` where there is no memory for a parser.
    package init(configuration: DecoderConfiguration) throws(JSONError) {
        self.configuration = configuration
        values = try ValueDecoder(hash: configuration.hash)
        valueParser = try JSONParser(skipping: ["schema"])
        keyParser = try JSONParser(skipping: ["schema"])
        headerParser = try JSONParser()
        schemas = try SchemaCache(modes: configuration.modes)
        keySchemas = try SchemaCache(modes: configuration.modes)
        headerSchemas = try SchemaCache(modes: configuration.modes)
        placeholder = Placeholder(configuration.placeholder)
        framedValues = try configuration.schemas.map { store throws(JSONError) in try FramedReader(store) }
        framedKeys = try configuration.schemas.map { store throws(JSONError) in try FramedReader(store) }
        framedHeaders = try configuration.schemas.map { store throws(JSONError) in try FramedReader(store) }
        known = Dictionary(configuration.knownTables.map { ($0.source, $0) }, uniquingKeysWith: { first, _ in first })
    }

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
        batch = ChangeBatch(capacity: max(records.bytes / 4, 4096))
        batch.events.reserveCapacity(records.records.count)
        // About as many fields to an event as in the last batch.
        batch.fields.reserveCapacity(records.records.count * fieldsPerRecord)
        batch.spans = records.spans
        batch.recordBytes = records.bytes
        values.arena = batch.arena
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
            let first = configuration.epoch(span.partition, span.start)
            let last = configuration.epoch(span.partition, max(span.start, span.end - 1))
            return Span(
                memory: memory, epoch: first == last ? first : nil,
                isScattered: scattered.contains(span.partition.topic))
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
        guard !record.value.isNull else {
            batch.control += 1
            return
        }
        var bytes = records.arena.bytes(record.value)
        if bytes.count == 4, bytes.elementsEqual("null".utf8) {
            batch.control += 1
            return
        }
        let memory = spans[Int(record.span)].memory
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
        if let (schema, inner) = wrapped(tape) {
            if tape.isNull(inner) {
                batch.control += 1
                return
            }
            guard tape.kind(inner) == .object else { return unread(record, memory, "the payload is no JSON object") }
            payload = inner
            schemaAt = schema
        }
        let envelope = Envelope(tape, payload)
        switch envelope.kind(tape) {
        case .change: change(record, memory, tape, envelope, schemaAt)
        case .control: batch.control += 1
        case .cloudEvent: unread(record, memory, "CloudEvents are not read yet")
        case .flattened: unread(record, memory, "flattened events (ExtractNewRecordState) are not read yet")
        }
    }

    /// The schema (nil where it is null) and the payload of a document that consists of both.
    func wrapped(_ tape: JSONTape) -> (schema: Int?, payload: Int)? {
        guard tape.childCount(tape.root) == 2, let payload = tape.find("payload", in: tape.root),
            let schema = tape.find("schema", in: tape.root)
        else { return nil }
        switch tape.kind(schema) {
        case .skipped, .object: return (schema, payload)
        case .null: return (nil, payload)
        default: return nil
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
        let source = EventSource(tape, Int(envelope.source))
        guard let state = table(tape, source, memory) else {
            batch.readUnknown += 1
            return quarantine(record, nil, nil, "source names no table")
        }
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
        let fields = batch.fields.count
        let bytes = batch.arena.count
        do throws(Trouble) {
            let schema = try schemaAt.map { at throws(Trouble) in
                guard let schema = schemas.schema(tape.rawValue(at), id: tape.skippedID, connector: state.connector)
                else { throw Trouble("the schema block isn't understood") }
                return schema
            }
            let epoch =
                spans[Int(record.span)].epoch
                ?? configuration.epoch(records.spans[Int(record.span)].partition, record.offset)
            let context = EventContext(
                record: record, state: state, memory: memory, tape: tape, envelope: envelope, source: source,
                operation: operation, schema: schema, epoch: epoch)
            try append(context)
            state.keepChanges()
        } catch {
            state.undoChanges()
            batch.fields.removeLast(batch.fields.count - fields)
            batch.arena.truncate(to: bytes)
            quarantine(record, state, operation, error.reason)
        }
    }

    func parseKey(_ bytes: UnsafeRawBufferPointer) throws(JSONError) -> JSONTape { try keyParser.parse(bytes) }

    func isScattered(_ record: RecordBatch.Record) -> Bool { spans[Int(record.span)].isScattered }

    // MARK: - Tables

    @inline(__always)
    private func table(_ tape: JSONTape, _ source: EventSource, _ memory: PartitionMemory) -> TableState? {
        let schemaAt = source.schema >= 0 ? source.schema : source.database
        let tableAt = source.table >= 0 ? source.table : source.collection
        guard schemaAt >= 0, tableAt >= 0 else { return nil }
        let schema = tape.rawValue(Int(schemaAt))
        let table = tape.rawValue(Int(tableAt))
        if let state = memory.table, Self.equal(state.rawTable, table), Self.equal(state.rawSchema, schema) {
            return state
        }
        return lookUp(tape, source, Int(schemaAt), Int(tableAt))
    }

    @inline(__always)
    private static func equal(_ bytes: [UInt8], _ other: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count == other.count else { return false }
        return bytes.withUnsafeBytes { $0.elementsEqual(other) }
    }

    private func lookUp(_ tape: JSONTape, _ source: EventSource, _ schemaAt: Int, _ tableAt: Int) -> TableState? {
        guard let schema = tape.string(schemaAt), let table = tape.string(tableAt), !table.isEmpty else { return nil }
        let id = TableID(schema: schema, table: table)
        if let state = tables[id] { return state }
        let connector = source.connector < 0 ? .other : Connector(name: tape.rawValue(Int(source.connector)))
        let state = TableState(
            id: id, choice: configuration.select(id), rawSchema: tape.rawValue(schemaAt),
            rawTable: tape.rawValue(tableAt), known: known[id], identity: configuration.replicaIdentity[id],
            connector: connector, equality: configuration.keyEquality,
            withholdsBytes: configuration.withholdsBytes(id))
        tables[id] = state
        return state
    }

    /// Gives the table its index in the batch.
    @inline(__always)
    func use(_ state: TableState) {
        guard state.batch != batchNumber else { return }
        state.batch = batchNumber
        state.index = states.count
        states.append(state)
        batch.tables.append(state.definition)
        batch.read.append(0)
    }
}

/// One change event while it is decoded.
struct EventContext {
    let record: RecordBatch.Record
    let state: TableState
    let memory: PartitionMemory
    let tape: JSONTape
    let envelope: Envelope
    let source: EventSource
    let operation: Operation
    let schema: ConnectSchema?
    let epoch: Int64
}
