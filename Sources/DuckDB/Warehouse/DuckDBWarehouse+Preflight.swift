import Foundation
import Replication

extension DuckDBWarehouse {
    /// Looks without writing: an existing file is opened to read only, unless this warehouse has it open already.
    package func preflight() async -> [Finding] {
        var findings: [Finding] = []
        do {
            let library = try DuckDBLibrary.load(configured: configuredLibrary)
            findings.append(Finding(.ok, "warehouse", "DuckDB \(library.version)"))
        } catch {
            let failure = ReplicationError(error)
            return [Finding(.error, "warehouse", failure.message, remedy: failure.remedy)]
        }
        findings += folder()
        findings += file()
        findings += fileName()
        return findings
    }

    private func folder() -> [Finding] {
        guard path != Database.inMemory else { return [] }
        let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: folder, isDirectory: &isDirectory), isDirectory.boolValue else {
            return [Finding(.error, "warehouse", "there is no folder \(folder)", remedy: "mkdir -p '\(folder)'")]
        }
        // The engine keeps its log beside the file.
        guard FileManager.default.isWritableFile(atPath: folder) else {
            return [
                Finding(
                    .error, "warehouse", "the folder \(folder) can't be written to",
                    remedy: "give the agent's user write access to it")
            ]
        }
        if FileManager.default.fileExists(atPath: path), !FileManager.default.isWritableFile(atPath: path) {
            return [
                Finding(
                    .error, "warehouse", "\(path) can't be written to",
                    remedy: "give the agent's user write access to it")
            ]
        }
        return []
    }

    /// Other programs call the database after its file, and can't say `shop.orders` if a schema is called so too.
    private func fileName() -> [Finding] {
        let name = SQLName.folded(URL(fileURLWithPath: path).deletingPathExtension().lastPathComponent)
        let schemas = [layout.current, layout.raw, layout.live, layout.history]
        guard path != Database.inMemory, let schema = schemas.first(where: { SQLName.folded($0) == name }) else {
            return []
        }
        return [
            Finding(
                .warning, "warehouse",
                """
                the file is called like the schema \(schema): programs other than millrace have to say \
                \(schema).\(schema).TABLE, and can't use the views
                """, remedy: "give warehouse.duckdb.path another name, as \(schema)_warehouse.duckdb")
        ]
    }

    private func file() -> [Finding] {
        do {
            let version = try isOpen ? withSession(MetaTables.version) : peek()
            try MetaTables.refuseNewer(version)
            let text =
                version.map { "\(path) has _millrace of version \($0)" }
                ?? "nothing is in \(path) yet: _millrace will be made"
            return [Finding(.ok, "warehouse", text)]
        } catch {
            let failure =
                error as? ReplicationError ?? (error as? DuckDBError).map { ReplicationError($0) }
                ?? ReplicationError(.permanent, "\(error)")
            return [Finding(.error, "warehouse", failure.message, remedy: failure.remedy)]
        }
    }
}
