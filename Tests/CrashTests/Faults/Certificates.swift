import ChildProcess
import Foundation

/// Made anew by `openssl` for each test: nothing in the repository runs out.
struct Certificates {
    let folder: URL

    init(in folder: URL) throws {
        self.folder = folder
        for authority in ["ours", "theirs"] {
            try openssl([
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=\(authority) ca",
                "-keyout", path("\(authority).key"), "-out", path("\(authority).crt"),
            ])
        }
        try sign("server", "/CN=server", "subjectAltName=IP:127.0.0.1,DNS:localhost")
        try sign("elsewhere", "/CN=elsewhere", "subjectAltName=DNS:db.example")
        try sign("replicator", "/CN=replicator", "extendedKeyUsage=clientAuth")
    }

    func path(_ name: String) -> String { folder.appending(path: name).path }
    func text(_ name: String) throws -> String { try String(contentsOfFile: path(name), encoding: .utf8) }

    private func openssl(_ arguments: [String]) throws { _ = try Command.run(["openssl"] + arguments) }

    private func sign(_ name: String, _ subject: String, _ extensions: String) throws {
        try openssl([
            "req", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", path("\(name).key"), "-out",
            path("\(name).csr"),
        ])
        try extensions.write(toFile: path("\(name).ext"), atomically: true, encoding: .utf8)
        try openssl([
            "x509", "-req", "-days", "2", "-in", path("\(name).csr"), "-CA", path("ours.crt"), "-CAkey",
            path("ours.key"), "-CAcreateserial", "-extfile", path("\(name).ext"), "-out", path("\(name).crt"),
        ])
        // libpq takes no key that others may read.
        guard chmod(path("\(name).key"), 0o600) == 0 else { throw Waited(what: "chmod") }
    }

    /// - Parameter shows: the client's certificate.
    func parameters(mode: String = "verify-full", root: String = "ours.crt", shows: String? = "replicator")
        -> String
    {
        let own = shows.map { "&sslcert=\(path("\($0).crt"))&sslkey=\(path("\($0).key"))" } ?? ""
        return "?sslmode=\(mode)&sslrootcert=\(path(root))\(own)"
    }
}
