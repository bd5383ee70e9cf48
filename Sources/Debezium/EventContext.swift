import JSON
import Replication

/// Where the parts of an event stand, whatever its form.
struct EventShape {
    /// Of its images.
    let tape: JSONTape
    /// Of its source.
    let origin: JSONTape
    let envelope: Envelope
    /// In `origin`.
    let source: EventSource
    /// The schema block in `tape`, if there is one that wasn't read yet.
    var schemaAt: Int?
    var schema: ConnectSchema?
    let connector: Connector
    /// What ExtractNewRecordState added stands among the row's columns.
    var hasAdded = false
    /// Its source shows a place in the source's log.
    var showsPlace = true
    var isOperationTold = true
}

/// One change event while it is decoded.
struct EventContext {
    let record: RecordBatch.Record
    let state: TableState
    let memory: PartitionMemory
    /// Of its images.
    let tape: JSONTape
    let envelope: Envelope
    /// In `origin`.
    let source: EventSource
    let operation: Operation
    let schema: ConnectSchema?
    /// An envelope's own tape, or the `OriginDocument`'s.
    let origin: JSONTape
    let connector: Connector
    let hasAdded: Bool
    let showsPlace: Bool
    let isOperationTold: Bool
}
