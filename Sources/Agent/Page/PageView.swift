import Replication

/// All that the page shows: what a running agent knows of itself at a moment.
package struct PageView: Sendable {
    package var snapshot: AgentStatus.Snapshot
    package var layout: WarehouseLayout
    /// As people call it: `Postgres, slot millrace_shop`. Never an address.
    package var source: String
    package var warehouse: String
    package var samples: [PageHistory.Sample]
    package var now_us: Int64

    package init(
        _ snapshot: AgentStatus.Snapshot, layout: WarehouseLayout, source: String = "Source",
        warehouse: String = "Warehouse", samples: [PageHistory.Sample] = [], now_us: Int64
    ) {
        self.snapshot = snapshot
        self.layout = layout
        self.source = source
        self.warehouse = warehouse
        self.samples = samples
        self.now_us = now_us
    }

    var report: StatusReport { StatusReport(snapshot, layout: layout, isRunning: true, now_us: now_us) }
}

extension PipelineSetup {
    /// How the page calls both sides.
    var pageNames: (source: String, warehouse: String) {
        let source =
            switch pipeline.source.input {
            case .postgres(let server): "Postgres, slot \(server.slot)"
            case .kafka(let kafka): "Kafka, group \(kafka.group)"
            case .file: "Event file"
            }
        let warehouse = if case .duckdb = pipeline.warehouse.engine { "DuckDB" } else { "Postgres" }
        return (source, warehouse)
    }
}
