import EventSchemas
import JSON
import Testing

@Suite struct AvroTests {
    private static let everything = """
        {"type":"record","name":"R","namespace":"n.s","fields":[
          {"name":"b","type":"boolean"},{"name":"i","type":"int"},{"name":"l","type":"long"},
          {"name":"f","type":"float"},{"name":"d","type":"double"},{"name":"s","type":"string"},
          {"name":"y","type":"bytes"},{"name":"x","type":{"type":"fixed","name":"F","size":3}},
          {"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}},
          {"name":"a","type":{"type":"array","items":["null","int"]}},
          {"name":"m","type":{"type":"map","values":"string"}},
          {"name":"u","type":["null","string","int"]},
          {"name":"z","type":"null"},{"name":"again","type":"n.s.F"}]}
        """

    @Test func everyType() throws {
        let bytes = framed { bytes in
            bytes.all.append(1)
            bytes.zigzag(-2_147_483_648)
            bytes.zigzag(.min)
            bytes.avro(Float(0.1))
            bytes.avro(-1.7976931348623157e308)
            bytes.avro("q\"u\\o\n\u{1}té😀")
            bytes.avro([0, 255, 16])
            bytes.all += [1, 2, 3]
            bytes.zigzag(1)
            // A block that says its size, one that doesn't, and the end.
            bytes.zigzag(-2)
            bytes.zigzag(3)
            bytes.all += [0, 2, 14]
            bytes.zigzag(1)
            bytes.all += [2, 1]
            bytes.zigzag(0)
            bytes.zigzag(2)
            bytes.avro("k\"")
            bytes.avro("v")
            bytes.avro("")
            bytes.avro("")
            bytes.zigzag(0)
            bytes.zigzag(2)
            bytes.zigzag(7)
            bytes.all += [9, 9, 9]
        }
        let wanted = [
            #"{"b":true,"i":-2147483648,"l":-9223372036854775808,"f":0.1,"d":-1.7976931348623157e+308,"#,
            #""s":"q\"u\\o\n\u0001té😀","y":"AP8Q","x":"AQID","e":"B","a":[null,7,-1],"#,
            #""m":{"k\"":"v","":""},"u":7,"z":null,"again":"CQkJ"}"#,
        ]
        let payload = try Framed.avro(Self.everything).payload(bytes)
        #expect(payload == wanted.joined())
    }

    @Test(arguments: [
        ("double", Double.nan, "\"NaN\""), ("double", -Double.infinity, "\"-Infinity\""), ("double", -0.0, "-0"),
        ("double", 5e-324, "5e-324"), ("double", 9007199254740993, "9007199254740992"), ("float", 0.1, "0.1"),
        ("float", 16777216, "16777216"),
    ])
    func floats(type: String, value: Double, wanted: String) throws {
        let bytes = framed { if type == "float" { $0.avro(Float(value)) } else { $0.avro(value) } }
        #expect(try Framed.avro("\"\(type)\"").payload(bytes) == wanted)
    }

    /// What AvroConverter says of Connect's types.
    @Test func connectSchema() throws {
        let text = """
            {"type":"record","name":"Value","namespace":"p.t","connect.name":"p.t.Value","connect.version":2,"fields":[
              {"name":"small","type":["null",{"type":"int","connect.type":"int16"}],"default":null},
              {"name":"amount","type":{"type":"bytes","scale":2,"precision":12,"connect.version":1,
                "connect.parameters":{"scale":"2","connect.decimal.precision":"12"},
                "connect.default":"\\u0001\\u00ff","connect.name":"org.apache.kafka.connect.data.Decimal",
                "logicalType":"decimal"},"default":"\\u0001\\u00ff"},
              {"name":"status","type":[{"type":"string","connect.default":"new"},"null"],"default":"new"},
              {"name":"at","type":{"type":"long","connect.name":"io.debezium.time.MicroTimestamp"}},
              {"name":"list","type":{"type":"array","items":["null","long"]}},
              {"name":"plain","type":{"type":"bytes","logicalType":"decimal","scale":3,"precision":9}},
              {"name":"day","type":{"type":"int","logicalType":"date"}},
              {"name":"choice","type":["string","int"]}]}
            """
        let bytes = framed { bytes in
            bytes.zigzag(0)
            bytes.avro([1])
            bytes.zigzag(1)
            bytes.zigzag(5)
            bytes.zigzag(0)
            bytes.avro([2])
            bytes.zigzag(0)
            bytes.zigzag(1)
            bytes.zigzag(3)
        }
        let schema = try Framed.avro(text).schema(bytes)
        #expect(schema["type"]?.string == "struct")
        #expect(schema["name"]?.string == "p.t.Value")
        #expect(schema["version"]?.int64 == 2)
        let wanted: [String] = [
            #"{"type":"int16","optional":true,"field":"small"}"#,
            #"{"type":"bytes","optional":false,"default":"Af8=","name":"org.apache.kafka.connect.data.Decimal","#
                + #""version":1,"parameters":{"scale":"2","connect.decimal.precision":"12"},"field":"amount"}"#,
            #"{"type":"string","optional":true,"default":"new","field":"status"}"#,
            #"{"type":"int64","optional":false,"name":"io.debezium.time.MicroTimestamp","field":"at"}"#,
            #"{"type":"array","items":{"type":"int64","optional":true},"optional":false,"field":"list"}"#,
            #"{"type":"bytes","optional":false,"name":"org.apache.kafka.connect.data.Decimal","#
                + #""parameters":{"scale":"3","connect.decimal.precision":"9"},"field":"plain"}"#,
            #"{"type":"int32","optional":false,"name":"org.apache.kafka.connect.data.Date","field":"day"}"#,
            #"{"optional":false,"field":"choice"}"#,
        ]
        #expect(schema["fields"]?.array?.map(\.serialized) == wanted)
    }

    @Test func namesAreLookedUpInTheirNamespace() throws {
        let text = """
            {"type":"record","name":"a.Outer","fields":[
              {"name":"x","type":{"type":"record","name":"Inner","aliases":["Old"],"fields":[{"name":"v","type":"int"}]}},
              {"name":"y","type":"Inner"},{"name":"z","type":"a.Inner"},{"name":"o","type":"Old"},
              {"name":"w","type":{"type":"record","name":"Inner","namespace":"b","fields":[{"name":"s","type":"string"}]}},
              {"name":"v","type":{"type":"b.Inner"}}]}
            """
        let bytes = framed { bytes in
            for i in 1...4 { bytes.zigzag(Int64(i)) }
            bytes.avro("p")
            bytes.avro("q")
        }
        #expect(
            try Framed.avro(text).payload(bytes)
                == #"{"x":{"v":1},"y":{"v":2},"z":{"v":3},"o":{"v":4},"w":{"s":"p"},"v":{"s":"q"}}"#)
    }

    @Test func recursiveTypesEnd() throws {
        let list = try Framed.avro(
            #"{"type":"record","name":"L","fields":[{"name":"v","type":"int"},{"name":"next","type":["null","L"]}]}"#)
        let bytes = framed { bytes in
            for i in 0..<3 {
                bytes.zigzag(Int64(i))
                bytes.zigzag(i < 2 ? 1 : 0)
            }
        }
        #expect(try list.payload(bytes) == #"{"v":0,"next":{"v":1,"next":{"v":2,"next":null}}}"#)
        let deep = framed { bytes in for _ in 0..<100_000 { bytes.all += [0, 2] } }
        #expect(list.reason(deep).hasSuffix("it is nested too deeply"))
        // No value of this type has an end.
        let endless = try Framed.avro(#"{"type":"record","name":"E","fields":[{"name":"e","type":"E"}]}"#)
        #expect(endless.reason(framed { _ in }).hasSuffix("it is nested too deeply"))
    }

    /// Types of other schemas in the registry.
    @Test func references() throws {
        let framedValues = try Framed(
            RegisteredSchema(
                id: 1, format: .avro,
                text: #"{"type":"record","name":"R","fields":[{"name":"p","type":"q.P"}]}"#,
                references: [
                    .init(
                        name: "q.P",
                        text: #"{"type":"record","name":"P","namespace":"q","fields":[{"name":"n","type":"long"}]}"#)
                ]))
        #expect(try framedValues.payload(framed { $0.zigzag(42) }) == #"{"p":{"n":42}}"#)
    }

    /// Two schemas of one topic, their records in turn.
    @Test func evolution() throws {
        let old = RegisteredSchema(
            id: 1, format: .avro, text: #"{"type":"record","name":"V","fields":[{"name":"id","type":"long"}]}"#)
        let new = RegisteredSchema(
            id: 70_000, format: .avro,
            text:
                #"{"type":"record","name":"V","fields":[{"name":"id","type":"long"},{"name":"n","type":["null","string"]}]}"#
        )
        let both = try Framed(old, new)
        for i in 0..<10 {
            var bytes = Bytes(id: i % 2 == 0 ? 1 : 70_000)
            bytes.zigzag(Int64(i))
            if i % 2 == 1 {
                bytes.zigzag(1)
                bytes.avro("x")
            }
            let wanted = i % 2 == 0 ? #"{"id":\#(i)}"# : #"{"id":\#(i),"n":"x"}"#
            #expect(try both.payload(bytes.all) == wanted)
        }
    }

    private static let misfits: [(bytes: [UInt8], schema: String, reason: String)] = [
        (framed { $0.zigzag(2_147_483_648) }, "\"int\"", "an int is out of range"),
        (framed { $0.all += [UInt8](repeating: 0xFF, count: 10) }, "\"long\"", "a number has more than 64 bits"),
        (framed { $0.all += [0x80] }, "\"long\"", "it ends before what its schema describes"),
        (framed { _ in }, "\"long\"", "it ends before what its schema describes"),
        (framed { $0.zigzag(1 << 40) }, "\"string\"", "it ends before what its schema describes"),
        (framed { $0.zigzag(-1) }, "\"bytes\"", "it ends before what its schema describes"),
        (framed { $0.all += [2] }, "\"boolean\"", "a boolean is neither 0 nor 1"),
        (framed { $0.all += [0, 0] }, "\"boolean\"", "1 bytes are left behind what its schema describes"),
        (framed { $0.zigzag(2) }, "[\"null\",\"int\"]", "a union has no such branch"),
        (framed { $0.zigzag(-1) }, #"{"type":"enum","name":"E","symbols":["A"]}"#, "an enum has no such symbol"),
        (framed { $0.zigzag(.max) }, #"{"type":"array","items":"null"}"#, "it becomes too large when decoded"),
        (
            framed {
                $0.zigzag(-1)
                $0.zigzag(100)
            }, #"{"type":"array","items":"int"}"#, "a block's size is wrong"
        ),
        (framed { $0.zigzag(.min) }, #"{"type":"map","values":"int"}"#, "it ends before what its schema describes"),
    ]

    @Test(arguments: misfits.indices)
    func whatDoesNotFit(_ index: Int) throws {
        let (bytes, schema, reason) = Self.misfits[index]
        let told = try Framed.avro(schema).reason(bytes)
        #expect(told == "it doesn't fit its Avro schema (id 1): \(reason)")
    }

    @Test(arguments: [
        ("{", "its Avro schema is no JSON"), ("\"strange\"", "names a type that it doesn't define: strange"),
        ("[]", "a union that is empty"), (#"["null",["int"]]"#, "a union that is empty, or directly in another"),
        ("7", "neither a name, a union nor an object"), (#"{"name":"x"}"#, "a type without `type`"),
        (#"{"type":"record","name":"R"}"#, "a record without fields"),
        (#"{"type":"record","fields":[]}"#, "a named type without a name"),
        (#"{"type":"fixed","name":"F","size":-1}"#, "a fixed type without a size"),
        (#"{"type":"array"}"#, "an array without its elements' type"),
        (
            #"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}"#,
            "two of one name"
        ),
    ])
    func schemasThatAreNone(text: String, reason: String) throws {
        let framedValues = try Framed.avro(text)
        #expect(framedValues.reason(framed { _ in }).contains(reason))
        // And it isn't looked at again.
        #expect(framedValues.reason(framed { _ in }).contains(reason))
    }

    /// Named types that hold each other twice over have as many fields as there are grains on a chessboard.
    @Test func expansionIsBounded() throws {
        let levels = (1...30).map { level in
            RegisteredSchema.Reference(
                name: "R\(level)",
                text: #"{"type":"record","name":"R\#(level)","fields":[{"name":"a","type":"R\#(level - 1)"},"#
                    + #"{"name":"b","type":"R\#(level - 1)"}]}"#)
        }
        let bottom = RegisteredSchema.Reference(
            name: "R0", text: #"{"type":"record","name":"R0","fields":[{"name":"z","type":"null"}]}"#)
        let framedValues = try Framed(
            RegisteredSchema(
                id: 1, format: .avro, text: #"{"type":"array","items":"R30"}"#, references: [bottom] + levels))
        #expect(framedValues.reason(framed { $0.zigzag(1) }).contains("more than 100000 fields"))
    }
}
