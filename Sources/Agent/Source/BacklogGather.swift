/// How long a batch of the stream gathers where it begins with what was committed a while ago. Pure.
///
/// Each batch has its cost, however little is in it. Who follows closely writes what there is at once; who is behind, as
/// behind a stop, is through sooner with fewer batches, and the first of them comes a moment later.
struct BacklogGather {
    /// From the first old transaction on.
    static let longest = Duration.milliseconds(50)
    /// Committed so long before it was sent.
    static let old_us: Int64 = 1_000_000

    private var end: ContinuousClock.Instant?

    /// - Parameters:
    ///   - begin: pgoutput's message of that name, with the time of the commit.
    ///   - sentAt: µs since 2000, by the clock of the server that sends: of the one that committed, or of a standby. One
    ///     that is more than a second late or ahead has each batch gather.
    mutating func note(
        begin: UnsafeRawBufferPointer, sentAt: Int64, at now: @autoclosure () -> ContinuousClock.Instant
    ) {
        guard end == nil, begin.count >= 17 else { return }
        let committedAt = Int64(bigEndian: begin.loadUnaligned(fromByteOffset: 9, as: Int64.self))
        if sentAt &- committedAt > Self.old_us { end = now() + Self.longest }
    }

    /// Zero where nothing is waited for.
    func left(at now: @autoclosure () -> ContinuousClock.Instant) -> Duration {
        guard let end else { return .zero }
        return max(end - now(), .zero)
    }
}
