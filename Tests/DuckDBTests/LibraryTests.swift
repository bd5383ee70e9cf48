import Foundation
import Testing

@testable import DuckDB

@Suite struct LibraryTests {
    @Test func isFoundAndLoadedOnce() throws {
        let first = try DuckDBLibrary.load()
        #expect(first.version.hasPrefix("v"))
        // A process has one library, whatever is asked for later.
        #expect(try DuckDBLibrary.load(configured: "/nowhere/libduckdb.so") == first)
    }

    private func candidates(configured: String? = nil, environment: String? = nil) -> [String] {
        DuckDBLibrary.Places(
            configured: configured, environment: environment, executable: "/nowhere/app/bin/millrace",
            workingDirectory: "/nowhere/here"
        ).candidates
    }

    @Test func setPathsAreTakenAtTheirWord() {
        #expect(candidates(configured: "/a/b.so", environment: "/c/d.so") == ["/a/b.so"])
        #expect(candidates(environment: "/c/d.so") == ["/c/d.so"])
        #expect(candidates(configured: "lib/b.so") == ["/nowhere/here/lib/b.so"])
        #expect(candidates(configured: "", environment: "").count > 1)
    }

    @Test func aFolderMeansTheLibraryInIt() throws {
        let folder = try TemporaryFolder()
        #expect(candidates(configured: folder.url.path) == [folder.path(DuckDBLibrary.fileName)])
    }

    @Test("A working directory that was deleted has no end of folders above it", arguments: ["", ".", "..", "../.."])
    func aFolderThatIsGone(_ path: String) {
        let places = DuckDBLibrary.Places(
            configured: nil, environment: nil, executable: "/nowhere/millrace", workingDirectory: path)
        #expect(places.candidates.count < 100)
        #expect(URL(fileURLWithPath: "/a/b").ancestors.map(\.path) == ["/a/b", "/a", "/"])
    }

    /// What anybody may have laid there is no library of ours.
    @Test func foundFilesOfOthersArentTrusted() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("lib.so")
        #expect(FileTrust.objection(to: path) != nil, "it isn't there")
        try Data().write(to: URL(fileURLWithPath: path))
        #expect(chmod(path, 0o644) == 0 && chmod(folder.url.path, 0o755) == 0)
        #expect(FileTrust.objection(to: path) == nil)
        #expect(chmod(path, 0o666) == 0)
        #expect(FileTrust.objection(to: path) == "anybody may change it")
        #expect(chmod(path, 0o644) == 0 && chmod(folder.url.path, 0o777) == 0)
        #expect(FileTrust.objection(to: path) == "anybody may change it")
        #expect(chmod(folder.url.path, 0o755) == 0)
        // Only root can give a file away.
        if geteuid() == 0 {
            #expect(chown(path, 12345, 12345) == 0)
            #expect(FileTrust.objection(to: path) == "it belongs to another user")
        }
    }

    @Test func placesAreLookedAtInOrder() {
        let name = DuckDBLibrary.fileName
        #expect(
            candidates() == [
                "/nowhere/app/bin/\(name)",
                "/nowhere/app/bin/third-party/duckdb/\(name)", "/nowhere/app/third-party/duckdb/\(name)",
                "/nowhere/third-party/duckdb/\(name)", "/third-party/duckdb/\(name)",
                "/nowhere/here/third-party/duckdb/\(name)",
                name,
            ]
        )
    }
}
