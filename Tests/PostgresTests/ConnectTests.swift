import Dispatch
import Testing
import ThrowawayPostgres

@testable import Postgres

@Suite struct ConnectTests {
    @Test func refusedIsPassing() async throws {
        // Port 1 of loopback: nobody listens there without being root.
        let error = try #require(try await failure { _ = try Session(url: "postgres://u:secret@127.0.0.1:1/d") })
        #expect(error.kind == .passing && error.sqlstate == "08001" && error.isConnectionLost)
        #expect(error.message.contains("Connection refused") && !"\(error)".contains("secret"))
    }

    @Test func unknownHostIsPassing() async throws {
        let error = try #require(try await failure { _ = try Session(url: "postgres://u@nowhere.invalid/d") })
        #expect(error.kind == .passing && error.sqlstate == "08001")
    }

    @Test func unknownDatabaseIsPermanent() async throws {
        let url = try await SharedCluster.cluster.url(database: "nope")
        let error = try #require(try await failure { _ = try Session(url: url) })
        #expect(error.kind == .permanent && error.sqlstate == "3D000" && error.remedy != nil)
        #expect(error.message.contains(#"database "nope" does not exist"#) && !error.message.contains("LOCATION"))
    }

    @Test func passwords() async throws {
        var options = ThrowawayPostgres.Options()
        options.authentication = ["host all careful 127.0.0.1/32 scram-sha-256", "host all banned 127.0.0.1/32 reject"]
        let cluster = try await ThrowawayPostgres.start(options)
        try await cluster.psql("CREATE ROLE careful LOGIN PASSWORD 'right@/:?'; CREATE ROLE banned LOGIN")

        let right = cluster.url(user: "careful", password: "right@/:?")
        let facts = try await withSession(right) { try $0.facts() }
        #expect(facts.user == "careful" && facts.database == "postgres" && !facts.isInRecovery)
        #expect(facts.serverVersion >= 100000)

        let wrong = cluster.url(user: "careful", password: "wrongsecret")
        let refused = try #require(try await failure { _ = try Session(url: wrong) })
        #expect(refused.kind == .permanent && refused.sqlstate == "28P01" && !"\(refused)".contains("wrongsecret"))

        let none = cluster.url(user: "careful")
        let missing = try #require(try await failure { _ = try Session(url: none) })
        #expect(missing.kind == .permanent && missing.sqlstate == "28P01")

        let banned = cluster.url(user: "banned")
        let rejected = try #require(try await failure { _ = try Session(url: banned) })
        #expect(rejected.kind == .permanent && rejected.sqlstate == "28000")
        await cluster.remove()
    }

    @Test func fullServerIsPassing() async throws {
        var options = ThrowawayPostgres.Options()
        options.maxConnections = 5
        options.settings = ["superuser_reserved_connections": "0", "max_wal_senders": "1"]
        let cluster = try await ThrowawayPostgres.start(options)
        let url = cluster.url()
        let error = try await failure {
            var sessions: [Session] = []
            while true { sessions.append(try Session(url: url)) }
        }
        #expect(error?.kind == .passing && error?.sqlstate == "53300")
        await cluster.remove()
    }

    @Test func settingsOfOursAndOfTheURL() async throws {
        let url = try await SharedCluster.url
        let seen = try await withSession(url) { session in
            try ["application_name", "client_encoding", "DateStyle", "TimeZone", "search_path", "extra_float_digits"]
                .map {
                    try session.scalar("SHOW \($0)")
                }
        }
        #expect(seen == ["millrace", "UTF8", "ISO, MDY", "UTC", "pg_catalog", "1"])

        let chosen = url + "?application_name=mine&options=-c%20TimeZone%3DEurope/Paris"
        let changed = try await withSession(chosen) {
            try [$0.scalar("SHOW application_name"), $0.scalar("SHOW TimeZone")]
        }
        #expect(changed == ["mine", "Europe/Paris"])

        var settings = ConnectionSettings(url: url)
        settings.serverSettings.append(("application_name", #"two words \"#))
        settings.serverSettings.append(("lock_timeout", "1234"))
        let ours = settings
        let session = try await onThread { try Session(ours).scalar("SHOW lock_timeout") }
        #expect(session == "1234ms")
    }

    @Test func replicationSessionsTakePlainQueries() async throws {
        var settings = ConnectionSettings(url: try await SharedCluster.url)
        settings.isReplication = true
        let ours = settings
        let names = try await onThread {
            let session = try Session(ours)
            _ = try session.scalar("SELECT 1")
            return try session.query("IDENTIFY_SYSTEM").columnNames
        }
        #expect(names == ["systemid", "timeline", "xlogpos", "dbname"])
    }

    @Test func theSocketWorks() async throws {
        let url = try await SharedCluster.cluster.socketURL()
        #expect(try await withSession(url) { try $0.scalar("SELECT 1") } == "1")
    }

    @Test func connectingCanBeInterruptedAndTimesOut() async throws {
        let cluster = try await ThrowawayPostgres.start()
        let url = cluster.url()
        // The kernel takes the connection, the server never answers.
        await cluster.pause()
        var settings = ConnectionSettings(url: url)
        settings.connectTimeout = .milliseconds(200)
        let short = settings
        let late = try #require(try await failure { _ = try Session(short) })
        #expect(late.kind == .passing && late.sqlstate == "08001")

        let interrupter = Interrupter()
        async let waiting = failure { _ = try Session(url: url, interrupter: interrupter) }
        interrupter.interrupt()
        #expect(try await waiting?.kind == .interrupted)
        await cluster.remove()
    }

    @Test func hostsAreTriedInTurn() async throws {
        let port = try await SharedCluster.cluster.port
        let url = "postgres://postgres@127.0.0.1:1,127.0.0.1:\(port)/postgres"
        #expect(try await withSession(url) { try $0.scalar("SELECT 1") } == "1")
    }
}
