import Replication

/// What the flattened events of a table showed so far: for those who look before they leap.
package struct FlattenedTraits: Sendable, Equatable {
    package internal(set) var topics: Set<String> = []
    /// Rows, deletes among them.
    package internal(set) var rows = 0
    package internal(set) var rowsWithoutPlace = 0
    package internal(set) var rowsWithoutOperation = 0
    /// Tombstones that stand for a delete.
    package internal(set) var tombstones = 0
    package internal(set) var tombstonesWithoutPlace = 0
    /// `__deleted`, which only the modes have that keep deletes.
    package internal(set) var hasDeletedField = false
    package internal(set) var deletes = 0
    /// Halves of key changes.
    package internal(set) var newKeys = 0
    package internal(set) var oldKeys = 0
}

extension DebeziumDecoder {
    /// Tables of which flattened events were decoded.
    package var flattenedTables: [TableID: FlattenedTraits] {
        tables.compactMapValues(\.flattened)
    }

    func note(
        _ record: RecordBatch.Record, of state: TableState, isDelete: Bool, showsPlace: Bool, isOperationTold: Bool
    ) {
        var traits = state.flattened ?? FlattenedTraits()
        let topic = topic(of: record)
        if !traits.topics.contains(topic) { traits.topics.insert(topic) }
        traits.rows += 1
        if !showsPlace { traits.rowsWithoutPlace += 1 }
        if !isOperationTold { traits.rowsWithoutOperation += 1 }
        if origin.isDeleted != nil { traits.hasDeletedField = true }
        if isDelete { traits.deletes += 1 }
        if header("__debezium.oldkey", of: record) != nil { traits.newKeys += 1 }
        if header("__debezium.newkey", of: record) != nil { traits.oldKeys += 1 }
        state.flattened = traits
    }

    func noteTombstone(_ record: RecordBatch.Record, of state: TableState, showsPlace: Bool) {
        var traits = state.flattened ?? FlattenedTraits()
        traits.topics.insert(topic(of: record))
        traits.tombstones += 1
        traits.deletes += 1
        if !showsPlace { traits.tombstonesWithoutPlace += 1 }
        if header("__debezium.newkey", of: record) != nil { traits.oldKeys += 1 }
        state.flattened = traits
    }
}
