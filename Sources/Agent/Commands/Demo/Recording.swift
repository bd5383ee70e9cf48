import DuckDB
import EventFile
import Foundation
import SerialQueue

/// The demo's recorded events, and the rows that must come of them.
struct Recording {
    static let folder = "connectors/demo"

    let events: String
    let expected: String

    /// Nil: those of the project's own folder, looked for above the working folder and the program.
    init(events: String?, expected: String?) throws {
        if let events {
            self.events = events
            guard let expected = expected ?? Self.beside(events) else {
                throw CommandFailure(
                    ExitStatus.usage, "the demo wants the rows that must come of \(events)", try: "--expected FILE.json"
                )
            }
            self.expected = expected
        } else {
            guard let folder = Self.found(), let found = Self.eventFile(in: folder),
                let rows = expected ?? Self.beside(found)
            else {
                throw CommandFailure(
                    ExitStatus.environment, "no recorded events were found in \(Self.folder)",
                    try: "run it from the project's folder, or --events FILE.jsonl --expected FILE.json")
            }
            self.events = found
            self.expected = rows
        }
    }

    /// The text of `expected`, which may be gzipped.
    func readExpected() throws -> String {
        if expected.hasSuffix(".gz") {
            throw CommandFailure(ExitStatus.usage, "\(expected) is compressed", try: "gunzip -k '\(expected)'")
        }
        guard let text = try? String(contentsOfFile: expected, encoding: .utf8) else {
            throw CommandFailure(ExitStatus.environment, "\(expected) can't be read", try: "--expected FILE.json")
        }
        return text
    }

    /// `x.jsonl.gz` → `x.expected.json`.
    private static func beside(_ events: String) -> String? {
        var stem = events
        for suffix in [".gz", ".jsonl"] where stem.hasSuffix(suffix) { stem.removeLast(suffix.count) }
        let path = stem + ".expected.json"
        return FileManager.default.fileExists(atPath: path) ? path : nil
    }

    private static func eventFile(in folder: String) -> String? {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.sorted().first { $0.hasSuffix(".jsonl") || $0.hasSuffix(".jsonl.gz") }.map { folder + "/" + $0 }
    }

    private static func found() -> String? {
        let program = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
        let executable =
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
            .map { URL(fileURLWithPath: $0) } ?? program
        for start in [URL(fileURLWithPath: FileManager.default.currentDirectoryPath), executable] {
            for place in start.ancestors {
                let candidate = place.appendingPathComponent(folder).path
                if eventFile(in: candidate) != nil { return candidate }
            }
        }
        return nil
    }
}
