import EventSchemas
import Replication

/// Where schemas come from: a registry, or a file with what one held.
protocol SchemaProvider: Sendable {
    /// The schema of this id with what it refers to, or why there is none.
    ///
    /// - Throws: `ReplicationError`, where nobody could be asked: `.passing` where that passes by itself.
    func schema(_ id: UInt32) async throws -> SchemaStore.Entry

    /// What `check` says where it can be asked: one line.
    func look() async throws -> String
}

/// Sees to it that the schemas which records name are at hand before they are decoded.
package actor SchemaResolver {
    package nonisolated let store: SchemaStore
    nonisolated let provider: any SchemaProvider
    /// Ids that nobody knew, and until when that is believed: a schema may come late.
    private var refusals: [UInt32: ContinuousClock.Instant] = [:]
    private let refusal_max: Duration

    init(_ provider: any SchemaProvider, store: SchemaStore, refusal_max: Duration = .seconds(30)) {
        self.provider = provider
        self.store = store
        self.refusal_max = refusal_max
    }

    /// Fetches what isn't known yet. Records whose schema nobody has are for the decoder to put aside.
    ///
    /// - Throws: `ReplicationError`, where a schema can be neither had nor known to be missing.
    package func prepare(_ records: RecordBatch) async throws {
        let ids = WireFormat.ids(in: records)
        guard !ids.isEmpty else { return }
        let excess = store.makeRoom(for: ids)
        if refusals.count > SchemaStore.schemas_max { refusals.removeAll() }
        for id in ids.subtracting(excess).sorted() where isWanted(id) {
            let entry = try await provider.schema(id)
            store.put(entry, for: id)
            if case .refused = entry { refusals[id] = .now + refusal_max } else { refusals[id] = nil }
        }
    }

    private func isWanted(_ id: UInt32) -> Bool {
        switch store[id] {
        case nil: true
        case .schema?: false
        case .refused?: refusals[id].map { $0 < .now } ?? true
        }
    }
}
