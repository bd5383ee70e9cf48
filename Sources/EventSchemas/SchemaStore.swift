import Synchronization

/// The schemas at hand: what fetches them puts them in, what decodes takes them out. Bounded; whoever fills it calls
/// `makeRoom` before a batch.
package final class SchemaStore: Sendable {
    package enum Entry: Sendable, Equatable {
        case schema(RegisteredSchema)
        /// There is none, or none that can be read: why.
        case refused(String)
    }

    package static let schemas_max = 4096
    package static let bytes_max = 64 << 20

    private struct State {
        var entries: [UInt32: Entry] = [:]
        var bytes = 0
    }

    private let state = Mutex(State())
    /// Records in another format go to quarantine.
    package let expected: SchemaFormat?
    /// A value that isn't framed goes to quarantine.
    package let isRequired: Bool

    /// - Parameter expected: the format that the pipeline file names.
    package init(expected: SchemaFormat? = nil) {
        self.expected = expected
        isRequired = expected != nil
    }

    package subscript(id: UInt32) -> Entry? { state.withLock { $0.entries[id] } }

    package func put(_ entry: Entry, for id: UInt32) {
        state.withLock { state in
            state.bytes += Self.bytes(of: entry) - (state.entries[id].map(Self.bytes) ?? 0)
            state.entries[id] = entry
        }
    }

    /// Lets go of what isn't wanted where the store is full. Returns which of the wanted can't be held.
    package func makeRoom(for wanted: Set<UInt32>) -> Set<UInt32> {
        state.withLock { state in
            let new = wanted.count { state.entries[$0] == nil }
            guard state.entries.count + new > Self.schemas_max || state.bytes > Self.bytes_max else { return [] }
            state.entries = state.entries.filter { wanted.contains($0.key) }
            state.bytes = state.entries.reduce(0) { $0 + Self.bytes(of: $1.value) }
            guard wanted.count > Self.schemas_max else { return [] }
            return Set(wanted.sorted().dropFirst(Self.schemas_max))
        }
    }

    private static func bytes(of entry: Entry) -> Int {
        switch entry {
        case .schema(let schema): schema.bytes + 256
        case .refused(let reason): reason.utf8.count + 64
        }
    }
}
