import PipelineFile
import Replication

extension PipelineSetup {
    /// The tables that something is expected of, by their source names.
    var expectations: [QualityRules] {
        pipeline.tables.filter { !$0.quality.isEmpty }.map { QualityRules(table: $0.source, quality: $0.quality) }
    }
}

/// A table and what is expected of it.
package struct QualityRules: Sendable {
    package var table: String
    package var quality: TableQuality

    /// Those of them that a row by itself doesn't tell; nil: there are none.
    var ofWholeTables: QualityRules? {
        let chosen = quality.expectations.filter { !$0.isGated }
        return chosen.isEmpty ? nil : QualityRules(table: table, quality: TableQuality(chosen))
    }

    /// Tells whether two have the same, in hex digits.
    static func fingerprint(_ rules: [QualityRules]) -> String {
        var hash = Hash128()
        for rule in rules {
            // Not where they stand: a comment above them changes nothing.
            let texts =
                [rule.table] + rule.quality.unmapped.map(\.reason)
                + rule.quality.expectations.map { "\($0.check) \($0.severity) \($0.onFail) \($0.mostly.text)" }
            for text in texts {
                hash.add(UInt64(text.utf8.count))
                hash.add(text)
            }
        }
        let end = hash.finish()
        return String(end.high, radix: 16) + "-" + String(end.low, radix: 16)
    }
}

extension WarehouseControl {
    package func quality(_ selection: TableSelection) async throws -> QualityReport {
        guard let running else { return try await examined(expectations(), selection) }
        guard running.examinations.begin() else {
            throw CommandFailure(
                ExitStatus.environment, "the agent holds tables against what is expected of them already",
                try: "millrace quality, when that has ended")
        }
        defer { running.examinations.end() }
        return try await examined(expectations(), selection)
    }

    /// Holds tables against rules that no gate judges before rows are promoted. Nil: that is under way.
    func examineWhole() async throws -> QualityReport? {
        if let running, !running.examinations.begin() { return nil }
        defer { running?.examinations.end() }
        return try await examined(expectations().compactMap(\.ofWholeTables), .all)
    }

    private func examined(_ rules: [QualityRules], _ selection: TableSelection) async throws -> QualityReport {
        let warehouse = try atWork()
        guard layout.hasCurrent || rules.isEmpty else {
            throw CommandFailure(
                ExitStatus.usage, "expectations are held against the live view, and layers.current is false",
                try: "layers: { current: true }")
        }
        var report = QualityReport(fingerprint: QualityRules.fingerprint(rules))
        let known = try await warehouse.knownTables()
        for rule in try await chosen(rules, selection) {
            var table = QualityReport.Table(source: rule.table)
            table.unmapped = rule.quality.unmapped
            if let definition = known.first(where: { $0.source.description == rule.table }), definition.hasShape {
                table.target = "\(layout.live).\(definition.target)"
                var examination = TableExamination(
                    engine: warehouse.engine, layout: layout, table: definition, known: known,
                    snapshot: { try await warehouse.snapshot() })
                examination.hashed = hashedColumns
                examination.countBefore = { try await countYesterday(definition, $0, warehouse) }
                examination.statement_s_max = running == nil ? nil : examination_s_max
                let (rules, trouble) = try await examination.rules(rule.quality.expectations)
                table.rules = rules
                table.reason = trouble?.message
                table.remedy = trouble.map { $0.remedy ?? "millrace status, then: millrace quality" }
            } else {
                table.reason = "nothing of it has been replicated yet"
            }
            report.tables.append(table)
        }
        return report
    }

    private func chosen(_ rules: [QualityRules], _ selection: TableSelection) async throws -> [QualityRules] {
        guard case .named(let names) = selection else { return rules }
        var found: [QualityRules] = []
        for name in names {
            if let rule = rules.first(where: { $0.table == name }) {
                found.append(rule)
                continue
            }
            let definition = try await chosen(.named([name]))[0]
            guard let rule = rules.first(where: { $0.table == definition.source.description }) else {
                throw CommandFailure(
                    ExitStatus.usage, "nothing is expected of \(definition.source)",
                    try: "tables: [{ source: \(definition.source), quality: [{ expect: not_null, column: … }] }]")
            }
            found.append(rule)
        }
        return found
    }

    /// By raw, as of the source's time 24 hours ago.
    private func countYesterday(
        _ table: TableDefinition, _ snapshot: any WarehouseSnapshot, _ warehouse: any Warehouse
    ) async throws -> Int64 {
        guard let moment = Moment.text(Moment.now_us() - 86_400_000_000) else { return 0 }
        let query = try await asOfQuery(QualitySQL.count(ofPast: table), moment, warehouse)
        let result = try await snapshot.query(query, rows_max: 1)
        guard let count = result.rows.first?.first.flatMap({ $0 }).flatMap({ Int64($0) }) else {
            throw ReplicationError(.invariant, "\(table.source): the warehouse gave no count", table: table.source)
        }
        return count
    }
}
