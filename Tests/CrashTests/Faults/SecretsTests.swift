import ChildProcess
import Foundation
import JSON
import Testing
import ThrowawayPostgres

/// Secrets of the pipeline file and of the environment, planted wherever one may stand, appear in nothing that the program
/// says: logs at the most talkative level, errors, pages, the API, files that it leaves.
@Suite(.serialized) struct SecretsTests {
    private static let lines_min = 10_000
    /// As they are written; some have characters that URLs and JSON write otherwise.
    private static let secrets = [
        "source": "s0urce/Se:cret@1", "warehouse": "wareh0use Secret&2",
        "token": "t0ken-secret-3-of-thirty-two-characters",
        "webhook": "w3bhook-secret-4", "lineage": "l1neage-secret-5", "kafka": "kafka\\\"secret-6",
        "registry": "reg1stry-secret-7",
        "key": "ssl-key-secret-8",
    ]

    private static func percent(_ text: String) -> String {
        text.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? text
    }

    /// In each form in which one could be written.
    private static let forms: [String] = secrets.values.flatMap { secret in
        [
            secret, percent(secret), percent(secret).lowercased(), Data(secret.utf8).base64EncodedString(),
            Data("u:\(secret)".utf8).base64EncodedString(), Data("guarded:\(secret)".utf8).base64EncodedString(),
            JSONValue.string(secret).serialized.trimmingCharacters(in: CharacterSet(charactersIn: "\"")),
        ]
    }

    /// What was said.
    private final class Said: @unchecked Sendable {
        private(set) var lines = 0
        private var leaks: [String] = []

        func hear(_ text: String, of what: String) {
            lines += text.split(whereSeparator: \.isNewline).count
            for form in SecretsTests.forms where text.contains(form) {
                // Not the line itself, which would say it once more.
                leaks.append("\(what): a secret of \(form.utf8.count) bytes")
            }
        }

        var hasNone: Bool { leaks.isEmpty }
        func expectNone() { #expect(leaks.isEmpty, "\(Set(leaks))") }
    }

    private func write(_ pipeline: String, in folder: URL) throws {
        try pipeline.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
    }

    @Test func nothingThatIsSaidHasOne() async throws {
        let folder = try temporaryFolder("secrets")
        defer { try? FileManager.default.removeItem(at: folder) }
        let secrets = Self.secrets
        var options = ThrowawayPostgres.Options()
        options.authentication = ["host all guarded 127.0.0.1/32 scram-sha-256"]
        let (source, target) = (try await ThrowawayPostgres.start(options), try await ThrowawayPostgres.start(options))
        for (server, name) in [(source, "source"), (target, "warehouse")] {
            let password = try #require(secrets[name])
            try await server.psql("CREATE ROLE guarded LOGIN SUPERUSER REPLICATION PASSWORD '\(password)'")
        }
        try await source.psql(
            "CREATE TABLE a (id int PRIMARY KEY, n int); INSERT INTO a SELECT i, i FROM generate_series(1, 100) i")
        func url(_ server: ThrowawayPostgres, _ name: String) -> String {
            server.url(user: "guarded", password: secrets[name])
        }
        let environment = [
            "SOURCE_URL": url(source, "source"), "WAREHOUSE_PASSWORD": Self.percent(secrets["warehouse"] ?? ""),
            "TOKEN": secrets["token"] ?? "", "KAFKA": secrets["kafka"] ?? "",
        ]
        let common = """
            warehouse: { postgres: { url: "postgres://guarded:${WAREHOUSE_PASSWORD}@127.0.0.1:\(target.port)/postgres" } }
            alerts:
              - { webhook: "http://u:\(secrets["webhook"] ?? "")@127.0.0.1:1/\(secrets["webhook"] ?? "")" }
              - { exec: ./note.sh }
            lineage: { openlineage: { url: "http://127.0.0.1:1", api_key: "\(secrets["lineage"] ?? "")" } }
            agent: { listen: "127.0.0.1:0", token: "${TOKEN}" }
            """
        let good = "pipeline: shop\nsource: { postgres: { url: \"${SOURCE_URL}\" } }\n" + common
        try write(good, in: folder)
        let script = folder.appending(path: "note.sh")
        try "#!/bin/sh\ncat >> told\n".write(to: script, atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: script.path)
        let said = Said()
        @discardableResult func run(_ arguments: String...) async throws -> Int32 {
            let result = try await AgentProcess.run(arguments, in: folder, environment: environment)
            said.hear(result.output + result.errors, of: arguments.joined(separator: " "))
            return result.status
        }

        #expect(try await run("check", "--log-level", "trace") == 0)
        #expect(try await run("run", "--until-end", "--log-level", "trace") == 0)
        let agent = try AgentProcess(["run", "--log-level", "trace"], in: folder, environment: environment)
        try await until("it streams", [agent]) { agent.said().contains("streaming slot") }
        let file = try String(contentsOf: folder.appending(path: ".millrace/agent.json"), encoding: .utf8)
        said.hear(file, of: "agent.json")
        let address = try #require(try JSONValue(parsing: file)["address"]?.string)
        for turn in 0..<40 {
            try await source.psql("UPDATE a SET n = n + \(turn)")
            for page in ["", "metrics", "readyz", "healthz"] {
                said.hear(try await Command.runAside(["curl", "-s", "http://\(address)/\(page)"]), of: "/\(page)")
            }
        }
        for path in ["status", "checkpoint", "tables", "quarantine", "holds", "freshness", "check", "schema"] {
            let answer = try await Command.runAside(
                [
                    "curl", "-s", "-H", "Authorization: Bearer \(secrets["token"] ?? "")",
                    "http://\(address)/api/\(path)",
                ])
            said.hear(answer, of: "/api/\(path)")
            said.hear(
                try await Command.runAside(["curl", "-s", "http://\(address)/api/\(path)"]), of: "/api/\(path) refused")
        }
        for command in [
            ["status"], ["status", "--json"], ["checkpoint", "show"], ["alerts", "test"], ["sweep"],
            ["query", "select 1"],
        ] {
            let result = try await AgentProcess.run(command, in: folder, environment: environment)
            said.hear(result.output + result.errors, of: command.joined(separator: " "))
        }
        // Both sides go away, and somebody is told of it.
        try await target.stop()
        try await source.psql("UPDATE a SET n = 1")
        try await until("it waits", [agent]) { agent.said().contains("trying again") }
        agent.signal(SIGTERM)
        let end = await agent.wait()
        said.hear(end.output + end.errors, of: "run")
        try await target.start()

        // What is wrong is told without it.
        let wrong = [
            good.replacing("${SOURCE_URL}", with: url(source, "source").replacing("@127", with: "x@127")),
            good.replacing("${SOURCE_URL}", with: "postgres://guarded:\(secrets["source"] ?? "")@127.0.0.1:1/x"),
            good.replacing(
                "${SOURCE_URL}",
                with: "postgres://guarded:\(Self.percent(secrets["source"] ?? ""))@127.0.0.1:1/x?sslmode=nope"),
            good.replacing("listen:", with: "lisn:"), good.replacing("api_key:", with: "api_kee:"),
            good.replacing("${WAREHOUSE_PASSWORD}", with: "${WAREHOUSE_PASSWORD}x"),
            good.replacing("lineage:", with: "lineage: ["),
            """
            pipeline: shop
            source:
              kafka:
                brokers: 127.0.0.1:1
                topics: ["shop.*"]
                catalog: "\(url(source, "source"))"
                format: avro
                schema_registry: { url: "http://127.0.0.1:1", basic_auth: "u:\(secrets["registry"] ?? "")" }
                properties: { security.protocol: sasl_ssl, sasl.mechanisms: SCRAM-SHA-512, sasl.username: u,
                  sasl.password: "${KAFKA}", ssl.key.password: "\(secrets["key"] ?? "")", ssl.key.pem: "no key",
                  ssl.no.such: "\(secrets["key"] ?? "")" }
            """ + "\n" + common,
        ]
        for (number, text) in wrong.enumerated() {
            try write(text, in: folder)
            for arguments in [
                ["check"], ["run", "--until-end", "--log-level", "trace"], ["status"], ["sweep"], ["backfill"],
            ] {
                let result = try await AgentProcess.run(
                    arguments, in: folder, environment: environment)
                if arguments == ["run", "--until-end", "--log-level", "trace"] {
                    #expect(result.status != 0, "\(number)")
                }
                said.hear(result.output + result.errors, of: "\(number) \(arguments)")
            }
        }
        said.hear(
            (try? String(contentsOf: folder.appending(path: "told"), encoding: .utf8)) ?? "", of: "an alert's program")
        let planted = Said()
        planted.hear("password=\(secrets["webhook"] ?? "")", of: "a leak")
        #expect(!planted.hasNone, "one would be seen")
        #expect(said.lines >= Self.lines_min, "\(said.lines) lines")
        said.expectNone()
        await source.remove()
        await target.remove()
    }
}
