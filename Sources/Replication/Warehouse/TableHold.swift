import JSON

/// Why current of a table stands still while its raw goes on: what comes is deferred, and applied when it is released.
package struct TableHold: Sendable, Equatable {
    /// A table may be held for several reasons at a time, once each.
    package enum Kind: String, Sendable, CaseIterable {
        /// By a person.
        case paused
        /// By the suspicion that the source was restored from a backup: its new events would all be too old.
        case restored
        /// By the agent, since the table can't be written: its columns were changed by somebody, its rows are refused in
        /// masses, somebody holds a lock on it. Tried again by itself.
        case failing
        /// Until a person decides on a change of its schema: its events want another table than there is.
        case schema
        /// By a rule that its rows fail. Ended by a person alone, once the rule or the data is mended.
        case quality

        /// Nothing is wrong: somebody wants it so.
        package var isWanted: Bool { self == .paused }
    }

    package var table: TableID
    package var kind: Kind
    package var reason: String
    /// µs since 1970.
    package var since_us: Int64
    /// Of a suspicion: since when the source seems to be another, µs since 1970 by its own clock.
    package var from_us: Int64?
    /// Of a suspicion: the epoch that was begun for it. What is left is to release the table.
    package var epoch: Int64?

    /// Beside the kinds of holds in `_millrace.holds`, of no table: events older than what is there are expected, for
    /// this long.
    package static let redelivery = "redelivery"
    package static let redelivery_us: Int64 = 86_400_000_000

    package var remedy: String {
        switch kind {
        case .paused: "millrace resume \(table)"
        case .restored:
            """
            millrace release --as new-epoch if the source was restored from a backup or replaced, else \
            millrace release --as redelivery
            """
        case .schema: "millrace schema list; millrace schema approve ID, or rollback ID"
        case .quality:
            """
            mend the rule (then: millrace reload) or the data, then: millrace release \(table); \
            or put the rows aside: millrace release \(table) --quarantine-failing
            """
        case .failing:
            "mend what the reason names; it is tried again each minute, and at once by: millrace release \(table)"
        }
    }

    package init(
        table: TableID, kind: Kind, reason: String, since_us: Int64, from_us: Int64? = nil, epoch: Int64? = nil
    ) {
        self.table = table
        self.kind = kind
        self.reason = reason
        self.since_us = since_us
        self.from_us = from_us
        self.epoch = epoch
    }
}

/// An event that raw has and current hasn't.
package struct DeferredEvent: Sendable {
    package var event: RawEvent
    package var partition: TopicPartition
    package var offset: Int64
    /// Nil: they aren't stored.
    package var flags: ChangeEvent.Flags?
    /// The source checks the table's key at each change (`ChangeBatch.immediateKeys`).
    package var hasImmediateKey: Bool
    /// See `jsonNulls(of:)`.
    package var jsonNulls: String?

    package init(
        event: RawEvent, partition: TopicPartition, offset: Int64, flags: ChangeEvent.Flags?, hasImmediateKey: Bool,
        jsonNulls: String? = nil
    ) {
        self.event = event
        self.partition = partition
        self.offset = offset
        self.flags = flags
        self.hasImmediateKey = hasImmediateKey
        self.jsonNulls = jsonNulls
    }

    /// Columns whose value is the JSON `null` and not NULL, which raw shows alike: `[[before…],[after…]]`, names. Nil:
    /// there are none.
    package static func jsonNulls(
        of event: ChangeEvent, _ columns: [(index: Int, name: String)], in batch: ChangeBatch
    ) -> String? {
        func names(_ image: Int32) -> [JSONValue] {
            guard image >= 0 else { return [] }
            return columns.compactMap { column in
                let field = batch.field(image, column.index, width: event.width)
                // A direct source's values are texts.
                guard field.kind == .json || field.kind == .text, isNull(batch.bytes(field)) else { return nil }
                return .string(column.name)
            }
        }
        guard !columns.isEmpty else { return nil }
        let (before, after) = (names(event.before), names(event.after))
        return before.isEmpty && after.isEmpty ? nil : JSONValue.array([.array(before), .array(after)]).serialized
    }

    private static func isNull(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var rest = Slice(base: bytes, bounds: bytes.indices)
        func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 }
        while let first = rest.first, isSpace(first) { rest.removeFirst() }
        while let last = rest.last, isSpace(last) { rest.removeLast() }
        return rest.elementsEqual("null".utf8)
    }

    /// Columns that can hold it.
    package static func jsonColumns(_ table: TableDefinition) -> [(index: Int, name: String)] {
        table.columns.enumerated().compactMap { index, column in
            switch column.type {
            case .json, .jsonb, .unknown: (index, column.nameInRaw)
            default: nil
            }
        }
    }

    /// Names as raw has them.
    func jsonNulls(isAfter: Bool) -> Set<String> {
        guard let jsonNulls, let lists = (try? JSONValue(parsing: jsonNulls))?.array, lists.count == 2 else {
            return []
        }
        return Set(lists[isAfter ? 1 : 0].array?.compactMap(\.string) ?? [])
    }

    /// Raw hasn't got what it is said to have: to go on would lose it.
    package static func missing(_ table: TableID) -> ReplicationError {
        ReplicationError(
            .permanent, "\(table): raw lacks an event that was deferred, so the table can't be released",
            remedy: "restore the warehouse's raw layer from a backup", table: table)
    }

    private static let immediate: Int16 = 256

    /// How flags and key are stored beside the event's name.
    package static func marks(of event: ChangeEvent, hasImmediateKey: Bool) -> Int16 {
        Int16(event.flags.rawValue) | (hasImmediateKey ? immediate : 0)
    }

    package static func read(marks: Int16) -> (flags: ChangeEvent.Flags, hasImmediateKey: Bool) {
        (ChangeEvent.Flags(rawValue: UInt8(truncatingIfNeeded: marks & 255)), marks & immediate != 0)
    }

    /// Raw's `position`: `topic:partition:offset`.
    package static func place(_ text: String) -> (partition: TopicPartition, offset: Int64)? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count >= 3, let offset = Int64(parts[parts.count - 1]), let number = Int32(parts[parts.count - 2])
        else { return nil }
        let topic = parts.dropLast(2).joined(separator: ":")
        return (TopicPartition(topic: topic, partition: number), offset)
    }
}

/// How a step of a release is taken.
package struct ReleaseOptions: Sendable {
    /// Events at most, in one transaction.
    package var limit: Int
    /// The table's `where`, for events of which it isn't stored what it said.
    package var filter: (any RowFilter)?
    /// Columns of the source that the table doesn't have on purpose.
    package var excluded: Set<String> = []
    /// However many rows are refused, or not as expected, they are put aside.
    package var quarantinesAll = false
    /// What is expected of the table's rows.
    package var gate: @Sendable (TableDefinition) -> TableGate? = { _ in nil }
    /// How long another's lock is waited for, where the engine has such; nil: as long as by any batch.
    package var lockWait_ms: Int?

    package init(limit: Int = BatchApplier.release_max, filter: (any RowFilter)? = nil) {
        self.limit = limit
        self.filter = filter
    }
}

/// What one step of a release did.
package struct ReleaseStep: Sendable {
    package var outcome: BatchApplier.Outcome
    /// Events taken from what was deferred.
    package var count: Int
    /// What they took in memory, about.
    package var bytes = 0
    /// The hold is gone, and with the last hold everything that was deferred.
    package var isDone: Bool
    /// Why the table is held now, where rows that were to be released aren't as expected.
    package var closed: String?

    package init(outcome: BatchApplier.Outcome, count: Int, isDone: Bool) {
        self.outcome = outcome
        self.count = count
        self.isDone = isDone
    }
}
