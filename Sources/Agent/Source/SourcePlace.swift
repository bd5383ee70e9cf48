import Postgres
import Replication

/// Whether a Postgres source can be read on from a checkpoint: what a start refuses, and `check` tells beforehand.
struct SourcePlace: Sendable {
    /// Why it can't.
    struct Loss: Sendable, Equatable {
        var reason: String
        /// Positions are of this server still, so that whoever accepts a gap can go on behind it.
        var mayGoOn = true
    }

    var slot: String
    /// The source, as it says of itself.
    var system: ReplicationStream.System
    /// Where it left the checkpoint's timeline, if it is on a later one and knows.
    var fork: Int64?
    /// Nil: there is no such slot.
    var found: SourceServer.Slot?

    /// Asks the server.
    init(_ claim: Checkpoint, slot: String, stream: ReplicationStream, found: SourceServer.Slot?) throws(PostgresError)
    {
        let system = try stream.identify()
        self.init(slot: slot, system: system, fork: nil, found: found)
        if let state = Self.state(claim), system.timeline > state.timeline {
            fork = try stream.end(ofTimeline: state.timeline, on: system.timeline)
        }
    }

    init(slot: String, system: ReplicationStream.System, fork: Int64?, found: SourceServer.Slot?) {
        self.slot = slot
        self.system = system
        self.fork = fork
        self.found = found
    }

    private static func state(_ claim: Checkpoint) -> PostgresSourceState? {
        claim.decoderState.flatMap(PostgresSourceState.init(json:))
    }

    /// Nil: all that came since the checkpoint is there.
    func loss(since claim: Checkpoint) -> Loss? {
        guard let position = claim.position else {
            // Lower positions than those of the rows that are there would lose against them.
            guard let newest = claim.marks.values.map(\.commit).max(), newest > system.position else { return nil }
            return Loss(
                reason: """
                    the source's log stands at \(LSN.text(system.position)), and the warehouse holds changes up to \
                    \(LSN.text(newest)): they are of another server, or of a state that was undone
                    """, mayGoOn: false)
        }
        return otherSource(claim, position) ?? lostSlot(position)
    }

    private func otherSource(_ claim: Checkpoint, _ position: Int64) -> Loss? {
        if let state = Self.state(claim) {
            if state.system != system.identifier {
                return Loss(
                    reason: """
                        the source is another server: its system identifier is \(system.identifier), the checkpoint was made \
                        on \(state.system)
                        """, mayGoOn: false)
            }
            if system.timeline != state.timeline {
                guard system.timeline > state.timeline, let fork, fork >= position else {
                    return Loss(
                        reason: """
                            the source is on timeline \(system.timeline), which left timeline \(state.timeline) at \
                            \(fork.map(LSN.text) ?? "an unknown position"), before the checkpoint \(LSN.text(position)): \
                            what was read behind that isn't in it
                            """, mayGoOn: false)
                }
            }
        }
        guard system.position < position else { return nil }
        return Loss(
            reason:
                "the source's log ends at \(LSN.text(system.position)), before the checkpoint \(LSN.text(position))",
            mayGoOn: false)
    }

    private func lostSlot(_ position: Int64) -> Loss? {
        guard let found else {
            return Loss(reason: "the replication slot \(slot) is gone: changes since \(LSN.text(position)) may be lost")
        }
        if found.walStatus == "lost" || found.invalidation != nil {
            let why = found.invalidation.map { " (\($0))" } ?? ""
            return Loss(
                reason: "the replication slot \(slot) was invalidated\(why): the source no longer has its log")
        }
        if let confirmed = found.confirmed, confirmed > position {
            return Loss(
                reason: """
                    the replication slot \(slot) stands at \(LSN.text(confirmed)), behind the checkpoint \
                    \(LSN.text(position)): somebody else read what lies between, or the warehouse was restored
                    """)
        }
        return nil
    }
}

extension SourcePlace.Loss {
    /// The ways out.
    func remedy(isBackfill: Bool = false) -> String {
        let anew = "`millrace drop --tables`, then `millrace run`"
        if isBackfill { return "copy anew: `millrace backfill --restart`" }
        guard mayGoOn else { return "copy everything anew: \(anew)" }
        // A copy in place: readers see no empty table, and rows that went in the gap are marked.
        return """
            go on from the source's present position, `millrace checkpoint set --to-lsn latest`, then `millrace run`, and \
            close the gap beside it: `millrace resync --all`. Or copy everything anew: \(anew)
            """
    }
}
