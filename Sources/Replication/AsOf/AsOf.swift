/// A moment of the source at which tables are looked at.
package enum AsOf: Sendable, Equatable {
    /// Of a Postgres server's log: what was committed before it.
    case position(Int64)
    /// What was committed at that time or before by the source's clock, µs since 1970.
    case time(Int64)

    /// Of two moments of one kind: this one is later.
    package func isBehind(_ other: AsOf) -> Bool {
        switch (self, other) {
        case (.position(let own), .position(let other)), (.time(let own), .time(let other)): own > other
        default: true
        }
    }
}

/// What the warehouse knows of a table's past.
package struct TablePast: Sendable, Equatable {
    /// The newest snapshot from which rows were copied, and when the last of them were durable (µs since 1970).
    package var snapshot: Int64?
    package var copiedAt_us: Int64?
    package var isBeingCopied = false
    /// `TableState.rawFrom_us`.
    package var rawFrom_us: Int64?

    package init(
        snapshot: Int64? = nil, copiedAt_us: Int64? = nil, isBeingCopied: Bool = false, rawFrom_us: Int64? = nil
    ) {
        self.snapshot = snapshot
        self.copiedAt_us = copiedAt_us
        self.isBeingCopied = isBeingCopied
        self.rawFrom_us = rawFrom_us
    }
}

/// Why a table can't be shown as it was: each is exit 2, since another moment, table or pipeline file is what helps.
package struct AsOfRefusal: Sendable {
    package let layout: WarehouseLayout
    /// How a position and a time of the source are written.
    package let text: @Sendable (AsOf) -> String

    package init(_ layout: WarehouseLayout, text: @escaping @Sendable (AsOf) -> String) {
        self.layout = layout
        self.text = text
    }

    /// - Parameter isDirect: the source is the Postgres server itself, whose copies are marked.
    /// - Returns: whether raw has to be asked if it knows all keys' states of then (`unknown`).
    package func check(_ table: TableDefinition, _ past: TablePast, at moment: AsOf, isDirect: Bool) throws -> Bool {
        guard !table.isFiltered else {
            throw refusal(
                "the table has a where, which raw's events don't know of", "select … from \(history(table))", table)
        }
        guard past.rawFrom_us == nil else {
            throw refusal(
                "its raw was trimmed (layers.raw_retention), so not all rows of then are known",
                "layers.raw_retention: forever, for a table that shall be looked at as of any moment", table)
        }
        guard isDirect else { return true }
        guard !past.isBeingCopied else {
            throw refusal("the table is being copied", "millrace status, then again when it streams", table)
        }
        guard let snapshot = past.snapshot else { return true }
        switch moment {
        case .position(let position) where position < snapshot:
            throw tooEarly(table, .position(snapshot))
        case .time(let time_us):
            guard let copiedAt_us = past.copiedAt_us, time_us < copiedAt_us else { break }
            throw tooEarly(table, .time(copiedAt_us))
        default: break
        }
        return false
    }

    /// Raw has keys whose state of then it doesn't know.
    package func unknown(_ table: TableDefinition) -> ReplicationError {
        refusal(
            "rows were there before the first that the warehouse knows of them is from later",
            "a later moment, or select … from \(history(table))", table)
    }

    /// Of several rows that had one key inside of a transaction, the order of events doesn't tell which was left.
    package func undecided(_ table: TableDefinition) -> ReplicationError {
        refusal(
            "rows shared a key inside of a transaction (its key is deferrable), in an order that raw's events don't tell",
            "a moment before that transaction, or the table as it is: \(layout.live).\(table.target)", table)
    }

    private func tooEarly(_ table: TableDefinition, _ first: AsOf) -> ReplicationError {
        refusal(
            "its rows were copied as of \(text(first)), and what was before isn't known", "--as-of '\(text(first))'",
            table)
    }

    private func history(_ table: TableDefinition) -> String { "\(layout.history).\(table.target)" }

    private func refusal(_ why: String, _ remedy: String, _ table: TableDefinition) -> ReplicationError {
        ReplicationError(
            .configuration, "\(table.source) can't be shown as of then: \(why)", remedy: remedy, table: table.source)
    }
}
