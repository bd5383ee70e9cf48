import PipelineFile
import Replication
import Synchronization

/// The setup that a running agent works with: another, once the pipeline file was reloaded.
package final class LiveSetup: Sendable {
    private let held: Mutex<PipelineSetup>

    package init(_ setup: PipelineSetup) { held = Mutex(setup) }

    package var setup: PipelineSetup { held.withLock { $0 } }

    func replace(_ setup: PipelineSetup) { held.withLock { $0 = setup } }
}

/// What a reload of the pipeline file changed.
package struct ReloadReport: Sendable, Equatable {
    /// False: the file says what it said.
    package var hasChanged = false
    /// Known tables that are replicated from now on, or not any more, by their source names.
    package var added: [String] = []
    package var removed: [String] = []
    /// Tables whose settings are others.
    package var changed: [String] = []

    package init() {}
}

/// Which tables are replicated, and how, can change under a running agent; everything else begins with a start.
struct Reload {
    let old: PipelineSetup
    let known: [TableDefinition]

    /// - Throws: `PipelineFileError`, or `CommandFailure` where the running agent can't become what the file says.
    func read(_ path: String) throws -> (setup: PipelineSetup, report: ReloadReport) {
        let pipeline = try Pipeline.load(path: path)
        let new = PipelineSetup(pipeline, logger: old.logger)
        try new.refuseGates()
        try refuseOthers(new)
        var report = ReloadReport()
        report.hasChanged = pipeline != old.pipeline
        for definition in known {
            let id = definition.source
            let (before, after) = (old.choice(id), new.choice(id))
            switch (before, after) {
            case (nil, .some): report.added.append(id.description)
            case (.some, nil): report.removed.append(id.description)
            default: break
            }
            if let after { try refuse(definition, after) }
            let entries = (old.pipeline.table(source: id.description), pipeline.table(source: id.description))
            if before != nil, after != nil, entries.0 != entries.1 { report.changed.append(id.description) }
        }
        return (new, report)
    }

    private func refuseOthers(_ new: PipelineSetup) throws {
        let (a, b) = (old.pipeline, new.pipeline)
        var source = b.source
        source.tables = a.source.tables
        let sections: [(name: String, isEqual: Bool)] = [
            ("pipeline", a.name == b.name), ("source", a.source == source), ("warehouse", a.warehouse == b.warehouse),
            ("layers", a.layers == b.layers), ("metadata_columns", a.metadataColumns == b.metadataColumns),
            ("batch", a.batch == b.batch), ("agent", a.agent == b.agent), ("alerts", a.alerts == b.alerts),
            ("quality", a.quality == b.quality), ("lineage", a.lineage == b.lineage),
            ("allowed_lateness", old.layout == new.layout),
        ]
        var probe = b
        probe.source = a.source
        probe.tables = a.tables
        let others = sections.filter { !$0.isEqual }.map(\.name)
        guard others.isEmpty, probe == a else {
            throw CommandFailure(
                ExitStatus.usage,
                "only source.include, source.exclude and tables can be reloaded, and \(others.joined(separator: ", ")) changed, too",
                try: "stop the agent and start it again: millrace run")
        }
    }

    /// What the table was made with stays.
    private func refuse(_ made: TableDefinition, _ choice: TableChoice) throws {
        let key = made.key.map { made.columns[$0].name }
        let what: String? =
            if choice.target != made.target {
                "target"
            } else if let given = choice.key, Set(given) != Set(key) {
                "key"
            } else if choice.metadata != made.metadata { "metadata_columns" } else { nil }
        guard let what else { return }
        throw CommandFailure(
            ExitStatus.usage, "\(made.source): its \(what) isn't the one that its table was made with",
            try: "set it back, or drop the pipeline with its tables and copy it anew")
    }
}
