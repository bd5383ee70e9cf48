import Testing
import ThrowawayPostgres

@testable import Postgres

@Suite struct PulseTests {
    private let start = ContinuousClock.now

    @Test func looksAfterAQuarterAndGivesUpAfterTheWhole() {
        var pulse = Pulse(limit: .seconds(60), at: start)
        #expect(pulse.nextLook == start + .seconds(15))
        // Looks that hang take their time, too.
        var isAlive = pulse.looked(sawWork: false, at: start + .seconds(30))
        #expect(isAlive)
        #expect(pulse.nextLook == start + .seconds(45))
        isAlive = pulse.looked(sawWork: false, at: start + .seconds(60))
        #expect(!isAlive)
    }

    @Test func workIsASign() {
        var pulse = Pulse(limit: .seconds(60), at: start)
        var isAlive = true
        for minute in 1...100 { isAlive = pulse.looked(sawWork: true, at: start + .seconds(minute * 60)) && isAlive }
        isAlive = pulse.looked(sawWork: false, at: start + .seconds(6_059)) && isAlive
        #expect(isAlive)
        isAlive = pulse.looked(sawWork: false, at: start + .seconds(6_060))
        #expect(!isAlive)
    }

    @Test func whatNobodyWaitedForDoesNotCount() {
        var pulse = Pulse(limit: .seconds(60), at: start)
        pulse.begin(at: start + .seconds(1_000))
        #expect(pulse.nextLook == start + .seconds(1_015))
        let isAlive = pulse.looked(sawWork: false, at: start + .seconds(1_015))
        #expect(isAlive)
    }

    @Test func theURLSaysHowLong() throws {
        func limit(_ query: String) throws -> Duration? {
            try ConnectionSettings(url: "postgres://a@h/d\(query)").parameters().answerTimeout
        }
        #expect(try limit("") == .seconds(60))
        #expect(try limit("?tcp_user_timeout=2000") == .seconds(4))
        #expect(try limit("?tcp_user_timeout=0") == nil)
    }

    @Test func aServerThatHangsIsLeftAndAStatementMayTakeItsTime() async throws {
        let cluster = try await ThrowawayPostgres.start()
        let url = cluster.url() + "?tcp_user_timeout=1000"
        // Longer than the limit of 2 s.
        #expect(try await withSession(url) { try $0.scalar("SELECT 1 FROM pg_sleep(5)") } == "1")
        async let outcome = failure {
            try Session(url: url + "&application_name=hung").execute("SELECT pg_sleep(600)", for: "sleep")
        }
        try await waitUntil(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'hung' AND wait_event = 'PgSleep')",
            url)
        await cluster.pause()
        let error = try await outcome
        #expect(error?.kind == .passing && error?.isConnectionLost == true && error?.sqlstate == "08006")
        await cluster.remove()
    }

    /// The look is another connection, which finds room or doesn't: a full server is one that answers.
    @Test func aServerWithoutRoomIsNotGone() async throws {
        var options = ThrowawayPostgres.Options()
        options.maxConnections = 4
        options.settings = [
            "superuser_reserved_connections": "0", "max_wal_senders": "2", "max_replication_slots": "2",
        ]
        let cluster = try await ThrowawayPostgres.start(options)
        let url = cluster.url()
        try await withSession(url) { _ in
            let others = try (0..<2).map { _ in try Session(url: url) }
            defer { for other in others { other.close() } }
            #expect(try Session(url: url + "?tcp_user_timeout=1000").scalar("SELECT 1 FROM pg_sleep(5)") == "1")
        }
        await cluster.remove()
    }
}
