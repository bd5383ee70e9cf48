/// A user's query over tables as they were: which of the pipeline's tables it names, and the statement that puts their
/// past in the place of these names.
///
/// All else in the query is as it is now. What would read the pipeline's tables as they are now without saying so, their
/// schemas' names, is refused.
package struct AsOfQuery: Sendable {
    /// As the user wrote it, without its semicolons.
    private let sql: String
    package let moment: AsOf
    /// The tables that the query names.
    package let tables: [TableDefinition]
    /// The source is the Postgres server itself.
    package let isDirect: Bool
    package let refusal: AsOfRefusal
    private let hasOwnWith: Bool

    private static let beginnings: Set<String> = ["select", "with", "values", "from", "table"]

    /// - Throws: `.configuration`.
    package init(
        _ sql: String, at moment: AsOf, known: [TableDefinition], isDirect: Bool, refusal: AsOfRefusal
    ) throws {
        let layout = refusal.layout
        guard layout.hasRaw else {
            throw ReplicationError(
                .configuration, "--as-of reads the raw layer, and layers.raw is false", remedy: "layers: { raw: true }")
        }
        let read = SQLWords(sql)
        var words = read.words
        while words.last == .sign(";") { words.removeLast() }
        guard !words.contains(.sign(";")) else { throw Self.oneQuery }
        guard !words.contains(.escaped) else {
            throw ReplicationError(
                .configuration, "with --as-of no name or text is written by numbers (U&)", remedy: "write it out")
        }
        switch words.first {
        case .name(let first, false)? where Self.beginnings.contains(first.lowercased()): break
        case .sign("(")?: break
        default: throw Self.oneQuery
        }
        let targets = Dictionary(grouping: known.filter(\.hasShape)) { $0.target.lowercased() }
        try Self.refuseSchemas(words, layout, targets: Set(targets.keys))
        tables = Self.names(words).flatMap { targets[$0] ?? [] }.sorted { $0.source < $1.source }
        guard !tables.isEmpty else {
            throw ReplicationError(
                .configuration, "the query names none of the pipeline's tables, which alone have a past",
                remedy: known.first.map { "select * from \($0.target)" } ?? "millrace run, which replicates them")
        }
        self.sql = read.withoutSemicolons
        self.moment = moment
        self.isDirect = isDirect
        self.refusal = refusal
        hasOwnWith = words.first?.isName("with") == true
    }

    /// In lower case: rather one too many than one that is read as it is now.
    private static func names(_ words: [SQLWords.Word]) -> Set<String> {
        var names: Set<String> = []
        for (index, word) in words.enumerated() {
            switch word {
            case .name(let name, let isQuoted):
                let name = name.lowercased()
                if isQuoted || !reserved.contains(name) { names.insert(name) }
            // DuckDB takes a text for a table's name there.
            case .text(let text) where index > 0:
                let before = words[index - 1]
                if before.isName("from") || before.isName("join") || before == .sign(",") {
                    names.insert(text.lowercased())
                }
            default: break
            }
        }
        return names
    }

    /// Tables that are called so stand in quotes, in both engines.
    private static let reserved: Set<String> = [
        "all", "and", "as", "asc", "case", "cast", "desc", "distinct", "else", "end", "except", "from", "group",
        "having",
        "in", "intersect", "limit", "not", "null", "offset", "on", "or", "order", "select", "table", "then", "to",
        "union",
        "user", "using", "when", "where", "with",
    ]

    private static let oneQuery = ReplicationError(
        .configuration, "--as-of takes one query that begins with SELECT, WITH, VALUES, TABLE or FROM",
        remedy: "millrace query 'select …' --as-of 0/16B3748")

    /// What is asked of it is in none that an older program has made.
    package static let olderWarehouse = ReplicationError(
        .configuration, "the warehouse was last written by an older millrace, which didn't note what --as-of needs",
        remedy: "millrace run, which brings it to this version")

    /// `schema.table` of the pipeline, however it is quoted, and in texts as well: there are functions that run them.
    private static func refuseSchemas(_ words: [SQLWords.Word], _ layout: WarehouseLayout, targets: Set<String>) throws
    {
        let schemas = Set([layout.current, layout.live, layout.raw, layout.history].map { $0.lowercased() })
        for (index, word) in words.enumerated() {
            if case .text(let text) = word, text.contains(".") {
                try refuseSchemas(SQLWords(text).words, layout, targets: targets)
            }
            guard case .name(let schema, _) = word, schemas.contains(schema.lowercased()), index + 2 < words.count,
                words[index + 1] == .sign("."), case .name(let table, _) = words[index + 2],
                targets.contains(table.lowercased())
            else { continue }
            throw ReplicationError(
                .configuration, "\(schema).\(table) is the table as it is now, and not as of then",
                remedy: "name it without its schema: select … from \(table)")
        }
    }

    /// - Parameter pasts: of each table its name as an identifier, and the query that gives its rows.
    package func statement(_ pasts: [(name: String, query: String)]) -> String {
        let list = pasts.map { "\($0.name) AS (\n\($0.query)\n)" }.joined(separator: ",\n")
        // A second WITH can't stand behind the first. Behind what the user wrote a comment may be open.
        return hasOwnWith ? "WITH \(list)\nSELECT * FROM (\n\(sql)\n) AS q" : "WITH \(list)\n\(sql)\n"
    }
}
