import Foundation
import JSON
import Replication
import Testing

@testable import Debezium

/// Every captured file is decoded whole, and the tables that its events make are the source's.
@Suite struct CorpusTests {
    static let counts: [(String, [String: Int], control: Int)] = [
        (
            "basic",
            [
                "public.customers:r": 3, "public.orders:r": 6, "public.customers:c": 2, "public.orders:c": 7,
                "public.orders:u": 6, "public.orders:d": 4, "public.customers:u": 1, "public.customers:d": 1,
            ], 5
        ),
        (
            "basic_noschema",
            [
                "public.customers:r": 3, "public.orders:r": 6, "public.customers:c": 2, "public.orders:c": 7,
                "public.orders:u": 6, "public.orders:d": 4, "public.customers:u": 1, "public.customers:d": 1,
            ], 5
        ),
        (
            "pk_update",
            [
                "public.comp:r": 3, "public.comp_order:r": 1, "public.single:r": 5, "public.single:d": 12,
                "public.single:c": 12, "public.single:u": 1, "public.comp:d": 6, "public.comp:c": 5, "public.comp:u": 1,
                "public.comp_order:c": 2, "public.comp_order:d": 2, "public.uuidpk:c": 2, "public.uuidpk:d": 1,
                "public.textpk:c": 5, "public.textpk:d": 2, "public.numpk:c": 4, "public.numpk:d": 2,
                "public.dtpk:c": 3, "public.dtpk:d": 2,
            ], 27
        ),
        (
            "truncate_msg_heartbeat_tx",
            [
                "public.a:r": 3, "public.b:r": 2, "public.c:r": 2, "public.part:r": 2, "public.part_2024:r": 1,
                "public.part_2025:r": 1, "public.a:c": 204, "public.b:c": 3, "public.c:c": 9, "public.a:u": 102,
                "public.c:t": 2, "public.a:t": 2, "public.b:t": 2, "public.part_2024:c": 1, "public.part_2024:d": 1,
                "public.part_2025:c": 3, "public.part_2025:d": 1, "public.part_2024:t": 2, "public.part_2025:t": 1,
                "public.a:d": 50,
            ], 22 + 46 + 7 + 52
        ),
        (
            "heartbeat_action_noTombstone",
            [
                "public.hb:c": 1, "public.hb:u": 10, "public.t:c": 3, "public.t:d": 2, "public.part:c": 3,
                "public.part:d": 2,
            ], 12 + 34
        ),
        (
            "snapshot",
            [
                "public.items:r": 4600, "public.small:r": 10, "public.nopk:r": 10, "public.items:u": 36,
                "public.items:c": 36, "public.items:d": 36, "public.late:u": 220, "public.late:c": 88,
                "public.late:d": 88, "public.late_comp:u": 425, "public.late_comp:d": 29, "public.dbz_signal:c": 34,
                "public.late:r": 1999, "public.late_comp:r": 271, "public.small:u": 1,
            ], 153
        ),
        (
            "defaults_nullskept",
            [
                "public.d:r": 2, "public.d_full:r": 2, "public.d:c": 2, "public.d:u": 1, "public.d:d": 1,
                "public.d_full:c": 2, "public.d_full:u": 1, "public.d_full:d": 1,
            ], 2
        ),
        (
            "unicode_edge",
            [
                "public.Order:r": 1, "public.Order:c": 1, "public.Order:u": 1, "public.Order:d": 1, "public.order:c": 2,
                "public.order:u": 1, "public.order:d": 1, "Sales Dept.Line Items:c": 3, "Sales Dept.Line Items:d": 1,
                "схема.таблица:c": 2, "схема.таблица:u": 1, "схема.таблица:d": 1,
                "public.weird.name-with$chars:c": 1, "public.quo\"te:c": 1, "public.user:c": 1,
                "public.a_very_long_table_name_of_exactly_sixty_three_characters_012345:c": 1, "public.edge:c": 36,
                "public.edge:u": 4, "public.edge:d": 1,
            ], 5
        ),
    ]

    @Test(arguments: counts.indices)
    func everyRecordIsCountedOnce(_ index: Int) throws {
        let (name, counts, control) = Self.counts[index]
        let batch = try Corpus.decode(name)
        #expect(batch.quarantined.isEmpty, "\(batch.reasons)")
        #expect(batch.counts == counts)
        #expect(batch.control == control)
        #expect(batch.readUnknown == 0)
        for (table, read) in batch.read.enumerated() {
            let source = batch.tables[table].source
            let wanted = counts.filter { $0.key.dropLast(2) == source.description }.values.reduce(0, +)
            #expect(read == wanted, "\(source)")
        }
    }

    @Test func throughputIsDecodedWithoutLoss() throws {
        let batch = try Corpus.decode("throughput", limit: 6_000)
        #expect(batch.quarantined.isEmpty, "\(batch.reasons.prefix(3))")
        #expect(batch.events.count + batch.control == 6_000)
        #expect(batch.read == [batch.events.count])
        #expect(batch.tables[0].columns.map(\.name).first == "id")
        #expect(batch.tables[0].columns.map(\.type)[3] == .numeric(precision: 12, scale: 2))
    }

    /// Tables whose events must lead to the source's own rows, column by column.
    static let tables: [(String, [String], except: Set<String>)] = [
        ("basic", ["public.customers", "public.orders"], []),
        ("basic_noschema", ["public.customers", "public.orders"], []),
        (
            "pk_update",
            [
                "public.comp", "public.comp_order", "public.dtpk", "public.numpk", "public.single", "public.textpk",
                "public.uuidpk",
            ], []
        ),
        (
            "pk_update_schema",
            [
                "public.comp", "public.comp_order", "public.dtpk", "public.numpk", "public.single", "public.textpk",
                "public.uuidpk",
            ], []
        ),
        // Postgres shows money with its currency sign; Debezium's intervals have lost their days.
        ("defaults_nullskept", ["public.d", "public.d_full"], ["iv", "money"]),
        ("defaults_nullskept_schema", ["public.d", "public.d_full"], ["iv", "money"]),
        ("snapshot", ["public.items", "public.late", "public.late_comp", "public.small", "public.dbz_signal"], []),
        ("truncate_msg_heartbeat_tx", ["public.a", "public.b", "public.c"], []),
        (
            "unicode_edge",
            [
                "public.Order", "public.order", "Sales Dept.Line Items", "схема.таблица",
                "public.weird.name-with$chars", "public.quo\"te", "public.user",
                "public.a_very_long_table_name_of_exactly_sixty_three_characters_012345",
            ], []
        ),
        // Precise decimals have no NaN.
        ("unicode_edge", ["public.edge"], ["n"]),
        ("toast", ["public.t_full", "public.uk_only"], []),
        // An update to the very placeholder can't be told from an unchanged column.
        ("toast", ["public.t_default"], ["big"]),
        // binary.handling.mode=base64 has no placeholder but null.
        ("toast_custom", ["public.t_default", "public.t_full", "public.uk_only"], ["bigb"]),
    ]

    @Test(arguments: tables.indices)
    func eventsMakeTheSourcesRows(_ index: Int) throws {
        let (name, tables, except) = Self.tables[index]
        var configuration = try Corpus.configuration(name)
        if name == "toast_custom" {
            configuration.placeholder = "%%MISSING%%"
            configuration.modes.decimal = .string
        }
        let decoder = try DebeziumDecoder(configuration: configuration)
        let batch = decoder.decode(Corpus.batch(try Corpus.lines(name)))
        let fold = Fold(batch.flat)
        let expected = try Corpus.expected(name)
        for table in tables {
            let dot = table.firstIndex(of: ".") ?? table.startIndex
            let id = TableID(schema: String(table[..<dot]), table: String(table[table.index(after: dot)...]))
            let key = try #require(try Corpus.tables(name)[id]?.key)
            let wanted =
                expected[table] ?? expected.first { Self.plain($0.key) == table }?.value ?? []
            Self.compare(fold.rows(id), wanted, key: key, except: except, "\(name) \(table)")
        }
    }

    static func plain(_ quoted: String) -> String {
        var plain = ""
        var rest = quoted[...]
        while let first = rest.first {
            rest = rest.dropFirst()
            if first != "\"" {
                plain.append(first)
            } else if rest.first == "\"" {
                plain.append("\"")
                rest = rest.dropFirst()
            }
        }
        return plain
    }

    static func compare(
        _ rows: [[String: String]], _ expected: [JSONValue], key: [String], except: Set<String>, _ label: String
    ) {
        #expect(rows.count == expected.count, "\(label)")
        func name(_ row: [String: String]) -> String { key.map { row[$0] ?? "?" }.joined(separator: ",") }
        let byKey = Dictionary(rows.map { (name($0), $0) }, uniquingKeysWith: { first, _ in first })
        for wanted in expected {
            var cells: [String: String] = [:]
            for (column, value) in wanted.members ?? [] { cells[column] = canonical(value.serialized) }
            let id = key.map { cells[$0] ?? "?" }.joined(separator: ",")
            guard let row = byKey[id] ?? byKey.first(where: { canonical($0.key) == id })?.value else {
                Issue.record("\(label): no row \(id)")
                continue
            }
            for (column, value) in cells where !except.contains(column) {
                let ours = row[column].map { canonical($0) }
                if ours == value || ours == nil && value == "null" { continue }
                Issue.record(
                    "\(label) \(id) \(column): \((ours ?? "absent").prefix(200)) instead of \(value.prefix(200))")
            }
        }
    }

    /// One form for equal JSON: numbers and times as `row_to_json` and Debezium's precision leave them.
    static func canonical(_ text: String) -> String {
        guard let value = try? JSONValue(parsing: text) else { return text }
        return canonical(value).serialized
    }

    private static func canonical(_ value: JSONValue) -> JSONValue {
        switch value {
        case .number(let text):
            let arena = ByteArena()
            guard let range = DecimalText.appendNormalized(arena.append(text), of: arena, to: arena) else {
                return value
            }
            return .number(arena.string(range))
        case .array(let elements): return .array(elements.map { canonical($0) })
        case .object(let members): return .object(members.map { ($0.key, canonical($0.value)) })
        default: return value
        }
    }
}
