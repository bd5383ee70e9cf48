import JSON
import Replication

/// The schema block of an event or key: what it says of the row's columns.
final class ConnectSchema {
    struct Column {
        var name: [UInt8]
        var type: ColumnType
        var encoding: ValueEncoding
        var isOptional: Bool
        /// The default's JSON as it stands; empty where there is none.
        var fallback: [UInt8]
        /// The format can't tell logical types: what anybody else says of the column counts more.
        var isAssumed = false
    }

    /// Of the row: an envelope's `after` (or `before`), or the key's own.
    let columns: [Column]
    /// Distinct in a decoder.
    let number: Int
    /// The record's name: `shop.public.orders.Value`; empty where there is none.
    let name: String

    init(columns: [Column], number: Int, name: String) {
        self.columns = columns
        self.number = number
        self.name = name
    }

    func column(named name: UnsafeRawBufferPointer) -> Column? {
        columns.first { $0.name.elementsEqual(name) }
    }
}

/// Reads schema blocks, each distinct one once.
///
/// Told apart by the parser's own memory of what it skipped, and beyond that by a hash of the bytes.
final class SchemaCache {
    private static let schemas_max = 4096

    private let parser: JSONParser
    private let modes: EncodingModes
    /// The blocks are of rows themselves, not of envelopes.
    private let isOfRows: Bool
    private var byHash: [EventID: ConnectSchema?] = [:]
    private var bySkipped: [Skipped: ConnectSchema] = [:]
    @exclusivity(unchecked) private var lastSkipped = Skipped(id: 0, connector: .unknown)
    @exclusivity(unchecked) private var last: ConnectSchema?
    private var made: Int
    /// For bytes that are followed by less than the parser wants.
    private let text = ByteArena(capacity: 4096)

    /// What a schema says of a column hangs on the connector, too, which isn't always known from the first record on.
    private struct Skipped: Hashable {
        var id: UInt32
        var connector: Connector
    }

    /// - Parameter numbers: where this cache's numbers begin, so that no two schemas of a decoder have one.
    init(modes: EncodingModes, isOfRows: Bool, numbers: Int) throws(JSONError) {
        parser = try JSONParser()
        self.modes = modes
        self.isOfRows = isOfRows
        made = numbers
    }

    /// The schema in `raw`, an object's JSON; nil if it isn't one. `id` is the tape's `skippedID`.
    @inline(__always)
    func schema(_ raw: UnsafeRawBufferPointer, id: UInt32, connector: Connector) -> ConnectSchema? {
        if id != 0, id == lastSkipped.id, connector == lastSkipped.connector { return last }
        return lookUp(raw, id: id, connector: connector)
    }

    private func lookUp(_ raw: UnsafeRawBufferPointer, id: UInt32, connector: Connector) -> ConnectSchema? {
        let skipped = Skipped(id: id, connector: connector)
        if id != 0, let known = bySkipped[skipped] {
            lastSkipped = skipped
            last = known
            return known
        }
        var hash = Hash128()
        hash.add(raw)
        hash.add(connector.rawValue)
        let name = hash.finish()
        let schema: ConnectSchema?
        if let known = byHash[name] {
            schema = known
        } else {
            if byHash.count >= Self.schemas_max {
                byHash.removeAll()
                bySkipped.removeAll()
            }
            schema = read(raw, connector)
            byHash[name] = .some(schema)
        }
        if id != 0, let schema {
            if bySkipped.count >= Self.schemas_max { bySkipped.removeAll() }
            bySkipped[skipped] = schema
            lastSkipped = skipped
            last = schema
        }
        return schema
    }

    private func read(_ raw: UnsafeRawBufferPointer, _ connector: Connector) -> ConnectSchema? {
        text.removeAll()
        let range = text.append(raw)
        guard let tape = try? parser.parse(text.bytes(range)), tape.kind(tape.root) == .object,
            let fields = tape.find("fields", in: tape.root), tape.kind(fields) == .array
        else { return nil }
        var row = tape.root
        for name in ["after", "before"] as [StaticString] where row == tape.root && !isOfRows {
            for field in tape.children(fields) {
                guard let key = tape.find("field", in: field), tape.kind(key) == .string,
                    tape.rawValue(key).elementsEqual(UnsafeRawBufferPointer(name)),
                    tape.find("fields", in: field) != nil
                else { continue }
                row = field
            }
        }
        guard let rowFields = tape.find("fields", in: row), tape.kind(rowFields) == .array else { return nil }
        var columns: [ConnectSchema.Column] = []
        for field in tape.children(rowFields) {
            guard let name = tape.find("field", in: field).flatMap({ tape.string($0) }) else { return nil }
            let (type, encoding) = Self.type(tape, field, modes, connector)
            let fallback = tape.find("default", in: field).map { Array(tape.rawValue($0)) } ?? []
            columns.append(
                .init(
                    name: Array(name.utf8), type: type, encoding: encoding,
                    isOptional: tape.find("optional", in: field).flatMap { tape.bool($0) } ?? false,
                    fallback: fallback,
                    isAssumed: tape.find("assumed", in: field).flatMap { tape.bool($0) } ?? false))
        }
        made += 1
        let name = tape.find("name", in: tape.root).flatMap { tape.string($0) } ?? ""
        return ConnectSchema(columns: columns, number: made, name: name)
    }
}
