import Replication
import ReplicationTestKit
import Testing

/// An expectation says the same of a row by itself and by the SQL of each engine, of random values of each type.
@Suite struct QualityAgreementTests {
    private static let types: [(name: String, type: ColumnType, values: [String])] = [
        ("b", .boolean, ["t", "f"]),
        ("i2", .smallint, ["0", "-1", "7", "32767", "-32768"]),
        ("i4", .integer, ["0", "1", "-5", "2147483647", "-2147483648"]),
        ("i8", .bigint, ["0", "42", "9223372036854775807", "-9223372036854775808", "9007199254740993"]),
        ("f4", .real, ["0", "-0", "0.1", "1.5", "16777216", "NaN", "Infinity", "-Infinity", "1e-30", "-2.25"]),
        ("f8", .double, ["0", "-0", "0.1", "0.30000000000000004", "1e+300", "NaN", "Infinity", "-Infinity", "5e-324"]),
        (
            "n", .numeric(precision: 12, scale: 2),
            ["0.00", "-0.01", "0.10", "9999999999.99", "-9999999999.99", "100.00"]
        ),
        (
            "nn", .numeric(precision: nil, scale: 0),
            [
                "0", "0.00", "-0.5", "1.50", "1.5", "100", "99999999999999999999999999999999999999999999.000000001",
                "-99999999999999999999999999999999999999999999.1", "NaN", "0.000000000000000000000000000001", "12",
                "-12.0",
            ]
        ),
        (
            "nw", .numeric(precision: 50, scale: 20),
            [
                "0.00000000000000000000", "1.00000000000000000001",
                "-123456789012345678901234567890.00000000000000000000",
            ]
        ),
        (
            "t", .text,
            [
                "", "a", "ab", "A'b\"c\\d", "ä", "€uro", "𝄞", "line\nend", " ", "%_", "pending", "PENDING", "a-z",
                "\\A", "b",
                "[x]", "{2}", "aaaa", "bcbc", "0", "3,50", "\t",
                // At the border of what is searched, and behind it.
                String(repeating: "ä", count: RowPattern.text_bytes_max / 2),
                String(repeating: "a", count: RowPattern.text_bytes_max) + "b",
            ]
        ),
        ("vc", .other("character varying(20)"), ["", "x", "xy ", "Ünï", "paid"]),
        ("ch", .other("character(5)"), ["ab   ", "     ", "abcde", "ä    "]),
        (
            "u", .uuid,
            [
                "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000000",
                "ffffffff-0000-4000-8000-0123456789ab",
            ]
        ),
        ("d", .date, ["1970-01-01", "2024-02-29", "0044-03-15 BC", "infinity", "-infinity", "9999-12-31"]),
        ("tm", .time, ["00:00:00", "12:34:56.789", "24:00:00", "23:59:59.999999"]),
        (
            "ts", .timestamp(digits: 6),
            [
                "1970-01-01 00:00:00", "2024-02-29 12:34:56.5", "0044-03-15 12:00:00 BC", "infinity", "-infinity",
                "2024-01-01 00:00:00.000001",
            ]
        ),
        (
            "tz", .timestamptz,
            [
                "1970-01-01 00:00:00+00", "2024-02-29 12:34:56.5+00", "0044-03-15 12:00:00+00 BC", "infinity",
                "2023-12-31 23:59:59.999999+00",
            ]
        ),
        ("tt", .timetz, ["12:00:00+05:30", "00:00:00+00"]),
        ("js", .json, ["{\"a\": 1}", "null"]),
    ]

    private static let definition = TableDefinition(
        source: TableID(schema: "public", table: "every"), target: "every",
        columns: [Column(name: "id", type: .bigint, isKey: true)] + types.map { Column(name: $0.name, type: $0.type) },
        key: [0])

    private static let patterns = [
        "^[a-c]+$", "b", "^$", ".", "^.{2,3}$", "\\d", "[^a-z]", "^(a|bc)*$", "^\\S+$", "[\\u00e4\\u20ac]", "['\"\\\\]",
        "^(?:[A-Z]|\\s)", "\\x5c", "[\\s\\S]", "(?i)^PEND", "^a{2}", "^(|a)$", "(a|b){2,}", "\\A.\\z", "[a\\-z]",
        "^[^\\n]*$",
        "𝄞", "\\W$", "^\\[x\\]$", "\\{2\\}", "(?:)", "^(?:a{2}){2}$", "\\t", "x?$", "[^\\x01-\\u00ff]", "[^ab]",
        "(a*)*b", "(?:(?:|){200}){200}a", "(?:a{0,7}){0,60}$", "^(?:[ab]{31}){31}",
    ]

    // MARK: Random expectations and rows

    private static let letters = Array("ab c-9Ä€\n")

    private static func value(_ type: (name: String, type: ColumnType, values: [String]), _ random: inout SeededRandom)
        -> String
    {
        guard random.chance(50) else { return type.values[random.below(type.values.count)] }
        func number(_ range: ClosedRange<Int>) -> String { "\(Int.random(in: range, using: &random))" }
        switch type.type {
        case .smallint, .integer, .bigint: return number(-20...20)
        case .real, .double: return "\(Double(random.below(41) - 20) / 4)"
        case .numeric(12, _): return "\(random.below(41) - 20).\(10 + random.below(90))"
        case .numeric(50, _): return "\(random.below(9)).\(String(repeating: "\(random.below(10))", count: 20))"
        case .numeric: return "\(random.below(41) - 20)" + ["", ".5", ".25", ".125"][random.below(4)]
        case .text: return String((0..<random.below(5)).map { _ in letters[random.below(letters.count)] })
        case .date: return "20\(10 + random.below(20))-0\(1 + random.below(9))-1\(random.below(10))"
        case .time: return "1\(random.below(10)):\(10 + random.below(50)):00"
        case .timestamp: return "2024-01-0\(1 + random.below(9)) 1\(random.below(10)):00:00"
        case .timestamptz: return "2024-01-0\(1 + random.below(9)) 1\(random.below(10)):00:00+00"
        default: return type.values[random.below(type.values.count)]
        }
    }

    private static func check(_ random: inout SeededRandom) throws -> Expectation.Check {
        let type = types[random.below(types.count)]
        switch random.below(10) {
        case 0: return .notNull(type.name)
        case 1...4:
            func bound(_ random: inout SeededRandom) -> Expectation.Bound? {
                if random.chance(25) { return nil }
                var text = value(type, &random)
                // Of more digits than the column has, too.
                if case .numeric = type.type, random.chance(30) { text += (text.contains(".") ? "" : ".") + "005" }
                if case .smallint = type.type, random.chance(30) { text += ".5" }
                return .init(text, isStrict: random.chance(30))
            }
            return .between(type.name, .init(min: bound(&random), max: bound(&random)))
        case 5, 6:
            let values = (0...random.below(4)).map { _ in value(type, &random) }
            return .set(type.name, values: values, isIn: random.chance(50))
        case 7, 8:
            let text = random.chance(50) ? pattern(&random, depth: 3) : patterns[random.below(patterns.count)]
            // What repeats a place in the text is none.
            return .matches(type.name, try (try? RowPattern(text)) ?? RowPattern("a"), isMatch: random.chance(60))
        default:
            return .length(type.name, .init(min: random.below(3), max: random.chance(50) ? 1 + random.below(4) : nil))
        }
    }

    private static func pattern(_ random: inout SeededRandom, depth: Int) -> String {
        let pieces = ["a", "b", ".", "[^a]", "^", "$", "a*", "b+", "[ab]?", "a{2}", "(?:|b)", "[ab]{2,}", "\\W", "Ä"]
        return (0...random.below(3)).map { _ in
            guard depth > 0, random.chance(35) else { return pieces[random.below(pieces.count)] }
            let (one, other) = (pattern(&random, depth: depth - 1), pattern(&random, depth: depth - 1))
            return "(?:\(one)|\(other))" + ["*", "?", "+", "{2}", ""][random.below(5)]
        }.joined()
    }

    private static func rows(_ count: Int, _ random: inout SeededRandom) -> [[Cell]] {
        (0..<count).map { id in
            [.int(Int64(id))]
                + types.map { type in
                    if random.chance(10) { return .null }
                    let text = value(type, &random)
                    if type.type == .json { return .json(text) }
                    return .text(text)
                }
        }
    }

    /// As decoders have them where they can: half of the fields of a calendar's types.
    private static func decode(_ batch: ChangeBatch) {
        for event in batch.events where event.offset % 2 == 0 {
            for (index, column) in definition.columns.enumerated() {
                let at = Int(event.after) + index
                let field = batch.fields[at]
                guard field.kind == .text else { continue }
                let bytes = batch.bytes(field)
                switch column.type {
                case .date: CalendarParse.date(bytes).map { batch.fields[at] = Field(kind: .date, bits: $0) }
                case .time: CalendarParse.time(bytes).map { batch.fields[at] = Field(kind: .time, bits: $0) }
                case .timestamp:
                    CalendarParse.timestamp(bytes).map { batch.fields[at] = Field(kind: .timestamp, bits: $0) }
                case .timestamptz:
                    CalendarParse.timestamptz(bytes).map { batch.fields[at] = Field(kind: .timestamptz, bits: $0) }
                case .double: DoubleText.parse(bytes).map { batch.fields[at] = .double($0) }
                case .real: DoubleText.parseSingle(bytes).map { batch.fields[at] = .double($0) }
                default: break
                }
            }
        }
    }

    // MARK: Statements

    @Test(arguments: Engine.stored) func aUsersStatement(engine: Engine) async throws {
        let subject = try await engine.warehouse("quality_users")
        try await subject.warehouse.open(readOnly: false)
        let snapshot = try await subject.warehouse.snapshot()
        #expect(try await snapshot.rows(ofUsers: "SELECT 'a' || 'b'") == [["ab"]])
        for several in ["SELECT 'a'; SELECT 'b'", "SELECT 'a'; COMMIT; CREATE TABLE x (a int)"] {
            await #expect(throws: ReplicationError.self) { try await snapshot.rows(several) }
            try await snapshot.letGo()
            await #expect(throws: ReplicationError.self) { try await snapshot.rows(ofUsers: several) }
            try await snapshot.letGo()
        }
        func message(_ sql: String) async throws -> String {
            // An error may end the transaction.
            let snapshot = try await subject.warehouse.snapshot()
            let error = await #expect(throws: ReplicationError.self) { try await snapshot.rows(ofUsers: sql) }
            #expect(error?.isStatements == true, "\(error?.message ?? "")")
            await snapshot.close()
            return error?.message ?? ""
        }
        // What is met while it is read is about names, and what is met while it runs may be about values.
        #expect(try await message("SELECT nope").contains("nope"))
        let cast = engine == .postgres ? "regclass" : "integer"
        #expect(
            try await !message("SELECT CAST(v AS \(cast))::text FROM (SELECT concat('secret', 7) AS v) AS s")
                .contains("secret"))
        await snapshot.close()
        await subject.close()
    }

    /// Also those that are as large as we take them.
    @Test(arguments: Engine.stored) func everyPattern(engine: Engine) async throws {
        let subject = try await engine.warehouse("quality_patterns")
        try await subject.warehouse.open(readOnly: false)
        let snapshot = try await subject.warehouse.snapshot()
        let dialect: SweepDialect = engine == .duckdb ? .duckdb : .postgres
        for pattern in Self.patterns {
            let check = Expectation.Check.matches("c", try RowPattern(pattern), isMatch: true)
            let failing = try ColumnTest(check, .text).failing("v", dialect)
            let rows = try await snapshot.rows("SELECT 'x' FROM (SELECT 'ab' AS v) AS t WHERE (\(failing)) IS NOT NULL")
            #expect(rows == [["x"]], "\(engine): \(pattern)")
        }
        await snapshot.close()
        await subject.close()
    }

    /// A row that came without a value has a NULL there, and nobody knows whether there is one.
    @Test(arguments: Engine.stored) func valuesThatHaveNotCome(engine: Engine) async throws {
        let definition = TableDefinition(
            source: TableID(schema: "public", table: "late"), target: "late",
            columns: [
                Column(name: "id", type: .bigint, isKey: true), Column(name: "a \"n'", type: .text),
                Column(name: "b", type: .text),
            ], key: [0])
        let subject = try await engine.warehouse("quality_late")
        try await subject.warehouse.open(readOnly: false)
        try await subject.warehouse.ensure([definition])
        func version(_ place: Int64) -> Version { .change(epoch: 0, commit: 10, place: place) }
        let builder = BatchBuilder([definition])
        let batch = builder.batch([
            EventSpec(.create, definition.source, version(1), after: [.int(1), .null, .text("x")]),
            EventSpec(.update, definition.source, version(2), after: [.int(2), .unchanged, .null]),
            EventSpec(.create, definition.source, version(3), after: [.int(3), .text("x"), .text("x")]),
            EventSpec(.update, definition.source, version(4), after: [.int(4), .unchanged, .unchanged]),
        ])
        let claim = try await subject.warehouse.claim([builder.partition], owner: "test")[0]
        _ = try await subject.warehouse.apply(
            batch,
            advancing: [
                CheckpointAdvance(
                    partition: builder.partition, from: claim.position, to: 4, token: claim.token, spans: [0])
            ])
        let rows = RowExpectations([.init(.notNull("a \"n'")), .init(.notNull("b"))], of: definition)
        let sql = QualitySQL(definition, subject.layout, engine: engine.rawValue)
        let snapshot = try await subject.warehouse.snapshot()
        #expect(try await snapshot.rows(sql.counts(rows.rules)) == [["2", "1", "3", "1"]])
        let keys = try rows.rules.map { try #require(sql.failingKeys($0, limit: 9)) }
        #expect(try await snapshot.rows(keys[0]) == [["1"]])
        #expect(try await snapshot.rows(keys[1]) == [["2"]])
        await snapshot.close()
        await subject.close()
    }

    // MARK: Both answers

    @Test(arguments: Engine.stored, 1...8) func rowsAndTablesAgree(engine: Engine, seed: Int) async throws {
        var random = SeededRandom(seed: UInt64(seed))
        let expectations = try (0..<150).map { _ in Expectation(try Self.check(&random)) }
        let rows = RowExpectations(expectations, of: Self.definition)
        try #require(rows.rules.count > 60)
        let subject = try await engine.warehouse("quality_\(seed)")
        try await subject.warehouse.open(readOnly: false)
        try await subject.warehouse.ensure([Self.definition])
        let specs = Self.rows(300, &random).enumerated().map { index, cells in
            EventSpec(
                .create, Self.definition.source, .change(epoch: 0, commit: 10, place: Int64(index) + 1), after: cells)
        }
        let builder = BatchBuilder([Self.definition])
        let batch = builder.batch(specs)
        Self.decode(batch)
        var desk = RowDesk()
        var failing = [[Int64]](repeating: [], count: rows.rules.count)
        var looked = [Int](repeating: 0, count: rows.rules.count)
        for event in batch.events {
            let id = batch.field(event.after, 0, width: event.width).bits
            rows.judge(event.after, width: event.width, in: batch, &desk) { rule, verdict in
                #expect(verdict != .unknown, "\(expectations[rows.rules[rule].index].check) of row \(id)")
                if verdict != .null { looked[rule] += 1 }
                if verdict == .fail { failing[rule].append(id) }
            }
        }
        let claim = try await subject.warehouse.claim([builder.partition], owner: "test")[0]
        let outcome = try await subject.warehouse.apply(
            batch,
            advancing: [
                CheckpointAdvance(
                    partition: builder.partition, from: claim.position, to: 300, token: claim.token, spans: [0])
            ])
        #expect(outcome.ledger.reduce(0) { $0 + $1.applied } == 300)

        let sql = QualitySQL(Self.definition, subject.layout, engine: engine.rawValue)
        let snapshot = try await subject.warehouse.snapshot()
        let counts = try await snapshot.rows(sql.counts(rows.rules))[0].map { Int($0 ?? "") ?? -1 }
        for (index, rule) in rows.rules.enumerated() {
            let check = expectations[rule.index].check
            #expect(counts[2 * index] == looked[index], "\(engine): rows looked at by \(check)")
            #expect(counts[2 * index + 1] == failing[index].count, "\(engine): rows that fail \(check)")
            guard counts[2 * index + 1] != failing[index].count || index % 10 == 0 else { continue }
            let query = try #require(sql.failingKeys(rule, limit: 1_000))
            let keys = try await snapshot.rows(query).compactMap { $0[0].flatMap { Int64($0) } }.sorted()
            let differ = Set(keys).symmetricDifference(failing[index]).sorted().prefix(5).map { id in
                specs[Int(id)].after?[rule.column] ?? .absent
            }
            #expect(differ.isEmpty, "\(engine): \(check) differs on \(differ)")
        }
        await snapshot.close()
        await subject.close()
    }
}
