import Debezium
import EventFile
import EventSchemas
import Foundation
import JSON
import Postgres
import Replication
import ReplicationTestKit

/// Damages recorded records and has a decoder and the applier read them: no damage may end the process, lose a record or
/// break the ledger. Everything hangs on the seed.
package struct Fuzzing: Sendable {
    package enum Decoder: String, CaseIterable, Sendable {
        /// Debezium's envelopes without and with their schema, flattened events, CloudEvents.
        case envelope, schema, flattened, cloudevents
        /// Confluent's wire format.
        case avro
        case jsonSchema = "json_schema"
        case protobuf
        /// A slot's stream and copied rows.
        case pgoutput

        /// Recorded files with its form.
        var files: [String] {
            switch self {
            case .envelope:
                ["basic_noschema", "pk_update", "unicode_edge", "truncate_msg_heartbeat_tx", "documented_mongodb"]
            case .schema: ["basic", "pk_update_schema", "documented_sqlserver", "documented_oracle"]
            case .flattened: ["unwrap_plain", "unwrap_rewrite", "unwrap_tombstone", "unwrap_drop"]
            case .cloudevents: ["basic_cloudevents"]
            case .avro: ["basic_avro", "types_avro"]
            case .jsonSchema, .protobuf, .pgoutput: []
            }
        }
    }

    package struct Outcome: Sendable {
        package var records = 0
        package var events = 0
        package var quarantined = 0
        package var control = 0
        /// Batches that ended with an error that names its table.
        package var refused = 0
        package var failures: [String] = []
    }

    package var decoder: Decoder
    package var seed: UInt64
    package var records: Int
    /// Where the recorded files are.
    package var folder: String

    package init(_ decoder: Decoder, seed: UInt64, records: Int, folder: String) {
        self.decoder = decoder
        self.seed = seed
        self.records = records
        self.folder = folder
    }

    struct Sample {
        var key: [UInt8]?
        var value: [UInt8]?
        var headers: [(name: [UInt8], value: [UInt8]?)] = []
    }

    private static let batch_records = 250

    package func run() throws -> Outcome {
        let samples = try samples()
        var random = SeededRandom(seed: seed)
        var outcome = Outcome()
        var reader = try makeDecoder()
        var batches = 0
        while outcome.records < records, outcome.failures.isEmpty {
            // What damaged names make it remember is let go now and then.
            if batches % 40 == 39 { reader = try makeDecoder() }
            batches += 1
            let batch = RecordBatch(capacity: 1 << 16)
            let partition = TopicPartition(topic: "dbz.public.orders", partition: Int32(random.below(2)))
            let span = batch.span(of: partition, startingAt: Int64(outcome.records))
            // In its order: a stream means nothing without what stands before.
            let start = decoder == .pgoutput ? 0 : random.below(samples.count)
            let count = decoder == .pgoutput ? min(samples.count, Self.batch_records) : Self.batch_records
            for offset in 0..<count {
                var sample = samples[(start + offset) % samples.count]
                damage(&sample, samples, &random)
                append(sample, at: Int64(outcome.records + offset), span, to: batch)
            }
            batch.advance(span: span, to: Int64(outcome.records + count))
            outcome.records += count
            check(reader.decode(batch), batch, partition, &outcome)
            if !outcome.failures.isEmpty { outcome.failures.append("seed \(seed), \(outcome.records) records in") }
        }
        return outcome
    }

    // MARK: What is read

    func samples() throws -> [Sample] { try samples(of: decoder.files, limit: 400) }

    /// - Parameter limit: records of each file.
    func samples(of files: [String], limit: Int) throws -> [Sample] {
        if decoder == .pgoutput { return streamed() }
        if decoder == .jsonSchema || decoder == .protobuf {
            return FramedText.events(400, seed: seed).map {
                Sample(key: $0.key, value: decoder == .protobuf ? $0.protobuf : $0.json)
            }
        }
        var samples: [Sample] = []
        for file in files {
            let path = "\(folder)/\(file).jsonl"
            let isPacked = !FileManager.default.fileExists(atPath: path)
            let reader = try EventFileReader(path: isPacked ? path + ".gz" : path)
            let batch = RecordBatch()
            _ = try reader.read(into: batch, maxRecords: limit, maxBytes: 8 << 20)
            for record in batch.records {
                var sample = Sample()
                if !record.key.isNull { sample.key = Array(batch.arena.bytes(record.key)) }
                if record.hasValue { sample.value = Array(batch.value(of: record)) }
                for index in record.headers {
                    let header = batch.headers[Int(index)]
                    sample.headers.append(
                        (
                            Array(batch.arena.bytes(header.name)),
                            header.value.isNull ? nil : Array(batch.arena.bytes(header.value))
                        ))
                }
                samples.append(sample)
            }
        }
        return samples
    }

    private func streamed() -> [Sample] {
        let model = SourceModel(seed: seed)
        var described: Set<Int> = []
        var samples: [Sample] = []
        func add(_ bytes: [UInt8]) { samples.append(Sample(value: bytes)) }
        for transaction in model.transactions {
            add(PgOutputText.begin(transaction))
            for change in transaction.changes {
                let table = ModelTable.all[change.table]
                if described.insert(change.table).inserted {
                    add([SourceRecord.facts] + PgOutputText.facts(table))
                    add(PgOutputText.relation(table))
                }
                add(PgOutputText.change(change))
            }
            add(PgOutputText.commit(transaction))
        }
        for (index, table) in ModelTable.all.enumerated() {
            add([SourceRecord.copying] + PgOutputText.facts(table))
            for row in model.states.last?[index] ?? [] { add([SourceRecord.row] + PgOutputText.copied(row.values)) }
        }
        return samples
    }

    func makeDecoder() throws -> any RecordDecoder { try makeDecoder(of: decoder.files) }

    /// - Parameter files: whose registries are known.
    func makeDecoder(of files: [String]) throws -> any RecordDecoder {
        let select: @Sendable (TableID) -> TableChoice? = { TableChoice(target: $0.table) }
        if decoder == .pgoutput { return PgOutputDecoder(PgOutputConfiguration(select: select)) }
        var configuration = DecoderConfiguration(select: select)
        if decoder == .avro {
            let store = SchemaStore()
            for file in files {
                let text = try String(contentsOfFile: "\(folder)/\(file).registry.jsonl", encoding: .utf8)
                for line in text.split(separator: "\n") {
                    let entry = try JSONValue(parsing: Array(line.utf8))
                    guard let id = entry["id"]?.int64, let schema = entry["schema"]?.string else { continue }
                    store.put(
                        .schema(RegisteredSchema(id: UInt32(id), format: .avro, text: schema)), for: UInt32(id))
                }
            }
            configuration.schemas = store
        }
        if decoder == .jsonSchema || decoder == .protobuf {
            let store = SchemaStore()
            let schema =
                decoder == .protobuf
                ? RegisteredSchema(id: 1, format: .protobuf, text: FramedText.protobuf)
                : RegisteredSchema(id: 1, format: .jsonSchema, text: FramedText.jsonSchema)
            store.put(.schema(schema), for: 1)
            configuration.schemas = store
        }
        return try DebeziumDecoder(configuration: configuration)
    }

    func append(_ sample: Sample, at offset: Int64, _ span: Int32, to batch: RecordBatch) {
        func with(_ bytes: [UInt8]?, _ body: (UnsafeRawBufferPointer?) -> Void) {
            guard let bytes else { return body(nil) }
            bytes.withUnsafeBytes { body($0) }
        }
        with(sample.key) { key in
            with(sample.value) { batch.append(span: span, offset: offset, timestamp_ms: 1, key: key, value: $0) }
        }
        for header in sample.headers {
            with(header.name) { name in
                with(header.value) { value in if let name { batch.appendHeader(name: name, value: value) } }
            }
        }
    }

    // MARK: Damage

    /// What JSON, Avro and the protocol's own lengths may be brought out of step with.
    private static let pieces: [[UInt8]] =
        [
            "null", "{}", "[]", "\"\"", "-1", "1e999", "9223372036854775808", "\"\\ud800\"", "\\u0000", "[[[[[[[[", "}",
            ",",
            "\"op\":\"x\"", "\"after\":null", "__debezium_unavailable_value", "true",
        ].map { Array($0.utf8) } + [
            [0xFF, 0xFF, 0xFF, 0xFF], [0x7F, 0xFF, 0xFF, 0xFF], [0x80, 0, 0, 0], [0], [0xC0, 0x80],
            [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1],
        ]

    private func damage(_ sample: inout Sample, _ samples: [Sample], _ random: inout SeededRandom) {
        // Some stay as they are: what stands between damaged ones must be read.
        guard random.chance(70) else { return }
        switch random.below(20) {
        case 0: sample.key = nil
        case 1: sample.value = nil
        case 2: sample.value = samples[random.below(samples.count)].value
        case 3: sample.headers = samples[random.below(samples.count)].headers
        case 4...6: if let key = sample.key { sample.key = damaged(key, samples, &random) }
        case 7:
            for index in sample.headers.indices {
                if let value = sample.headers[index].value {
                    sample.headers[index].value = damaged(value, samples, &random)
                }
            }
        default: if let value = sample.value { sample.value = damaged(value, samples, &random) }
        }
    }

    private func damaged(_ bytes: [UInt8], _ samples: [Sample], _ random: inout SeededRandom) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<(1 + random.below(4)) where !bytes.isEmpty {
            let at = random.below(bytes.count)
            let length = min(1 + random.below(16), bytes.count - at)
            switch random.below(8) {
            case 0: bytes[at] = UInt8(truncatingIfNeeded: random.next())
            case 1: bytes[at] ^= 1 << UInt8(random.below(8))
            case 2: bytes.removeSubrange(at..<(at + length))
            case 3: bytes.removeSubrange(at...)
            case 4: bytes.insert(contentsOf: bytes[at..<(at + length)], at: at)
            case 5: bytes.insert(contentsOf: Self.pieces[random.below(Self.pieces.count)], at: at)
            case 6:
                let piece = Self.pieces[random.below(Self.pieces.count)]
                bytes.replaceSubrange(at..<min(at + piece.count, bytes.count), with: piece)
            default:
                guard let other = samples[random.below(samples.count)].value, !other.isEmpty else { continue }
                let from = random.below(other.count)
                bytes.insert(contentsOf: other[from..<min(from + 40, other.count)], at: at)
            }
        }
        return bytes
    }

    // MARK: What must hold

    private func check(
        _ batch: ChangeBatch, _ records: RecordBatch, _ partition: TopicPartition, _ outcome: inout Outcome
    ) {
        let read = batch.read.reduce(0, +) + batch.readUnknown
        outcome.events += batch.events.count
        outcome.quarantined += batch.quarantined.count
        outcome.control += batch.control
        if batch.events.count + batch.quarantined.count != read {
            outcome.failures.append("\(read) read, \(batch.events.count) events, \(batch.quarantined.count) put aside")
        }
        // A Postgres source has messages that are neither, and key changes that are two events.
        if decoder != .pgoutput, read + batch.control != records.records.count {
            outcome.failures.append("\(records.records.count) records, \(read) read, \(batch.control) control")
        }
        let transaction = MemoryTransaction()
        transaction.amend { all in
            for table in batch.tables { all.definitions[table.source] = table }
            all.checkpoints[partition] = Checkpoint(partition: partition)
        }
        do {
            let advance = CheckpointAdvance(
                partition: partition, from: nil, to: records.spans[0].end, token: 0, spans: [0])
            let applied = try BatchApplier.applyWithRemedies(
                batch, advancing: [advance], layout: WarehouseLayout(pipeline: "fuzz"), in: transaction,
                loadedAt_us: 1)
            for entry in applied.ledger where !entry.addsUp { outcome.failures.append("\(entry) doesn't add up") }
        } catch let error as ReplicationError where decoder == .pgoutput && error.kind != .invariant {
            // A server's own texts aren't looked at one by one: what isn't of its type may stop the agent, which says so.
            outcome.refused += 1
        } catch {
            outcome.failures.append("applying: \(error)")
        }
    }
}
