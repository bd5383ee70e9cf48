import EventSchemas
import JSON
import Testing

/// Written after Confluent's documentation and Protobuf's: there are no recorded events.
@Suite struct ProtobufTests {
    private func reader(_ text: String, _ references: [RegisteredSchema.Reference] = []) throws -> Framed {
        try Framed(RegisteredSchema(id: 1, format: .protobuf, text: text, references: references))
    }

    /// The first message of a file, whose message index is one zero.
    private func first(_ fill: (inout Bytes) -> Void) -> [UInt8] {
        framed { bytes in
            bytes.all.append(0)
            fill(&bytes)
        }
    }

    private static let everything = """
        syntax = "proto3";
        package p;
        // All of them.
        message M {
          double d = 1; float f = 2; int32 i32 = 3; int64 i64 = 4; uint32 u32 = 5; uint64 u64 = 6;
          sint32 s32 = 7; sint64 s64 = 8; fixed32 x32 = 9; fixed64 x64 = 10; sfixed32 y32 = 11; sfixed64 y64 = 12;
          bool b = 13; string s = 14; bytes y = 15; /* in between */ E e = 16;
          Inner inner = 17; repeated int64 list = 18; repeated string words = 19 [json_name = "w"];
          map<string, int32> numbers = 20; map<int64, Inner> inners = 5000; optional int32 maybe = 22;
          oneof choice { string left = 23; int32 right = 24; }
          enum E { option allow_alias = true; NONE = 0; SOME = 1; ALSO = 1; MANY = -5; }
          message Inner { string v = 1; reserved 2, 4 to 8; reserved "old"; }
        }
        """

    @Test func everyType() throws {
        let bytes = first { b in
            b.field(1, -0.5)
            b.field(2, Float(0.1))
            b.field(3, -1 as Int64)
            b.field(4, Int64.min)
            b.field(5, 4_294_967_295 as Int64)
            b.field(6, -1 as Int64)
            b.tag(7, 0)
            b.zigzag(-2_147_483_648)
            b.tag(8, 0)
            b.zigzag(.min)
            b.tag(9, 5)
            b.fixed(4_294_967_295, bytes: 4)
            b.tag(10, 1)
            b.fixed(.max, bytes: 8)
            b.tag(11, 5)
            b.fixed(UInt64(UInt32(bitPattern: -7)), bytes: 4)
            b.tag(12, 1)
            b.fixed(UInt64(bitPattern: -7), bytes: 8)
            b.field(13, 1 as Int64)
            b.field(14, "q\"😀")
            b.field(15, [0, 255] as [UInt8])
            b.field(16, -5 as Int64)
            // A field that nobody knows, of each form.
            b.field(900, 7 as Int64)
            b.field(901, "x")
            b.field(902, 1.5)
            b.field(903, Float(1.5))
            b.tag(904, 3)
            b.field(1, "in a group")
            b.tag(904, 4)
            b.message(17) { $0.field(1, "in") }
            // Packed, and one by one, with others between.
            b.field(18, [1, 2] as [UInt8])
            b.field(19, "one")
            b.field(18, 3 as Int64)
            b.field(19, "two")
            b.message(20) {
                $0.field(1, "a")
                $0.field(2, 1 as Int64)
            }
            b.message(20) { $0.field(1, "b") }
            b.message(20) {
                $0.field(2, 9 as Int64)
                $0.field(1, "a")
            }
            b.message(5000) {
                $0.field(1, -3 as Int64)
                $0.message(2) { $0.field(1, "v") }
            }
            b.field(24, 0 as Int64)
        }
        let wanted = [
            #"{"d":-0.5,"f":0.1,"i32":-1,"i64":-9223372036854775808,"u32":4294967295,"u64":18446744073709551615,"#,
            #""s32":-2147483648,"s64":-9223372036854775808,"x32":4294967295,"x64":18446744073709551615,"#,
            #""y32":-7,"y64":-7,"b":true,"s":"q\"😀","y":"AP8=","e":"MANY","inner":{"v":"in"},"#,
            #""list":[1,2,3],"words":["one","two"],"numbers":{"a":9,"b":0},"inners":{"-3":{"v":"v"}},"#,
            #""maybe":null,"left":null,"right":0}"#,
        ]
        let payload = try reader(Self.everything).payload(bytes)
        #expect(payload == wanted.joined())
    }

    /// Of a field without presence that isn't there Protobuf says that it is its type's default.
    @Test func whatIsNotThere() throws {
        let wanted = [
            #"{"d":0,"f":0,"i32":0,"i64":0,"u32":0,"u64":0,"s32":0,"s64":0,"x32":0,"x64":0,"y32":0,"y64":0,"#,
            #""b":false,"s":"","y":"","e":"NONE","inner":null,"list":[],"words":[],"numbers":{},"inners":{},"#,
            #""maybe":null,"left":null,"right":null}"#,
        ]
        let payload = try reader(Self.everything).payload(first { _ in })
        #expect(payload == wanted.joined())
        let two = try reader("message M { optional int32 a = 1; required string b = 2; repeated int32 c = 3; }")
        #expect(try two.payload(first { _ in }) == #"{"a":null,"b":null,"c":[]}"#)
    }

    private static let envelope = """
        syntax = "proto3";
        package dbz.public.t;
        import "google/protobuf/wrappers.proto";
        import "google/protobuf/timestamp.proto";
        import "google/type/date.proto";
        import "google/type/timeofday.proto";
        import "confluent/meta.proto";
        import "confluent/type/decimal.proto";
        option java_outer_classname = "X";
        message Envelope {
          Value before = 1;
          Value after = 2;
          Source source = 3;
          string op = 4;
          int64 ts_ms = 5;
          message Value {
            option (confluent.message_meta) = { doc: "a; b", params: [{ key: "x", value: "y" }] };
            int64 id = 1;
            int32 small = 2 [(confluent.field_meta) = { params: [{ key: "connect.type", value: "int16" }] }];
            confluent.type.Decimal amount = 3 [(confluent.field_meta) = {
              params: [ { value: "12", key: "ignored" }, { key: "precision", value: "12" }, { key: "scale", value: "2" } ]
            }];
            confluent.type.Decimal loose = 4;
            google.protobuf.Timestamp at = 5;
            google.type.Date day = 6;
            google.type.TimeOfDay clock = 7;
            google.protobuf.StringValue note = 8;
            google.protobuf.Int64Value big = 9;
            VariableScaleDecimal number = 10;
            string named = 11 [(confluent.field_meta) = { params: { key: "connect.name" value: "io.debezium.data.Uuid" } }];
            repeated int32 list = 12;
            message VariableScaleDecimal { int32 scale = 1; bytes value = 2; }
          }
          message Source { string schema = 1; string table = 2; int64 lsn = 3; int64 txId = 4; string sequence = 5; }
        }
        """

    @Test func debeziumsEnvelope() throws {
        let bytes = first { b in
            b.message(2) { b in
                b.field(1, 7 as Int64)
                b.message(3) { b in
                    b.field(1, [1, 0] as [UInt8])
                    b.field(2, 12 as Int64)
                    b.field(3, 2 as Int64)
                }
                b.message(4) { b in
                    b.field(1, [255] as [UInt8])
                    b.field(3, 19 as Int64)
                }
                b.message(5) { b in
                    b.field(1, -1 as Int64)
                    b.field(2, 999_999_000 as Int64)
                }
                b.message(6) { b in
                    b.field(1, 2024 as Int64)
                    b.field(2, 2 as Int64)
                    b.field(3, 29 as Int64)
                }
                b.message(7) { b in
                    b.field(1, 13 as Int64)
                    b.field(4, 1 as Int64)
                }
                b.message(8) { _ in }
                b.message(10) { $0.field(2, [5] as [UInt8]) }
            }
            b.message(3) { b in
                b.field(1, "public")
                b.field(2, "t")
                b.field(3, 99 as Int64)
            }
            b.field(4, "c")
        }
        let reader = try reader(Self.envelope)
        // What isn't there of the envelope and its source is left out: 0 would be a position.
        let payload = [
            #"{"before":null,"after":{"id":7,"small":0,"amount":"AQA=","loose":{"scale":19,"value":"/w=="},"#,
            #""at":-1,"day":19782,"clock":46800000000001,"note":"","big":null,"#,
            #""number":{"scale":0,"value":"BQ=="},"named":"","list":[]},"#,
            #""source":{"schema":"public","table":"t","lsn":99},"op":"c"}"#,
        ]
        #expect(try reader.payload(bytes) == payload.joined())
        let after = try reader.schema(bytes)["fields"]?.array?[1]
        #expect(after?["name"]?.string == "dbz.public.t.Envelope.Value")
        let wanted: [String] = [
            #"{"type":"int64","optional":false,"assumed":true,"field":"id"}"#,
            #"{"type":"int16","optional":false,"assumed":true,"field":"small"}"#,
            #"{"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","#
                + #""parameters":{"scale":"2","connect.decimal.precision":"12","ignored":"12"},"field":"amount"}"#,
            #"{"type":"struct","optional":true,"name":"io.debezium.data.VariableScaleDecimal","field":"loose"}"#,
            #"{"type":"int64","optional":true,"name":"io.debezium.time.MicroTimestamp","field":"at"}"#,
            #"{"type":"int32","optional":true,"name":"org.apache.kafka.connect.data.Date","field":"day"}"#,
            #"{"type":"int64","optional":true,"name":"io.debezium.time.NanoTime","field":"clock"}"#,
            #"{"type":"string","optional":true,"assumed":true,"field":"note"}"#,
            #"{"type":"int64","optional":true,"assumed":true,"field":"big"}"#,
            #"{"type":"struct","fields":[{"type":"int32","optional":false,"assumed":true,"field":"scale"},"#
                + #"{"type":"bytes","optional":false,"assumed":true,"field":"value"}],"optional":true,"#
                + #""name":"io.debezium.data.VariableScaleDecimal","field":"number"}"#,
            #"{"type":"string","optional":false,"name":"io.debezium.data.Uuid","field":"named"}"#,
            #"{"type":"array","items":{"type":"int32","optional":false,"assumed":true},"optional":false,"#
                + #""assumed":true,"field":"list"}"#,
        ]
        #expect(after?["fields"]?.array?.map(\.serialized) == wanted)
    }

    @Test func nullsThatCannotBeTold() {
        func hides(_ text: String) -> Bool { RegisteredSchema(id: 1, format: .protobuf, text: text).hidesNulls }
        #expect(hides(Self.envelope))
        #expect(hides("syntax = \"proto3\"; message Key { int64 id = 1; }"))
        #expect(!hides("syntax = \"proto3\"; message Key { optional int64 id = 1; repeated string s = 2; }"))
        #expect(
            !hides(
                """
                syntax = "proto3";
                message E { V before = 1; V after = 2; S source = 3; string op = 4;
                  message V { optional int32 a = 1; } message S { int64 lsn = 1; } }
                """))
    }

    @Test func messageIndexes() throws {
        let text = """
            syntax = "proto3";
            message A { int32 a = 1; message N { int32 n = 1; message D { int32 d = 1; } } message O { int32 o = 1; } }
            message B { int32 b = 1; }
            """
        let reader = try reader(text)
        func read(_ path: [Int64]) throws -> String {
            try reader.payload(
                framed { b in
                    b.zigzag(Int64(path.count))
                    for step in path { b.zigzag(step) }
                    b.field(1, 5 as Int64)
                })
        }
        #expect(try read([]) == #"{"a":5}"#)
        #expect(try read([0]) == #"{"a":5}"#)
        #expect(try read([1]) == #"{"b":5}"#)
        #expect(try read([0, 0]) == #"{"n":5}"#)
        #expect(try read([0, 0, 0]) == #"{"d":5}"#)
        #expect(try read([0, 1]) == #"{"o":5}"#)
        for bytes in [[4, 4], [2, 1], [1], [0x80], [0xFE, 0xFF, 0xFF, 0xFF, 0x0F]] as [[UInt8]] {
            #expect(reader.reason([0, 0, 0, 0, 1] + bytes).hasPrefix("it doesn't fit its Protobuf schema"))
        }
    }

    /// Imports come from the registry, under their own packages.
    @Test func references() throws {
        let reader = try reader(
            """
            syntax = "proto3"; package shop.orders; import public "shop/types.proto";
            message Order { types.Money price = 1; .shop.types.Kind kind = 2; shop.types.Money.Part part = 3; }
            """,
            [
                .init(
                    name: "shop/types.proto",
                    text: """
                        syntax = "proto3"; package shop.types;
                        message Money { int64 cents = 1; message Part { bool whole = 1; } }
                        enum Kind { OLD = 0; NEW = 1; }
                        service S { rpc Get (Money) returns (Money) { option deprecated = true; } }
                        """)
            ])
        let bytes = first { b in
            b.message(1) { $0.field(1, 5 as Int64) }
            b.field(2, 1 as Int64)
            b.message(3) { $0.field(1, 1 as Int64) }
        }
        #expect(try reader.payload(bytes) == #"{"price":{"cents":5},"kind":"NEW","part":{"whole":true}}"#)
    }

    private static let misfits: [(text: String, bytes: [UInt8], reason: String)] = [
        ("message M { int32 a = 1; }", [0, 8], "it ends before what its schema describes"),
        ("message M { int32 a = 1; }", [0, 10, 1, 0], "field 1 of M is of another type"),
        ("message M { string a = 1; }", [0, 10, 200, 1], "it ends before what its schema describes"),
        ("message M { string a = 1; }", [0, 0], "a field has no number"),
        ("message M { string a = 1; }", [0, 0x17, 1], "a field has an unknown form"),
        ("message M { string a = 1; }", [0, 0x13, 0x1C], "a group ends that didn't begin"),
        ("message M { M a = 1; }", [0, 10, 0, 10, 0], "a field stands there twice"),
        ("message M { E a = 1; enum E { X = 0; } }", [0, 8, 3], "an enum has no such value"),
        ("message M { google.type.Date a = 1; }", [0, 10, 2, 8, 1], "a date isn't one"),
        (
            "message M { google.protobuf.Timestamp a = 1; }", [0, 10, 2, 16, 1],
            "a timestamp has more digits than microseconds"
        ),
    ]

    @Test(arguments: misfits.indices)
    func whatDoesNotFit(_ index: Int) throws {
        let (text, bytes, reason) = Self.misfits[index]
        let told = try reader(text).reason([0, 0, 0, 0, 1] + bytes)
        #expect(told == "it doesn't fit its Protobuf schema (id 1): \(reason)")
    }

    @Test func depthIsBounded() throws {
        let reader = try reader("message M { optional M m = 1; }")
        var bytes: [UInt8] = []
        for _ in 0..<500 {
            var outer = Bytes()
            outer.field(1, bytes)
            bytes = outer.all
        }
        #expect(reader.reason([0, 0, 0, 0, 1, 0] + bytes).hasSuffix("it is nested too deeply"))
        let groups = [UInt8](repeating: 0x13, count: 10_000)
        #expect(reader.reason([0, 0, 0, 0, 1, 0] + groups).hasSuffix("it is nested too deeply"))
    }

    @Test(arguments: [
        ("", "has no message"), ("message", "lacks a name"), ("message M {", "ends inside of a message"),
        ("message M { int32 a; }", "lacks a ="), ("message M { int32 a = 0; }", "field number out of range"),
        ("message M { int32 a = 1; int32 b = 1; }", "a field number twice"),
        ("message M { Other a = 1; }", "names a type that is not there: Other"),
        ("message M { optional group G = 1 { } }", "has a group, which is not read"),
        ("message M { int32 a = 1 [", "ends inside of a field's options"), ("/* no end", "inside of a comment"),
        ("syntax = \"proto3;", "a string without an end"), ("}", "something else than a declaration"),
        ("message M { int32 a = 99999999999; }", "a number out of range"),
    ])
    func schemasThatAreNone(text: String, reason: String) throws {
        let told = try reader(text).reason(first { _ in })
        #expect(told.contains(reason), "\(told)")
    }

    @Test func manyMessagesInEachOtherAreRefused() throws {
        let text = String(repeating: "message M { ", count: 100_000)
        #expect(try reader(text).reason(first { _ in }).contains("messages nested too deeply"))
    }
}
