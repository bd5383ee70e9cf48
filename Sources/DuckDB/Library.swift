import CDuckDB
import Foundation
import Synchronization

/// DuckDB's shared library, found and loaded at run time once per process.
///
/// Millrace neither links nor ships DuckDB. Two forms of the library work: `libduckdb.so` of DuckDB's releases,
/// and the extension module of the PyPI wheel, which exports the same C API but refers to Python's symbols. For
/// the latter `scripts/fetch-duckdb` puts a `libduckdb-python-stub.so` beside it, which is loaded first.
package enum DuckDBLibrary {
    package struct Loaded: Sendable, Equatable {
        /// Where the library came from; a bare file name if the system's search found it.
        package let path: String
        /// The engine's own version, as `v2.0.0`.
        package let version: String
    }

    #if os(macOS)
        static let fileName = "libduckdb.dylib"
    #else
        static let fileName = "libduckdb.so"
    #endif
    static let stubName = "libduckdb-python-stub.so"
    static let variable = "MILLRACE_DUCKDB"
    static let remedy = "scripts/setup, or set warehouse.duckdb.library"

    private static let loaded = Mutex<Loaded?>(nil)

    /// Loads the library, or returns the one loaded before (whatever `configured` says then: a process has one).
    ///
    /// Looks at `configured` (`warehouse.duckdb.library`, a file or its folder), `$MILLRACE_DUCKDB`, next to the
    /// executable, `third-party/duckdb` below the executable's folder, the working directory and the folders
    /// above each, then where the system looks. The first two are taken at their word: if one is set and can't be
    /// loaded, nothing else is tried. Of the others a file counts that is ours or root's and that nobody else may change.
    ///
    /// - Throws: kind `library`, with the places looked at; a later call tries again.
    @discardableResult
    package static func load(configured: String? = nil) throws(DuckDBError) -> Loaded {
        // The lock is held while loading: cduckdb_load isn't thread-safe.
        let outcome: Result<Loaded, DuckDBError> = loaded.withLock { loaded in
            if let loaded { return .success(loaded) }
            let outcome = find(configured: configured)
            if case .success(let found) = outcome { loaded = found }
            return outcome
        }
        return try outcome.get()
    }

    private static func find(configured: String?) -> Result<Loaded, DuckDBError> {
        let places = Places(
            configured: configured,
            environment: ProcessInfo.processInfo.environment[variable],
            executable: Bundle.main.executablePath,
            workingDirectory: FileManager.default.currentDirectoryPath
        )
        var tried: [String] = []
        for place in places.candidates {
            // A bare name is for the system's search; of the rest only files that are there are worth an attempt.
            if place.contains("/"), !FileManager.default.fileExists(atPath: place) {
                tried.append("\(place): no such file")
                continue
            }
            // Found by looking around, not by being told: code that somebody else has laid there isn't run.
            if !places.isTold, place.contains("/"), let reason = FileTrust.objection(to: place) {
                tried.append("\(place): \(reason)")
                continue
            }
            switch open(place) {
            case .success(let loaded): return .success(loaded)
            case .failure(let reason): tried.append("\(place): \(reason.text)")
            }
        }
        let message = (["DuckDB's library was not found; looked at"] + tried).joined(separator: "\n  ")
        return .failure(DuckDBError(.library, message, remedy: remedy))
    }

    private struct Reason: Error {
        let text: String
    }

    private static func open(_ path: String) -> Result<Loaded, Reason> {
        let stub = URL(fileURLWithPath: path).deletingLastPathComponent().appendingPathComponent(stubName).path
        let hasStub = path.contains("/") && FileManager.default.fileExists(atPath: stub)
        var reason = [CChar](repeating: 0, count: 1024)
        let status = cduckdb_load(path, hasStub ? stub : nil, &reason, reason.count)
        guard status == CDUCKDB_LOADED else {
            let text = String(decoding: reason.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            return .failure(Reason(text: text))
        }
        return .success(Loaded(path: path, version: String(cString: duckdb_library_version())))
    }

    /// The order in which places are looked at; pure, so that tests need no file.
    struct Places {
        let configured: String?
        let environment: String?
        let executable: String?
        let workingDirectory: String

        /// Somebody has said where it is.
        var isTold: Bool { configured?.isEmpty == false || environment?.isEmpty == false }

        var candidates: [String] {
            if let configured, !configured.isEmpty { return [library(at: configured)] }
            if let environment, !environment.isEmpty { return [library(at: environment)] }
            var result: [String] = []
            if let executable {
                let folder = URL(fileURLWithPath: executable).resolvingSymlinksInPath().deletingLastPathComponent()
                result.append(folder.appendingPathComponent(fileName).path)
                result += thirdParty(from: folder)
            }
            result += thirdParty(from: URL(fileURLWithPath: workingDirectory))
            var seen: Set<String> = []
            return result.filter { seen.insert($0).inserted } + [fileName]
        }

        private func library(at path: String) -> String {
            let base = URL(fileURLWithPath: workingDirectory, isDirectory: true)
            let url = URL(fileURLWithPath: path, relativeTo: base)
            var isDirectory: ObjCBool = false
            let exists = FileManager.default.fileExists(atPath: url.path, isDirectory: &isDirectory)
            return exists && isDirectory.boolValue ? url.appendingPathComponent(fileName).path : url.path
        }

        private func thirdParty(from folder: URL) -> [String] {
            folder.ancestors.map { $0.appendingPathComponent("third-party/duckdb/\(fileName)").path }
        }
    }
}
