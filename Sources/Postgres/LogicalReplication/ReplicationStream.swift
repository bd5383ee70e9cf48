import CLibPQ
import Glibc

/// The replication protocol on one connection: makes slots, streams one of them, and tells the server what is durable.
///
/// Used by one thread at a time. Every error with `isConnectionLost` ends it.
package final class ReplicationStream {
    package struct System: Sendable, Equatable {
        package var identifier: String
        package var timeline: Int64
        package var position: Int64
    }

    /// What the server sent; bytes are valid during the call they are given to.
    package enum Message {
        /// Output of the plugin: the log's position at it, when it was sent (µs since 2000, by the server's clock), and the
        /// message.
        case data(position: Int64, sentAt: Int64, bytes: UnsafeRawBufferPointer)
        /// All up to `end` was sent; `wantsReply`: the server gives up soon if it hears nothing.
        case keepalive(end: Int64, wantsReply: Bool)
    }

    /// `message`: there may be more.
    package enum Outcome { case message, nothing, ended }

    private let session: Session
    package let serverVersion: Int
    /// When the server was asked for a sign of life that hasn't come yet.
    private var askedAt: ContinuousClock.Instant?
    private var heardAt = ContinuousClock.now
    /// As it was told last.
    private var told: (durable: Int64, received: Int64, now_us: Int64) = (0, 0, 0)
    private static let epoch2000_us: Int64 = 946_684_800_000_000

    package init(url: String, interrupter: Interrupter = Interrupter()) throws(PostgresError) {
        var settings = ConnectionSettings(url: url)
        settings.isReplication = true
        settings.serverSettings += ConnectionSettings.patience
        session = try Session(settings, interrupter: interrupter)
        serverVersion = session.serverVersion
    }

    package func close() { session.close() }
    package var isUsable: Bool { session.isUsable }

    // MARK: Commands

    package func identify() throws(PostgresError) -> System {
        let rows = try session.query("IDENTIFY_SYSTEM", for: "identify the server")
        guard rows.count == 1, let identifier = rows.string(0, 0), let position = rows.string(0, 2).flatMap(LSN.parse)
        else {
            throw PostgresError(
                kind: .permanent, message: "the server doesn't say who it is", purpose: "identify the server")
        }
        return System(identifier: identifier, timeline: rows.integer(0, 1) ?? 0, position: position)
    }

    /// Makes a slot that stays. It waits for the transactions that are open now.
    /// - Parameter failover: keep it on standbys too, where the server knows how (from 17 on).
    /// - Returns: where its stream begins.
    package func createSlot(_ name: String, failover: Bool) throws -> Int64 {
        let options =
            serverVersion >= 170000 && failover ? "(SNAPSHOT 'nothing', FAILOVER true)" : "NOEXPORT_SNAPSHOT"
        let rows = try session.query(
            "CREATE_REPLICATION_SLOT \(try quoteIdentifier(name)) LOGICAL pgoutput \(options)",
            for: "make the replication slot \(name)")
        return try position(rows, name)
    }

    /// Exports a snapshot and says at which position it stands: it holds the transactions that committed before it and
    /// no other. It lives until the connection is used again or closed. It waits for the transactions that are open now.
    package func exportSnapshot(_ name: String) throws -> (snapshot: String, position: Int64) {
        let rows = try session.query(
            "CREATE_REPLICATION_SLOT \(try quoteIdentifier(name)) TEMPORARY LOGICAL pgoutput EXPORT_SNAPSHOT",
            for: "export a snapshot")
        guard let snapshot = rows.string(0, 2) else {
            throw PostgresError(kind: .permanent, message: "the server named no snapshot", purpose: "export a snapshot")
        }
        return (snapshot, try position(rows, name))
    }

    private func position(_ rows: Rows, _ name: String) throws(PostgresError) -> Int64 {
        guard rows.count == 1, let position = rows.string(0, 1).flatMap(LSN.parse) else {
            throw PostgresError(
                kind: .permanent, message: "the server gave no position", purpose: "make the replication slot \(name)")
        }
        return position
    }

    /// Where the history of timeline `current` left `timeline`; nil if it never was on it.
    package func end(ofTimeline timeline: Int64, on current: Int64) throws(PostgresError) -> Int64? {
        let rows = try session.query("TIMELINE_HISTORY \(current)", for: "read the timeline's history")
        for line in (rows.string(0, 1) ?? "").split(whereSeparator: \.isNewline) {
            // `1	0/3000110	no recovery target specified`
            let parts = line.split(separator: "\t")
            if parts.count >= 2, Int64(parts[0]) == timeline { return LSN.parse(parts[1]) }
        }
        return nil
    }

    // MARK: Streaming

    /// Starts the stream. Large transactions are kept by the server until they commit, and come whole.
    package func start(slot: String, at position: Int64, publication: String) throws {
        let purpose = "stream the slot \(slot)"
        var options = [
            "proto_version '\(Self.protocolVersion(serverVersion))'",
            "publication_names \(try quoteLiteral(quoteIdentifier(publication)))",
        ]
        if serverVersion >= 140000 { options.append("messages 'true'") }
        let sql = """
            START_REPLICATION SLOT \(try quoteIdentifier(slot)) LOGICAL \(LSN.text(position)) \
            (\(options.joined(separator: ", ")))
            """
        try session.startCopyBoth(sql, for: purpose)
    }

    static func protocolVersion(_ serverVersion: Int) -> Int {
        switch serverVersion {
        case 160000...: 4
        case 150000...: 3
        case 140000...: 2
        default: 1
        }
    }

    /// Gives messages to `body` for as long as there are some and it wants more. Without one it waits: until `wait` has
    /// passed, until the waker is woken or until something comes (which the next call then gives).
    ///
    /// - Parameters:
    ///   - nap: so long the connection is left alone first: the server sends each message as it is made, and whoever
    ///     takes each as it comes wakes up, and is woken by the server, for every single one.
    ///   - body: false: it wants no more for now.
    package func receive(
        waker: Waker, nap: Duration = .zero, wait: Duration, _ body: (Message) throws -> Bool
    ) throws -> Outcome {
        let (outcome, hasCome) = try session.receiveCopyBoth(waker: waker, nap: nap, wait: wait) { bytes in
            guard let message = Self.parse(bytes) else {
                throw PostgresError(
                    kind: .permanent, message: "the server sent something that isn't a replication message",
                    purpose: "read the replication stream")
            }
            return try body(message)
        }
        if hasCome {
            heardAt = .now
            askedAt = nil
        } else {
            try noteSilence()
        }
        return outcome
    }

    /// A sender that has nothing to send is silent, and so is one that is gone: after a quarter of the limit it is asked,
    /// as the server's own receiver does, and without a word for the rest of it the connection counts as lost. Time in
    /// which nobody read counts for nothing, as then the answer waits in the socket.
    private func noteSilence() throws {
        guard let limit = session.pulse?.limit else { return }
        let now = ContinuousClock.now
        if let askedAt {
            guard now - askedAt > limit * 3 / 4 else { return }
            session.close()
            throw PostgresError(
                kind: .passing, sqlstate: "08006", severity: "FATAL",
                message: "the server hasn't answered for \(limit.components.seconds) s",
                purpose: "read the replication stream", remedy: "see to the network between here and the server",
                isConnectionLost: true)
        } else if now - heardAt > limit / 4 {
            askedAt = now
            try confirm(durable: told.durable, received: told.received, now_us: told.now_us, wantsReply: true)
        }
    }

    private static func parse(_ bytes: UnsafeRawBufferPointer) -> Message? {
        guard let kind = bytes.first else { return nil }
        func integer(_ at: Int) -> Int64 {
            Int64(bigEndian: bytes.loadUnaligned(fromByteOffset: at, as: Int64.self))
        }
        switch kind {
        case UInt8(ascii: "w") where bytes.count >= 25:
            return .data(
                position: integer(1), sentAt: integer(17), bytes: UnsafeRawBufferPointer(rebasing: bytes[25...]))
        case UInt8(ascii: "k") where bytes.count >= 18:
            return .keepalive(end: integer(1), wantsReply: bytes[17] != 0)
        default: return nil
        }
    }

    /// Tells the server that all before `durable` needn't be kept for us.
    package func confirm(durable: Int64, received: Int64, now_us: Int64, wantsReply: Bool = false) throws {
        told = (durable, received, now_us)
        var bytes = [UInt8]()
        bytes.reserveCapacity(34)
        func append(_ value: Int64) { withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) } }
        bytes.append(UInt8(ascii: "r"))
        append(max(received, durable))
        append(durable)
        append(durable)
        append(now_us - Self.epoch2000_us)
        bytes.append(wantsReply ? 1 : 0)
        try bytes.withUnsafeBytes { try session.sendCopyBoth($0) }
    }
}

extension Session {
    /// Sends a replication command whose answer is a stream both ways.
    func startCopyBoth(_ sql: String, for purpose: String) throws(PostgresError) {
        try operation(purpose) { handle throws(PostgresError) in
            try rejectNUL(sql, purpose)
            try sent(PQsendQuery(handle, sql), handle, purpose)
            guard let result = try nextResult(handle, purpose) else {
                throw PostgresError(kind: .permanent, message: "the server gave no answer", purpose: purpose)
            }
            defer { PQclear(result) }
            guard PQresultStatus(result) == PGRES_COPY_BOTH else {
                let failure = failure(of: result, handle, purpose)
                _ = try? allResults(handle, purpose)
                throw failure
            }
        }
    }

    func receiveCopyBoth(
        waker: Waker, nap: Duration, wait: Duration, _ body: (UnsafeRawBufferPointer) throws -> Bool
    ) throws -> (outcome: ReplicationStream.Outcome, hasCome: Bool) {
        let purpose = "read the replication stream"
        return try copyOperation(purpose) { handle in
            var (hasCome, hasLooked, hasNapped) = (false, false, false)
            while true {
                var row: UnsafeMutablePointer<CChar>?
                let length = PQgetCopyData(handle, &row, 1)
                switch length {
                case 1...:
                    defer { PQfreemem(row) }
                    (hasCome, hasLooked) = (true, false)
                    guard try body(UnsafeRawBufferPointer(start: row, count: Int(length))) else {
                        return (.message, true)
                    }
                case 0:
                    // What has come already is taken before anything is waited for.
                    if !hasLooked {
                        hasLooked = true
                        guard PQconsumeInput(handle) == 1 else { throw lost(handle, purpose) }
                        continue
                    }
                    if nap > .zero, !hasNapped {
                        (hasNapped, hasLooked) = (true, false)
                        usleep(UInt32(nap / .microseconds(1)))
                        continue
                    }
                    guard wait > .zero, !hasCome else { return (.nothing, hasCome) }
                    var descriptors = [
                        pollfd(fd: PQsocket(handle), events: Int16(POLLIN), revents: 0),
                        pollfd(fd: waker.descriptor, events: Int16(POLLIN), revents: 0),
                    ]
                    let ready = poll(&descriptors, 2, Waker.milliseconds(wait))
                    if ready > 0, descriptors[1].revents != 0 { waker.drain() }
                    // Half of a large message is a sign of life, too.
                    return (.nothing, ready > 0 && descriptors[0].revents != 0)
                case -1:
                    // The server ended the stream: shutting down, or with an error that says why.
                    _ = try allResults(handle, purpose)
                    return (.ended, true)
                default:
                    throw lost(handle, purpose)
                }
            }
        }
    }

    func sendCopyBoth(_ bytes: UnsafeRawBufferPointer) throws(PostgresError) {
        let purpose = "tell the server what is durable"
        try operation(purpose) { handle throws(PostgresError) in
            guard let base = bytes.assumingMemoryBound(to: CChar.self).baseAddress else { return }
            switch PQputCopyData(handle, base, Int32(bytes.count)) {
            case 1: break
            // No room: the server doesn't read. The next one says the same and more.
            case 0: return
            default: throw lost(handle, purpose)
            }
            if PQflush(handle) < 0 { throw lost(handle, purpose) }
        }
    }
}
