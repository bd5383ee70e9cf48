import JSON
import Replication

/// Where the members of a Debezium envelope stand in its tape; -1: not there.
struct Envelope {
    var before: Int32 = -1
    var after: Int32 = -1
    var source: Int32 = -1
    var transaction: Int32 = -1
    var operation: Int32 = -1
    /// Of other records than a row's.
    var ddl: Int32 = -1
    var tableChanges: Int32 = -1
    var status: Int32 = -1
    var id: Int32 = -1
    var specversion: Int32 = -1
    var data: Int32 = -1
    var time: Int32 = -1
    var eventCount: Int32 = -1
    var dataCollections: Int32 = -1
    var members = 0

    /// Of an event in another form: where its images and its origin stand.
    init(before: Int?, after: Int?, transaction: Int?) {
        self.before = Int32(before ?? -1)
        self.after = Int32(after ?? -1)
        self.transaction = Int32(transaction ?? -1)
    }

    init(_ tape: JSONTape, _ object: Int) {
        for i in tape.children(object) {
            members += 1
            switch tape.rawKey(i).count {
            case 2:
                if tape.key(i, equals: "op") {
                    operation = Int32(i)
                } else if tape.key(i, equals: "id") {
                    id = Int32(i)
                }
            case 3: if tape.key(i, equals: "ddl") { ddl = Int32(i) }
            case 4: if tape.key(i, equals: "data") { data = Int32(i) }
            case 5:
                if tape.key(i, equals: "after") { after = Int32(i) }
                if tape.key(i, equals: "ts_ms") { time = Int32(i) }
            case 6:
                if tape.key(i, equals: "before") { before = Int32(i) }
                if tape.key(i, equals: "source") { source = Int32(i) }
                if tape.key(i, equals: "status") { status = Int32(i) }
            case 11:
                if tape.key(i, equals: "transaction") {
                    transaction = Int32(i)
                } else if tape.key(i, equals: "specversion") {
                    specversion = Int32(i)
                } else if tape.key(i, equals: "event_count") {
                    eventCount = Int32(i)
                }
            case 12: if tape.key(i, equals: "tableChanges") { tableChanges = Int32(i) }
            case 16: if tape.key(i, equals: "data_collections") { dataCollections = Int32(i) }
            default: break
            }
        }
    }

    enum Kind {
        /// A row's, or a truncate's.
        case change
        /// Nothing of a table: transaction metadata, schema change.
        case control
        case cloudEvent
        /// A time alone: a heartbeat, or a row of one column.
        case heartbeat
        /// A row without its envelope, or something else.
        case flattened
    }

    func kind(_ tape: JSONTape) -> Kind {
        let hasSource = source >= 0 && tape.kind(Int(source)) == .object
        if operation >= 0, hasSource { return .change }
        if ddl >= 0 && hasSource || tableChanges >= 0 && hasSource { return .control }
        if specversion >= 0, id >= 0, isText(source, tape) { return .cloudEvent }
        // A row can have such names too; what is told by the rest is left to the reader of rows.
        if members == 1, time >= 0, tape.kind(Int(time)) == .integer { return .heartbeat }
        if eventCount >= 0, dataCollections >= 0, isText(id, tape), isBoundary(tape) { return .control }
        return .flattened
    }

    private func isText(_ i: Int32, _ tape: JSONTape) -> Bool { i >= 0 && tape.kind(Int(i)) == .string }

    /// BEGIN or END of a transaction.
    private func isBoundary(_ tape: JSONTape) -> Bool {
        guard isText(status, tape) else { return false }
        let raw = tape.rawValue(Int(status))
        return raw.elementsEqual("BEGIN".utf8) || raw.elementsEqual("END".utf8)
    }

    /// Whether the members are the images of an event, and not a row's.
    var hasImages: Bool { before >= 0 && after >= 0 }

    /// The letter of `op`, or 0 for what isn't one.
    func letter(_ tape: JSONTape) -> UInt8 {
        guard operation >= 0, tape.kind(Int(operation)) == .string else { return 0 }
        let raw = tape.rawValue(Int(operation))
        return raw.count == 1 ? raw[0] : 0
    }

    /// `transaction.total_order`, or nil.
    func totalOrder(_ tape: JSONTape) -> Int64? {
        guard transaction >= 0 else { return nil }
        return tape.find("total_order", in: Int(transaction)).flatMap { tape.int64($0) }
    }
}

/// The members of an event's `source` that matter, by their place in the tape; -1: not there, or null.
struct EventSource {
    var connector: Int32 = -1
    var schema: Int32 = -1
    var table: Int32 = -1
    var database: Int32 = -1
    var collection: Int32 = -1
    var sequence: Int32 = -1
    var lsn: Int32 = -1
    var transactionID: Int32 = -1
    var time_ms: Int32 = -1
    var time_us: Int32 = -1
    var time_ns: Int32 = -1
    var file: Int32 = -1
    var position: Int32 = -1
    var row: Int32 = -1
    var order: Int32 = -1
    /// Positions of SQL Server and Oracle, which go into the event's id.
    var others: (Int32, Int32, Int32, Int32) = (-1, -1, -1, -1)

    init(_ tape: JSONTape, _ object: Int) {
        for i in tape.children(object) where !tape.isNull(i) {
            let key = tape.rawKey(i)
            switch (key.count, key.first ?? 0) {
            case (2, 0x64): if tape.key(i, equals: "db") { database = Int32(i) }
            case (3, 0x6C): if tape.key(i, equals: "lsn") { lsn = Int32(i) }
            case (3, 0x70): if tape.key(i, equals: "pos") { position = Int32(i) }
            case (3, 0x72): if tape.key(i, equals: "row") { row = Int32(i) }
            case (3, 0x6F): if tape.key(i, equals: "ord") { order = Int32(i) }
            case (3, 0x73):
                if tape.key(i, equals: "scn") { others.1 = Int32(i) }
                if tape.key(i, equals: "ssn") { others.2 = Int32(i) }
            case (4, 0x74): if tape.key(i, equals: "txId") { transactionID = Int32(i) }
            case (4, 0x66): if tape.key(i, equals: "file") { file = Int32(i) }
            case (5, 0x74):
                if tape.key(i, equals: "table") {
                    table = Int32(i)
                } else if tape.key(i, equals: "ts_us") {
                    time_us = Int32(i)
                } else if tape.key(i, equals: "ts_ms") {
                    time_ms = Int32(i)
                } else if tape.key(i, equals: "ts_ns") {
                    time_ns = Int32(i)
                }
            case (5, 0x72): if tape.key(i, equals: "rs_id") { others.3 = Int32(i) }
            case (6, 0x73): if tape.key(i, equals: "schema") { schema = Int32(i) }
            case (8, 0x73): if tape.key(i, equals: "sequence") { sequence = Int32(i) }
            case (9, 0x63): if tape.key(i, equals: "connector") { connector = Int32(i) }
            case (10, 0x63):
                if tape.key(i, equals: "commit_lsn") || tape.key(i, equals: "commit_scn") {
                    others.0 = Int32(i)
                } else if tape.key(i, equals: "change_lsn") {
                    others.1 = Int32(i)
                } else if tape.key(i, equals: "collection") {
                    collection = Int32(i)
                }
            case (15, 0x65): if tape.key(i, equals: "event_serial_no") { others.2 = Int32(i) }
            default: break
            }
        }
    }

    /// From year 1 to year 9999: what no engine refuses, and no sum leads out of.
    private static let times_us = Int64(-62_135_596_800_000_000)...253_402_300_799_999_999

    /// µs since 1970; `Int64.min` if not told, or not to be believed.
    func time_us(_ tape: JSONTape) -> Int64 {
        let time = toldTime_us(tape)
        return Self.times_us.contains(time) ? time : .min
    }

    private func toldTime_us(_ tape: JSONTape) -> Int64 {
        if time_us >= 0, let time = tape.int64(Int(time_us)) { return time }
        if time_ns >= 0, let time = tape.int64(Int(time_ns)) { return time / 1000 }
        if time_ms >= 0, let time = tape.int64(Int(time_ms)) {
            let (product, overflow) = time.multipliedReportingOverflow(by: 1000)
            return overflow ? .min : product
        }
        return .min
    }
}

extension JSONTape {
    /// The schema (nil where it is null) and the payload of a document that consists of both.
    var wrapped: (schema: Int?, payload: Int)? {
        guard childCount(root) == 2, let payload = find("payload", in: root),
            let schema = find("schema", in: root)
        else { return nil }
        switch kind(schema) {
        case .skipped, .object: return (schema, payload)
        case .null: return (nil, payload)
        default: return nil
        }
    }
}
