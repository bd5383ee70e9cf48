import Synchronization

/// Whether a batch may wait for more records (`RecordSource.gather`).
final class Gathering: Sendable {
    private let wanted = Atomic<Bool>(false)

    func set(_ isWanted: Bool) { wanted.store(isWanted, ordering: .releasing) }
    func isWanted() -> Bool { wanted.load(ordering: .acquiring) }
}
