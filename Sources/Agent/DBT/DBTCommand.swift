import Foundation
import JSON
import PipelineFile
import Replication

/// `millrace dbt --out DIR`: sources and staging models for dbt.
package struct DBTCommand: Sendable {
    package var out: String
    /// Files that were edited are replaced too.
    package var isForced: Bool

    package init(out: String, isForced: Bool = false) {
        self.out = out
        self.isForced = isForced
    }

    package func run(_ context: CommandContext) async throws {
        let setup = try context.loadSetup()
        guard setup.layout.hasCurrent else {
            throw CommandFailure(
                ExitStatus.usage, "dbt's sources are the live views, and layers.current is false",
                try: "layers: { current: true }")
        }
        let known = try await context.withControl(setup, readOnly: true) { try await $0.tables() }
        var (comments, note) = await setup.comments()
        let tables = known.tables.filter { setup.choice($0.definition.source) != nil }.map { table in
            var entry = DBTProject.Table(table.definition, types: table.types)
            let source = table.definition.source
            entry.quality = setup.expectations.first { $0.table == source.description }?.quality ?? TableQuality()
            entry.hashed = setup.hashedColumns(of: source)
            entry.staleness_max = setup.staleness_max(of: source)
            entry.comments = comments.tables.removeValue(forKey: source) ?? .init()
            return entry
        }
        let project = DBTProject(
            setup.layout, engine: known.engine, serverVersion: known.serverVersion, tables: tables)
        guard !project.tables.isEmpty else {
            throw CommandFailure(
                ExitStatus.environment, "nothing has been replicated yet, so no table's columns are known",
                try: "millrace run --until-end, then: millrace dbt --out \(out)")
        }
        let (files, notes) = project.files()
        let outcomes = try DBTFolder(out, isForced: isForced).write(files, isModel: project.isModelFile)
        tell(outcomes, [note, setup.catalogNote].compactMap { $0 } + notes, context)
    }

    // MARK: Answers

    private func tell(_ outcomes: [DBTFolder.Outcome], _ notes: [DBTProject.Note], _ context: CommandContext) {
        let console = context.console
        if context.json {
            let json: JSONValue = .object([
                ("files", .array(outcomes.map(json))),
                (
                    "notes",
                    .array(notes.map { .object([("table", .text($0.table)), ("message", .string($0.message))]) })
                ),
            ])
            return console.result(json.serialized)
        }
        console.result(outcomes.map { line($0, console) }.joined(separator: "\n"))
        for note in notes {
            console.note(Console.printable("\(note.table.map { "\($0): " } ?? "")\(note.message)"))
        }
        if !isInProject {
            console.note(
                "there is no dbt_project.yml above \(Console.printable(out)): dbt reads models as part of a project\n"
                    + "Try: dbt init, then: millrace dbt --out models/staging/…")
        }
    }

    private func json(_ outcome: DBTFolder.Outcome) -> JSONValue {
        .object([
            ("path", .string(path(outcome.name))), ("state", .string(outcome.state.rawValue)),
            ("new", .text(outcome.new.map(path))),
        ])
    }

    private func path(_ name: String) -> String { out.hasSuffix("/") ? out + name : "\(out)/\(name)" }

    private func line(_ outcome: DBTFolder.Outcome, _ console: Console) -> String {
        let path = Console.printable(path(outcome.name))
        return switch outcome.state {
        case .written: "\(console.paint("written", .green)) \(path)"
        case .updated: "\(console.paint("updated", .green)) \(path)"
        case .unchanged: "unchanged \(path)"
        case .kept:
            "\(console.paint("kept", .yellow)) \(path): it was edited"
                + (outcome.new.map { "; what is new is in \(Console.printable(self.path($0)))" } ?? "")
        case .stale: "\(console.paint("stale", .yellow)) \(path): its table isn't replicated any more; rm it"
        }
    }

    /// dbt looks for its project upwards, too.
    private var isInProject: Bool {
        var folder = URL(fileURLWithPath: out).standardizedFileURL
        while true {
            if FileManager.default.fileExists(atPath: folder.appending(path: "dbt_project.yml").path) { return true }
            let parent = folder.deletingLastPathComponent()
            guard parent.path != folder.path, folder.path != "/" else { return false }
            folder = parent
        }
    }
}

extension PipelineSetup {
    /// DuckDB calls a file that it opens by the file's name: views in it that name a schema of the same name are
    /// ambiguous then.
    var catalogNote: DBTProject.Note? {
        guard case .duckdb(let settings) = pipeline.warehouse.engine else { return nil }
        let name = URL(fileURLWithPath: settings.path).deletingPathExtension().lastPathComponent
        let schemas = [layout.current, layout.raw, layout.live, layout.history]
        guard schemas.contains(where: { $0.lowercased() == name.lowercased() }) else { return nil }
        return DBTProject.Note(
            message:
                "the file \(name).duckdb is called as its schema \(name), so the profile must attach it under another name: see docs/dbt.md"
        )
    }

    /// What people wrote of the source's tables, and why there is none of it.
    func comments() async -> (SourceComments, DBTProject.Note?) {
        let url: ConnectionURL
        switch pipeline.source.input {
        case .postgres(let server): url = server.url
        case .kafka(let kafka):
            guard let catalog = kafka.catalog else {
                return (
                    SourceComments(),
                    DBTProject.Note(message: "no descriptions: source.kafka.catalog would tell where comments are")
                )
            }
            url = catalog
        case .file: return (SourceComments(), DBTProject.Note(message: "no descriptions: a file has no comments"))
        }
        do {
            return (try await CommentReader().read(url: url.text), nil)
        } catch {
            let failure = ExitStatus.failure(of: error)
            return (SourceComments(), DBTProject.Note(message: "no descriptions: \(failure.message)"))
        }
    }

    /// After which a table is stale; nil: nothing is promised.
    func staleness_max(of table: TableID) -> Duration? {
        pipeline.table(source: table.description)?.freshness?.maxStaleness
    }
}
