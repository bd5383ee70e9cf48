import JSON
import Postgres
import Replication

/// A sweep, as an event tells of it: it reads both sides, says what it found of the warehouse's, and writes what it mends.
extension LineageReporter {
    func began(_ kind: SweepKind, _ tables: [TableDefinition]) -> LineageRunKey {
        let told = LineageSweep(builder, kind, tables)
        return report(told.job, inputs: told.inputs(nil), outputs: told.outputs(nil))
    }

    func ended(
        _ run: LineageRunKey, _ kind: SweepKind, _ tables: [TableDefinition], _ state: SweepJobs.State, wasStopped: Bool
    ) {
        let told = LineageSweep(builder, kind, tables)
        let (outcome, found): (LineageOutcome, SweepReport?) =
            switch state {
            case .done(let found): (.complete, found)
            case .failed(let failure) where !wasStopped: (.failed(failure.message), nil)
            case .failed, .running: (.aborted("the sweep was stopped before its end"), nil)
            }
        report(outcome, of: run, inputs: told.inputs(found), outputs: told.outputs(found))
    }
}

/// Pure.
struct LineageSweep: Sendable {
    private let builder: LineageEventBuilder
    private let kind: SweepKind
    private let tables: [TableDefinition]

    init(_ builder: LineageEventBuilder, _ kind: SweepKind, _ tables: [TableDefinition]) {
        self.builder = builder
        self.kind = kind
        self.tables = tables
    }

    var job: LineageJob { kind == .late ? .late : .sweep }

    private func current(_ table: TableDefinition) -> LineageDataset {
        builder.facts.warehouse(builder.facts.layout.current, table.target)
    }

    /// What current is held against: the source's table, or raw where no source is asked.
    private func other(_ table: TableDefinition) -> LineageDataset {
        let source = kind == .late ? nil : builder.facts.compared(table.source)
        return source ?? builder.facts.warehouse(builder.facts.layout.raw, table.target)
    }

    /// - Parameter found: nil: not yet, or nothing.
    func inputs(_ found: SweepReport?) -> [JSONValue] {
        tables.flatMap { table -> [JSONValue] in
            let record = record(of: table, in: found)
            let assertion = record.map { record in
                [
                    ("dataQualityMetrics", builder.facets.qualityMetrics(rows: record.rows)),
                    ("dataQualityAssertions", builder.facets.assertions([Self.assertion(record)])),
                ]
            }
            return [
                builder.dataset(other(table)), builder.dataset(current(table), input: assertion ?? []),
            ]
        }
    }

    func outputs(_ found: SweepReport?) -> [JSONValue] {
        guard kind != .compare else { return [] }
        return tables.map { table in
            let late = found?.tables.first { $0.source == table.source.description }?.late?.mended
            let mended = kind == .late ? late : record(of: table, in: found)?.repaired
            return builder.dataset(
                current(table),
                output: mended.map { [("outputStatistics", builder.facets.outputStatistics(rows: $0))] } ?? [])
        }
    }

    private func record(of table: TableDefinition, in found: SweepReport?) -> SweepRecord? {
        found?.tables.first { $0.source == table.source.description }?.record
    }

    static func assertion(_ record: SweepRecord) -> LineageAssertion {
        let recent = record.isRecent ? "in rows of which something came lately " : ""
        let left = record.uncovered.isEmpty ? "" : ", \(record.uncovered.count) columns not compared"
        return LineageAssertion(
            assertion: record.isFold ? "equals_raw" : "equals_source", success: record.isEqual,
            name: record.isFold
                ? "\(recent)equals what raw says"
                : "\(recent)equals source as of position \(LSN.text(record.position))",
            expected: "0 rows differ",
            actual: "\(record.differences) rows differ, \(record.moved) never stood still\(left)")
    }
}
