@testable import JSON

/// Documents in the forms that Debezium sends.
enum Samples {
    static let plain = #"""
        {"before":null,"after":{"id":1000001,"customer_id":643,"status":"new","amount":"942.57","qty":4,"note":null,"is_gift":false,"created_at":"2026-11-22T09:46:21.191828Z","updated_at":1795340781192},"source":{"version":"3.6.3.Final","connector":"postgresql","name":"dbz","ts_ms":1795340781192,"snapshot":"false","db":"tput","sequence":"[null,\"198536576\"]","ts_ns":1795340781192276000,"schema":"public","table":"orders","txId":7358,"lsn":198536576,"xmin":null},"transaction":null,"op":"c","ts_ms":1795340794049}
        """#
    static let unicode = #"""
        {"after":{"Id":1,"with \"quote\"":"q","täble ñ":"tn","emoji\uD83D\uDE00":"\uD83D\uDE00","тест":"т","a$b":[ 1.5 , -0.0,1.0E21, 9223372036854775807 ], "json":"{\"a\":\"\\\"\\\\n\"}"},
        	"empty":{},"none":[ ],"dup":1,"dup":2}
        """#
    static let schemed = #"""
        {"schema":{"type":"struct","fields":[{"type":"struct","fields":[{"type":"int32","optional":false,"default":0,"field":"id"},{"type":"string","optional":true,"field":"na{me]"}],"optional":true,"name":"dbz.public.t.Value","field":"before"}],"optional":false,"name":"dbz.public.t.Envelope","version":2},"payload":{"before":null,"after":{"id":7,"na{me]":"x"},"op":"c"}}
        """#
    static let all = [plain, unicode, schemed].map { Array($0.utf8) }
}

/// A document with the padding that the parser wants behind it, filled with what would mislead it. To be
/// kept alive as long as its tape is used.
final class Padded {
    let room: UnsafeMutableRawBufferPointer
    let length: Int

    init(_ bytes: [UInt8], padding: UInt8 = 0x39) {
        length = bytes.count
        room = .allocate(byteCount: length + JSONParser.padding, alignment: 16)
        room.initializeMemory(as: UInt8.self, repeating: padding)
        room.copyBytes(from: bytes)
    }

    deinit { room.deallocate() }

    var document: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: room[..<length]) }
}

/// What the parser makes of a document, as a value: nil where it refuses it.
func parsed(_ bytes: [UInt8], with parser: JSONParser) -> JSONValue? {
    let padded = Padded(bytes)
    defer { withExtendedLifetime(padded) {} }
    guard let tape = try? parser.parse(padded.document) else { return nil }
    return try? JSONValue(tape, tape.root)
}

func reason(_ text: String) throws -> JSONError.Reason? {
    let padded = Padded(Array(text.utf8))
    defer { withExtendedLifetime(padded) {} }
    do {
        _ = try JSONParser().parse(padded.document)
        return nil
    } catch {
        return error.reason
    }
}
