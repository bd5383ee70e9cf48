/// What is left of a row whose values were erased: enough to know its events when they come again.
package struct Erasure: Sendable, Hashable {
    package var table: TableID
    /// See `KeyNames`.
    package var keyHash: String
    /// The newest version among what was erased; `.none` where nothing had one.
    package var version: Version
    /// By the agent's clock, µs since 1970. What the source wrote until then is of the row that was erased.
    package var erasedAt_us: Int64
    /// The oldest change since that gives the key a row again; nil: there was none.
    package var revivedBy: Version?

    package init(table: TableID, keyHash: String, version: Version, erasedAt_us: Int64, revivedBy: Version? = nil) {
        self.table = table
        self.keyHash = keyHash
        self.version = version
        self.erasedAt_us = erasedAt_us
        self.revivedBy = revivedBy
    }

    /// What raw shows as the key of the row's events, as JSON.
    package static func rawKey(_ keyHash: String) -> String { "\"\(rawKeyStart)\(keyHash)\"" }
    /// Keys that tell a row are JSON objects.
    package static let rawKeyStart = "erased:"

    /// Whether what an event says of the key is of the row that was erased, and so must not bring it back. Events come in
    /// the order of versions.
    ///
    /// - Parameter endsRow: it deletes the key's row or moves it away, and so shows once more what was there.
    func hides(_ event: ChangeEvent, endsRow: Bool) -> Bool {
        if event.version <= version { return true }
        if event.sourceTime_us != .min, event.sourceTime_us <= erasedAt_us { return true }
        return endsRow && event.version < revivedBy ?? .all
    }
}

extension Version {
    /// Newer than every version.
    static let all = Version(epoch: .max, commit: .max, seq: .max)
}
