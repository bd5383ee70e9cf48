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
                let misfits = definition.map { Self.misfits(rules, $0) } ?? []
                findings += misfits
                if misfits.isEmpty, !rules.quality.expectations.isEmpty {
                    let count = rules.quality.expectations.count
                    findings.append(
                        Finding(.ok, rules.table, "\(count) \(count == 1 ? "expectation" : "expectations")"))
                }
                return findings
            }
    }

    private static func misfits(_ rules: QualityRules, _ table: TableDefinition) -> [Finding] {
        let ofRows = RowExpectations(rules.quality.expectations, of: table).misfits
        let others = rules.quality.expectations.enumerated().compactMap { index, expectation in
            expectation.check.isOfRow
                ? nil
                : expectation.check.columns.lazy.compactMap { name -> ColumnTest.Misfit? in
                    do throws(ColumnTest.Misfit) {
                        _ = try table.index(named: name)
                        return nil
                    } catch {
                        return error
                    }
                }.first.map { (index: index, misfit: $0) }
        }
        return (ofRows + others).sorted { $0.index < $1.index }.map { index, misfit in
            let expectation = rules.quality.expectations[index]
            return Finding(
                expectation.severity == .hard ? .error : .warning, rules.table,
                "\(expectation.origin): \(expectation.check.name): \(misfit.message)", remedy: misfit.remedy)
        }
    }
}
