import Debezium
import JSON
import PipelineFile
import Replication

/// `millrace check`: connects everywhere, lists what it finds, writes nothing.
package struct CheckCommand: Sendable {
    package init() {}

    /// Returns the exit code: 3 where a finding is an error.
    package func run(_ context: CommandContext) async throws -> Int32 {
        let setup = try context.loadSetup()
        var findings = [Finding(.ok, context.file, "pipeline \(setup.pipeline.name)")]
        findings += await Self.findings(setup)
        return Self.show(findings, context)
    }

    static func show(_ findings: [Finding], _ context: CommandContext) -> Int32 {
        if context.json {
            context.console.result(JSONValue.array(findings.map(\.json)).serialized)
        } else {
            for finding in findings {
                let paint: Console.Paint =
                    switch finding.level {
                    case .ok: .green
                    case .warning: .yellow
                    case .error: .red
                    }
                let level = context.console.paint(finding.level.rawValue, paint)
                context.console.result(
                    "\(level) \(Console.printable(finding.subject)): \(Console.printable(finding.message))")
                if let remedy = finding.remedy {
                    context.console.result("  Try: \(Console.printable(remedy, keepingLines: true))")
                }
            }
        }
        return findings.contains { $0.level == .error } ? ExitStatus.environment : ExitStatus.ok
    }

    static func findings(_ setup: PipelineSetup) async -> [Finding] {
        var findings = await lineage(setup)
        var catalog: SourceCatalog?
        do {
            catalog = try await setup.readCatalog()
            if let catalog { findings.append(Finding(.ok, "catalog", "\(catalog.identities.count) tables")) }
        } catch {
            findings.append(finding(error, "catalog"))
        }
        if let agent = try? await APIClient.running(setup.pipeline), let status = try? await agent.status() {
            // It has the warehouse open, and DuckDB lets one process at a time.
            findings.append(Finding(.ok, "agent", "runs, state \(status.state.rawValue)"))
            if case .duckdb = setup.pipeline.warehouse.engine {
                return findings + quality(setup, known: nil) + freshness(setup) + (await source(setup, catalog, nil))
            }
        }
        let warehouse = setup.makeWarehouse()
        let preflight = await warehouse.preflight()
        findings += preflight
        var opened: (any Warehouse)?
        if !preflight.contains(where: { $0.level == .error }) {
            do {
                try await warehouse.open(readOnly: true)
                opened = warehouse
            } catch {
                findings.append(finding(error, "warehouse"))
            }
        }
        findings += quality(setup, known: try? await opened?.knownTables())
        findings += freshness(setup)
        findings += await source(setup, catalog, opened)
        await warehouse.close()
        return findings
    }

    static func finding(_ error: any Error, _ subject: String) -> Finding {
        let failure = ExitStatus.failure(of: error)
        return Finding(.error, subject, failure.message, remedy: failure.remedy)
    }
}
