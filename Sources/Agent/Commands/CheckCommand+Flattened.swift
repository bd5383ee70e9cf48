import Debezium
import Replication

/// What flattened events (ExtractNewRecordState) leave out, and how the connector would send it.
extension CheckCommand {
    private static let facts = "op,source.lsn,source.sequence,source.ts_us,source.txId,schema,table"

    static func flattened(_ definition: TableDefinition, _ traits: FlattenedTraits) -> [Finding] {
        let name = definition.source.description
        var findings = [
            Finding(
                .warning, name,
                "flattened events (ExtractNewRecordState): truncates at the source aren't in them, and nothing of a row's "
                    + "earlier state, so that rows of a truncated table stay live",
                remedy: "don't truncate, or let the connector send its own envelope")
        ]
        if traits.rowsWithoutPlace > 0 {
            findings.append(
                Finding(
                    .warning, name,
                    "flattened events without a position of the source: they are taken in the order of their arrival, and "
                        + "convergence after a redelivery or with late events isn't promised",
                    remedy: "transforms.unwrap.add.fields=\(facts)"))
        }
        if traits.tombstonesWithoutPlace > 0 {
            findings.append(
                Finding(
                    .warning, name,
                    "deletes come as tombstones without a position of the source: each is taken to stand right behind the "
                        + "record before it",
                    remedy: "transforms.unwrap.add.headers=\(facts), or delete.tombstone.handling.mode=rewrite"))
        }
        if traits.rowsWithoutOperation > 0 {
            findings.append(
                Finding(
                    .warning, name, "flattened events don't say whether they insert or update; all count as updates",
                    remedy: "transforms.unwrap.add.fields=\(facts)"))
        }
        findings += deletes(name, traits)
        if definition.isKeyless, !definition.columns.isEmpty {
            findings.append(
                Finding(
                    .error, name,
                    "the table has no key and flattened events no before-images: its updates can't be applied",
                    remedy: "a key in `tables:`, or the connector's own envelope"))
        }
        return findings
    }

    /// Mode `drop` can be seen where a row's key changed; else only that nothing speaks for deletes.
    private static func deletes(_ name: String, _ traits: FlattenedTraits) -> [Finding] {
        let remedy = "transforms.unwrap.delete.tombstone.handling.mode=rewrite"
        if traits.deletes == 0, traits.newKeys > 0, traits.oldKeys == 0 {
            return [
                Finding(
                    .error, name,
                    "rows change their key and nothing says that the old key is gone: deletes are dropped, and deleted rows "
                        + "would stay live for ever",
                    remedy: remedy)
            ]
        }
        guard traits.deletes == 0, !traits.hasDeletedField else { return [] }
        return [
            Finding(
                .warning, name,
                "no delete is among the records looked at; with delete.tombstone.handling.mode=drop none is sent, and "
                    + "deleted rows stay live for ever",
                remedy: remedy)
        ]
    }
}
