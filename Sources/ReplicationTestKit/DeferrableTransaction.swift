internal import Replication

/// One transaction of a source whose key is checked at commit (`DEFERRABLE INITIALLY DEFERRED`), with whole before-images
/// (`REPLICA IDENTITY FULL`): rows are moved and inserted onto keys that others still have.
///
/// Values come from few, so that rows that share a key often look alike as well.
struct DeferrableTransaction {
    private struct Row: Equatable {
        var id: Int64
        var n: Int64
        var note: String?
    }

    private var all: [Row]
    private let commit: Int64
    private var place: Int64 = 0
    private(set) var events: [EventSpec] = []

    var rows: [Int64: (n: Int64, note: String?)] {
        Dictionary(uniqueKeysWithValues: all.map { ($0.id, ($0.n, $0.note)) })
    }

    init(_ rows: [Int64: (n: Int64, note: String?)], commit: Int64) {
        all = rows.sorted { $0.key < $1.key }.map { Row(id: $0.key, n: $0.value.n, note: $0.value.note) }
        self.commit = commit
    }

    mutating func run(_ random: inout SeededRandom, _ shape: ModelHistory.Shape, _ step: Int) -> Int {
        let roll = random.below(100)
        if roll < 15 {
            // Keys of one digit sort alike as numbers and as texts.
            let mayRise = !all.contains { $0.id >= 9 }
            if mayRise || !all.contains(where: { $0.id == 0 }) { shift(mayRise ? 1 : -1, &random, shape) }
        } else if roll < 30 {
            swap(&random, shape)
        } else {
            for _ in 0..<(1 + random.below(6)) { change(&random, shape) }
        }
        makeUnique(&random, shape)
        return step + events.count
    }

    /// `UPDATE t SET id = id + 1`, over the rows as they happen to lie.
    private mutating func shift(_ by: Int64, _ random: inout SeededRandom, _ shape: ModelHistory.Shape) {
        for row in all.shuffled(using: &random) {
            guard let index = all.firstIndex(of: row) else { continue }
            move(index, to: row.id + by, &random, shape)
        }
    }

    /// Exchanges the keys of two or three rows.
    private mutating func swap(_ random: inout SeededRandom, _ shape: ModelHistory.Shape) {
        let chosen = all.shuffled(using: &random).prefix(2 + random.below(2))
        for (row, next) in zip(chosen, chosen.dropFirst() + chosen.prefix(1)) {
            guard let index = all.firstIndex(of: row) else { continue }
            move(index, to: next.id, &random, shape)
        }
    }

    private mutating func change(_ random: inout SeededRandom, _ shape: ModelHistory.Shape) {
        let id = Int64(random.below(shape.keys))
        let roll = random.below(100)
        if shape.truncates, roll < 2 {
            all = []
            place += 1
            events.append(EventSpec(.truncate, ModelHistory.table, version, transaction: commit))
        } else if all.isEmpty || roll < 30 {
            let row = Row(id: id, n: Int64(random.below(2)), note: note(&random))
            all.append(row)
            place += 1
            events.append(EventSpec(.create, ModelHistory.table, version, after: cells(row), transaction: commit))
        } else if roll < 50 {
            end(random.below(all.count))
        } else if roll < 80 {
            move(random.below(all.count), to: id, &random, shape)
        } else {
            update(random.below(all.count), &random)
        }
    }

    private mutating func end(_ index: Int) {
        let row = all.remove(at: index)
        place += 1
        events.append(EventSpec(.delete, ModelHistory.table, version, before: cells(row), transaction: commit))
    }

    private mutating func update(_ index: Int, _ random: inout SeededRandom) {
        let old = all[index]
        all[index].n = Int64(random.below(2))
        if random.chance(30) { all[index].note = note(&random) }
        place += 1
        events.append(
            EventSpec(
                .update, ModelHistory.table, version, before: cells(old), after: cells(all[index]), transaction: commit)
        )
    }

    private mutating func move(
        _ index: Int, to id: Int64, _ random: inout SeededRandom, _ shape: ModelHistory.Shape
    ) {
        let old = all[index]
        guard old.id != id else { return }
        all[index].id = id
        if random.chance(20) { all[index].n = Int64(random.below(2)) }
        let unchanged = shape.toast && old.note != nil && random.chance(50)
        place += 1
        events.append(
            EventSpec(
                .delete, ModelHistory.table, version, before: cells(old), otherKey: ModelHistory.key(id),
                transaction: commit))
        var create = version
        create.seq += 1
        let row = all[index]
        events.append(
            EventSpec(
                .create, ModelHistory.table, create,
                after: ModelHistory.cells(id, (row.n, row.note), unchanged: unchanged),
                otherKey: ModelHistory.key(old.id), transaction: commit))
    }

    /// What the commit would check.
    private mutating func makeUnique(_ random: inout SeededRandom, _ shape: ModelHistory.Shape) {
        while true {
            let doubled = all.indices.filter { index in all.count { $0.id == all[index].id } > 1 }
            guard !doubled.isEmpty else { return }
            let index = doubled[random.below(doubled.count)]
            let free = (0..<Int64(shape.keys + 2)).filter { id in !all.contains { $0.id == id } }
            if random.chance(50), !free.isEmpty {
                move(index, to: free[random.below(free.count)], &random, shape)
            } else {
                end(index)
            }
        }
    }

    private var version: Version { .change(epoch: 0, commit: commit, place: place) }

    private func note(_ random: inout SeededRandom) -> String? {
        random.chance(20) ? nil : "note \(random.below(2))"
    }

    private func cells(_ row: Row) -> [Cell] { ModelHistory.cells(row.id, (row.n, row.note)) }
}
