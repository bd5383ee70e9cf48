import Foundation
import JSON
import Replication
import Testing

@testable import Debezium

/// Ids, versions, moves and keyless events, on the captured files.
@Suite struct EventTests {
    static let files = [
        "basic", "basic_noschema", "pk_update", "toast", "unicode_edge", "truncate_msg_heartbeat_tx", "snapshot",
        "schema_evolution", "mysql_basic", "defaults_nullskept_schema", "heartbeat_action_noTombstone",
        "documented_sqlserver", "documented_oracle", "documented_mongodb",
    ]

    @Test(arguments: files)
    func idsAreUniqueAndTheSameEachTime(_ name: String) throws {
        let first = try Corpus.decode(name)
        let second = try Corpus.decode(name, typed: false)
        #expect(Set(first.events.map(\.id)).count == first.events.count)
        // Neither types nor keys of ours are in them.
        let named = Dictionary(first.events.map { ($0.offset, $0.id) }, uniquingKeysWith: { a, _ in a })
        for event in second.events { #expect(named[event.offset] == nil || named[event.offset] == event.id) }
    }

    @Test func schemaAndPlainEventsAreTheSame() throws {
        for (plain, schema) in [("basic_noschema", "basic"), ("pk_update", "pk_update_schema")] {
            let types = try Corpus.tables(plain).mapValues(\.types)
            var configuration = DecoderConfiguration {
                TableChoice(target: $0.table, types: types[$0] ?? [:])
            }
            configuration.epochs = SourceEpochs([.init(epoch: 3, from_us: 0)])
            let a = try DebeziumDecoder(configuration: configuration).decode(Corpus.batch(try Corpus.lines(plain)))
            let b = try DebeziumDecoder(configuration: configuration).decode(Corpus.batch(try Corpus.lines(schema)))
            #expect(b.quarantined.isEmpty, "\(b.reasons)")
            #expect(a.tables.map(\.columns.count) == b.tables.map(\.columns.count))
            for (x, y) in zip(a.flat, b.flat) {
                // The files are captures of two runs: times and positions differ.
                #expect(x.table == y.table && x.operation == y.operation && x.key == y.key && x.otherKey == y.otherKey)
                #expect(x.version.epoch == 3 && y.version.epoch == 3)
                let volatile = Set(["created_at", "updated_at"])
                #expect(
                    x.after?.filter { !volatile.contains($0.key) } == y.after?.filter { !volatile.contains($0.key) })
                #expect(x.group == y.group && x.flags == y.flags)
            }
        }
    }

    @Test func aKeysSchemaIsReadToo() throws {
        let batch = try Corpus.decode("pk_update_schema", typed: false)
        #expect(batch.quarantined.isEmpty, "\(batch.reasons)")
        let moved = try #require(batch.flat("numpk").first { $0.flags & ChangeEvent.Flags.moveCreate.rawValue != 0 })
        #expect(moved.key == #"{"n":2.25}"#)
        #expect(moved.otherKey == #"{"n":1.50}"#)
        let table = try #require(batch.tables.first { $0.source.table == "numpk" })
        #expect(table.columns.map(\.type) == [.numeric(precision: 10, scale: 2), .date, .integer])
        #expect(table.columns.map(\.isKey) == [true, false, false])
    }

    @Test func versionsFollowTheCommitsOfPostgres() throws {
        let batch = try Corpus.decode("basic_noschema")
        let events = batch.flat
        let reads = events.filter { $0.operation == .read }
        // [null,"…"]: its own position, and nothing inside the commit.
        #expect(Set(reads.map(\.version.seq)) == [0])
        #expect(Set(reads.map(\.version.commit)).count == 1)
        #expect(reads.allSatisfy { $0.flags == 0 })
        let streamed = events.filter { $0.operation != .read }
        #expect(streamed.allSatisfy { $0.version.seq > 0 && $0.version.seq % 2 == 0 })
        // The connector's first transaction doesn't know what was committed before it.
        let first = try #require(streamed.first)
        #expect(first.flags & ChangeEvent.Flags.alwaysProbe.rawValue != 0)
        #expect(first.version.commit >= reads[0].version.commit)
        #expect(first.version > reads[0].version)
        #expect(streamed.dropFirst().allSatisfy { $0.flags & ChangeEvent.Flags.alwaysProbe.rawValue == 0 })
        // In each partition, later means newer.
        for table in batch.tables {
            let own = streamed.filter { $0.table == table.source }
            for (a, b) in zip(own, own.dropFirst()) { #expect(a.version < b.version) }
        }
        #expect(events.allSatisfy { $0.time_us > 1_700_000_000_000_000 })
        #expect(batch.newestSourceTime_us == events.map(\.time_us).max())
        #expect(events.allSatisfy { $0.transaction > 0 })
    }

    @Test func aTransactionOpenAcrossTheSnapshotWins() throws {
        // Record 4015 stands below the snapshot's position by its own, and behind it in the stream.
        let batch = try Corpus.decode("snapshot")
        let update = try #require(batch.flat.first { $0.offset == 4015 })
        #expect(update.operation == .update && update.flags & ChangeEvent.Flags.alwaysProbe.rawValue != 0)
        let read = try #require(batch.flat.first { $0.operation == .read && $0.key == update.key })
        #expect(read.version == Version(epoch: 0, commit: 153_238_416, seq: 0))
        #expect(update.version > read.version)
        // Incremental reads stand at the last commit, before what came in their window.
        let incremental = try #require(batch.flat.first { $0.offset == 4414 })
        #expect(incremental.version == Version(epoch: 0, commit: 153_290_592, seq: 0))
        #expect(incremental.transaction == -1)
        let blocking = try #require(batch.flat.first { $0.offset == 8030 })
        #expect(blocking.version == Version(epoch: 0, commit: 153_388_384, seq: 0))
    }

    @Test func binlogPositionsAreOrdered() throws {
        let batch = try Corpus.decode("mysql_basic", typed: false)
        #expect(batch.reasons == [])
        #expect(batch.control == 26 + 24 + 4)
        #expect(Set(batch.tables.map(\.source.schema)) == ["mbasic"])
        let orders = batch.flat("orders")
        #expect(orders.count == 5 + 6 + 4 + 4)
        let reads = orders.filter { $0.operation == .read }
        #expect(Set(reads.map(\.version)) == [Version(epoch: 0, commit: 1, seq: 2 * (2147 << 20))])
        let streamed = orders.filter { $0.operation != .read }
        for (a, b) in zip(streamed, streamed.dropFirst()) { #expect(a.version < b.version) }
        #expect(streamed[0].version > reads[0].version)
        let move = try #require(streamed.first { $0.flags & ChangeEvent.Flags.moveDelete.rawValue != 0 })
        #expect(move.key == #"{"order_id":1}"# && move.otherKey == #"{"order_id":100}"#)
        #expect(move.before?["status"] == "\"paid\"")
    }

    @Test func movesNameEachOther() throws {
        let batch = try Corpus.decode("pk_update")
        let moves = batch.flat.filter { $0.otherKey != nil }
        #expect(moves.count == 42)
        let creates = moves.filter { $0.operation == .create }
        #expect(creates.count == 21)
        for create in creates {
            let delete = try #require(
                moves.first {
                    $0.operation == .delete && $0.version == create.version.deleteHalf && $0.key == create.otherKey
                })
            #expect(delete.otherKey == create.key && create.version > delete.version)
            #expect(delete.flags & ChangeEvent.Flags.moveDelete.rawValue != 0)
            #expect(create.flags & ChangeEvent.Flags.moveCreate.rawValue != 0)
        }
        let table = try #require(batch.tables.first { $0.source.table == "comp_order" })
        #expect(table.key.map { table.columns[$0].name } == ["a", "b"])
        #expect(batch.flat("comp").first?.key == #"{"tenant":1,"code":"A","seq":1}"#)
        #expect(batch.flat("dtpk").first?.key == #"{"t":"2024-01-01T00:00:00.123456+00:00","d":"2024-02-29"}"#)
    }

    @Test func headersThroughAJSONConverterAreTheSame() throws {
        let lines = try Corpus.lines("pk_update").map { line in
            var line = line
            line.headers = line.headers.map { name, value in
                let text = String(decoding: value, as: UTF8.self)
                return (name, Array("{\"schema\":null,\"payload\":\(text)}".utf8))
            }
            return line
        }
        let configuration = try Corpus.configuration("pk_update")
        let plain = try DebeziumDecoder(configuration: configuration).decode(
            Corpus.batch(try Corpus.lines("pk_update")))
        let wrapped = try DebeziumDecoder(configuration: configuration).decode(Corpus.batch(lines))
        #expect(plain.flat == wrapped.flat)
    }

    @Test func withoutTypesOnlyDecimalHeadersAreNotUnderstood() throws {
        let batch = try Corpus.decode("pk_update", typed: false)
        #expect(batch.quarantined.isEmpty)
        let moves = batch.flat.filter { $0.flags & 3 != 0 }
        #expect(moves.count == 42)
        #expect(Set(moves.filter { $0.otherKey == nil }.map(\.table.table)) == ["numpk"])
        // The raw JSON, since nobody said what it is.
        #expect(batch.flat("numpk").first?.after?["n"] == "\"AJY=\"")
    }

    @Test func twinsOfATableWithoutAKey() throws {
        let batch = try Corpus.decode("toast")
        let table = try #require(batch.tables.first { $0.source.table == "nopk_full" })
        #expect(table.isKeyless)
        let events = batch.flat("nopk_full")
        #expect(events.map(\.operation.letter).joined() == "rrrcudccdu")
        #expect(events.allSatisfy { $0.key == nil && $0.otherKey == nil })
        // Two equal rows are two rows, and have one image.
        let twins = events.filter { $0.after?["b"] == "\"dup\"" && $0.operation == .create }
        #expect(twins.count == 2 && twins[0].id != twins[1].id && twins[0].imageAfter == twins[1].imageAfter)
        let delete = try #require(events.last { $0.operation == .delete })
        #expect(delete.imageBefore == twins[0].imageAfter)
        let update = try #require(events.last)
        let reads = events.filter { $0.operation == .read && $0.after?["b"] == "\"dup\"" }
        #expect(reads.count == 2 && Set(reads.map(\.id)).count == 2)
        #expect(update.imageBefore == reads[0].imageAfter && update.imageAfter != update.imageBefore)
    }

    @Test func twinsAtOnePositionAreCountedAcrossBatches() throws {
        let row =
            #"{"before":null,"after":{"a":4},"source":{"connector":"postgresql","schema":"public","table":"t","lsn":72614248,"txId":9,"sequence":"[\"72614248\",\"72614248\"]","ts_ms":1},"op":"c"}"#
        let lines = (0..<5).map { _ in Corpus.Line(topic: "t", key: nil, value: Array(row.utf8)) }
        let configuration = DecoderConfiguration { TableChoice(target: $0.table) }
        let whole = try DebeziumDecoder(configuration: configuration).decode(Corpus.batch(lines))
        #expect(Set(whole.events.map(\.id)).count == 5)
        #expect(Set(whole.events.map(\.imageAfter)).count == 1)
        let first = try DebeziumDecoder(configuration: configuration).decode(Corpus.batch(lines[..<2]))
        let second = try DebeziumDecoder(configuration: configuration)
        second.restore([TopicPartition(topic: "t", partition: 0): first.decoderState[0]])
        let rest = second.decode(Corpus.batch(lines[2...]))
        #expect(first.events.map(\.id) + rest.events.map(\.id) == whole.events.map(\.id))
    }

    @Test func truncatesAreOnePerTable() throws {
        let batch = try Corpus.decode("truncate_msg_heartbeat_tx")
        let truncates = batch.flat.filter { $0.operation == .truncate }
        #expect(truncates.count == 9)
        #expect(truncates.allSatisfy { $0.key == nil && $0.before == nil && $0.after == nil })
        #expect(Set(truncates.map(\.id)).count == 9)
        #expect(truncates.allSatisfy { $0.version.seq > 0 })
    }

    @Test func aTruncateAloneSettlesNoKey() throws {
        let lines = try Corpus.lines("truncate_msg_heartbeat_tx")
        let truncate = try #require(
            lines.first { $0.value.map { String(decoding: $0, as: UTF8.self).contains(#""op":"t""#) } ?? false })
        let decoder = try DebeziumDecoder(configuration: try Corpus.configuration("truncate_msg_heartbeat_tx"))
        let alone = decoder.decode(Corpus.batch([truncate]))
        #expect(alone.events.count == 1 && alone.tables[0].columns.isEmpty && alone.tables[0].isKeyless)
        // Nothing but a name: the table's first row says what its key is.
        var configuration = try Corpus.configuration("truncate_msg_heartbeat_tx")
        configuration.knownTables = alone.tables
        let later = try DebeziumDecoder(configuration: configuration).decode(Corpus.batch(lines))
        #expect(later.quarantined.isEmpty)
        #expect(later.tables.allSatisfy { !$0.isKeyless })
    }

    /// A file cut anywhere, decoded by a decoder of its own from there on, gives the same events.
    @Test(arguments: ["basic_noschema", "toast", "pk_update", "schema_evolution", "mysql_basic"])
    func anyCutGivesTheSameEvents(_ name: String) throws {
        let lines = try Corpus.lines(name)
        let configuration = try Corpus.configuration(name)
        let whole = try DebeziumDecoder(configuration: configuration).decode(Corpus.batch(lines))
        for cut in stride(from: 1, to: lines.count, by: max(1, lines.count / 6)) {
            let first = try DebeziumDecoder(configuration: configuration)
            let head = first.decode(Corpus.batch(lines[..<cut]))
            var later = configuration
            later.knownTables = head.tables
            let second = try DebeziumDecoder(configuration: later)
            var states: [TopicPartition: String?] = [:]
            for (index, span) in head.spans.enumerated() { states[span.partition] = head.decoderState[index] }
            #expect(second.restore(states).isEmpty)
            let tail = second.decode(Corpus.batch(lines[cut...]))
            #expect(head.flat + tail.flat == whole.flat, "cut at \(cut)")
            #expect(head.reasons + tail.reasons == whole.reasons)
            #expect(head.control + tail.control == whole.control)
        }
    }

    @Test func epochsHangOnTheOffset() throws {
        var configuration = try Corpus.configuration("basic_noschema")
        let partition = try Corpus.batch(Corpus.lines("basic_noschema")).spans.map(\.partition)
        configuration.epochs = SourceEpochs([
            .init(epoch: 1, offsets: Dictionary(uniqueKeysWithValues: partition.map { ($0, 0) })),
            .init(epoch: 2, offsets: Dictionary(uniqueKeysWithValues: partition.map { ($0, 15) })),
        ])
        let batch = try DebeziumDecoder(configuration: configuration).decode(
            Corpus.batch(try Corpus.lines("basic_noschema")))
        #expect(batch.events.allSatisfy { $0.version.epoch == ($0.offset < 15 ? 1 : 2) })
    }

    /// A restored source's positions begin again from lower ones: what it shows then is the later schema.
    @Test func aNewEpochIsFollowedFromLowerPositions() throws {
        func line(_ lsn: Int, _ row: String) -> Corpus.Line {
            let value =
                #"{"before":null,"after":{"id":\#(lsn)\#(row)},"source":{"connector":"postgresql","schema":"s","table":"t","#
                + #""txId":5,"lsn":\#(lsn),"sequence":"[\"\#(lsn)\",\"\#(lsn)\"]"},"op":"c","ts_ms":1}"#
            return Corpus.Line(topic: "x", key: Array(#"{"id":\#(lsn)}"#.utf8), value: Array(value.utf8))
        }
        let lines = [line(1000, ""), line(50, #","b":"there""#)]
        for isRestored in [false, true] {
            var configuration = DecoderConfiguration { TableChoice(target: $0.table, types: ["b": .text]) }
            configuration.followsSchemas = true
            if isRestored {
                let partition = TopicPartition(topic: "x", partition: 0)
                configuration.epochs = SourceEpochs([
                    .init(epoch: 1, offsets: [partition: 0]), .init(epoch: 2, offsets: [partition: 1]),
                ])
            }
            let batch = try DebeziumDecoder(configuration: configuration).decode(Corpus.batch(lines))
            #expect(batch.quarantined.isEmpty && batch.events.count == 2)
            // Of before, it is a column that nobody tells of.
            let kinds = batch.evolutions.values.flatMap { $0.changes.map(\.kind) }
            #expect(kinds == (isRestored ? [.addColumn] : []))
            #expect(batch.tables[0].columns.map(\.name) == ["id", "b"])
            #expect(batch.field(batch.events[1].after, 1, width: batch.events[1].width).kind == .text)
        }
    }

    /// Null keys scatter: nobody can tell which of two events of a table without a key was first.
    @Test func keylessEventsOfSeveralPartitionsAreRefused() throws {
        func line(_ op: String, lsn: Int, key: String? = nil, place: Int? = nil) -> Corpus.Line {
            let transaction =
                place.map { #"{"id":"5:\#(lsn)","total_order":\#($0),"data_collection_order":1}"# } ?? "null"
            let value =
                #"{"before":null,"after":{"a":1},"source":{"connector":"postgresql","schema":"s","table":"\#(key == nil ? "log" : "t")","#
                + #""txId":5,"lsn":\#(lsn),"sequence":"[\"90\",\"\#(lsn)\"]"},"op":"\#(op)","ts_ms":1,"transaction":\#(transaction)}"#
            return Corpus.Line(topic: "x", key: key.map { Array($0.utf8) }, value: Array(value.utf8))
        }
        let lines = [
            line("r", lsn: 90), line("c", lsn: 100), line("c", lsn: 101, place: 1),
            line("c", lsn: 102, key: #"{"a":1}"#),
        ]
        let configuration = DecoderConfiguration { TableChoice(target: $0.table, types: ["a": .integer]) }
        let single = try DebeziumDecoder(configuration: configuration)
        #expect(single.decode(Corpus.batch(lines)).quarantined.isEmpty)

        let several = try DebeziumDecoder(configuration: configuration)
        several.restore([TopicPartition(topic: "x", partition: 0): nil, TopicPartition(topic: "x", partition: 1): nil])
        let batch = several.decode(Corpus.batch(lines))
        #expect(batch.quarantined.map(\.offset) == [1], "\(batch.reasons)")
        #expect(batch.reasons.first?.contains("no transaction metadata") == true)
        #expect(batch.events.count == 3 && batch.read.reduce(0, +) == 4)
    }
}
