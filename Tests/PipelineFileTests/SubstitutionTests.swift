import Foundation
import Testing

@testable import PipelineFile

@Suite struct SubstitutionTests {
    private func replace(_ raw: String, _ environment: [String: String] = ["A": "1", "B": "${A}", "E": ""]) throws
        -> String
    {
        try Substitution(environment: environment, resolve: { $0 }).replace(in: raw)
    }

    @Test(arguments: [
        ("plain", "plain"), ("${A}", "1"), ("x${A}y${A}z", "x1y1z"), ("${B}", "${A}"), ("${E}", ""), ("$${A}", "${A}"),
        ("$$${A}", "$${A}"), ("$A $ $$ 5$", "$A $ $$ 5$"), ("a$${b${A}", "a${b1"),
    ])
    func replaced(raw: String, text: String) throws {
        #expect(try replace(raw) == text)
    }

    @Test(arguments: [
        "${NOPE}", "${A", "${}", "${1A}", "${A:-x}", "${A B}", "${file:}", "${file:/nowhere/at/all}",
        "${file:/dev/null}", "${file:/}",
    ])
    func refused(raw: String) {
        #expect(throws: Substitution.Problem.self) { try replace(raw) }
    }

    @Test func filesAreReadWithoutTheirLastNewline() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "secret-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        for (bytes, text) in [("hush\n", "hush"), ("hush\r\n", "hush"), ("a\nb\n\n", "a\nb\n"), ("", "")] {
            try Data(bytes.utf8).write(to: URL(fileURLWithPath: path))
            #expect(try replace("<${file:\(path)}>") == "<\(text)>")
        }
        try Data([0xFF]).write(to: URL(fileURLWithPath: path))
        #expect(throws: Substitution.Problem.self) { try replace("${file:\(path)}") }
        try Data(repeating: 0x61, count: (64 << 10) + 1).write(to: URL(fileURLWithPath: path))
        #expect(throws: Substitution.Problem.self) { try replace("${file:\(path)}") }
    }

    @Test func filesAreSeenFromThePipelinesFolder() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "pipelinefile-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try Data("letmein\n".utf8).write(to: folder.appending(path: "token"))
        let pipeline = try parse(minimal("agent: { token: ${file:token} }"), file: folder.path + "/millrace.yaml")
        #expect(pipeline.agent.token == Secret("letmein"))
    }

    @Test func whatComesInCantBeYAML() throws {
        let text =
            "pipeline: shop\nsource: { kafka: { brokers: ${B}, topics: [\"${T}\"] } }\n"
            + "warehouse: { duckdb: { path: ${P} } }"
        let environment = ["B": "h:1", "T": "a", "P": "x, memory_limit: 1TiB }\nagent: { token: x"]
        let pipeline = try parse(text, environment)
        #expect(pipeline.duckdb?.path == environment["P"])
        #expect(pipeline.duckdb?.memory_limit == .mebibytes(512))
        #expect(pipeline.kafka?.brokers == "h:1")
    }

    @Test func escapesAndMarksSurviveTheShield() throws {
        #expect(try parse(minimal("agent: { dir: $${A}, listen: ${L}, token: x }"), ["L": "h:1"]).agent.dir == "${A}")
        let error = try #require(throws: PipelineFileError.self) {
            _ = try parse(minimal("agent: { dir: ${D}, listen: nonsense }"), ["D": "d"])
        }
        #expect(error.problems.first?.column == 29)
    }

    /// Messages quote the file, never what came in.
    @Test(arguments: [
        "batch: { max_rows: ${S} }", "batch: { max_bytes: ${S} }", "batch: { max_delay: ${S} }",
        "layers: { raw: ${S} }",
        "agent: { listen: ${S} }", "agent: { token: \"${S} \" }", "metadata_columns: ${S}",
        "schema_changes: { additive: ${S} }",
        "tables: [{ source: ${S} }]", "tables: [{ source: a.b, target: \"${S}.${S}\" }]",
        "tables: [{ source: a.b, existing: ${S} }]",
        "tables: [{ source: a.b, where: \"${S} ${S}\" }]", "tables: [{ source: a.b, key: [\"${S}\", \"${S}\"] }]",
        "tables: [{ source: a.b, columns: { types: { x: \"${S};\" } } }]",
        "tables: [{ source: a.b, columns: { exclude: [\"${S}\"], hash: [\"${S}\"] } }]",
        "layers: { raw_retention: ${S} }",
    ])
    func noMessageTellsTheSecret(extra: String) throws {
        let error = try #require(throws: PipelineFileError.self) {
            _ = try parse(minimal(extra), ["S": "hunter2"])
        }
        #expect(!error.description.contains("hunter2"), "\(error)")
    }

    @Test func unsetNamesTheVariableAndTheLine() {
        #expect(
            problems(minimal("\nagent:\n  token: x${UNSET_ONE}"), ["A": "hush"]) == [
                "8: agent.token: the environment variable UNSET_ONE is not set"
            ])
        #expect(problems(minimal("agent: { token: ${EMPTY} }"), ["EMPTY": ""]) == ["6: agent.token: ${EMPTY} is empty"])
    }

    @Test(arguments: [
        ("postgres://user:pw@host/db", "postgres://user:***@host/db"),
        ("postgres://user@host/db", "postgres://user@host/db"),
        ("postgres://host/db", "postgres://host/db"),
        ("postgres://user:p@w@host:5432/db", "postgres://user:***@host:5432/db"),
        ("postgres://user:p/w?x#y@host/db", "postgres://user:***@host/db"),
        ("postgres://:pw@host", "postgres://:***@host"),
        (
            "postgres://h/d?sslmode=require&password=x&sslpassword=y",
            "postgres://h/d?sslmode=require&password=***&sslpassword=***"
        ),
    ])
    func urlsHideTheirPassword(text: String, shown: String) throws {
        let url = try #require(ConnectionURL(text, schemes: ["postgres"]))
        #expect(url.description == shown)
        #expect("\(url)" == shown)
        #expect(String(reflecting: url) == shown)
        #expect(url.text == text)
    }

    @Test func aPrintedPipelineTellsNoSecret() throws {
        let text = """
            pipeline: shop
            source:
              kafka:
                brokers: b
                topics: [t]
                catalog: postgres://u:hunter2@db/shop
                properties: { security.protocol: sasl_ssl, sasl.mechanism: PLAIN, sasl.username: u, sasl.password: hunter2 }
            warehouse: { postgres: { url: "postgres://u:hunter2@dw/x" } }
            agent: { token: hunter2 }
            """
        let pipeline = try parse(text)
        var dumped = ""
        dump(pipeline, to: &dumped)
        for shown in ["\(pipeline)", String(reflecting: pipeline), dumped] { #expect(!shown.contains("hunter2")) }
        #expect(pipeline.agent.token?.value == "hunter2")
    }
}
