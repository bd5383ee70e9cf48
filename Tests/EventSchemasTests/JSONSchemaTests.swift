import EventSchemas
import JSON
import Testing

/// Written after Confluent's documentation: there are no recorded events.
@Suite struct JSONSchemaTests {
    private func reader(_ text: String, _ references: [RegisteredSchema.Reference] = []) throws -> Framed {
        try Framed(RegisteredSchema(id: 1, format: .jsonSchema, text: text, references: references))
    }

    private func json(_ text: String) -> [UInt8] { [0, 0, 0, 0, 1] + Array(text.utf8) }

    private static let value = """
        {"type":"object","title":"p.t.Value","connect.version":2,"properties":{
          "note":{"connect.index":1,"oneOf":[{"type":"null"},{"type":"string"}]},
          "id":{"type":"integer","connect.index":0,"connect.type":"int64"},
          "small":{"connect.index":2,"oneOf":[{"type":"null"},{"type":"integer","connect.type":"int16","default":3}]},
          "amount":{"type":"number","title":"org.apache.kafka.connect.data.Decimal","connect.version":1,
            "connect.type":"bytes","connect.index":3,"connect.parameters":{"scale":"2","connect.decimal.precision":"12"}},
          "at":{"type":"integer","title":"io.debezium.time.MicroTimestamp","connect.type":"int64","connect.index":4},
          "raw":{"type":"string","connect.type":"bytes","connect.index":5},
          "real":{"type":"number","connect.type":"float32","connect.index":6},
          "list":{"type":"array","items":{"oneOf":[{"type":"null"},{"type":"integer","connect.type":"int32"}]},"connect.index":7},
          "pairs":{"type":"object","connect.type":"map","additionalProperties":{"type":"string"},"connect.index":8},
          "mood":{"enum":["sad","ok"],"connect.index":9},
          "any":{"connect.index":10},
          "flag":{"type":["boolean","null"],"connect.index":11},
          "inner":{"$ref":"#/definitions/Inner","connect.index":12},
          "double":{"type":"number","connect.type":"float64","connect.index":13}},
         "definitions":{"Inner":{"type":"object","properties":{"v":{"type":"integer"}}}}}
        """

    @Test func connectSchema() throws {
        let schema = try reader(Self.value).schema(json("{}"))
        #expect(schema["type"]?.string == "struct" && schema["name"]?.string == "p.t.Value")
        let wanted: [String] = [
            #"{"type":"int64","optional":false,"field":"id"}"#,
            #"{"type":"string","optional":true,"field":"note"}"#,
            #"{"type":"int16","optional":true,"default":3,"field":"small"}"#,
            #"{"type":"bytes","optional":false,"name":"org.apache.kafka.connect.data.Decimal","version":1,"#
                + #""parameters":{"scale":"2","connect.decimal.precision":"12"},"field":"amount"}"#,
            #"{"type":"int64","optional":false,"name":"io.debezium.time.MicroTimestamp","field":"at"}"#,
            #"{"type":"bytes","optional":false,"field":"raw"}"#,
            #"{"type":"float","optional":false,"field":"real"}"#,
            #"{"type":"array","items":{"type":"int32","optional":true},"optional":false,"field":"list"}"#,
            #"{"type":"map","keys":{"type":"string","optional":false},"values":{"type":"string","optional":false},"#
                + #""optional":false,"field":"pairs"}"#,
            #"{"type":"string","optional":false,"field":"mood"}"#, #"{"optional":false,"field":"any"}"#,
            #"{"type":"boolean","optional":true,"field":"flag"}"#,
            #"{"type":"struct","fields":[{"type":"int64","optional":false,"field":"v"}],"optional":false,"field":"inner"}"#,
            #"{"type":"double","optional":false,"field":"double"}"#,
        ]
        #expect(schema["fields"]?.array?.map(\.serialized) == wanted)
    }

    @Test func payloadsStayWhatTheyAre() throws {
        let reader = try reader(#"{"type":"object"}"#)
        for text in [#"{"id":9007199254740993,"x":-0.0,"t":"\uD83D\uDE00"}"#, "null", "[1,2]"] {
            #expect(try reader.payload(json(text)) == (try JSONValue(parsing: text).serialized))
        }
    }

    /// Two values, or what closes the payload early, aren't one.
    @Test(arguments: [
        "", "{", "{}{}", #"{"a":1},"payload":{"op":"c"}"#, "nul", "{\"a\":\u{1}}", #"{"a":"#, "[1,]",
    ])
    func whatIsNoJSON(text: String) throws {
        #expect(
            try reader(#"{"type":"object"}"#).reason(json(text))
                .hasPrefix("it doesn't fit its JSON Schema (id 1): "))
    }

    @Test func references() throws {
        let reader = try reader(
            ##"{"type":"object","properties":{"a":{"$ref":"types.json#/properties/x"},"b":{"$ref":"types.json"}}}"##,
            [
                .init(
                    name: "types.json",
                    text:
                        ##"{"type":"object","properties":{"x":{"$ref":"#/definitions/y"}},"definitions":{"y":{"type":"boolean"}}}"##
                )
            ])
        #expect(
            try reader.schema(json("{}"))["fields"]?.array?.map { $0["type"]?.string } == ["boolean", "struct"])
    }

    @Test func schemasThatAreNone() throws {
        for (text, reason) in [
            ("{", "is no JSON"), (##"{"$ref":"#/nowhere"}"##, "refers to what isn't there"),
            (##"{"$ref":"#"}"##, "or to itself"),
        ] {
            #expect(try reader(text).reason(json("{}")).contains(reason))
        }
        // Recursive by way of a field: told to a depth.
        let list = try reader(##"{"type":"object","properties":{"next":{"$ref":"#"},"also":{"$ref":"#"}}}"##)
        #expect(list.reason(json("{}")).contains("more than 100000 fields"))
        let one = try reader(##"{"type":"object","properties":{"next":{"oneOf":[{"type":"null"},{"$ref":"#"}]}}}"##)
        #expect(try one.payload(json(#"{"next":{"next":null}}"#)) == #"{"next":{"next":null}}"#)
    }
}
