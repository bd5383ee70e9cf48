import Foundation
import JSON
import Replication
import Testing

@testable import Debezium

/// Single values: how a column of a type reads what Debezium writes in its modes.
@Suite struct ValueTests {
    /// The `to_jsonb` form of `json` in a column of `type`, or the trouble.
    static func read(
        _ json: String, _ type: String, modes: EncodingModes = .init(), connector: String = "postgresql",
        operation: String = "c"
    ) throws -> String {
        var configuration = DecoderConfiguration {
            TableChoice(target: $0.table, types: ["v": Corpus.columnType(type)])
        }
        configuration.modes = modes
        let source =
            connector == "postgresql"
            ? #"{"connector":"postgresql","schema":"s","table":"t","lsn":8,"sequence":"[\"7\",\"8\"]"}"#
            : #"{"connector":"mysql","db":"s","table":"t","file":"b.000002","pos":4,"row":0}"#
        let value = #"{"before":null,"after":{"id":1,"v":\#(json)},"source":\#(source),"op":"\#(operation)"}"#
        let batch = try DebeziumDecoder(configuration: configuration).decode(
            Corpus.batch([Corpus.Line(topic: "t", key: Array(#"{"id":1}"#.utf8), value: Array(value.utf8))]))
        #expect(batch.read == [1])
        return batch.flat.first?.after?["v"] ?? batch.reasons.first ?? "nothing"
    }

    @Test(arguments: [
        ("null", "integer", "null"),
        ("-2147483648", "integer", "-2147483648"),
        ("9223372036854775807", "bigint", "9223372036854775807"),
        ("9007199254740993", "bigint", "9007199254740993"),
        ("true", "boolean", "true"),
        ("1", "boolean", "true"),
        ("1.4e-45", "real", "1e-45"),
        ("0.1", "real", "0.1"),
        (#""-Infinity""#, "double precision", #""-Infinity""#),
        ("-0.0", "double precision", "-0"),
        ("1.0E21", "double precision", "1e+21"),
        (#""/av0HAE=""#, "numeric(10,2)", "-99999999.99"),
        (#""AJY=""#, "numeric(10,2)", "1.50"),
        (#""-99999999.99""#, "numeric(10,2)", "-99999999.99"),
        ("942.5", "numeric(10,2)", "942.50"),
        ("7", "numeric(10,2)", "7.00"),
        ("1.0E3", "numeric(10,2)", "1000.00"),
        (#""NAN""#, "numeric", #""NaN""#),
        (#""POSITIVE_INFINITY""#, "numeric", #""Infinity""#),
        (#"{"scale":3,"value":"Vs4="}"#, "numeric", "22.222"),
        (#""1234""#, "numeric", "1234"),
        (#""12345""#, "numeric(9,0)", "12345"),
        // Could be digits too; base64 is the default mode's form.
        (#""BNI=""#, "numeric(9,0)", "1234"),
        (#""gAAAAAAAAAA=""#, "money", #""-92233720368547758.08""#),
        ("19782", "date", #""2024-02-29""#),
        ("-2147472692", "date", #""infinity""#),
        ("-2147472691", "date", #""-infinity""#),
        ("-735160", "date", #""0044-03-15 BC""#),
        (#""2024-02-29Z""#, "date", #""2024-02-29""#),
        (#""-5877611-06-21Z""#, "date", #""infinity""#),
        ("86400000000", "time without time zone", #""24:00:00""#),
        ("47655123", "time(3) without time zone", #""13:14:15.123""#),
        (#""13:14:15.123Z""#, "time without time zone", #""13:14:15.123""#),
        (#""07:44:15.123456Z""#, "time with time zone", #""07:44:15.123456+00""#),
        ("1709212455123", "timestamp(3) without time zone", #""2024-02-29T13:14:15.123""#),
        ("1709212455123456", "timestamp without time zone", #""2024-02-29T13:14:15.123456""#),
        ("9223372036825200000", "timestamp without time zone", #""infinity""#),
        ("9223372036825200", "timestamp(3) without time zone", #""infinity""#),
        ("-9223372036832400000", "timestamp without time zone", #""-infinity""#),
        (#""+294247-01-10T04:00:25.2Z""#, "timestamp without time zone", #""infinity""#),
        (#""-290308-12-21T19:59:27.6Z""#, "timestamp without time zone", #""-infinity""#),
        (#""cGdfY2xhc3M=""#, "regclass", #""pg_class""#),
        (#""2024-02-29T13:14:15.123Z""#, "timestamp without time zone", #""2024-02-29T13:14:15.123""#),
        (#""2024-02-29T11:14:15.123456Z""#, "timestamp with time zone", #""2024-02-29T11:14:15.123456+00:00""#),
        (#""infinity""#, "timestamp with time zone", #""infinity""#),
        (#""-0043-03-15T12:00:00.500Z""#, "timestamp with time zone", #""0044-03-15T12:00:00.5+00:00 BC""#),
        ("37091106789012", "interval", #""10303:05:06.789012""#),
        (#""P1Y2M3DT4H5M6.789012S""#, "interval", #""1 year 2 mons 3 days 04:05:06.789012""#),
        (#""P0Y-1M-1DT0H0M-0.000001S""#, "interval", #""-1 mons -1 days -00:00:00.000001""#),
        (#""P0Y0M-1DT2H3M4.567S""#, "interval", #""-1 days +02:03:04.567""#),
        (#""P0Y0M0DT0H0M0S""#, "interval", #""00:00:00""#),
        (#""P-178000000Y0M0DT0H0M0S""#, "interval", #""-178000000 years""#),
        (#""A0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11""#, "uuid", #""a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11""#),
        (#""{\"a\": 1,  \"a\":2}""#, "json", #"{"a": 1,  "a":2}"#),
        (#"{"a":1}"#, "jsonb", #"{"a":1}"#),
        (#""AP8Q3q2+7w==""#, "bytea", #""\\x00ff10deadbeef""#),
        (#""AP8Q3q2-7w==""#, "bytea", #""\\x00ff10deadbeef""#),
        (#""pQ==""#, "bit(8)", #""10100101""#),
        (#""""#, "bit(8)", #""00000000""#),
        ("true", "bit(1)", #""1""#),
        (#""gwI=""#, "bit varying(80)", #""1010000011""#),
        (
            #""{\"a\":\"1\",\"b\":null,\"c d\":\"e\\\"f\"}""#, "hstore",
            #""\"a\"=>\"1\", \"b\"=>NULL, \"c d\"=>\"e\\\"f\"""#
        ),
        (#"{"a":"1"}"#, "hstore", #""\"a\"=>\"1\"""#),
        (#"{"x":1.5,"y":-2.5,"wkb":"AQ==","srid":null}"#, "point", #""(1.5,-2.5)""#),
        ("4294967295", "oid", #""4294967295""#),
        ("[1,null,-3]", "integer[]", "[1,null,-3]"),
        (#"["a",null,"q\"q",""]"#, "text[]", #"["a",null,"q\"q",""]"#),
        (#"["Cw==",null,"CK4="]"#, "numeric(10,2)[]", "[0.11,null,22.22]"),
        (#"[{"scale":1,"value":"Cw=="}]"#, "numeric[]", "[1.1]"),
        ("[19723,null]", "date[]", #"["2024-01-01",null]"#),
        ("[1704070923500000]", "timestamp without time zone[]", #"["2024-01-01T01:02:03.5"]"#),
        (#"["AQI="]"#, "bytea[]", #"["\\x0102"]"#),
        (#"["{\"k\": 1}",null]"#, "jsonb[]", #"[{"k": 1},null]"#),
        ("[true,false,null]", "boolean[]", "[true,false,null]"),
        (#"[1.5,null,"NaN"]"#, "double precision[]", #"[1.5,null,"NaN"]"#),
        ("[]", "text[]", "[]"),
        (#""\uD83D\uDE00 \u0001""#, "text", #""😀 \u0001""#),
        (#"{"any":[1.0,"x"]}"#, "unknown", #"{"any":[1.0,"x"]}"#),
        (#""x\u00e9""#, "unknown", #""x\u00e9""#),
    ])
    func isRead(_ json: String, _ type: String, _ wanted: String) throws {
        #expect(try Self.read(json, type) == wanted)
    }

    @Test(arguments: [
        ("2147483648", "integer", "is out of range"),
        ("1.5", "integer", "is a number with a fraction or exponent in JSON"),
        (#""1""#, "integer", "is a string in JSON"),
        ("9223372036854775808", "bigint", "is out of range"),
        ("32768", "smallint", "is out of range"),
        ("2", "boolean", "is out of range"),
        (#""t""#, "boolean", "is a string in JSON"),
        ("1", "text", "is an integer in JSON"),
        (#""a\u0000b""#, "text", "has a NUL character, which Postgres can't hold"),
        (#""\uD83D""#, "text", "has half of a surrogate pair"),
        (#""/av0HAE=""#, "numeric(5,2)", "has more digits than the type"),
        (#""abc!""#, "numeric(5,2)", "doesn't read as that type"),
        ("1.234", "numeric(5,2)", "has more digits than the type"),
        ("[1]", "numeric", "is an array in JSON"),
        ("1.0E400", "double precision", "is out of range"),
        ("-622191234", "date", "is out of range"),
        (#""2023-02-29Z""#, "date", "doesn't read as that type"),
        ("86400000001", "time without time zone", "is out of range"),
        ("-9223372036853775810", "timestamp without time zone", "is out of range"),
        ("9224318015999999", "timestamp(3) without time zone", "is out of range"),
        (#""2024-02-29T13:14:15.1234Z""#, "timestamp(3) without time zone", "has more digits than the type"),
        ("1", "timestamp with time zone", "is an integer in JSON"),
        (#""2024-02-29T11:14:15""#, "timestamp with time zone", "doesn't read as that type"),
        (#""P1X""#, "interval", "doesn't read as that type"),
        (#""a0eebc99""#, "uuid", "doesn't read as that type"),
        (#""{""#, "json", "not JSON"),
        (#""{\"a\":\"\\u0000\"}""#, "jsonb", "has \\u0000 or half of a surrogate pair, which jsonb can't hold"),
        (#""a""#, "bytea", "isn't base64"),
        (#""pQ==""#, "bit(4)", "is longer than the type"),
        (#"[1,"x"]"#, "integer[]", "has an array element that doesn't read as the element type"),
        (#""x""#, "integer[]", "is a string in JSON"),
        ("[1]", "point", "is an array in JSON"),
        ("[1]", "citext", "is an array in JSON"),
    ])
    func isAMisfit(_ json: String, _ type: String, _ reason: String) throws {
        let sql = Corpus.columnType(type).sql
        #expect(try Self.read(json, type) == "s.t: column \"v\" (\(sql)) \(reason)")
    }

    @Test func modesDecideWhatAnEventDoesNotSay() throws {
        var modes = EncodingModes()
        modes.decimal = .string
        #expect(try Self.read(#""1234""#, "numeric(9,0)", modes: modes) == "1234")
        #expect(try Self.read(#""BNI=""#, "numeric(9,0)", modes: modes).contains("doesn't read"))
        modes.binary = .hex
        #expect(try Self.read(#""00ff""#, "bytea", modes: modes) == #""\\x00ff""#)
        modes.time = .connect
        #expect(try Self.read("47655123", "time without time zone", modes: modes) == #""13:14:15.123""#)
        #expect(
            try Self.read("1709212455123", "timestamp without time zone", modes: modes) == #""2024-02-29T13:14:15.123""#
        )
        modes.time = .nanoseconds
        #expect(
            try Self.read("1709212455123456000", "timestamp without time zone", modes: modes)
                == #""2024-02-29T13:14:15.123456""#)
        #expect(
            try Self.read("1709212455123456001", "timestamp without time zone", modes: modes).contains("more digits"))
        // MySQL's times of day are microseconds in every adaptive mode.
        #expect(try Self.read("47655123000", "time(3) without time zone", connector: "mysql") == #""13:14:15.123""#)
    }

    @Test func placeholdersAreKnownInEveryForm() throws {
        let text = #""__debezium_unavailable_value""#
        let codes = "[" + "__debezium_unavailable_value".utf8.map { String($0) }.joined(separator: ",") + "]"
        for (json, type) in [
            (text, "text"), (text, "character varying(9)"), (text, "jsonb"), (text, "xml"), (text, "numeric"),
            (text, "bytea"), (text, "unknown"), (#""X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==""#, "bytea"),
            (#""X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==""#, "unknown"), ("[\(text)]", "text[]"),
            ("[\(text)]", "jsonb[]"), (#"["X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="]"#, "bytea[]"),
            (codes, "integer[]"), (codes, "date[]"), (#"["b68a35a7-17ad-35b3-af2a-ae46edb4545a"]"#, "uuid[]"),
            (#"{"__debezium_unavailable_value":"__debezium_unavailable_value"}"#, "hstore"),
            (#""{\"__debezium_unavailable_value\":\"__debezium_unavailable_value\"}""#, "hstore"),
        ] {
            #expect(try Self.read(json, type, operation: "u") == "unchanged", "\(type)")
        }
        // An insert holds what it holds; only where that can't be a value it isn't one.
        #expect(try Self.read(text, "text") == text)
        #expect(try Self.read(text, "json") == "unchanged")
        #expect(try Self.read(#""X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==""#, "text", operation: "u") != "unchanged")
        // The form of another type is an honest value.
        for (json, type) in [
            (#"["X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="]"#, "text[]"),
            (#"["b68a35a7-17ad-35b3-af2a-ae46edb4545a"]"#, "text[]"), (codes, "double precision[]"),
            (codes, "numeric[]"), (#"["b68a35a7-17ad-35b3-af2a-ae46edb4545a"]"#, "jsonb"), ("[\(text)]", "jsonb"),
            (#"{"__debezium_unavailable_value":"__debezium_unavailable_value"}"#, "jsonb"),
        ] {
            #expect(try Self.read(json, type, operation: "u") != "unchanged", "\(type)")
        }
        // MySQL has no such thing.
        #expect(try Self.read(text, "text", connector: "mysql", operation: "u") == text)
    }

    @Test func typesThatDebeziumDoesNotKnowAreTheBytesOfTheirText() throws {
        #expect(try Self.read(#""KDIuMCwyLjApLCgwLjAsMC4wKQ==""#, "box") == #""(2.0,2.0),(0.0,0.0)""#)
        #expect(try Self.read(#""e1sxLDMpLFs1LDgpfQ==""#, "int4multirange") == #""{[1,3),[5,8)}""#)
        var modes = EncodingModes()
        modes.binary = .hex
        #expect(try Self.read(#""31362f4233373444383438""#, "pg_lsn", modes: modes) == #""16/B374D848""#)
        #expect(try Self.read(#""__debezium_unavailable_value""#, "path", modes: modes, operation: "u") == "unchanged")
        #expect(try Self.read(#""ff""#, "path", modes: modes).contains("doesn't read"))
    }

    @Test func nameUUIDsAreJavas() {
        #expect(MD5.nameUUID(Array("__debezium_unavailable_value".utf8)) == "b68a35a7-17ad-35b3-af2a-ae46edb4545a")
        #expect(MD5.digest([]).map { String($0, radix: 16) }.joined() == "d41d8cd98f0b24e980998ecf8427e")
    }

    @Test func schemasNameTheTypes() throws {
        let batch = try Corpus.decode("types_a_schema", typed: false)
        let table = try #require(batch.tables.first)
        let types = Dictionary(table.columns.map { ($0.name, $0.type) }, uniquingKeysWith: { a, _ in a })
        for (name, type) in [
            ("id", "bigint"), ("c_num_38_10", "numeric(38,10)"), ("c_num_4_neg2", "numeric"), ("c_num", "numeric"),
            ("c_money", "numeric"), ("c_bit1", "bit(1)"), ("c_bit8", "bit(8)"), ("c_varbit", "bit varying(80)"),
            ("c_time0", "time"), ("c_ts0", "timestamp(3)"), ("c_ts", "timestamp"), ("c_jsonb", "jsonb"),
            ("c_json", "json"), ("a_num_10_2", "numeric(10,2)[]"), ("a_ts", "timestamp[]"), ("c_point", "point"),
            ("c_hstore", "json"), ("c_interval", "interval"),
        ] { #expect(types[name]?.sql == type, "\(name)") }
        #expect(table.columns[0].nullable == false)
        let row = try #require(batch.flat.first { $0.key == #"{"id":101}"# }?.after)
        for (name, value) in [
            ("c_num_38_10", "-1234567890123456789012345678.0123456789"), ("c_num_4_neg2", "-999900"),
            ("c_num", "-12345678901234567890.1234567890123456789"), ("c_money", "-92233720368547758.08"),
            ("c_bit8", #""10100101""#), ("c_varbit", #""1010000011""#), ("c_time0", #""13:14:15""#),
            ("c_tstz3", #""2024-02-29T20:14:15.123+00:00""#), ("a_num_10_2", "[1.10,null,22.22]"),
            ("a_bytea", #"["\\x0102"]"#), ("c_point", #""(1.5,-2.5)""#), ("c_double", "-1.7976931348623157e+308"),
        ] { #expect(row[name] == value, "\(name)") }
        // What a snapshot of infinity or BC gives is no date.
        #expect(batch.quarantined.count == 4)
    }

    @Test func mysqlsTypesHaveAPlace() throws {
        let batch = try Corpus.decode("mysql_types_schema", typed: false)
        #expect(batch.quarantined.isEmpty, "\(batch.reasons)")
        let row = try #require(batch.flat.first { $0.key == #"{"id":101}"# }?.after)
        for (name, value) in [
            ("t_time", #""-838:59:59""#), ("t_time6", #""12:34:56.789012""#), ("t_year", "2024"),
            ("t_bit20", #""10101010101010101010""#), ("t_dec", "-12345678901234567890.1234567891"),
            ("t_blob", #""\\xdeadbeef""#), ("t_set", #""x,z""#), ("t_dt6", #""2024-02-29T13:14:15.123456""#),
        ] { #expect(row[name] == value, "\(name)") }
    }
}
