import Debezium
import Replication

/// Whether readers of the warehouse see whole source transactions of a Kafka pipeline.
extension CheckCommand {
    /// - Parameters:
    ///   - partitions: how many each topic has that is read.
    ///   - others: tables whose events aren't envelopes.
    static func transactions(
        _ samples: [TableID: RecordSample], _ partitions: [String: Int], others: Set<TableID>
    ) -> [Finding] {
        guard !partitions.isEmpty else { return [] }
        var findings: [Finding] = []
        for name in Set(samples.values.flatMap(\.connectors)).sorted() {
            let own = samples.values.filter { $0.connectors.contains(name) && $0.hasStreamed }
            findings.append(transactions(of: name, own, partitions))
        }
        let isAnyRead = partitions.keys.contains { $0.hasSuffix(TransactionReader.suffix) }
        if isAnyRead, !others.isEmpty {
            let names = others.map(\.description).sorted().joined(separator: ", ")
            findings.append(
                Finding(
                    .warning, "transactions",
                    "events of \(names) aren't in the connector's own envelope, and so belong to no transaction: readers "
                        + "may see parts of one, and consistent_since stays null",
                    remedy: "let the connector send its own envelope"))
        }
        return findings
    }

    private static func transactions(
        of connector: String, _ streamed: [RecordSample], _ partitions: [String: Int]
    ) -> Finding {
        let subject = "transactions of \(connector)"
        let topic = connector + TransactionReader.suffix
        let metadata = "provide.transaction.metadata=true in the connector's configuration"
        let hasMetadata = streamed.contains(where: \.hasTransactions)
        guard let count = partitions[topic] else {
            let parts = "readers may see parts of one: the topic \(topic) isn't among those that are read"
            return hasMetadata
                ? Finding(.warning, subject, parts, remedy: "add \(topic) to source.kafka.topics")
                : Finding(
                    .ok, subject, "\(parts), and events say nothing of transactions",
                    remedy: "\(metadata), and \(topic) in source.kafka.topics, if that matters")
        }
        if !streamed.isEmpty, !hasMetadata {
            return Finding(
                .warning, subject,
                "readers may see parts of one: \(topic) is read, and the events looked at belong to no transaction",
                remedy: metadata)
        }
        if count > 1 {
            return Finding(
                .warning, subject,
                "they are kept whole, but not in the order of their commits: \(topic) has \(count) partitions",
                remedy: "one partition for \(topic)")
        }
        return Finding(
            .ok, subject, "they are kept whole, as long as one agent reads all partitions: see consistent_since")
    }
}
