import Debezium
import JSON
import Postgres
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
        // What it says decides where it can be read.
        if let decoded, !decoded.isEmpty {
            return decoded.contains { $0.table == table.source && isKey($0.key) } ? .isOfIt : .isNot
        }
        let bytes = [entry.key, entry.value].compactMap { $0 }
        if bytes.contains(where: isIn) { return .isOfIt }
        if bytes.allSatisfy(Self.isText) { return .isNot }
        return bytes.contains { PgOutputMessage.tuples($0) != nil } ? .isNot : .unread
    }

    private func isKey(_ text: String) -> Bool { (try? names.name(ofKey: text)) == keyHash }

    private func isIn(_ bytes: [UInt8]) -> Bool {
        if let document = try? JSONValue(parsing: bytes) { return isIn(document) }
        if let tuples = PgOutputMessage.tuples(bytes) { return tuples.contains(where: isTuple) }
        return isWrittenIn(bytes)
    }

    /// A key, a row, or an envelope with rows, bare or behind its schema; what stands inside of rows tells nothing.
    private func isIn(_ document: JSONValue) -> Bool {
        let payloads = [document, document["payload"], document["data"], document["data"]?["payload"]].compactMap { $0 }
        let rows = payloads + payloads.flatMap { [$0["before"], $0["after"]] }.compactMap { $0 }
        if rows.contains(where: isRow) { return true }
        // An event file's line, or a document in a text.
        guard case .string(let text) = document, text.utf8.first == 0x7B else { return false }
        return (try? JSONValue(parsing: text)).map(isIn) ?? isWrittenIn(Array(text.utf8))
    }

    private func isRow(_ row: JSONValue) -> Bool {
        let found = parts.compactMap { part in row[part.column].map { (part.column, $0) } }
        guard found.count == parts.count else { return false }
        if isKey(JSONValue.object(found.map { ($0.0, $0.1) }).serialized) { return true }
        // What a source writes of a number may be a text, and the other way round.
        return zip(found, parts).allSatisfy { ($0.1.string ?? $0.1.serialized) == $1.text }
    }

    /// Columns of a relation stand in the order in which they became known, unless some were dropped.
    private func isTuple(_ cells: [[UInt8]?]) -> Bool {
        zip(table.key, parts).allSatisfy { index, part in
            index < cells.count && cells[index].map { $0 == Array(part.text.utf8) } ?? false
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

    private static func isText(_ bytes: [UInt8]) -> Bool { !bytes.contains { $0 < 0x20 && ![9, 10, 13].contains($0) } }
}

extension WarehouseControl {
    /// What a person named: the key as raw has it, and records of the quarantine that are about it, or may be.
    func find(
        _ table: String, key: String, _ warehouse: any Warehouse
    ) async throws -> (table: TableDefinition, key: String, quarantined: [Int64], unread: [Int64]) {
        let definition = try await chosen(.named([table]))[0]
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
        var quarantined: [Int64] = []
        var unread: [Int64] = []
        let records = try await warehouse.quarantine().filter {
            $0.entry.table ?? definition.source == definition.source
        }
        let decoded = await keys(of: records, warehouse)
        for record in records {
            switch wanted.verdict(record.entry, decoded: decoded[QuarantineReplay.Position(record.entry)]) {
            case .isOfIt: quarantined.append(record.id)
            case .unread: unread.append(record.id)
            case .isNot: break
            }
        }
        return (definition, text, quarantined, unread)
    }

    /// Nothing has the key that was given.
    func nothing(has table: TableDefinition) -> CommandFailure {
        CommandFailure(
            ExitStatus.usage, "\(table.source): no row, no event and no quarantined record has this key",
            try: "see how the key is written: millrace query 'select * from \(layout.live).\(table.target) limit 3'")
    }

    package func erase(_ table: String, key: String, reason: String) async throws -> ErasureOutcome {
        let warehouse = try atWork()
        guard !reason.allSatisfy(\.isWhitespace) else {
            throw CommandFailure(
                ExitStatus.usage, "an erasure needs a reason, which is kept with it", try: "--reason 'request 4711'")
        }
        // A sweep without a source has all of raw beside the warehouse, where no erasure comes.
        await running?.sweeps?.stop(scheduled: true)
        guard running?.sweeps?.isRunning != true else {
            throw CommandFailure(
                ExitStatus.environment, "a sweep is under way, which may have the row beside the warehouse",
                try: "try again when it has ended")
        }
        let found = try await find(table, key: key, warehouse)
        let (definition, unread) = (found.table, found.unread)
        let request = ErasureRequest(
            table: definition, key: found.key, reason: reason, quarantined: found.quarantined)
        let report = try await warehouse.erase(request)
        guard !report.foundNothing else { throw nothing(has: definition) }
        var outcome = ErasureOutcome(source: definition.source.description, report: report)
        outcome.unread = unread.count
        outcome.unreadIDs = Array(unread.prefix(10))
        return outcome
    }

    /// Tables and keys of the events that records give, by where they stood; those that can't be decoded are left out.
    private func keys(
        of records: [QuarantinedRecord], _ warehouse: any Warehouse
    ) async -> [QuarantineReplay.Position: [(table: TableID, key: String)]] {
        let replay = QuarantineReplay(
            warehouse: warehouse, makeDecoder: makeDecoder, prepare: prepare, validate: validate,
            mayChangeTables: false, release: { _ in ReleaseOptions() })
        var found: [QuarantineReplay.Position: [(table: TableID, key: String)]] = [:]
        for records in QuarantineReplay.parts(records.filter { $0.entry.value != nil }) {
            guard let batch = try? await replay.decode(records) else { continue }
            for event in batch.events where !event.key.isNull {
                let at = QuarantineReplay.Position(batch.spans[Int(event.span)].partition, event.offset)
                found[at, default: []].append(
                    (batch.tables[Int(event.table)].source, batch.arena.string(event.key)))
            }
            for entry in batch.quarantined { found[QuarantineReplay.Position(entry)] = nil }
        }
        for record in records {
            guard let gate = record.entry.gate, let key = gate.key, let table = record.entry.table else { continue }
            found[QuarantineReplay.Position(record.entry), default: []].append((table, key))
        }
        return found
    }
}
