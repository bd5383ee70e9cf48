import ChildProcess
import Foundation
import Testing

/// `scripts/fetch-duckdb` takes no wheel but PyPI's.
@Suite struct FetchTests {
    private static let script = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "../../scripts/fetch-duckdb").standardizedFileURL.path

    /// A wheel that pip takes, with a library that Python's symbols are looked for in, under each name that one has for
    /// this machine.
    private static let forge = #"""
        import os, subprocess, sys, zipfile
        folder = sys.argv[1]
        source, library = folder + "/x.c", folder + "/x.so"
        open(source, "w").write("extern int PyErr_Occurred(void); int duckdb_open(void) { return PyErr_Occurred(); }")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
        for tags in ["cp311-cp311", "cp312-abi3"]:
            for machine in ["manylinux_2_27_x86_64.manylinux_2_28_x86_64", "manylinux_2_26_aarch64.manylinux_2_28_aarch64"]:
                with zipfile.ZipFile(f"{folder}/duckdb-2.0.0-{tags}-{machine}.whl", "w") as wheel:
                    wheel.write(library, "_duckdb.so")
                    info = "duckdb-2.0.0.dist-info/"
                    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: duckdb\nVersion: 2.0.0\n")
                    wheel.writestr(info + "WHEEL", f"Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: false\nTag: {tags}-{machine}\n")
                    wheel.writestr(info + "RECORD", "")
        """#

    @Test func anotherWheelIsRefused() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "millrace-fetch-\(UUID().uuidString)")
        let (wheels, target) = (folder.appending(path: "wheels"), folder.appending(path: "target"))
        for made in [wheels, target] {
            try FileManager.default.createDirectory(at: made, withIntermediateDirectories: true)
        }
        defer { try? FileManager.default.removeItem(at: folder) }
        try Command.run(["python3", "-c", Self.forge, wheels.path])
        let before = ["libduckdb.so": "an older one", "libduckdb-python-stub.so": "its stub", "version": "1.4.0\n"]
        for (name, text) in before {
            try text.write(to: target.appending(path: name), atomically: true, encoding: .utf8)
        }
        let errors = folder.appending(path: "errors")
        let child = try ChildProcess(
            [Self.script],
            environment: [
                "PIP_FIND_LINKS": wheels.path, "PIP_NO_INDEX": "1", "PIP_NO_CACHE_DIR": "1",
                "MILLRACE_DUCKDB_DIR": target.path,
            ], output: ChildProcess.Output(errors: errors))
        #expect(await child.wait() == 3)
        let said = try String(contentsOf: errors, encoding: .utf8)
        #expect(said.contains("Error: duckdb-2.0.0-") && said.contains("SHA-256"), "\(said)")
        #expect(said.contains("Try: "), "\(said)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: target.path).sorted() == before.keys.sorted())
        for (name, text) in before {
            #expect(try String(contentsOf: target.appending(path: name), encoding: .utf8) == text)
        }
    }
}
