import Replication
import Testing

/// What deletes mean behind a create of their own transaction: the decision by itself.
@Suite struct DeleteVerdictTests {
    /// Events of key 2, each at the next place of transaction 7 unless another is given.
    private struct Events {
        var all: [RawEvent] = []
        private var place: Int64 = 0

        mutating func add(
            _ operation: Operation, before: String? = nil, after: String? = nil, transaction: Int64 = 7,
            moved: Bool = false, unchanged: [String] = []
        ) -> Version {
            place += 1
            let version = Version.change(epoch: 0, commit: transaction, place: place, createsMovedKey: moved)
            all.append(
                RawEvent(
                    id: EventID(high: 0, low: UInt64(place)), operation: operation, version: version,
                    key: "{\"id\":2}", otherKey: moved ? "{\"id\":1}" : nil, before: before, after: after,
                    unchanged: unchanged, transaction: transaction))
            return version
        }

        func verdicts(floors: [Version] = [], isOccupied: Bool = false) -> [Version: DeleteVerdict] {
            KeyTenants.deletes(all, floors: floors, key: ["id"], isOccupied: isOccupied) { _, column in
                column == "note" ? ("\"carried\"", .none) : nil
            }.verdicts
        }
    }

    private static let old = "{\"id\":2,\"n\":1}"
    private static let new = "{\"id\":2,\"n\":2}"
    private static let keyOnly = "{\"id\":2}"

    private func spares(_ n: String?, made: Version, isCertain: Bool = true) -> DeleteVerdict {
        var values = ["id": "2"]
        if let n { values["n"] = n }
        return .spares(values, made: made, isCertain: isCertain)
    }

    @Test(arguments: [keyOnly, new]) func anInsertIsDeletedAgain(image: String) {
        var events = Events()
        _ = events.add(.create, after: Self.new)
        let delete = events.add(.delete, before: image)
        #expect(events.verdicts() == [delete: .ends])
    }

    @Test func anInsertIsUpdatedAndDeleted() {
        var events = Events()
        _ = events.add(.create, after: Self.new)
        _ = events.add(.update, after: "{\"id\":2,\"n\":3}")
        let delete = events.add(.delete, before: "{\"id\":2,\"n\":3}")
        #expect(events.verdicts() == [delete: .ends])
    }

    @Test func aDeletedKeyIsInsertedAndDeletedAgain() {
        var events = Events()
        _ = events.add(.read, after: Self.old, transaction: 1)
        _ = events.add(.delete, before: Self.keyOnly)
        _ = events.add(.create, after: Self.new)
        let delete = events.add(.delete, before: Self.keyOnly)
        #expect(events.verdicts() == [delete: .ends])
    }

    @Test func aMoveOntoARowThatMovesAway() {
        var events = Events()
        _ = events.add(.create, after: Self.old, transaction: 1)
        let create = events.add(.create, after: Self.new, moved: true)
        let delete = events.add(.delete, before: Self.old)
        #expect(events.verdicts() == [delete: spares("2", made: create)])
    }

    @Test func rowsThatLookAlikeAreCounted() {
        var events = Events()
        _ = events.add(.create, after: Self.old, transaction: 1)
        let create = events.add(.create, after: Self.old)
        let first = events.add(.delete, before: Self.old)
        let second = events.add(.delete, before: Self.old)
        #expect(events.verdicts() == [first: spares("1", made: create), second: .ends])
    }

    /// A table of nothing but its key.
    @Test func keysAloneAreCounted() {
        var events = Events()
        _ = events.add(.read, after: Self.keyOnly, transaction: 1)
        let create = events.add(.create, after: Self.keyOnly)
        let delete = events.add(.delete, before: Self.keyOnly)
        #expect(events.verdicts() == [delete: spares(nil, made: create)])
    }

    @Test func theNewRowIsDeletedAndTheOldOneStays() {
        var events = Events()
        let old = events.add(.create, after: Self.old, transaction: 1)
        _ = events.add(.create, after: Self.new)
        let delete = events.add(.delete, before: Self.new)
        #expect(events.verdicts() == [delete: spares("1", made: old)])
    }

    @Test func anUpdateNamesItsRowByItsImage() {
        var events = Events()
        _ = events.add(.create, after: Self.old, transaction: 1)
        let create = events.add(.create, after: Self.new)
        _ = events.add(.update, before: Self.old, after: "{\"id\":2,\"n\":5}")
        let delete = events.add(.delete, before: "{\"id\":2,\"n\":5}")
        #expect(events.verdicts() == [delete: spares("2", made: create)])
    }

    /// Nothing is known of the row that was there, but it isn't the one that was created.
    @Test func aRowNeverSeenIsDeleted() {
        var events = Events()
        let create = events.add(.create, after: Self.new)
        _ = events.add(.update, before: Self.old, after: "{\"id\":2,\"n\":5}")
        let delete = events.add(.delete, before: "{\"id\":2,\"n\":5}")
        #expect(events.verdicts() == [delete: spares("2", made: create)])
    }

    @Test func withoutAnImageNothingTells() {
        var events = Events()
        _ = events.add(.create, after: "{\"id\":2,\"n\":1,\"same\":true}", transaction: 1)
        let create = events.add(.create, after: "{\"id\":2,\"n\":2,\"same\":true}")
        let delete = events.add(.delete, before: Self.keyOnly)
        #expect(
            events.verdicts() == [
                delete: .spares(["id": "2", "same": "true"], made: create, isCertain: false)
            ])
        let second = events.add(.delete, before: Self.keyOnly)
        #expect(events.verdicts()[second] == .ends, "with both gone there is nothing to tell")
    }

    @Test func anOccupantOfWhichNothingIsKnown() {
        var events = Events()
        let create = events.add(.create, after: Self.new)
        let delete = events.add(.delete, before: Self.keyOnly)
        #expect(events.verdicts(isOccupied: true) == [delete: spares(nil, made: create, isCertain: false).keyless])
        #expect(events.verdicts() == [delete: .ends])
    }

    @Test func aTruncateEmptiesTheKey() {
        var events = Events()
        _ = events.add(.create, after: Self.old, transaction: 1)
        _ = events.add(.create, after: Self.new)
        let delete = events.add(.delete, before: Self.keyOnly)
        #expect(events.verdicts(floors: [.change(epoch: 0, commit: 3, place: 1)]) == [delete: .ends])
    }

    @Test func transactionsDontMix() {
        var events = Events()
        _ = events.add(.create, after: Self.old, transaction: 1)
        _ = events.add(.create, after: Self.new, transaction: 2)
        _ = events.add(.delete, before: Self.old, transaction: 3)
        _ = events.add(.create, after: Self.new, transaction: -1)
        _ = events.add(.delete, before: Self.old, transaction: -1)
        #expect(events.verdicts().isEmpty)
    }

    @Test func columnsAreCarriedFromWhereTheRowWas() {
        var events = Events()
        _ = events.add(.create, after: "{\"id\":2,\"note\":\"old\"}", transaction: 1)
        let create = events.add(.create, after: Self.keyOnly, moved: true, unchanged: ["note"])
        let delete = events.add(.delete, before: "{\"id\":2,\"note\":\"old\"}")
        #expect(
            events.verdicts() == [
                delete: .spares(["id": "2", "note": "\"carried\""], made: create, isCertain: true)
            ])
    }
}

extension DeleteVerdict {
    /// The same without the key's value, which a row that was never seen doesn't tell.
    fileprivate var keyless: DeleteVerdict {
        guard case .spares(var values, let made, let isCertain) = self else { return self }
        values["id"] = nil
        return .spares(values, made: made, isCertain: isCertain)
    }
}
