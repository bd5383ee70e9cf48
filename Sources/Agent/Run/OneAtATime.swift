import Synchronization

/// What isn't begun again while it is under way.
final class OneAtATime: Sendable {
    private let isBusy = Atomic<Bool>(false)

    /// False: it is.
    func begin() -> Bool { !isBusy.exchange(true, ordering: .acquiringAndReleasing) }
    func end() { isBusy.store(false, ordering: .releasing) }
}
