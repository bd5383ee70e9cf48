import Foundation
import Testing
import ThrowawayPostgres

/// Each way in which a Postgres can't be connected to is told with what to do about it, for the source and the warehouse,
/// and without a secret.
@Suite(.serialized) struct UnreachableTests {
    @Test func eachHasAWayOut() async throws {
        let folder = try temporaryFolder("unreachable")
        defer { try? FileManager.default.removeItem(at: folder) }
        var options = ThrowawayPostgres.Options()
        options.authentication = ["host all guarded 127.0.0.1/32 scram-sha-256", "host all barred 127.0.0.1/32 reject"]
        let server = try await ThrowawayPostgres.start(options)
        try await server.psql(
            "CREATE ROLE guarded LOGIN SUPERUSER REPLICATION PASSWORD 'right'; CREATE ROLE barred LOGIN")
        try await server.psql("CREATE TABLE a (id int PRIMARY KEY)")
        let good = server.url(user: "guarded", password: "right")
        func other(_ host: String? = nil, _ port: Int? = nil, user: String = "guarded", _ database: String = "postgres")
            -> String
        {
            "postgres://\(user):sw0rdfish@\(host ?? "127.0.0.1"):\(port ?? server.port)/\(database)"
        }
        let right = good.replacing("sw0rdfish", with: "right")
        let cases = [
            ("refused", other(nil, 1), "Connection refused", "listen_addresses"),
            ("unknown host", other("nowhere.invalid"), "could not translate host name", "getent hosts"),
            ("wrong password", other(), "password authentication failed", "the user and password of the URL"),
            ("not let in", other(user: "barred"), "pg_hba.conf rejects", "add a line for this user"),
            (
                "no such database", right.replacing("/postgres", with: "/nothing"), "does not exist",
                "create the database, or correct its name"
            ),
            ("no TLS", right + "?sslmode=require", "server does not support SSL", "ssl = on"),
            ("no such mode", right + "?sslmode=perhaps", "sslmode", "correct the parameters of the URL"),
        ]
        for (what, url, says, remedy) in cases {
            for isSource in [true, false] {
                try """
                pipeline: shop
                source: { postgres: { url: "\(isSource ? url : good)" } }
                warehouse: { postgres: { url: "\(isSource ? good : url)" } }
                agent: { listen: "127.0.0.1:0" }
                """.write(to: folder.appending(path: "millrace.yaml"), atomically: true, encoding: .utf8)
                for command in [["run", "--until-end"], ["check"]] {
                    let result = try await AgentProcess.run(command, in: folder)
                    let all = result.output + result.errors
                    let which: Comment = "\(what), \(isSource ? "source" : "warehouse"), \(command): \(all)"
                    #expect(result.status == 3, which)
                    #expect(all.contains("Error: ") || all.contains("error "), which)
                    let lines = all.split(separator: "\n")
                    let place = lines.firstIndex { $0.contains("could not connect") && $0.contains(says) }
                    #expect(place != nil, which)
                    // Right behind it.
                    let next = place.map { lines[($0 + 1)...].first ?? "" } ?? ""
                    #expect(next.contains("Try: ") && next.contains(remedy), which)
                    #expect(!all.contains("sw0rdfish") && !all.contains(":right@"), which)
                }
            }
        }
        await server.remove()
    }
}
