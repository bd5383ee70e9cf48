import JSON
import Replication

/// Confluent's wire format: a zero byte, the schema's id in four bytes (big-endian), and what the schema describes.
package enum WireFormat {
    package static let header_bytes = 5

    /// Whether the bytes begin so. No JSON does.
    @inline(__always)
    package static func isFramed(_ bytes: UnsafeRawBufferPointer) -> Bool { bytes.first == 0 }

    /// The schema's id; nil for bytes that aren't framed or end too early.
    @inline(__always)
    package static func id(of bytes: UnsafeRawBufferPointer) -> UInt32? {
        guard bytes.count >= header_bytes, bytes[0] == 0 else { return nil }
        return UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 1, as: UInt32.self))
    }

    /// The ids that keys, values and headers of key changes name.
    package static func ids(in records: RecordBatch) -> Set<UInt32> {
        var ids = Set<UInt32>()
        var last: (value: UInt32, key: UInt32) = (0, 0)
        for record in records.records {
            if record.hasValue, let id = id(of: records.value(of: record)), id != last.value {
                last.value = id
                ids.insert(id)
            }
            if !record.key.isNull, let id = id(of: records.arena.bytes(record.key)), id != last.key {
                last.key = id
                ids.insert(id)
            }
            for index in record.headers {
                let header = records.headers[Int(index)]
                if !header.value.isNull, let id = id(of: records.arena.bytes(header.value)),
                    records.arena.bytes(header.name).starts(with: UnsafeRawBufferPointer(keyHeaders))
                {
                    ids.insert(id)
                }
            }
        }
        // Nothing has it: see `trouble`.
        ids.remove(0)
        return ids
    }

    /// `__debezium.newkey` and `__debezium.oldkey`.
    private static let keyHeaders: StaticString = "__debezium."

    /// The id, or why there is none.
    static func header(of bytes: UnsafeRawBufferPointer) throws(SchemaTrouble) -> UInt32 {
        guard let id = id(of: bytes) else {
            throw SchemaTrouble("it begins with a zero byte and is too short for a schema id")
        }
        guard id != 0 else {
            // Apicurio's own framing has eight bytes, of which the first four are zero.
            throw SchemaTrouble(
                "it is framed as Apicurio does by default, with an id of eight bytes, which is not read: "
                    + "set apicurio.registry.as-confluent=true and its Confluent-compatible id handler in the converter"
            )
        }
        return id
    }

    private static let idHeaders: [StaticString] = [
        "apicurio.value.globalId", "apicurio.value.contentId", "apicurio.key.globalId", "apicurio.key.contentId",
        "__value_schema_id", "__key_schema_id",
    ]

    /// The header that names a record's schema, where a producer puts the id there and not into the value.
    package static func idHeader(of record: RecordBatch.Record, in records: RecordBatch) -> String? {
        for index in record.headers {
            let name = records.arena.bytes(records.headers[Int(index)].name)
            if let header = idHeaders.first(where: { name.elementsEqual(UnsafeRawBufferPointer($0)) }) {
                return header.description
            }
        }
        return nil
    }
}
