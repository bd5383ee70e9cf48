import ChildProcess
import Foundation
import Testing
import ThrowawayPostgres

/// Postgres over TLS, as libpq's parameters of the URLs ask for it: the server's certificate is verified, we show one of our
/// own, and what doesn't fit is refused with a clear error.
@Suite(.serialized) struct TLSTests {
    /// Takes the role `replicator` over TLS alone, with a certificate that says so.
    private func server(_ certificates: Certificates, as name: String = "server") async throws -> ThrowawayPostgres {
        var options = ThrowawayPostgres.Options()
        options.files = [
            "server.crt": try certificates.text("\(name).crt"), "server.key": try certificates.text("\(name).key"),
            "ca.crt": try certificates.text("ours.crt"),
        ]
        options.settings = [
            "ssl": "on", "ssl_cert_file": "server.crt", "ssl_key_file": "server.key", "ssl_ca_file": "ca.crt",
        ]
        options.authentication = [
            "hostssl all replicator 127.0.0.1/32 cert", "hostnossl all replicator 127.0.0.1/32 reject",
        ]
        let server = try await ThrowawayPostgres.start(options)
        try await server.psql("CREATE ROLE replicator LOGIN SUPERUSER REPLICATION")
        return server
    }

    private func write(_ source: String, _ warehouse: String, in folder: URL) throws {
        try """
        pipeline: shop
        source: { postgres: { url: "\(source)" } }
        warehouse: { postgres: { url: "\(warehouse)" } }
        agent: { listen: "127.0.0.1:0" }
        """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
    }

    @Test func bothSidesAreVerifiedAndSoAreWe() async throws {
        let folder = try temporaryFolder("tls")
        defer { try? FileManager.default.removeItem(at: folder) }
        let certificates = try Certificates(in: folder)
        let (source, target) = (try await server(certificates), try await server(certificates))
        try await source.psql(
            "CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a SELECT i FROM generate_series(1, 500) i")
        func url(_ server: ThrowawayPostgres, _ parameters: String) -> String {
            server.url(user: "replicator") + parameters
        }
        try write(url(source, certificates.parameters()), url(target, certificates.parameters()), in: folder)
        let run = try await AgentProcess.run(["run", "--until-end"], in: folder)
        #expect(run.status == 0, "\(run.errors)")
        #expect(try await target.number("SELECT count(*) FROM shop_live.a") == 500)
        let agent = try AgentProcess(["run"], in: folder)
        try await until("it streams", [agent]) { agent.said().contains("streaming slot") }
        for server in [source, target] {
            let plain = """
                SELECT count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.usename = 'replicator' AND NOT s.ssl
                """
            #expect(try await server.number(plain) == 0, "all of it is over TLS")
            #expect(try await server.number(plain.replacing("AND NOT s.ssl", with: "AND s.ssl")) > 0)
        }
        #expect(try await AgentProcess.run(["sweep"], in: folder).status == 0)
        agent.signal(SIGTERM)
        #expect(await agent.wait().status == 0)

        // What doesn't fit.
        let wrong = [
            ("another authority's", certificates.parameters(root: "theirs.crt"), "certificate verify failed"),
            ("no certificate of ours", certificates.parameters(shows: nil), "certificate"),
            ("one for another name", certificates.parameters(shows: "elsewhere"), "certificate authentication failed"),
            ("in the clear", "?sslmode=disable", "pg_hba.conf rejects"),
        ]
        for (what, parameters, says) in wrong {
            for isSource in [true, false] {
                try write(
                    url(source, isSource ? parameters : certificates.parameters()),
                    url(target, isSource ? certificates.parameters() : parameters), in: folder)
                let refused = try await AgentProcess.run(["run", "--until-end"], in: folder)
                #expect(refused.status == 3, "\(what): \(refused)")
                #expect(
                    refused.errors.contains(says) && refused.errors.contains("Error: "), "\(what): \(refused.errors)")
            }
        }
        await source.remove()
        await target.remove()
    }

    @Test func aServerOfAnotherNameIsRefused() async throws {
        let folder = try temporaryFolder("tlsname")
        defer { try? FileManager.default.removeItem(at: folder) }
        let certificates = try Certificates(in: folder)
        let (other, plain) = (try await server(certificates, as: "elsewhere"), try await ThrowawayPostgres.start())
        try await other.psql("CREATE TABLE a (id int PRIMARY KEY)")
        for (mode, status) in [("verify-full", 3), ("verify-ca", 0)] as [(String, Int32)] {
            try write(
                other.url(user: "replicator") + certificates.parameters(mode: mode), plain.url(), in: folder)
            let run = try await AgentProcess.run(["run", "--until-end"], in: folder)
            #expect(run.status == status, "\(mode): \(run)")
            if status != 0 { #expect(run.errors.contains("does not match host name"), "\(run.errors)") }
        }
        // One that speaks no TLS.
        try write(
            other.url(user: "replicator") + certificates.parameters(mode: "verify-ca"),
            plain.url() + "?sslmode=require", in: folder)
        let run = try await AgentProcess.run(["run", "--until-end"], in: folder)
        #expect(run.status == 3 && run.errors.contains("does not support SSL"), "\(run)")
        await other.remove()
        await plain.remove()
    }
}
