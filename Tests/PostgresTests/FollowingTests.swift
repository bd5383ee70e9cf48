import Replication
import Testing

@testable import Postgres

/// What a stream's relations make of a table that the warehouse has already.
@Suite struct FollowingTests {
    private static let id = TableID(schema: "public", table: "t")
    private typealias Described = (name: String, oid: Int32, type: String, number: Int)

    /// A transaction whose first message is the relation, described by `facts` of the catalog.
    private func decode(
        _ known: TableDefinition, _ relation: [Described], facts: (oid: UInt32, columns: [Described])? = nil,
        follows: Bool = true, hashed: Set<String> = [], epoch: Int64 = 0, position: Int64 = 100
    ) -> ChangeBatch {
        var configuration = PgOutputConfiguration(
            select: { _ in TableChoice(target: "t", hashed: hashed) }, hash: { _, arena in arena.append("hash") })
        configuration.knownTables = [known]
        configuration.followsSchemas = follows
        configuration.epoch = epoch
        let batch = RecordBatch()
        let span = batch.span(of: TopicPartition(topic: "test", partition: 0), startingAt: 0)
        func append(_ bytes: [UInt8]) {
            bytes.withUnsafeBytes { batch.append(span: span, offset: 100, key: nil, value: $0) }
        }
        func big<T: FixedWidthInteger>(_ value: T) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }
        append(Array("B".utf8) + big(position) + big(Int64(0)) + big(Int32(7)))
        let (oid, columns) = facts ?? (1, relation)
        var told = RelationFacts(
            oid: oid, table: Self.id, key: ["id"], identity: ["id"], isFull: false,
            columns: columns.map { ($0.name, $0.type) })
        for column in columns {
            told.traits[column.name] = .init(
                number: column.number, isNotNull: column.name == "id", missing: nil, isFilled: false)
        }
        append([SourceRecord.facts] + Array(told.json.utf8))
        var message = Array("R".utf8) + big(UInt32(1)) + Array("public\0t\0d".utf8) + big(Int16(relation.count))
        for column in relation {
            message += [column.name == "id" ? 1 : 0] + Array("\(column.name)\0".utf8) + big(column.oid) + big(Int32(-1))
        }
        append(message)
        var row = Array("I".utf8) + big(UInt32(1)) + Array("N".utf8) + big(Int16(relation.count))
        for _ in relation { row += Array("t".utf8) + big(Int32(1)) + Array("1".utf8) }
        append(row)
        return PgOutputDecoder(configuration).decode(batch)
    }

    private static func table(_ columns: [(String, ColumnType, Int?)], followed: Bool) -> TableDefinition {
        var table = TableDefinition(
            source: id, target: "t",
            columns: columns.map { name, type, number in
                var column = Column(name: name, type: type, isKey: name == "id", nullable: name != "id")
                column.number = number
                return column
            }, key: [0])
        guard followed else { return table }
        table.followed = SourceSchema(
            oid: 1, position: 50,
            columns: columns.map { .init($0.0, number: $0.2, type: $0.1, isNullable: $0.0 != "id") }, key: ["id"],
            identity: .key)
        return table
    }

    private static let int8: Int32 = 20
    private static let text: Int32 = 25

    /// A table of an earlier version, whose source was changed before this one first saw it.
    @Test func whatChangedAcrossAnUpgradeIsFollowed() throws {
        let known = Self.table([("id", .bigint, nil), ("a", .text, nil), ("b", .text, nil)], followed: false)
        let batch = decode(
            known, [("id", Self.int8, "bigint", 1), ("b", Self.int8, "bigint", 3), ("c", Self.text, "text", 4)])
        let evolution = try #require(batch.evolutions[Self.id])
        #expect(evolution.changes.map(\.kind) == [.dropColumn, .changeType, .addColumn])
        #expect(evolution.changes.map(\.column) == ["a", "b", "c"])
        // What the new column has of earlier rows can't be told: it may be the one that isn't there any more.
        #expect(evolution.needsCopy && evolution.isHeld)
        #expect(evolution.applied.retired.map(\.name) == ["a"])
        #expect(evolution.wanted.columns.map(\.type) == [.bigint, .bigint, .text])
        #expect(batch.quarantined.isEmpty && batch.events.count == 1)
        // Without a change it is followed from here on, and nothing is told.
        let same = decode(
            known, [("id", Self.int8, "bigint", 1), ("a", Self.text, "text", 2), ("b", Self.text, "text", 3)])
        #expect(same.evolutions[Self.id]?.changes.isEmpty ?? true)
        #expect(same.tables[0].followed != nil)
        #expect(same.tables[0].columns.map(\.number) == [1, 2, 3])
    }

    /// The catalog is asked later than the relation was so: its numbers may be another column's of the name.
    @Test func aCatalogOfALaterTimeTellsNoNumbers() throws {
        let known = Self.table([("id", .bigint, 1), ("v", .text, 2)], followed: true)
        // The relation of before `RENAME v TO v_old; ADD v bigint`, with the catalog of behind it.
        let relation: [Described] = [("id", Self.int8, "bigint", 1), ("v", Self.text, "text", 2)]
        let later: [Described] = [
            ("id", Self.int8, "bigint", 1), ("v_old", Self.text, "text", 2), ("v", Self.int8, "bigint", 3),
        ]
        #expect(decode(known, relation, facts: (1, later)).evolutions.isEmpty)
        // Of another table that has the name by then.
        #expect(decode(known, relation, facts: (9, relation)).evolutions.isEmpty)
        // And of its own time.
        let renamed = try #require(decode(known, later).evolutions[Self.id])
        #expect(renamed.changes.map(\.kind) == [.renameColumn, .addColumn] && renamed.needsCopy)
    }

    /// A restored source's positions begin again from lower ones: what it shows then is the later schema.
    @Test func aNewEpochIsFollowedFromLowerPositions() throws {
        var known = Self.table([("id", .bigint, 1), ("v", .text, 2)], followed: true)
        known.followed?.position = 5000
        let relation: [Described] = [
            ("id", Self.int8, "bigint", 1), ("v", Self.text, "text", 2), ("w", Self.text, "text", 3),
        ]
        #expect(decode(known, relation).evolutions.isEmpty, "an earlier schema")
        let batch = decode(known, relation, epoch: 1)
        let evolution = try #require(batch.evolutions[Self.id])
        #expect(evolution.changes.map(\.kind) == [.addColumn])
        #expect(batch.tables[0].columns.map(\.name) == ["id", "v", "w"])
        // It is kept, so that the next start goes on from there.
        var stored = evolution.applied
        stored.followed = nil
        stored.take(evolution: evolution.applied.evolution)
        #expect(stored.followed == evolution.applied.followed && stored.followed?.epoch == 1)
        #expect(decode(stored, Array(relation.dropLast())).evolutions.isEmpty)
    }

    /// A name went to another column, and what came before that comes once more: after a crash, or in a replay.
    @Test func aNameOfBeforeIsItsColumns() throws {
        let known = Self.table([("id", .bigint, 1), ("v", .text, 2)], followed: true)
        let old: [Described] = [("id", Self.int8, "bigint", 1), ("v", Self.text, "text", 2)]
        let new: [Described] = [("id", Self.int8, "bigint", 1), ("v", Self.text, "text", 3)]
        let evolution = try #require(decode(known, new).evolutions[Self.id])
        #expect(evolution.changes.map(\.kind) == [.dropColumn, .addColumn])
        // As the warehouse keeps it.
        var stored = evolution.applied
        let text = stored.evolution
        (stored.takenNames, stored.retired) = ([], [])
        stored.take(evolution: text)
        #expect(stored == evolution.applied && stored.takenNames.count == 1)
        for (position, columns, owner) in [(60, old, "v_retired_1"), (100, new, "v"), (200, new, "v")] {
            // A restart knows no numbers of a time before.
            let batch = decode(stored, columns, facts: (1, new), position: Int64(position))
            #expect(batch.evolutions.isEmpty && batch.quarantined.isEmpty)
            let event = try #require(batch.events.first)
            for (index, column) in batch.tables[0].columns.enumerated() where column.name != "id" {
                let field = batch.field(event.after, index, width: event.width)
                // A row of before the new one has NULL in that.
                #expect((field.kind == .text) == (column.name == owner), "\(position): \(column.name)")
            }
        }
        // Of an earlier one of several, too.
        var third = stored
        third.take([TakenName(name: "v", since: Version(epoch: 0, commit: 300, seq: 0), from: 3, by: 9)])
        #expect(third.owner(of: "v", at: Version(epoch: 0, commit: 60, seq: 2)) == .column(2))
        #expect(third.owner(of: "v", at: Version(epoch: 0, commit: 200, seq: 2)) == .column(3))
        #expect(third.owner(of: "v", at: Version(epoch: 0, commit: 300, seq: 0)) == .present)
        #expect(third.owner(of: "id", at: Version(epoch: 0, commit: 60, seq: 2)) == .present)
    }

    /// What a copy or a repair reads has the names of now, wherever it is written: through Kafka that is below all.
    @Test(arguments: [true, false]) func aCopyHasTheNamesOfNow(follows: Bool) throws {
        let known = Self.table([("id", .bigint, 1), ("v", .text, 2)], followed: true)
        let new: [Described] = [("id", Self.int8, "bigint", 1), ("v", Self.text, "text", 3)]
        let stored = try #require(decode(known, new).evolutions[Self.id]).applied
        var configuration = PgOutputConfiguration(select: { _ in TableChoice(target: "t") }, hash: { $1.append($0) })
        configuration.knownTables = [stored]
        configuration.followsSchemas = follows
        let batch = RecordBatch()
        let span = batch.span(of: TopicPartition(topic: "test", partition: 0), startingAt: 0)
        let facts = RelationFacts(
            oid: 1, table: Self.id, key: ["id"], identity: ["id"], isFull: false,
            columns: new.map { ($0.name, $0.type) })
        ([SourceRecord.copying] + Array(facts.json.utf8)).withUnsafeBytes { value in
            Array("chunk".utf8).withUnsafeBytes { batch.append(span: span, offset: 0, key: $0, value: value) }
        }
        Array("7\tread\n".utf8).withUnsafeBytes {
            batch.append(span: span, offset: 0, timestamp_ms: 0, tag: SourceRecord.row, value: $0)
        }
        let decoded = PgOutputDecoder(configuration).decode(batch)
        let event = try #require(decoded.events.first)
        let names = decoded.tables[0].columns.enumerated().filter { index, _ in
            decoded.field(event.after, index, width: event.width).kind == .text
        }.map(\.element.name)
        #expect(names == ["id", "v"], "\(decoded.quarantined.map(\.reason)) \(decoded.tables[0].columns.map(\.name))")
        #expect(decoded.quarantined.isEmpty)
    }

    /// The pipeline file names it as it was: what it holds isn't to be seen under another name either.
    @Test func aHashedColumnThatIsRenamedStaysHashed() throws {
        let known = Self.table([("id", .bigint, 1), ("v", .text, 2)], followed: true)
        let batch = decode(
            known, [("id", Self.int8, "bigint", 1), ("z", Self.text, "text", 2)], hashed: ["v"])
        #expect(batch.evolutions[Self.id]?.changes.map(\.kind) == [.renameColumn])
        let event = try #require(batch.events.first)
        let field = batch.field(event.after, 1, width: event.width)
        #expect(String(decoding: batch.bytes(field), as: UTF8.self) == "hash")
    }

    /// A copy for a table that something else brings the changes of.
    @Test func aCopyBesideOtherEventsFollowsNothing() {
        let known = Self.table([("id", .bigint, nil), ("a", .text, nil)], followed: false)
        let batch = decode(
            known, [("id", Self.int8, "bigint", 1), ("a", Self.text, "text", 2)], follows: false)
        #expect(batch.evolutions.isEmpty && batch.tables[0].followed == nil && batch.tables[0] == known)
    }
}
