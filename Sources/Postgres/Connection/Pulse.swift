import CLibPQ

/// Judges a connection on which nothing comes while an answer is due.
///
/// TCP finds out a machine that is gone (`tcp_user_timeout`, keepalives: 30 to 60 s), but not a proxy, a balancer or a
/// NAT that has lost the way behind it, nor a server that hangs: their kernels answer for them. A limit for statements
/// would find those, and break merges that take their time. So after a quarter of the limit somebody goes and looks, by
/// another connection, whether the server's process is still at work for us, and again each quarter. Only where nobody
/// has seen it at work for the whole limit the connection counts as lost.
struct Pulse: Sendable {
    let limit: Duration
    private(set) var lastSign: ContinuousClock.Instant
    private(set) var nextLook: ContinuousClock.Instant

    init(limit: Duration, at now: ContinuousClock.Instant = .now) {
        self.limit = limit
        lastSign = now
        nextLook = now + limit / 4
    }

    /// How long one look may take: on a busy machine to connect takes its time, however short the limit is.
    var look_max: Duration { max(limit / 4, .seconds(5)) }

    /// An answer is due, and waited for, from now on.
    mutating func begin(at now: ContinuousClock.Instant) {
        lastSign = now
        nextLook = now + limit / 4
    }

    /// Somebody went and looked. False: the connection is lost.
    mutating func looked(sawWork: Bool, at now: ContinuousClock.Instant) -> Bool {
        if sawWork { lastSign = now }
        nextLook = now + limit / 4
        return now - lastSign < limit
    }
}

extension Session {
    /// Looks after the server's process by another connection; closes this one, with an error that passes, where it has
    /// not been seen at work for too long.
    func feelPulse(_ handle: OpaquePointer, _ purpose: String) throws(PostgresError) {
        guard pulse != nil else { return }
        let sawWork = isServerAtWork(handle)
        guard pulse?.looked(sawWork: sawWork, at: .now) == false, let limit = pulse?.limit else { return }
        close()
        throw PostgresError(
            kind: .passing, sqlstate: "08006", severity: "FATAL",
            message: "the server hasn't answered for \(limit.components.seconds) s and isn't at work for us",
            purpose: purpose, remedy: "see to the network between here and the server", isConnectionLost: true)
    }

    /// Waiting for us isn't work: what it waits for was sent, and lost on the way.
    private func isServerAtWork(_ handle: OpaquePointer) -> Bool {
        var looking = settings
        looking.isReplication = false
        looking.applicationName = "millrace_pulse"
        if let pulse { looking.connectTimeout = pulse.look_max }
        if let host = PQhost(handle).map({ String(cString: $0) }),
            let port = PQport(handle).map({ String(cString: $0) })
        {
            looking.pinned = (host, port)
        }
        do throws(PostgresError) {
            let other = try Session(looking, interrupter: interrupter)
            defer { other.close() }
            if let pulse { other.deadline = .now + pulse.look_max }
            other.pulse = nil
            other.cancelGrace = .milliseconds(100)
            let isBusy = settings.isReplication ? "true" : "state IS NULL OR state NOT LIKE 'idle%'"
            let found = try other.scalar(
                """
                SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE pid = \(serverPID) \
                AND wait_event_type IS DISTINCT FROM 'Client' AND (\(isBusy))
                """, for: "look after a silent connection")
            return found != "0"
        } catch {
            // A server that answers, but has no room or no answer for us, is one that works.
            return error.kind == .permanent || error.sqlstate == "53300"
        }
    }
}
