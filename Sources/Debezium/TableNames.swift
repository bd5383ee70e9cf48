import Replication

/// Finds the table of an event that doesn't name it whole: from what it does tell, its schema part's name, its topic,
/// and what the pipeline file or the catalog knows of.
struct TableNames {
    struct Hints: Hashable {
        var schema: String?
        var table: String?
        var database: String?
        /// `shop.public.orders.Value`, of the record's or the key's schema part.
        var record: String?
        var topic: String
    }

    private static let answers_max = 10_000
    /// Longer ones than a schema's and a table's with a prefix name nothing.
    private static let name_max_bytes = 1024
    private static let suffixes = [".Value", ".Key", ".Envelope", ".Data"]

    private let topics: [String: TableID]
    private let known: Set<TableID>
    private var answers: [Hints: TableID?] = [:]

    init(_ configuration: DecoderConfiguration) {
        topics = configuration.topicTables
        known = Set(configuration.namedTables)
            .union(configuration.catalogTypes.keys).union(configuration.knownTables.map(\.source))
    }

    mutating func table(_ hints: Hints) -> TableID? {
        var hints = hints
        if let record = hints.record, record.utf8.count > Self.name_max_bytes { hints.record = nil }
        if let answer = answers[hints] { return answer }
        if answers.count >= Self.answers_max { answers.removeAll() }
        let answer = find(hints)
        answers[hints] = .some(answer)
        return answer
    }

    private func find(_ hints: Hints) -> TableID? {
        if let schema = hints.schema, let table = hints.table { return TableID(schema: schema, table: table) }
        if hints.table == nil, hints.schema == nil, let table = topics[hints.topic] { return table }
        for name in [hints.record.map(Self.stem), hints.topic] {
            guard let name, let table = split(name, hints) else { continue }
            return table
        }
        guard let table = hints.table ?? Self.parts(hints.topic).last else { return nil }
        if let schema = hints.schema { return TableID(schema: schema, table: table) }
        // Nobody tells the schema: where there is but one such table, it is that one.
        let candidates = known.filter { $0.table == table }
        if candidates.count == 1 { return candidates.first }
        return hints.table != nil && candidates.isEmpty
            ? hints.database.map { TableID(schema: $0, table: table) } : nil
    }

    /// `prefix.schema.table`, where prefix and table can have dots: the split that agrees with what is known, else
    /// the last two parts.
    private func split(_ name: String, _ hints: Hints) -> TableID? {
        let parts = Self.parts(name)
        guard parts.count >= 3 else { return nil }
        let splits = (1...parts.count - 2).reversed().map { at in
            TableID(schema: parts[at], table: parts[(at + 1)...].joined(separator: "."))
        }
        // In a topic's name other characters than letters, digits, . _ and - have become _.
        if let table = hints.table {
            return splits.first { $0.table == table || $0.table == Self.sanitized(table) }
                .flatMap { Self.isSanitized(table, $0.table) ? nil : TableID(schema: $0.schema, table: table) }
        }
        if let schema = hints.schema {
            return splits.first { $0.schema == schema }
        }
        return splits.first { known.contains($0) } ?? splits.first
    }

    private static func parts(_ name: String) -> [String] {
        name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    }

    private static func stem(_ record: String) -> String {
        for suffix in suffixes where record.hasSuffix(suffix) { return String(record.dropLast(suffix.count)) }
        return record
    }

    private static func sanitized(_ name: String) -> String {
        String(name.map { $0.isASCII && ($0.isLetter || $0.isNumber) || "._-".contains($0) ? $0 : "_" })
    }

    /// Where the table's name isn't as it is, its schema's may not be either.
    private static func isSanitized(_ name: String, _ shown: String) -> Bool { name != shown }
}
