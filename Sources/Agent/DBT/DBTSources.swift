import Replication
import Yams

/// `sources.yml`.
struct DBTSources {
    let project: DBTProject
    /// Of each table, in their order.
    let tests: [[DBTDataTest]]

    var text: String {
        let pipeline = project.layout.pipeline
        let live: Node = .mapping([
            ("name", .text(pipeline)), ("schema", .rendered(DBTText.doubled(project.layout.live))),
            ("description", .text("Tables of the pipeline \(pipeline) as they are at its source: rows that live.")),
            ("tables", .sequence(zip(project.tables, tests).map(live))),
        ])
        let current: Node = .mapping([
            ("name", .text(pipeline + "_current")), ("schema", .rendered(DBTText.doubled(project.layout.current))),
            (
                "description",
                .text("The same with rows that were deleted, marked as such: what incremental models read.")
            ),
            ("tables", .sequence(project.tables.map { .mapping(naming($0)) })),
        ])
        let root: Node = .mapping([("version", .number("2")), ("sources", .sequence([live, current]))])
        // It can't fail: nothing in it is an alias, and memory is all it needs.
        return (try? Yams.serialize(node: root, width: -1, allowUnicode: true)) ?? ""
    }

    private func naming(_ table: DBTProject.Table) -> [(String, Node)] {
        let name = project.modelName(table)
        let target = table.definition.target
        return [("name", .text(name))]
            + (name == target ? [] : [("identifier", .rendered(DBTText.doubled(target)))])
    }

    private func live(_ table: DBTProject.Table, _ tests: [DBTDataTest]) -> Node {
        var members = naming(table)
        if let comment = table.comments.table { members.append(("description", .rendered(comment))) }
        if let freshness = project.freshness(of: table) {
            members.append(
                (
                    "config",
                    .mapping([
                        (
                            "freshness",
                            .mapping([
                                (
                                    "error_after",
                                    .mapping([("count", .number("\(freshness.minutes)")), ("period", .text("minute"))])
                                )
                            ])
                        ), ("loaded_at_query", .text(freshness.query)),
                    ])
                ))
        }
        let ofTable = tests.filter { $0.column == nil }
        if !ofTable.isEmpty { members.append(("data_tests", .sequence(ofTable.map(test)))) }
        members.append(("columns", .sequence(table.definition.liveColumns.map { column(table, $0, tests) })))
        return .mapping(members)
    }

    private func column(_ table: DBTProject.Table, _ shown: ShownColumn, _ tests: [DBTDataTest]) -> Node {
        var members: [(String, Node)] = [("name", .rendered(shown.name)), ("quote", .flag(true))]
        if let type = table.types[shown.column] { members.append(("data_type", .rendered(type))) }
        let source = table.definition.columns.first { $0.name == shown.column }?.nameAtSource ?? shown.column
        if let comment = table.comments.columns[source] { members.append(("description", .rendered(comment))) }
        let own = tests.filter { $0.column == shown.name }
        if !own.isEmpty { members.append(("data_tests", .sequence(own.map(test)))) }
        return .mapping(members)
    }

    private func test(_ test: DBTDataTest) -> Node {
        var members: [(String, Node)] = [("name", .text(test.name))]
        if !test.arguments.isEmpty {
            members.append(("arguments", .mapping(test.arguments.map { ($0.name, Self.value($0.value)) })))
        }
        if test.isSoft { members.append(("config", .mapping([("severity", .text("warn"))]))) }
        return .mapping([(test.test, .mapping(members))])
    }

    private static func value(_ value: DBTDataTest.Value) -> Node {
        switch value {
        case .rendered(let text), .plain(let text): .text(text)
        case .texts(let texts): .sequence(texts.map { .text($0, isQuoted: true) })
        case .numbers(let numbers): .sequence(numbers.map { .number($0) })
        case .flag(let flag): .flag(flag)
        }
    }
}

extension Node {
    fileprivate static func mapping(_ members: [(String, Node)]) -> Node {
        .mapping(Mapping(members.map { (.text($0.0), $0.1) }))
    }

    fileprivate static func sequence(_ nodes: [Node]) -> Node { .sequence(Sequence(nodes)) }

    /// A text of others where dbt renders Jinja: it comes out as it is.
    fileprivate static func rendered(_ text: String) -> Node { .text(DBTText.jinja(text)) }

    /// In quotes unless no reader of YAML could take it for anything else.
    fileprivate static func text(_ text: String, isQuoted: Bool = false) -> Node {
        let isBare = !isQuoted && DBTNames.isPlain(text) && !words.contains(text)
        return .scalar(Scalar(text, Tag(.str), isBare ? .plain : .doubleQuoted))
    }

    private static let words: Set<String> = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"]

    fileprivate static func number(_ text: String) -> Node { .scalar(Scalar(text, Tag(.int), .plain)) }
    fileprivate static func flag(_ flag: Bool) -> Node { .scalar(Scalar(flag ? "true" : "false", Tag(.bool), .plain)) }
}
