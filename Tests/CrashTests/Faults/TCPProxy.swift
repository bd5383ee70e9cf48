import Foundation
import ReplicationTestKit
import Synchronization

/// Stands in front of a server and does to its connections what networks do. Each has two threads that copy bytes; what
/// happens to them can be changed at any time.
final class TCPProxy: Sendable {
    enum Mode: Sendable, Equatable {
        case pass
        /// Each connection is cut after a number of bytes up to this, every other one without a word (RST).
        case cut(bytes_max: Int)
        /// Each is cut after so many bytes, of both ways together.
        case cutAfter(bytes: Int)
        /// Every piece takes so long.
        case delay(ms: Int)
        /// The server's side is closed after a number of bytes up to this, the client's goes on to be read.
        case halfClose(bytes_max: Int)
        /// What is sent is taken and goes nowhere; who connects is accepted and never answered.
        case blackHole
    }

    private struct State {
        var mode = Mode.pass
        var random: SeededRandom
        var isClosed = false
        /// Connections made before this one stay in a black hole for ever.
        var lostBefore = 0
        var count = 0
        var counts = Counts()
    }

    struct Counts: Sendable {
        var connections = 0, cuts = 0, halfCloses = 0, swallowed = 0
    }

    let port: Int
    private let server: Int
    private let listener: Int32
    private let state: Mutex<State>

    /// In front of a port of this machine.
    init(_ server: Int, seed: UInt64) throws {
        self.server = server
        state = Mutex(State(random: SeededRandom(seed: seed)))
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = Self.loopback(0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, length) == 0 && getsockname(listener, $0, &length) == 0
            }
        }
        guard isBound, listen(listener, 64) == 0 else { throw POSIXError(.EADDRINUSE) }
        self.listener = listener
        port = Int(UInt16(bigEndian: address.sin_port))
        Thread.detachNewThread { [self] in accept() }
    }

    var counts: Counts { state.withLock(\.counts) }

    func set(_ mode: Mode) { state.withLock { $0.mode = mode } }

    /// All that is connected now is never heard of again, nor told so; new connections are what `mode` says.
    func loseConnections() { state.withLock { $0.lostBefore = $0.count } }

    func close() {
        state.withLock { $0.isClosed = true }
        shutdown(listener, Int32(SHUT_RDWR))
        Foundation.close(listener)
    }

    private static func loopback(_ port: Int) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return address
    }

    private func accept() {
        while true {
            let client = Foundation.accept(listener, nil, nil)
            if state.withLock(\.isClosed) { return }
            guard client >= 0 else { continue }
            let upstream = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            var address = Self.loopback(server)
            let isConnected = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(upstream, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
                }
            }
            guard isConnected else {
                Foundation.close(client)
                Foundation.close(upstream)
                continue
            }
            let connection = state.withLock { state in
                state.count += 1
                state.counts.connections += 1
                return Connection(number: state.count, client: client, server: upstream)
            }
            for isUp in [true, false] {
                Thread.detachNewThread { [self] in pump(connection, isUp: isUp) }
            }
        }
    }

    private final class Connection: Sendable {
        let number: Int
        let client: Int32
        let server: Int32
        let left = Mutex<(bytes: Int?, mode: Mode, users: Int)>((nil, .pass, 2))

        init(number: Int, client: Int32, server: Int32) {
            self.number = number
            self.client = client
            self.server = server
        }

        func end(abruptly: Bool) {
            if abruptly {
                var option = linger(l_onoff: 1, l_linger: 0)
                setsockopt(client, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
            }
            shutdown(client, Int32(SHUT_RDWR))
            shutdown(server, Int32(SHUT_RDWR))
        }

        /// The last of the two threads closes.
        func leave() {
            let isLast = left.withLock { left in
                left.users -= 1
                return left.users == 0
            }
            guard isLast else { return }
            Foundation.close(client)
            Foundation.close(server)
        }
    }

    private func pump(_ connection: Connection, isUp: Bool) {
        let (from, to) = isUp ? (connection.client, connection.server) : (connection.server, connection.client)
        var buffer = [UInt8](repeating: 0, count: 16 << 10)
        defer { connection.leave() }
        while true {
            let count = recv(from, &buffer, buffer.count, 0)
            let (mode, isLost) = state.withLock { ($0.mode, connection.number <= $0.lostBefore) }
            if isLost || mode == .blackHole {
                // Nor does anybody hear that one side has gone.
                guard count > 0 else { return }
                state.withLock { $0.counts.swallowed += count }
                continue
            }
            guard count > 0 else {
                shutdown(to, Int32(SHUT_WR))
                return
            }
            if case .delay(let ms) = mode { usleep(UInt32(ms) * 1000) }
            guard let allowed = allowance(connection, mode, count) else {
                send(buffer, count, to)
                continue
            }
            send(buffer, allowed, to)
            if case .halfClose = mode {
                shutdown(connection.client, Int32(SHUT_WR))
                shutdown(connection.server, Int32(SHUT_WR))
                state.withLock { $0.counts.halfCloses += 1 }
            } else {
                let abruptly = state.withLock { state in
                    state.counts.cuts += 1
                    return state.counts.cuts % 2 == 0
                }
                connection.end(abruptly: abruptly)
                return
            }
        }
    }

    /// Nil: all of it; else what still goes through of `count` bytes.
    private func allowance(_ connection: Connection, _ mode: Mode, _ count: Int) -> Int? {
        let drawn: Int
        switch mode {
        case .cut(let bytes_max), .halfClose(let bytes_max): drawn = state.withLock { $0.random.below(bytes_max) }
        case .cutAfter(let bytes): drawn = bytes
        default: return nil
        }
        return connection.left.withLock { left in
            if left.mode != mode { left.bytes = nil }
            left.mode = mode
            let bytes = left.bytes ?? drawn
            left.bytes = bytes - count
            return bytes > count ? nil : max(bytes, 0)
        }
    }

    private func send(_ buffer: [UInt8], _ count: Int, _ to: Int32) {
        buffer.withUnsafeBytes { bytes in
            var left = UnsafeRawBufferPointer(rebasing: bytes[..<count])
            while !left.isEmpty {
                let sent = Foundation.send(to, left.baseAddress, left.count, Int32(MSG_NOSIGNAL))
                guard sent > 0 else { return }
                left = UnsafeRawBufferPointer(rebasing: left[sent...])
            }
        }
    }
}
