import JSON
import Replication

/// The tables that events are of.
extension DebeziumDecoder {
    @inline(__always)
    func table(
        _ tape: JSONTape, _ source: EventSource, _ memory: PartitionMemory, _ connector: Connector? = nil
    ) -> TableState? {
        let schemaAt = source.schema >= 0 ? source.schema : source.database
        let tableAt = source.table >= 0 ? source.table : source.collection
        guard schemaAt >= 0, tableAt >= 0 else { return nil }
        let schema = tape.rawValue(Int(schemaAt))
        let table = tape.rawValue(Int(tableAt))
        if let state = memory.table, Self.equal(state.rawTable, table), Self.equal(state.rawSchema, schema) {
            return state
        }
        return lookUp(tape, source, Int(schemaAt), Int(tableAt), connector)
    }

    @inline(__always)
    private static func equal(_ bytes: [UInt8], _ other: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count == other.count else { return false }
        return bytes.withUnsafeBytes { $0.elementsEqual(other) }
    }

    private func lookUp(
        _ tape: JSONTape, _ source: EventSource, _ schemaAt: Int, _ tableAt: Int, _ told: Connector?
    ) -> TableState? {
        guard let schema = tape.string(schemaAt), let table = tape.string(tableAt), !table.isEmpty else { return nil }
        let id = TableID(schema: schema, table: table)
        if let state = tables[id] { return state }
        let connector =
            told ?? (source.connector < 0 ? .other : Connector(name: tape.rawValue(Int(source.connector))))
        return make(id, raw: (tape.rawValue(schemaAt), tape.rawValue(tableAt)), connector)
    }

    /// The table, which records name elsewhere than in a `source`.
    func table(_ id: TableID, _ connector: Connector) -> TableState {
        if let state = tables[id] {
            state.learn(connector)
            return state
        }
        // As they stand in an envelope's JSON.
        let schema = Array(JSONText.quoted(id.schema).utf8.dropFirst().dropLast())
        let table = Array(JSONText.quoted(id.table).utf8.dropFirst().dropLast())
        return schema.withUnsafeBytes { schema in
            table.withUnsafeBytes { table in make(id, raw: (schema, table), connector) }
        }
    }

    private func make(
        _ id: TableID, raw: (schema: UnsafeRawBufferPointer, table: UnsafeRawBufferPointer), _ connector: Connector
    ) -> TableState {
        var choice = configuration.select(id)
        if choice?.isTargetGiven == false {
            // What it was made as stays, also when a second database comes.
            if let made = known[id], !made.target.isEmpty {
                choice?.target = made.target
            } else if connector.isMySQLFamily, isOnlyDatabase(id.schema) {
                choice?.target = id.table
            }
        }
        let state = TableState(
            id: id, choice: choice, rawSchema: raw.schema, rawTable: raw.table, known: known[id],
            identity: configuration.replicaIdentity[id], connector: connector, equality: configuration.keyEquality,
            withholdsBytes: configuration.withholdsBytes(id))
        tables[id] = state
        return state
    }

    /// Of MySQL's databases, so far.
    private func isOnlyDatabase(_ name: String) -> Bool {
        known.keys.allSatisfy { $0.schema == name }
            && tables.values.allSatisfy { !$0.isChosen || $0.id.schema == name }
    }

    /// Whether the event is of the database that the table's events came from so far: two sources can have tables of one
    /// name, and their rows aren't each other's states.
    @inline(__always)
    func isOfItsDatabase(_ state: TableState, _ shape: EventShape) -> Bool {
        guard shape.source.database >= 0, shape.source.schema >= 0 else { return true }
        return state.isOf(database: shape.origin.rawValue(Int(shape.source.database)))
    }

    /// Which wrote the table's events, as far as they were seen.
    package func connector(of table: TableID) -> Connector? {
        tables[table].flatMap { $0.connector == .unknown ? nil : $0.connector }
    }

    /// Gives the table its index in the batch.
    @inline(__always)
    func use(_ state: TableState) {
        guard state.batch != batchNumber else { return }
        state.batch = batchNumber
        state.beginBatch()
        state.index = states.count
        states.append(state)
        batch.tables.append(state.definition)
        batch.read.append(0)
    }
}
