/// Which server and database a URL means, for whoever has to name them; never its user or password.
package struct ServerAddress: Sendable, Equatable {
    /// The first of several; `localhost` for a socket.
    package var host: String
    package var port: String
    package var database: String

    /// What the URL leaves out is libpq's environment, else its default; a `service` isn't looked up.
    ///
    /// - Returns: nil where the URL isn't one.
    package init?(url: String, environment: [String: String]) {
        guard let values = try? ConnectionSettings(url: url).parameters().values else { return nil }
        func whole(_ keyword: String) -> String? { values[keyword].flatMap { $0.isEmpty ? nil : $0 } }
        func first(_ keyword: String) -> String? {
            let text = values[keyword]?.split(separator: ",", omittingEmptySubsequences: false).first.map(String.init)
            return text.flatMap { $0.isEmpty ? nil : $0 }
        }
        func variable(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
        let named = first("host") ?? first("hostaddr") ?? variable("PGHOST") ?? "localhost"
        host = named.hasPrefix("/") || named.hasPrefix("@") ? "localhost" : named
        port = first("port") ?? variable("PGPORT") ?? "5432"
        database =
            whole("dbname") ?? variable("PGDATABASE") ?? whole("user") ?? variable("PGUSER") ?? variable("USER")
            ?? "postgres"
    }

    /// `db:5432`, `[::1]:5432`.
    package var authority: String { "\(host.contains(":") ? "[\(host)]" : host):\(port)" }
}
