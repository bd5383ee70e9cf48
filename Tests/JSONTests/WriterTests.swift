import Testing

@testable import JSON

@Suite("Writing JSON")
struct WriterTests {
    @Test func putsCommasAndColons() {
        let writer = JSONWriter(capacity: 1)
        writer.beginObject()
        writer.key("a")
        writer.number(-5)
        writer.key("b" as String)
        writer.beginArray()
        writer.null()
        writer.bool(true)
        writer.beginObject()
        writer.endObject()
        writer.beginArray()
        writer.endArray()
        writer.string("q\"\\\n\u{1}é" as String)
        writer.endArray()
        writer.key("c" as StaticString)
        writer.raw(UnsafeRawBufferPointer("1.50" as StaticString))
        writer.rawKey(UnsafeRawBufferPointer(#"d\n"# as StaticString))
        writer.rawString(UnsafeRawBufferPointer(#"\u00e9"# as StaticString))
        writer.endObject()
        let wanted = #"{"a":-5,"b":[null,true,{},[],"q\"\\\n\u0001é"],"c":1.50,"d\n":"\u00e9"}"#
        #expect(writer.string == wanted)
        writer.removeAll()
        writer.bool(false)
        #expect(writer.string == "false")
    }

    @Test func membersForTheEdges() {
        let writer = JSONWriter()
        writer.beginObject()
        writer.member("s", "x")
        writer.member("none", nil as String?)
        writer.member("i", Int32(7))
        writer.member("no", nil as Int?)
        writer.member("b", false)
        writer.member("d", 0.1)
        writer.member("inf", Double.infinity)
        writer.member("v", ["k": [1, .null, true]] as JSONValue)
        writer.endObject()
        #expect(
            writer.string
                == #"{"s":"x","none":null,"i":7,"no":null,"b":false,"d":0.1,"inf":null,"v":{"k":[1,null,true]}}"#
        )
    }

    @Test(arguments: [0, 9, 10, -1, Int64.max, Int64.min])
    func writesIntegers(value: Int64) {
        let writer = JSONWriter()
        writer.number(value)
        #expect(writer.string == String(value))
    }

    @Test func longTextsAreWrittenInPieces() throws {
        let text = String(repeating: "é\"\n", count: 50_000)
        #expect(try JSONValue(parsing: JSONValue.string(text).serialized) == .string(text))
    }

    @Test func documentsKeepTheirNumbersOrderAndDuplicates() throws {
        let text = #"{"b":-0.0,"a":1.0E21,"a":[12345678901234567890,1e2],"z":{"":null}}"#
        let value = try JSONValue(parsing: text)
        #expect(value.serialized == text)
        #expect(value["a"] == .number("1.0E21") && value["z"]?[""]?.isNull == true && value["b"]?.double == 0)
        #expect(value["none"] == nil && value["a"]?["x"] == nil && value["a"]?.int64 == nil)
    }

    @Test func errorsSayWhere() {
        #expect(throws: JSONError(reason: .badLiteral, offset: 5)) { try JSONValue(parsing: #"{"a":nope}"#) }
        #expect("\(JSONError(reason: .badLiteral, offset: 5))".hasSuffix("(byte 5)"))
    }
}
