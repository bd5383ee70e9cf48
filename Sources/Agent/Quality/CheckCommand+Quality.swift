import Replication

extension CheckCommand {
    /// What is expected of tables, held against their columns as the warehouse has them; writes and reads no rows.
    ///
    /// - Parameter known: nil: the warehouse can't be looked at.
    static func quality(_ setup: PipelineSetup, known: [TableDefinition]?) -> [Finding] {
        setup.gates
            + setup.expectations.flatMap { rules -> [Finding] in
                var findings = rules.quality.unmapped.map {
                    Finding(
                        .warning, rules.table, "\($0.origin): not checked: \($0.reason)",
                        remedy: "expect: expression, in quality, or take it out of the suite")
                }
                let definition = known?.first { $0.source.description == rules.table }
                let misfits =
                    definition.map { table in
                        Self.misfits(rules, table, known: known ?? []) { setup.hashedColumns(of: $0) }
                    } ?? []
                findings += misfits
                if misfits.isEmpty, !rules.quality.expectations.isEmpty {
                    let count = rules.quality.expectations.count
                    findings.append(
                        Finding(.ok, rules.table, "\(count) \(count == 1 ? "expectation" : "expectations")"))
                }
                return findings
            }
    }

    static func misfits(
        _ rules: QualityRules, _ table: TableDefinition, known: [TableDefinition],
        hashed: (TableID) -> Set<String>
    ) -> [Finding] {
        let ofRows = RowExpectations(rules.quality.expectations, of: table, hashed: hashed(table.source)).misfits
        let others = rules.quality.expectations.enumerated().compactMap { index, expectation in
            expectation.check.isOfRow
                ? nil
                : misfit(expectation.check, table, known, hashed).map { (index: index, misfit: $0) }
        }
        return (ofRows + others).sorted { $0.index < $1.index }.map { index, misfit in
            let expectation = rules.quality.expectations[index]
            return Finding(
                expectation.severity == .hard ? .error : .warning, rules.table,
                "\(expectation.origin): \(expectation.check.name): \(misfit.message)", remedy: misfit.remedy)
        }
    }

    /// Of an expectation of the whole table.
    private static func misfit(
        _ check: Expectation.Check, _ table: TableDefinition, _ known: [TableDefinition],
        _ hashed: (TableID) -> Set<String>
    ) -> ColumnTest.Misfit? {
        do throws(ColumnTest.Misfit) {
            for name in check.columns { _ = try table.index(named: name) }
            guard case .foreignKey(let key) = check,
                let other = known.first(where: { $0.source.description == key.table })
            else { return nil }
            _ = try QualitySQL.Reference(
                key, of: table, to: other, hashed: (hashed(table.source), hashed(other.source)))
            return nil
        } catch {
            return error
        }
    }
}
