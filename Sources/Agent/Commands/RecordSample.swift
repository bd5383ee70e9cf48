import EventSchemas
import JSON
import Replication

/// What the records that `check` looked at say of one table, beside what the decoder makes of them.
struct RecordSample {
    var topics: Set<String> = []
    var records = 0
    var withSchema = 0
    /// `source.snapshot` of a streamed event is "false": the converter turns NULL into a column's default.
    var mayReplaceNulls = false
    /// In Confluent's wire format.
    var isFramed = false
    var hasTransactions = false
    /// `source.name` of envelopes: the prefix of their connector's topics.
    var connectors: Set<String> = []
    var hasStreamed = false
    /// An update or delete has no before-image.
    var lacksBefore = false

    /// Sums up by source table, of envelopes and CloudEvents; records of no table (heartbeats, tombstones) are left out.
    /// - Parameter framed: reads what is in Confluent's wire format.
    static func byTable(_ batches: [RecordBatch], _ framed: FramedReader? = nil) -> [TableID: RecordSample] {
        var tables: [TableID: RecordSample] = [:]
        for batch in batches {
            for record in batch.records where record.hasValue {
                let bytes = batch.value(of: record)
                guard let value = parse(bytes, framed) else { continue }
                let payload = value["payload"] ?? value
                if let (table, sample) = cloudEvent(payload) {
                    tables[table, default: .init()].add(
                        op: sample.op, source: sample.source, payload: sample.payload, hasSchema: sample.hasSchema,
                        topic: batch.spans[Int(record.span)].partition.topic)
                    continue
                }
                guard let source = payload["source"], let op = payload["op"]?.string, op != "m",
                    let schema = (source["schema"] ?? source["db"])?.string,
                    let table = (source["table"] ?? source["collection"])?.string
                else { continue }
                let id = TableID(schema: schema, table: table)
                if WireFormat.isFramed(bytes) { tables[id, default: .init()].isFramed = true }
                let hasSchema = value["payload"] != nil && value["schema"]?.isNull == false
                tables[id, default: .init()].add(
                    op: op, source: source, payload: payload, hasSchema: hasSchema,
                    topic: batch.spans[Int(record.span)].partition.topic)
            }
        }
        return tables
    }

    private static func parse(_ bytes: UnsafeRawBufferPointer, _ framed: FramedReader?) -> JSONValue? {
        guard WireFormat.isFramed(bytes) else { return try? JSONValue(parsing: bytes) }
        guard let text = try? framed?.json(bytes) else { return nil }
        return try? JSONValue(parsing: text)
    }

    private typealias Parts = (op: String, source: JSONValue, payload: JSONValue, hasSchema: Bool)

    /// A CloudEvent, as the envelope that it would be.
    private static func cloudEvent(_ event: JSONValue) -> (TableID, Parts)? {
        guard event["specversion"] != nil, let op = event["iodebeziumop"]?.string, op != "m",
            let schema = (event["iodebeziumschema"] ?? event["iodebeziumdb"])?.string,
            let table = (event["iodebeziumtable"] ?? event["iodebeziumcollection"])?.string
        else { return nil }
        let images = event["data"]?["payload"] ?? event["data"] ?? .null
        let payload = JSONValue.object([
            ("before", images["before"] ?? .null), ("transaction", event["iodebeziumtxtotalorder"] ?? .null),
        ])
        let source = JSONValue.object([("snapshot", event["iodebeziumsnapshot"] ?? .null)])
        let hasSchema = event["data"]?["schema"]?.isNull == false
        return (TableID(schema: schema, table: table), (op, source, payload, hasSchema))
    }

    private mutating func add(op: String, source: JSONValue, payload: JSONValue, hasSchema: Bool, topic: String) {
        records += 1
        topics.insert(topic)
        if hasSchema { withSchema += 1 }
        if payload["transaction"]?.isNull == false { hasTransactions = true }
        if let name = source["name"]?.string { connectors.insert(name) }
        guard op != "r" else { return }
        hasStreamed = true
        if op == "u" || op == "d", payload["before"]?.isNull != false { lacksBefore = true }
        if source["snapshot"]?.string == "false" { mayReplaceNulls = true }
    }
}
