import Debezium
import JSON
import Replication

/// Tells which records of the quarantine are about one row: by decoding them, and where that fails by what stands in their
/// bytes.
struct QuarantinedKey {
    enum Verdict { case isOfIt, isNot, unread }

    private let table: TableDefinition
    private let names: KeyNames
    private let keyHash: String
    /// Column and text of each part.
    private let parts: [(column: String, text: String)]

    /// - Parameter key: as raw has it.
    init(_ table: TableDefinition, key: String, equality: KeyEquality) throws {
        self.table = table
        names = KeyNames(table, equality)
        keyHash = try names.name(ofKey: key)
        let object = try? JSONValue(parsing: key)
        parts = table.key.map { index in
            let name = table.columns[index].name
            let value = object?[name] ?? .null
            return (name, value.string ?? value.serialized)
        }
    }

    /// - Parameter decoded: the events that decoding the record gave; nil: it can't be decoded.
    func verdict(_ entry: QuarantineEntry, decoded: [(table: TableID, key: String)]?) -> Verdict {
        guard entry.key != nil || entry.value != nil else { return .isNot }
        if let other = entry.table, other != table.source { return .isNot }
        if decoded?.contains(where: { $0.table == table.source && isKey($0.key) }) ?? false { return .isOfIt }
        let bytes = [entry.key, entry.value].compactMap { $0 }
        if bytes.contains(where: isIn) { return .isOfIt }
        if let decoded, !decoded.isEmpty { return .isNot }
        return bytes.allSatisfy(Self.isText) ? .isNot : .unread
    }

    private func isKey(_ text: String) -> Bool { (try? names.name(ofKey: text)) == keyHash }

    private func isIn(_ bytes: [UInt8]) -> Bool {
        if let document = try? JSONValue(parsing: bytes) { return isIn(document, depth: 0) }
        return isWrittenIn(bytes) || isCellIn(bytes)
    }

    /// Some object in it has the key's columns with the key's values.
    private func isIn(_ value: JSONValue, depth: Int) -> Bool {
        guard depth < 32 else { return false }
        switch value {
        case .array(let elements): return elements.contains { isIn($0, depth: depth + 1) }
        case .object(let members):
            let found = parts.compactMap { part in value[part.column].map { (part.column, $0) } }
            if found.count == parts.count, isKey(JSONValue.object(found.map { ($0.0, $0.1) }).serialized) {
                return true
            }
            // What a source writes of a number may be a text, and the other way round.
            if found.count == parts.count,
                zip(found, parts).allSatisfy({ ($0.1.string ?? $0.1.serialized) == $1.text })
            {
                return true
            }
            return members.contains { isIn($0.value, depth: depth + 1) }
        // An event file's line, or a document in a text.
        case .string(let text) where text.utf8.first == 0x7B:
            return (try? JSONValue(parsing: text)).map { isIn($0, depth: depth + 1) } ?? isWrittenIn(Array(text.utf8))
        default: return false
        }
    }

    /// `"id":7` of each part, in what is no whole document.
    private func isWrittenIn(_ bytes: [UInt8]) -> Bool {
        let text = String(decoding: bytes, as: UTF8.self)
        return parts.allSatisfy { part in
            let name = JSONText.quoted(part.column)
            var rest = text[...]
            while let found = rest.firstRange(of: name) {
                rest = rest[found.upperBound...]
                var value = rest.drop { $0.isWhitespace }
                guard value.first == ":" else { continue }
                value = value.dropFirst().drop { $0.isWhitespace }
                for written in [JSONText.quoted(part.text), part.text] where value.hasPrefix(written) {
                    let next = value.dropFirst(written.count).first
                    if next.map({ ",}] \n\r\t".contains($0) }) ?? true { return true }
                }
            }
            return false
        }
    }

    /// A cell of pgoutput for each part: `t`, its length in four bytes, its text.
    private func isCellIn(_ bytes: [UInt8]) -> Bool {
        parts.allSatisfy { part in
            let text = Array(part.text.utf8)
            let length = withUnsafeBytes(of: UInt32(text.count).bigEndian, Array.init)
            return bytes.firstRange(of: [0x74] + length + text) != nil
        }
    }

    private static func isText(_ bytes: [UInt8]) -> Bool { !bytes.contains { $0 < 0x20 && ![9, 10, 13].contains($0) } }
}

extension WarehouseControl {
    package func erase(_ table: String, key: String, reason: String) async throws -> ErasureOutcome {
        let warehouse = try atWork()
        guard !reason.allSatisfy(\.isWhitespace) else {
            throw CommandFailure(
                ExitStatus.usage, "an erasure needs a reason, which is kept with it", try: "--reason 'request 4711'")
        }
        guard let definition = try await chosen(.named([table])).first else { throw Self.unknown(table) }
        guard !definition.isKeyless, definition.hasShape else {
            throw CommandFailure(
                ExitStatus.usage, "\(definition.source) has no key that tells its rows apart",
                try: "give it one with key: in tables:, and copy it anew")
        }
        let equality: KeyEquality = warehouse.engine == "duckdb" ? .duckdb : .postgres
        let hashed = hashedColumns(definition.source)
        let text = try KeyNames(definition, equality).key(key) { column, text in
            hashed.contains(column) ? PipelineSetup.hash(text) : nil
        }
        let wanted = try QuarantinedKey(definition, key: text, equality: equality)
        var request = ErasureRequest(table: definition, key: text, reason: reason)
        var unread: [Int64] = []
        for record in try await warehouse.quarantine() {
            switch wanted.verdict(record.entry, decoded: await decoded(record, warehouse)) {
            case .isOfIt: request.quarantined.append(record.id)
            case .unread: unread.append(record.id)
            case .isNot: break
            }
        }
        let report = try await warehouse.erase(request)
        guard !report.foundNothing else {
            throw CommandFailure(
                ExitStatus.usage, "\(definition.source): no row, no event and no quarantined record has this key",
                try:
                    "see how the key is written: millrace query 'select * from \(layout.live).\(definition.target) limit 3'"
            )
        }
        var outcome = ErasureOutcome(source: definition.source.description, report: report)
        outcome.unread = unread.count
        outcome.unreadIDs = Array(unread.prefix(10))
        return outcome
    }

    private static func unknown(_ table: String) -> CommandFailure {
        CommandFailure(ExitStatus.usage, "no table \(Console.printable(table)) is known", try: "millrace status")
    }

    /// The events of a record; nil where it can't be decoded.
    private func decoded(
        _ record: QuarantinedRecord, _ warehouse: any Warehouse
    ) async -> [(table: TableID, key: String)]? {
        guard record.entry.value != nil else { return nil }
        let replay = QuarantineReplay(
            warehouse: warehouse, makeDecoder: makeDecoder, prepare: prepare, validate: validate, mayChangeTables: false
        )
        guard let batch = try? await replay.decode([record]), batch.quarantined.isEmpty else { return nil }
        return batch.events.compactMap { event in
            event.key.isNull ? nil : (batch.tables[Int(event.table)].source, batch.arena.string(event.key))
        }
    }
}
