package import Replication

/// A generated history of one keyed table `(id bigint, n bigint, note text)` at a model source, whose `note` is sent
/// as unchanged when it didn't change (as TOAST is), with the rows the source has at its end.
package struct ModelHistory: Sendable {
    package static let table = TableID(schema: "public", table: "model")
    package static let definition = TableDefinition(
        source: table, target: "model",
        columns: [
            Column(name: "id", type: .bigint, isKey: true, nullable: false), Column(name: "n", type: .bigint),
            Column(name: "note", type: .text),
        ], key: [0])

    package private(set) var events: [EventSpec] = []
    /// Live rows: id → (n, note).
    package private(set) var rows: [Int64: (n: Int64, note: String?)] = [:]

    package struct Shape: Sendable {
        package var keys = 6
        package var steps = 30
        package var truncates = true
        package var moves = true
        package var toast = true
        /// The key is checked at commit, and before-images are whole: several rows may have one key inside of a
        /// transaction.
        package var deferrable = false
        package init(
            keys: Int = 6, steps: Int = 30, truncates: Bool = true, moves: Bool = true, toast: Bool = true,
            deferrable: Bool = false
        ) {
            self.keys = keys
            self.steps = steps
            self.truncates = truncates
            self.moves = moves
            self.toast = toast
            self.deferrable = deferrable
        }
    }

    package init(seed: UInt64, shape: Shape = .init()) {
        var random = SeededRandom(seed: seed)
        var commit: Int64 = 100
        var step = 0
        while step < shape.steps {
            commit += 10
            if shape.deferrable {
                var transaction = DeferrableTransaction(rows, commit: commit)
                step = transaction.run(&random, shape, step)
                rows = transaction.rows
                events += transaction.events
                continue
            }
            for place in 0..<(1 + random.below(4)) {
                change(&random, shape, Version.change(epoch: 0, commit: commit, place: commit + Int64(place)), step)
                step += 1
            }
        }
    }

    static func cells(_ id: Int64, _ row: (n: Int64, note: String?), unchanged: Bool = false) -> [Cell] {
        [.int(id), .int(row.n), unchanged ? .unchanged : row.note.map(Cell.text) ?? .null]
    }

    static func key(_ id: Int64) -> [Cell] { [.int(id), .unchanged, .unchanged] }

    private mutating func change(_ random: inout SeededRandom, _ shape: Shape, _ version: Version, _ step: Int) {
        let id = Int64(random.below(shape.keys))
        let roll = random.below(100)
        if shape.truncates, roll < 2 {
            rows = [:]
            events.append(EventSpec(.truncate, Self.table, version, transaction: version.commit))
            return
        }
        guard let old = rows[id] else {
            let row = (n: Int64(step), note: random.chance(20) ? nil : "note \(step)")
            rows[id] = row
            events.append(
                EventSpec(.create, Self.table, version, after: Self.cells(id, row), transaction: version.commit))
            return
        }
        if roll < 25 {
            rows[id] = nil
            events.append(EventSpec(.delete, Self.table, version, before: Self.key(id), transaction: version.commit))
            return
        }
        let keepsNote = random.chance(60)
        let row = (n: Int64(step), note: keepsNote ? old.note : (random.chance(20) ? nil : "note \(step)"))
        // Only a value that is there can be left out: null isn't toasted.
        let unchanged = shape.toast && keepsNote && old.note != nil
        if shape.moves, roll < 45 {
            let other = Int64(random.below(shape.keys))
            if other != id, rows[other] == nil {
                rows[id] = nil
                rows[other] = row
                events.append(
                    EventSpec(
                        .delete, Self.table, version, before: Self.key(id), otherKey: Self.key(other),
                        transaction: version.commit
                    ))
                var create = version
                create.seq += 1
                events.append(
                    EventSpec(
                        .create, Self.table, create, after: Self.cells(other, row, unchanged: unchanged),
                        otherKey: Self.key(id),
                        transaction: version.commit))
                return
            }
        }
        rows[id] = row
        events.append(
            EventSpec(
                .update, Self.table, version, after: Self.cells(id, row, unchanged: unchanged),
                transaction: version.commit))
    }

    /// The source's rows as the test kit's warehouse shows live ones.
    package var expected: [[String: String]] {
        rows.sorted { $0.key < $1.key }.map {
            ["id": "\($0.key)", "n": "\($0.value.n)", "note": $0.value.note.map { JSONText.quoted($0) } ?? "null"]
        }
    }
}
