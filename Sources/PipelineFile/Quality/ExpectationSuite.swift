import Foundation
import JSON
import Replication

/// A Great Expectations suite as its tools write it: of 0.x (`expectation_type`, `kwargs`, `meta`) or 1.x (`type`, `kwargs`,
/// `meta`, `severity`).
///
/// A hard expectation that has no counterpart here is a problem, a soft one is left out and told (`TableQuality.unmapped`).
struct ExpectationSuite {
    /// Larger files are refused.
    static let file_bytes_max = 4 << 20
    static let expectations_max = 1_000
    /// Behind so many problems the rest is counted.
    private static let problems_max = 20

    struct Problem: Equatable {
        var message: String
        var remedy: String?
    }

    struct Reading {
        var quality = TableQuality()
        var problems: [Problem] = []
    }

    let path: String
    /// The path for messages.
    let shown: String

    func read() -> Reading {
        do throws(SuiteError) {
            return read(try load())
        } catch {
            return Reading(problems: [Problem(message: "\(shown): \(error.message)", remedy: error.remedy)])
        }
    }

    private func load() throws(SuiteError) -> JSONValue {
        guard let handle = FileHandle(forReadingAtPath: path) else {
            throw SuiteError("the suite can't be read: \(String(cString: strerror(errno)))", try: "ls -l '\(path)'")
        }
        defer { try? handle.close() }
        guard let bytes = try? handle.read(upToCount: Self.file_bytes_max + 1) ?? Data() else {
            throw SuiteError("the suite can't be read", try: "ls -l '\(path)'")
        }
        guard bytes.count <= Self.file_bytes_max else { throw SuiteError("a suite has at most 4MiB") }
        do {
            return try JSONValue(parsing: bytes)
        } catch {
            throw SuiteError("this is no JSON: \(error.description)", try: "python3 -m json.tool '\(path)'")
        }
    }

    func read(_ suite: JSONValue) -> Reading {
        var reading = Reading()
        guard let list = suite["expectations"]?.array else {
            reading.problems.append(
                Problem(
                    message: "\(shown): this is no suite, it has no list of expectations",
                    remedy: "great_expectations' own JSON of a suite"))
            return reading
        }
        guard list.count <= Self.expectations_max else {
            reading.problems.append(
                Problem(message: "\(shown): a suite has at most \(Self.expectations_max) expectations"))
            return reading
        }
        for (index, entry) in list.enumerated() { add(entry, index, &reading) }
        if reading.problems.count > Self.problems_max {
            let left = reading.problems.count - Self.problems_max
            reading.problems =
                reading.problems.prefix(Self.problems_max) + [Problem(message: "\(shown): and \(left) more")]
        }
        return reading
    }

    private func add(_ entry: JSONValue, _ index: Int, _ reading: inout Reading) {
        let type = entry["expectation_type"]?.string ?? entry["type"]?.string
        let name = type.map { ": \(Self.shortened($0))" } ?? ""
        let origin = "\(shown): expectations[\(index)]\(name)"
        var severity = Expectation.Severity.hard
        do throws(SuiteError) {
            severity = try SuiteEntry.severity(entry)
            guard let type else { throw SuiteError("it has no type") }
            let mapped = try SuiteEntry(type, entry["kwargs"] ?? .object([])).expectation()
            let expectation = Expectation(
                mapped.check, severity: severity, onFail: try SuiteEntry.onFail(entry), mostly: mapped.mostly,
                origin: origin)
            if let problem = expectation.contradiction { throw SuiteError(problem.message, try: problem.remedy) }
            reading.quality.expectations.append(expectation)
        } catch {
            if severity == .soft {
                reading.quality.unmapped.append(.init(origin: origin, reason: error.message))
            } else {
                reading.problems.append(
                    Problem(
                        message: "\(origin): \(error.message)",
                        remedy: error.remedy ?? "\"meta\": {\"severity\": \"soft\"}, or take it out"))
            }
        }
    }

    static func shortened(_ text: String) -> String {
        let printable = String(text.unicodeScalars.prefix(80).map { $0.value < 0x20 ? " " : Character($0) })
        return text.unicodeScalars.count > 80 ? printable + "…" : printable
    }
}

/// Why an expectation of a suite can't be taken.
struct SuiteError: Error {
    var message: String
    var remedy: String?

    init(_ message: String, try remedy: String? = nil) {
        self.message = message
        self.remedy = remedy
    }
}
