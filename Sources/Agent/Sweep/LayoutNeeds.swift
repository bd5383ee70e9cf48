import Replication

extension WarehouseLayout {
    /// A table's raw as it stands in SQL of both dialects.
    func raw(of table: TableDefinition) -> String {
        "\(RowDigest.quoted(raw)).\(RowDigest.quoted(table.target))"
    }

    /// - Throws: where raw or current is off; `what` needs both.
    func requireLayers(_ what: String) throws {
        guard !hasRaw || !hasCurrent else { return }
        throw CommandFailure(
            ExitStatus.usage, "\(what) needs the raw and the current layer",
            try: "set layers: { raw: true, current: true } in the pipeline file")
    }
}
