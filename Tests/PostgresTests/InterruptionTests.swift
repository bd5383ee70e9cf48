import Testing
import ThrowawayPostgres

@testable import Postgres

@Suite struct InterruptionTests {
    private func active(_ application: String, waitingFor type: String) -> String {
        """
        SELECT EXISTS (SELECT FROM pg_stat_activity
            WHERE application_name = '\(application)' AND state = 'active' AND wait_event_type = '\(type)')
        """
    }

    @Test func aQueryIsCancelledAndTheSessionLives() async throws {
        let url = try await SharedCluster.url
        let interrupter = Interrupter()
        async let outcome = withSession(url + "?application_name=sleeper", interrupter: interrupter) { session in
            try session.execute("CREATE TEMP TABLE t(a int)")
            let error = #expect(throws: PostgresError.self) {
                try session.transaction {
                    try session.execute("INSERT INTO t VALUES (1)")
                    try session.execute("SELECT pg_sleep(600)")
                }
            }
            // Raised still: nothing starts.
            let next = #expect(throws: PostgresError.self) { try session.execute("SELECT 1") }
            #expect(next?.kind == .interrupted && !session.isInTransaction)
            interrupter.reset()
            let answer = try session.scalar("SELECT count(*) FROM t")
            #expect(answer == "0")
            return error
        }
        try await waitUntil(active("sleeper", waitingFor: "Timeout"), url)
        interrupter.interrupt()
        interrupter.interrupt()
        let error = try await outcome
        #expect(error?.kind == .interrupted && error?.isConnectionLost == false)
    }

    @Test func aCopyThatWaitsForATableLock() async throws {
        let url = try await SharedCluster.url
        try await withSession(url) { try $0.execute("CREATE TABLE public.busy(a int)") }
        let interrupter = Interrupter()
        let release = Interrupter()
        async let holder: Void = withSession(url + "?application_name=holder", interrupter: release) { session in
            _ = try? session.execute("BEGIN; LOCK TABLE public.busy; SELECT pg_sleep(600)")
        }
        try await waitUntil(active("holder", waitingFor: "Timeout"), url)
        async let outcome = withSession(url + "?application_name=loader", interrupter: interrupter) { session in
            let error = #expect(throws: PostgresError.self) {
                try session.copyIn("COPY public.busy FROM STDIN") { _ in }
            }
            interrupter.reset()
            let answer = try session.scalar("SELECT 1")
            #expect(answer == "1")
            return error
        }
        try await waitUntil(active("loader", waitingFor: "Lock"), url)
        interrupter.interrupt()
        #expect(try await outcome?.kind == .interrupted)
        release.interrupt()
        try await holder
    }

    /// The server reads nothing more, so the writer stands in a full socket.
    @Test func aCopyThatWaitsForARowLockWhileItSends() async throws {
        let url = try await SharedCluster.url
        try await withSession(url) { try $0.execute("CREATE TABLE public.taken(a int PRIMARY KEY)") }
        let interrupter = Interrupter()
        let release = Interrupter()
        async let holder: Void = withSession(url + "?application_name=owner", interrupter: release) { session in
            _ = try? session.execute("BEGIN; INSERT INTO public.taken VALUES (1); SELECT pg_sleep(600)")
        }
        try await waitUntil(active("owner", waitingFor: "Timeout"), url)
        async let outcome = withSession(url + "?application_name=writer", interrupter: interrupter) { session in
            let error = #expect(throws: PostgresError.self) {
                try session.copyIn("COPY public.taken FROM STDIN") { writer in
                    var number = 1
                    while true {
                        writer.field(number)
                        try writer.endLine()
                        number += 1
                    }
                }
            }
            interrupter.reset()
            let answer = try session.scalar("SELECT count(*) FROM public.taken")
            #expect(answer == "0")
            return error
        }
        try await waitUntil(active("writer", waitingFor: "Lock"), url)
        interrupter.interrupt()
        let error = try await outcome
        #expect(error?.kind == .interrupted && error?.isConnectionLost == false)
        release.interrupt()
        try await holder
    }

    @Test func aStreamOfRows() async throws {
        let interrupter = Interrupter()
        try await withSession(try await SharedCluster.url, interrupter: interrupter) { session in
            var seen = 0
            let error = #expect(throws: PostgresError.self) {
                try session.copyOut("COPY (SELECT generate_series(1, 100000000)) TO STDOUT") { _ in
                    seen += 1
                    if seen == 1000 { interrupter.interrupt() }
                }
            }
            #expect(error?.kind == .interrupted && seen == 1000)
            interrupter.reset()
            let answer = try session.scalar("SELECT 1")
            #expect(answer == "1")
        }
    }

    @Test func aPassedDeadlineIsPassing() async throws {
        try await withSession(try await SharedCluster.url) { session in
            session.deadline = .now + .milliseconds(50)
            let error = #expect(throws: PostgresError.self) { try session.execute("SELECT pg_sleep(600)") }
            #expect(error?.kind == .passing && error?.sqlstate == "57014" && error?.isConnectionLost == false)
            session.deadline = nil
            let answer = try session.scalar("SELECT 1")
            #expect(answer == "1")
        }
    }

    @Test func aServerThatDoesNotAnswerIsLeft() async throws {
        let cluster = try await ThrowawayPostgres.start()
        let url = cluster.url()
        let interrupter = Interrupter()
        async let outcome = withSession(url + "?application_name=frozen", interrupter: interrupter) { session in
            session.cancelGrace = .milliseconds(200)
            return #expect(throws: PostgresError.self) {
                try session.transaction { try session.execute("SELECT pg_sleep(600)") }
            }
        }
        try await waitUntil(active("frozen", waitingFor: "Timeout"), url)
        await cluster.pause()
        interrupter.interrupt()
        let error = try await outcome
        #expect(error?.kind == .interrupted && error?.isConnectionLost == true)
        await cluster.resume()
        #expect(try await withSession(url) { try $0.scalar("SELECT 1") } == "1")
        await cluster.remove()
    }

    @Test func aKilledServerIsPassing() async throws {
        let cluster = try await ThrowawayPostgres.start()
        let url = cluster.url()
        try await cluster.psql("CREATE TABLE public.k(a int)")
        async let query = failure {
            try Session(url: url + "?application_name=query").execute("SELECT pg_sleep(600)", for: "sleep")
        }
        async let copy = failure {
            try Session(url: url + "?application_name=copy").copyIn("COPY public.k FROM STDIN") { writer in
                while true {
                    writer.field(1)
                    try writer.endLine()
                }
            }
        }
        try await waitUntil(active("query", waitingFor: "Timeout"), url)
        try await waitUntil(
            "SELECT EXISTS (SELECT FROM pg_stat_progress_copy WHERE tuples_processed > 1000)", url
        )
        try await cluster.stop(.immediate)
        for error in [try await query, try await copy] {
            #expect(error?.kind == .passing && error?.isConnectionLost == true)
        }
        let refused = try #require(try await failure { _ = try Session(url: url) })
        #expect(refused.kind == .passing)
        try await cluster.start()
        #expect(try await withSession(url) { try $0.scalar("SELECT count(*) FROM public.k") } == "0")
        await cluster.remove()
    }

    @Test func terminatedSessionsArePassing() async throws {
        let url = try await SharedCluster.url
        try await withSession(url) { session in
            let other = try Session(url: url)
            try session.execute("SELECT pg_terminate_backend(\(other.backendPID), 10000)")
            let error = #expect(throws: PostgresError.self) { try other.execute("SELECT 1") }
            #expect(error?.kind == .passing && error?.isConnectionLost == true && error?.sqlstate == "57P01")
            let next = #expect(throws: PostgresError.self) { try other.execute("SELECT 1") }
            #expect(next?.sqlstate == "08003")
        }
    }
}
