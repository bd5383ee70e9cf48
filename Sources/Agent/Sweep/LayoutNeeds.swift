import Replication

extension WarehouseLayout {
    /// - Throws: where raw or current is off; `what` needs both.
    func requireLayers(_ what: String) throws {
        guard !hasRaw || !hasCurrent else { return }
        throw CommandFailure(
            ExitStatus.usage, "\(what) needs the raw and the current layer",
            try: "set layers: { raw: true, current: true } in the pipeline file")
    }
}
