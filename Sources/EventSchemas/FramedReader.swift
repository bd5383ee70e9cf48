import JSON
import Replication

/// Turns what is framed in Confluent's wire format into the JSON that Kafka Connect's JSON converter would have
/// written of the same record: `{"schema":…,"payload":…}`.
///
/// Pure: schemas come from `SchemaStore`. A schema is prepared once; a record costs a look at its id and its own
/// bytes. What comes out is valid until this reader's next `json`: keys and values have a reader each.
///
/// Not `Sendable`: its decoder owns it.
package final class FramedReader {
    private static let plans_max = 512
    private static let plans_bytes_max = 64 << 20

    private let store: SchemaStore
    private var plans: [UInt32: SchemaPlan] = [:]
    private var last: (id: UInt32, plan: SchemaPlan)?
    /// For payloads that are JSON.
    private let parser: JSONParser

    package init(_ store: SchemaStore) throws(JSONError) {
        self.store = store
        parser = try JSONParser()
    }

    /// - Parameter bytes: with `JSONParser.padding` readable bytes behind.
    /// - Throws: where they aren't framed, their schema isn't there or isn't understood, or the payload doesn't fit it.
    package func json(_ bytes: UnsafeRawBufferPointer) throws(SchemaTrouble) -> UnsafeRawBufferPointer {
        let id = try WireFormat.header(of: bytes)
        let plan: SchemaPlan
        if let last, last.id == id {
            plan = last.plan
        } else {
            plan = try self.plan(id)
            last = (id, plan)
        }
        let payload = UnsafeRawBufferPointer(rebasing: bytes[WireFormat.header_bytes...])
        do throws(SchemaTrouble) {
            return try plan.json(payload, parser)
        } catch {
            throw SchemaTrouble("it doesn't fit its \(plan.format.schemaName) (id \(id)): \(error.reason)")
        }
    }

    private func plan(_ id: UInt32) throws(SchemaTrouble) -> SchemaPlan {
        if let plan = plans[id] { return plan }
        guard let entry = store[id] else { throw SchemaTrouble("its schema (id \(id)) is not at hand") }
        let schema: RegisteredSchema
        switch entry {
        case .refused(let reason): throw SchemaTrouble("its schema (id \(id)) can't be had: \(reason)")
        case .schema(let known): schema = known
        }
        if let expected = store.expected, schema.format != expected {
            throw SchemaTrouble(
                "its schema (id \(id)) is of \(schema.format.name), and the pipeline file's format of \(expected.name)")
        }
        let plan: SchemaPlan
        do throws(SchemaTrouble) {
            plan = try SchemaPlan(schema)
        } catch {
            plan = SchemaPlan(schema.format, refusing: error)
        }
        if plans.count >= Self.plans_max || plans.reduce(0, { $0 + $1.value.bytes }) > Self.plans_bytes_max {
            plans.removeAll()
        }
        plans[id] = plan
        return plan
    }
}

/// How records of one schema are read.
final class SchemaPlan {
    private enum Body {
        case avro(AvroSchema, PayloadText)
        case json(PayloadText)
        case protobuf(ProtobufPlan)
        case refused(SchemaTrouble)
    }

    let format: SchemaFormat
    private let body: Body

    init(_ schema: RegisteredSchema) throws(SchemaTrouble) {
        format = schema.format
        switch schema.format {
        case .avro:
            let avro = try AvroSchema(schema)
            body = .avro(avro, PayloadText(prefix: try avro.connect().prefix))
        case .jsonSchema: body = .json(PayloadText(prefix: try JSONSchemaReader.connect(schema).prefix))
        case .protobuf: body = .protobuf(ProtobufPlan(try ProtobufSchema(schema)))
        }
    }

    /// What isn't understood once isn't looked at again.
    init(_ format: SchemaFormat, refusing trouble: SchemaTrouble) {
        self.format = format
        body = .refused(trouble)
    }

    /// Of what is kept for it, roughly.
    var bytes: Int {
        switch body {
        case .avro(_, let text), .json(let text): text.bytes
        case .protobuf(let plan): plan.bytes
        case .refused: 256
        }
    }

    func json(
        _ payload: UnsafeRawBufferPointer, _ parser: JSONParser
    ) throws(SchemaTrouble) -> UnsafeRawBufferPointer {
        switch body {
        case .avro(let schema, let text):
            text.begin(payload_bytes: payload.count)
            var decoder = AvroDecoder(schema, payload, to: text)
            try decoder.decode()
            text.end()
            return text.text
        case .json(let text):
            // By itself: put behind the schema, something that isn't one JSON value could seem to be one.
            do throws(JSONError) { _ = try parser.parse(payload) } catch { throw SchemaTrouble("\(error)") }
            text.begin(payload_bytes: payload.count)
            _ = text.arena.append(payload)
            text.end()
            return text.text
        case .protobuf(let plan): return try plan.json(payload)
        case .refused(let trouble): throw trouble
        }
    }
}
