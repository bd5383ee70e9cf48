import EventSchemas
import JSON
import Replication

/// Reads of a record, without its images, which source transaction it belongs to.
///
/// Not `Sendable`: its runner owns it.
package final class TransactionReader {
    /// Behind the connector's prefix (`topic.prefix`), where nothing else was asked of it.
    package static let suffix = ".transaction"

    private let parser: JSONParser
    private let framed: FramedReader?
    private var topics: Set<String> = []
    /// Prefixes of connectors whose transaction topic is or was read; a stream is an index here.
    private var prefixes: [String] = []
    private var isRead: [Bool] = []
    private var scratch: [UInt8] = []

    /// - Parameter schemas: for records in Confluent's wire format, at hand before their batch is read.
    package init(schemas: SchemaStore?) throws(JSONError) {
        parser = try JSONParser(skipping: ["schema", "before", "after"])
        framed = try schemas.map { store throws(JSONError) in try FramedReader(store) }
    }

    /// What is read from now on. Streams keep their numbers.
    package func begin(topics: Set<String>) {
        self.topics = topics
        for topic in topics.sorted() where topic.hasSuffix(Self.suffix) {
            let prefix = String(topic.dropLast(Self.suffix.count))
            guard !prefixes.contains(prefix) else { continue }
            prefixes.append(prefix)
        }
        isRead = prefixes.map { topics.contains($0 + Self.suffix) }
    }

    /// The connector whose transactions a topic tells; nil: not a transaction topic, by its name.
    package func stream(toldBy topic: String) -> Int32? {
        guard topic.hasSuffix(Self.suffix) else { return nil }
        return prefixes.firstIndex(of: String(topic.dropLast(Self.suffix.count))).map { Int32($0) }
    }

    /// For messages.
    package func prefix(of stream: Int32) -> String { prefixes[Int(stream)] }

    /// - Parameter teller: what `stream(toldBy:)` says of the record's topic.
    package func mark(
        of record: RecordBatch.Record, in records: RecordBatch, toldBy teller: Int32?
    ) -> TransactionMark {
        guard record.hasValue, let tape = tape(records.value(of: record)) else { return .none }
        guard tape.kind(tape.root) == .object else { return .none }
        var payload = tape.root
        if let (_, inner) = tape.wrapped {
            guard tape.kind(inner) == .object else { return .none }
            payload = inner
        }
        let envelope = Envelope(tape, payload)
        switch envelope.kind(tape) {
        case .change: return change(tape, envelope)
        case .control: return boundary(tape, envelope, teller)
        case .heartbeat: return .none
        case .cloudEvent, .flattened: return .loose(stream: nil)
        }
    }

    private func tape(_ bytes: UnsafeRawBufferPointer) -> JSONTape? {
        guard WireFormat.isFramed(bytes) else { return try? parser.parse(bytes) }
        guard let text = try? framed?.json(bytes) else { return nil }
        return try? parser.parse(text)
    }

    private func change(_ tape: JSONTape, _ envelope: Envelope) -> TransactionMark {
        // A logical message has a place in its transaction, and becomes no row.
        guard envelope.letter(tape) != 0x6D else { return .none }
        let source = Int(envelope.source)
        guard let name = tape.find("name", in: source), let stream = stream(named: tape.rawValue(name)) else {
            return .loose(stream: nil)
        }
        guard envelope.transaction >= 0, let order = envelope.totalOrder(tape), order >= 0,
            let id = tape.find("id", in: Int(envelope.transaction)), tape.kind(id) == .string
        else { return .loose(stream: stream) }
        return .change(
            transaction(tape.rawValue(id), stream), order: order, collection: collection(tape, source, stream))
    }

    private func boundary(_ tape: JSONTape, _ envelope: Envelope, _ teller: Int32?) -> TransactionMark {
        guard let stream = teller, envelope.status >= 0, envelope.id >= 0, envelope.eventCount >= 0 else {
            return .none
        }
        let id = transaction(tape.rawValue(Int(envelope.id)), stream)
        guard tape.rawValue(Int(envelope.status)).elementsEqual("END".utf8) else { return .begin(id) }
        var collections: [CollectionCount] = []
        for item in tape.children(Int(envelope.dataCollections)) {
            guard let name = tape.find("data_collection", in: item).flatMap({ tape.string($0) }),
                let events = tape.find("event_count", in: item).flatMap({ tape.int64($0) })
            else { continue }
            collections.append(
                CollectionCount(
                    collection: Self.collection(Array(name.utf8), stream), events: events,
                    isRead: isTopicRead(of: name, stream)))
        }
        return .end(id, events: tape.int64(Int(envelope.eventCount)) ?? 0, collections)
    }

    private func stream(named name: UnsafeRawBufferPointer) -> Int32? {
        for (index, prefix) in prefixes.enumerated() where isRead[index] {
            if name.count == prefix.utf8.count, name.elementsEqual(prefix.utf8) { return Int32(index) }
        }
        return nil
    }

    private func transaction(_ text: UnsafeRawBufferPointer, _ stream: Int32) -> TransactionID {
        var hash = Hash128()
        hash.add(Self.stablePart(text))
        return TransactionID(stream: stream, hash: hash.finish())
    }

    /// Of digits, a colon and digits what stands before the colon. No other connector's ids look so: a MySQL GTID begins
    /// with a uuid, and SQL Server's log positions have two colons.
    private static func stablePart(_ text: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        guard let colon = text.firstIndex(of: 0x3A), colon > 0, colon + 1 < text.count,
            text.indices.allSatisfy({ $0 == colon || (0x30...0x39).contains(text[$0]) })
        else { return text }
        return UnsafeRawBufferPointer(rebasing: text[..<colon])
    }

    // MARK: Tables

    /// The table as an END names it: `schema.table` for Postgres (measured), `database.table` for MySQL (measured),
    /// all three parts for SQL Server and Oracle (after Debezium's code, not measured).
    private func collection(_ tape: JSONTape, _ source: Int, _ stream: Int32) -> EventID {
        let place = EventSource(tape, source)
        scratch.removeAll(keepingCapacity: true)
        let hasThree =
            place.connector >= 0
            && (tape.rawValue(Int(place.connector)).elementsEqual("sqlserver".utf8)
                || tape.rawValue(Int(place.connector)).elementsEqual("oracle".utf8))
        if place.schema < 0 || hasThree { appendName(tape, place.database) }
        appendName(tape, place.schema)
        appendName(tape, place.table >= 0 ? place.table : place.collection)
        return Self.collection(scratch, stream)
    }

    private func appendName(_ tape: JSONTape, _ member: Int32) {
        guard member >= 0 else { return }
        if !scratch.isEmpty { scratch.append(0x2E) }
        if tape.isEscaped(Int(member)) {
            scratch.append(contentsOf: (tape.string(Int(member)) ?? "").utf8)
        } else {
            scratch.append(contentsOf: tape.rawValue(Int(member)))
        }
    }

    private static func collection(_ name: [UInt8], _ stream: Int32) -> EventID {
        var hash = Hash128()
        hash.add(Int64(stream))
        name.withUnsafeBytes { hash.add($0) }
        return hash.finish()
    }

    /// Topics are called after the table, without Oracle's database; what no topic's name may have becomes `_`.
    private func isTopicRead(of collection: String, _ stream: Int32) -> Bool {
        let prefix = prefixes[Int(stream)]
        let name = Self.sanitised(collection)
        if topics.contains("\(prefix).\(name)") { return true }
        guard let dot = name.firstIndex(of: "."), name[name.index(after: dot)...].contains(".") else { return false }
        return topics.contains("\(prefix)\(name[dot...])")
    }

    private static func sanitised(_ name: String) -> String {
        String(
            String.UnicodeScalarView(
                name.unicodeScalars.map { scalar in
                    switch scalar {
                    case "a"..."z", "A"..."Z", "0"..."9", ".", "-", "_": scalar
                    default: "_"
                    }
                }))
    }
}
