import EventSchemas
import JSON
import Replication

/// Records in Confluent's wire format, which become JSON first.
extension DebeziumDecoder {
    /// JSON as it is, and what is framed as JSON; valid until the reader's next one.
    func unframed(
        _ bytes: UnsafeRawBufferPointer, by reader: FramedReader?
    ) throws(SchemaTrouble) -> UnsafeRawBufferPointer {
        guard WireFormat.isFramed(bytes) else { return bytes }
        guard let reader else {
            let id = WireFormat.id(of: bytes).map { " (schema id \($0))" } ?? ""
            throw SchemaTrouble(
                "it is in Confluent's wire format\(id), for which the pipeline file names no schema_registry")
        }
        return try reader.json(bytes)
    }

    /// A record's key for a look, valid until the next header; nil: none that can be read.
    func glanceAtKey(of record: RecordBatch.Record) -> JSONTape? {
        guard !record.key.isNull, let text = try? unframed(records.arena.bytes(record.key), by: framedHeaders) else {
            return nil
        }
        return try? headerParser.parse(text)
    }

    /// JSON of a record's value, which a pipeline file can want framed.
    func unframedValue(_ bytes: UnsafeRawBufferPointer) throws(SchemaTrouble) -> UnsafeRawBufferPointer {
        if let schemas = configuration.schemas, schemas.isRequired, !WireFormat.isFramed(bytes) {
            throw SchemaTrouble(
                "it isn't in Confluent's wire format, as the pipeline file's format says "
                    + "(\(schemas.expected?.name ?? ""))")
        }
        return try unframed(bytes, by: framedValues)
    }

    /// Why a value that doesn't parse can't be read.
    func notJSON(_ record: RecordBatch.Record, _ error: JSONError) -> String {
        guard let header = WireFormat.idHeader(of: record, in: records) else {
            return "the value is not JSON: \(error)"
        }
        return "the value's schema is named by the header \(header), which is not read: "
            + "let the producer write Confluent's wire format"
    }
}
