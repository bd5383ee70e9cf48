import Debezium
import Foundation
import Logging
import PipelineFile
import Replication

/// What every command is given: the global options, and where to write.
package struct CommandContext: Sendable {
    package var file: String
    package var json: Bool
    package var console: Console
    package var logger: Logger

    package init(file: String, json: Bool, console: Console, logger: Logger) {
        self.file = file
        self.json = json
        self.console = console
        self.logger = logger
    }

    /// - Throws: `PipelineFileError`.
    package func loadSetup() throws -> PipelineSetup {
        PipelineSetup(try Pipeline.load(path: file), logger: logger)
    }

    /// Talks to the agent where one runs, else opens the warehouse for `work`, and closes it.
    ///
    /// - Parameter appliesRows: `work` writes rows of current. A running agent has refused what would keep them out.
    package func withControl<R: Sendable>(
        _ setup: PipelineSetup, readOnly: Bool, appliesRows: Bool = false,
        _ work: (any AgentControl) async throws -> R
    ) async throws -> R {
        if let agent = try await APIClient.running(setup.pipeline) { return try await work(agent) }
        if appliesRows { try setup.refuseGates() }
        return try await setup.withWarehouse(readOnly: readOnly) { warehouse in
            try await work(setup.control(warehouse, catalog: nil, running: nil))
        }
    }
}

extension PipelineSetup {
    /// Opens the warehouse for `work`, and closes it whatever happens.
    /// - Parameter isOpen: false where `work` opens it.
    package func withWarehouse<R: Sendable>(
        isOpen: Bool = true, readOnly: Bool, _ work: (any Warehouse) async throws -> R
    ) async throws -> R {
        let warehouse = makeWarehouse()
        do {
            if isOpen { try await warehouse.open(readOnly: readOnly) }
            let result = try await work(warehouse)
            await warehouse.close()
            return result
        } catch {
            await warehouse.close()
            throw error
        }
    }

    /// - Parameter live: what is asked goes by the setup that is in force then; nil: by this one.
    package func control(
        _ warehouse: any Warehouse, catalog: SourceCatalog?, running: WarehouseControl.Running?,
        live: LiveSetup? = nil
    ) -> WarehouseControl {
        let current: @Sendable () -> PipelineSetup = { live?.setup ?? self }
        var control = WarehouseControl(
            layout: layout, warehouse: warehouse, running: running,
            makeDecoder: { known in
                try current().decoderForReplay(known: known, catalog: catalog)
            },
            validate: { try current().validate($0, beside: $1) })
        control.prepare = { try await current().prepare($0) }
        control.releaseOptions = { current().releaseOptions(of: $0) }
        control.hashedColumns = { current().hashedColumns(of: $0) }
        control.expectations = { current().expectations }
        control.contracts = { current().freshness($0) }
        if case .postgres(let server) = pipeline.source.input {
            control.hasLSNs = true
            control.slot = server.slot
            if canCopyAnew { control.copyJob = server.slot }
        }
        return control
    }

    /// The source has a table's rows beside its stream.
    var canCopyAnew: Bool {
        if case .postgres = pipeline.source.input { pipeline.source.snapshot == .initial } else { false }
    }

    /// The source database's catalog where the pipeline file names one.
    package func readCatalog() async throws -> SourceCatalog? {
        guard case .kafka(let kafka) = pipeline.source.input, let url = kafka.catalog else { return nil }
        return try await CatalogReader().read(url: url.text)
    }

    /// The checkpoint's name of an event file.
    package static func partition(ofFile path: String) -> TopicPartition {
        TopicPartition(topic: "file:" + URL(fileURLWithPath: path).lastPathComponent, partition: 0)
    }
}
