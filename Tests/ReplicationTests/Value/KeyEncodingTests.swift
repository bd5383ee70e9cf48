import Testing

@testable import Replication

@Suite struct KeyEncodingTests {
    @Test func keysAreCompactObjectsInTheKeysOrder() {
        let columns = [
            Column(name: "code", type: .text), Column(name: "note", type: .text), Column(name: "i\"d", type: .bigint),
        ]
        let template = KeyTemplate(columns: columns, key: [2, 0])
        let sample = Sample()
        let fields = [sample.text("A\"\n"), .null, .int(7)]
        // Into the arena that the values lie in, as decoders do.
        let key = template.appendKey(from: sample.arena, to: sample.arena) { fields[$0] }
        #expect(sample.arena.string(key) == #"{"i\"d":7,"code":"A\"\n"}"#)
        #expect(!template.needsGroup)
    }

    static func group(_ field: (Sample) -> Field, _ type: ColumnType, _ equality: KeyEquality = .postgres) -> String {
        let sample = Sample()
        let field = field(sample)
        let template = KeyTemplate(columns: [Column(name: "k", type: type)], key: [0], equality: equality)
        return sample.arena.string(template.appendGroup(from: sample.arena, to: sample.arena) { _ in field })
    }

    /// Pairs and whether PostgreSQL 15 calls them equal.
    @Test(arguments: [
        ("1.0", "1.00", ColumnType.numeric(precision: nil, scale: 0), true),
        ("1e2", "100", .numeric(precision: nil, scale: 0), true),
        ("-0.0", "0", .numeric(precision: nil, scale: 0), true),
        ("NaN", "nan", .numeric(precision: nil, scale: 0), true),
        ("10", "1", .numeric(precision: nil, scale: 0), false), ("-1", "1", .numeric(precision: nil, scale: 0), false),
        ("bob", "BoB", .other("citext"), true), ("ÄÖ", "äö", .other("citext"), true),
        ("bob", "bob ", .other("citext"), false),
        ("a", "a   ", .other("character(5)"), true), ("a", " a", .other("char(5)"), false),
        ("a", "A", .other("char(5)"), false),
        ("a", "a ", .text, false), ("a", "A", .text, false), ("a", "a ", .other("character varying(5)"), false),
        ("01:00:00+01", "00:00:00+00", .timetz, false), ("01:00:00.500+01", "01:00:00.5+01:00", .timetz, true),
        ("00:00:00Z", "00:00:00+00", .timetz, true), ("24:00:00+00", "00:00:00+00", .timetz, false),
        ("1 day", "24:00:00", .interval, true), ("30 days", "1 mon", .interval, true),
        ("PT36H", "1 day 12:00:00", .interval, true),
        ("1 day", "2 days", .interval, false), ("1.0", "1", .double, true), ("-0", "0", .double, true),
    ])
    func groupsFollowPostgresEquality(_ a: String, _ b: String, _ type: ColumnType, _ equal: Bool) {
        #expect((Self.group({ $0.text(a) }, type) == Self.group({ $0.text(b) }, type)) == equal)
    }

    @Test(arguments: [
        (#"{"b":1,"a":[1.0,"x"]}"#, #"{ "a" : [1.00,"\u0078"], "b":1e0}"#, ColumnType.jsonb, true),
        (#"{"a":1,"a":2}"#, #"{"a":2}"#, .jsonb, true), (#"{"a":1}"#, #"{"a":"1"}"#, .jsonb, false),
        ("[]", "{}", .jsonb, false), ("[1,2]", "[2,1]", .jsonb, false), ("[1, 2]", "[1,2]", .array(.integer), true),
        ("[1.0,null]", "[1.00,null]", .array(.numeric(precision: nil, scale: 0)), true),
        ("[1]", "[[1]]", .array(.integer), false),
        (#"["Bob"]"#, #"["bob"]"#, .array(.other("citext")), true), (#"["Bob"]"#, #"["bob"]"#, .array(.text), false),
    ])
    func groupsOfJSON(_ a: String, _ b: String, _ type: ColumnType, _ equal: Bool) {
        #expect((Self.group({ $0.json(a) }, type) == Self.group({ $0.json(b) }, type)) == equal)
    }

    @Test func kindsOfOneValueAgree() {
        let numeric = ColumnType.numeric(precision: nil, scale: 0)
        let one = Self.group({ $0.text("1.0") }, numeric)
        #expect(Self.group({ _ in .int(1) }, numeric) == one)
        #expect(Self.group({ _ in .double(1) }, numeric) == one)
        #expect(
            Self.group({ _ in .double(1e30) }, numeric)
                == Self.group({ $0.text("1" + String(repeating: "0", count: 30)) }, numeric))
        #expect(Self.group({ _ in .double(-0.0) }, .double) == Self.group({ _ in .double(0) }, .double))
        let nan = Double(bitPattern: 0xFFF8_0000_0000_0001)
        #expect(Self.group({ _ in .double(nan) }, .double) == Self.group({ _ in .double(.nan) }, .double))
        #expect(Self.group({ _ in .double(0.1) }, .real) == Self.group({ _ in .double(Double(Float(0.1))) }, .real))
        #expect(
            Self.group({ $0.text("{1,2}") }, .array(.integer)) == Self.group({ $0.json("[1, 2]") }, .array(.integer)))
    }

    @Test func partsDoNotRunIntoEachOther() {
        let columns = [Column(name: "a", type: .other("citext")), Column(name: "b", type: .other("citext"))]
        let template = KeyTemplate(columns: columns, key: [0, 1])
        #expect(template.needsGroup)
        let sample = Sample()
        func group(_ a: Field, _ b: Field) -> [UInt8] {
            let range = template.appendGroup(from: sample.arena, to: sample.arena) { $0 == 0 ? a : b }
            return Array(sample.arena.bytes(range))
        }
        #expect(group(sample.text("ab"), sample.text("c")) != group(sample.text("a"), sample.text("bc")))
        #expect(group(.null, sample.text("")) != group(sample.text(""), .null))
        #expect(group(sample.text("Ab"), sample.text("C")) == group(sample.text("aB"), sample.text("c")))
    }

    @Test func duckdbComparesTextByteByByte() {
        #expect(!KeyTemplate.needsGroup(.other("citext"), equality: .duckdb))
        #expect(!KeyTemplate.needsGroup(.numeric(precision: nil, scale: 0), equality: .duckdb))
        #expect(KeyTemplate.needsGroup(.numeric(precision: 12, scale: 2), equality: .duckdb))
        #expect(KeyTemplate.needsGroup(.double, equality: .duckdb))
        #expect(KeyTemplate.needsGroup(.other("citext")))
        #expect(!KeyTemplate.needsGroup(.bigint))
        #expect(!KeyTemplate.needsGroup(.text))
    }

    @Test func imagesAreTheSameExactlyIfTheRowsAre() {
        let columns = [
            Column(name: "a", type: .integer), Column(name: "b", type: .text), Column(name: "c", type: .text),
        ]
        let template = ImageTemplate(columns: columns)
        let sample = Sample()
        let scratch = ByteArena()
        func hash(_ fields: [Field]) -> EventID {
            template.hash(width: fields.count, in: sample.arena, scratch: scratch) { fields[$0] }
        }
        let row = hash([.int(1), sample.text("x"), .null])
        #expect(row == hash([.int(1), sample.text("x"), .null]))
        #expect(row == hash([sample.text("1"), sample.text("x")]))
        #expect(row == hash([.int(1), sample.text("x"), .absent]))
        #expect(row != hash([.int(1), .null, sample.text("x")]))
        #expect(row != hash([.int(1), sample.text("x"), .unchanged]))
        #expect(row != hash([.int(1), sample.text("x"), sample.text("")]))
        #expect(row != hash([.int(2), sample.text("x"), .null]))
        #expect(scratch.count == 0)
    }
}
