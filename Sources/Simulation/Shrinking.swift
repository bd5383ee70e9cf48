/// Makes a failing history smaller: fewer transactions, fewer kinds of faults and changes, while it still fails.
extension Simulation {
    package func shrunk() -> Simulation {
        var smallest = self
        func tried(_ change: (inout Simulation) -> Void) -> Bool {
            var other = smallest
            change(&other)
            guard !other.run().failures.isEmpty else { return false }
            smallest = other
            return true
        }
        var low = 1
        while low < smallest.shape.transactions {
            let middle = (low + smallest.shape.transactions) / 2
            if tried({ $0.shape.transactions = middle }) { continue }
            low = middle + 1
        }
        for path: WritableKeyPath<FaultRates, Int> in [
            \.crash, \.cut, \.lostAnswer, \.sourceCut, \.sourceCrash, \.rebalance, \.freeze,
        ] where smallest.rates[keyPath: path] > 0 {
            _ = tried { $0.rates[keyPath: path] = 0 }
        }
        for path: WritableKeyPath<SourceModel.Shape, Bool> in [\.truncates, \.moves, \.keyless] {
            _ = tried { $0.shape[keyPath: path] = false }
        }
        while smallest.shape.transactions > 1, tried({ $0.shape.transactions -= 1 }) {}
        return smallest
    }

    /// What the source does in it, and what goes wrong.
    package func described() -> String {
        let model = SourceModel(seed: seed, shape: shape)
        var lines: [String] = []
        for transaction in model.transactions {
            lines.append("transaction \(transaction.xid), committed at \(transaction.commitLSN)")
            for change in transaction.changes {
                let name = ModelTable.all[change.table].id.table
                let what =
                    switch change.kind {
                    case .insert(let row): "insert \(SourceModel.text(row))"
                    case .update(let old, let new, let unchanged):
                        "update \(SourceModel.text(old)) to \(SourceModel.text(new))\(unchanged ? " (unchanged)" : "")"
                    case .delete(let row): "delete \(SourceModel.text(row))"
                    case .truncate: "truncate"
                    }
                lines.append("  \(change.lsn) \(name): \(what)")
            }
        }
        var traced = self
        traced.isTraced = true
        let outcome = traced.run()
        lines += outcome.trace
        lines.append("faults: " + outcome.faults.joined(separator: "; "))
        lines += outcome.failures.map { "fails: \($0)" }
        return lines.joined(separator: "\n")
    }
}
