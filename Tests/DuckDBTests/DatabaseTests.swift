import ChildProcess
import Foundation
import Testing

@testable import DuckDB

@Suite struct DatabaseTests {
    /// A process that holds DuckDB's lock (an fcntl write lock) on a file until it is told to end.
    private struct LockHolder {
        private let process: ChildProcess
        var processID: Int32 { process.pid }

        init(_ path: String, in folder: TemporaryFolder) async throws {
            let told = folder.path("locked")
            process = try ChildProcess([
                "python3", "-c",
                """
                import fcntl, signal, sys
                f = open(sys.argv[1], "r+b")
                fcntl.lockf(f, fcntl.LOCK_EX)
                open(sys.argv[2], "w")
                # Not for ever, where the test fails.
                signal.alarm(60)
                signal.pause()
                """, path, told,
            ])
            while !FileManager.default.fileExists(atPath: told) {
                try #require(process.isRunning)
                try await Task.sleep(for: .milliseconds(5))
            }
        }

        func release() async {
            process.signal(SIGTERM)
            _ = await process.wait()
        }
    }

    @Test func keepsWhatIsWrittenAndClosesTheFile() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("shop.duckdb")
        for round in 1...3 {
            let session = try Session(Database(path: path, options: .init(memoryLimit: "256MiB", threads: 2)))
            try session.run("CREATE TABLE IF NOT EXISTS t(i INT); INSERT INTO t VALUES (1)", purpose: "write")
            #expect(try session.int64("SELECT count(*) FROM t", purpose: "read") == Int64(round))
            #expect(try session.int64("SELECT current_setting('threads')", purpose: "setting") == 2)
            session.close()
            session.database.close()
        }
        let reader = try Session(Database(path: path, options: .init(isReadOnly: true)))
        #expect(try reader.int64("SELECT count(*) FROM t", purpose: "read") == 3)
        #expect(errorKind { try reader.run("INSERT INTO t VALUES (2)", purpose: "write") } == .readOnly)
    }

    @Test func aCorruptFileIsToldAsOne() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("shop.duckdb")
        let session = try Session(Database(path: path))
        try session.run("CREATE TABLE t AS SELECT i, 'secret' || i AS v FROM range(100000) r(i)", purpose: "setup")
        session.close()
        session.database.close()
        let file = try FileHandle(forUpdating: URL(fileURLWithPath: path))
        // Both headers.
        for place in [4096, 8192] as [UInt64] {
            try file.seek(toOffset: place + 100)
            try file.write(contentsOf: Data(repeating: 0xA5, count: 64))
        }
        try file.close()
        let error = #expect(throws: DuckDBError.self) { try Database(path: path) }
        #expect(error?.message.contains("Corrupt database file: ") == true, "\(String(describing: error))")
        #expect(error?.remedy?.contains("runbook") == true && error?.message.contains("secret") == false)
    }

    @Test func aFileThatAnotherProcessHasOpenIsLocked() async throws {
        let folder = try TemporaryFolder()
        let path = folder.path("shop.duckdb")
        try Session(Database(path: path)).run("CREATE TABLE t(i INT)", purpose: "setup")
        let holder = try await LockHolder(path, in: folder)
        let error = #expect(throws: DuckDBError.self) { try Database(path: path) }
        #expect(error?.kind == .locked(path: path, holder: holder.processID))
        #expect(error?.remedy?.contains(String(holder.processID)) == true)
        await holder.release()
        _ = try Database(path: path)
    }

    @Test func aFileIsOpenOnceInAProcess() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("shop.duckdb")
        let database = try Database(path: path)
        let session = try Session(database)
        let otherSpelling = folder.url.path + "/./shop.duckdb"
        let own = ProcessInfo.processInfo.processIdentifier
        #expect(errorKind { _ = try Database(path: otherSpelling) } == .locked(path: otherSpelling, holder: own))
        database.close()
        // The session keeps the file open.
        #expect(errorKind { _ = try Database(path: path) } == .locked(path: path, holder: own))
        session.close()
        _ = try Database(path: path)
    }

    @Test func badSettingsAndPathsAreTold() throws {
        #expect(errorKind { _ = try Database(options: .init(memoryLimit: "a lot")) } != nil)
        #expect(errorKind { _ = try Database(path: "/nowhere/at/all.duckdb") } == .io)
        let folder = try TemporaryFolder()
        let path = folder.path("text.duckdb")
        try Data(repeating: 65, count: 8192).write(to: URL(fileURLWithPath: path))
        #expect(errorKind { _ = try Database(path: path) } == .io)
    }

    @Test func theMemoryLimitIsAnErrorOfItsOwn() throws {
        let session = try Session(Database(options: .init(memoryLimit: "8MB", threads: 1)))
        try session.run("SET temp_directory = ''", purpose: "setup")
        let error = #expect(throws: DuckDBError.self) {
            try session.run(
                "CREATE TABLE t AS SELECT range::VARCHAR || repeat('x', 100) s FROM range(1000000)",
                purpose: "filling")
        }
        #expect(error?.kind == .outOfMemory)
    }

    @Test func fetchesNoExtensions() throws {
        let session = try Session(Database())
        #expect(
            errorKind { try session.run("SELECT * FROM 'https://localhost:1/a.parquet'", purpose: "remote") } != nil
        )
        let installed = try session.query(
            "SELECT value FROM duckdb_settings() WHERE name LIKE 'auto%_known_extensions'", purpose: "settings"
        ).rows
        #expect(installed == [["false"], ["false"]])
        // Built in, so that nothing has to be fetched.
        #expect(try session.string("SELECT to_json({'a': 1})::VARCHAR", purpose: "json") == "{\"a\":1}")
        #expect(
            try session.string(
                "SELECT timezone('UTC', TIMESTAMPTZ '2024-01-01 00:00:00+00')::VARCHAR",
                purpose: "icu") == "2024-01-01 00:00:00")
    }
}
