import Foundation
import JSON
import Kafka

/// Debezium events of `public.items (id int, v text)` with schema, made by hand.
enum SyntheticEvents {
    static let topic = "shop.public.items"

    static func key(_ id: Int) -> String {
        "{\"schema\":{\"type\":\"struct\",\"fields\":[{\"type\":\"int32\",\"optional\":false,\"field\":\"id\"}],\"optional\":false,\"name\":\"Key\"},\"payload\":{\"id\":\(id)}}"
    }

    static func value(_ op: String, _ lsn: Int, id: Int, v: String) -> String {
        let row = "{\"id\":\(id),\"v\":\(JSONValue.string(v).serialized)}"
        let fields =
            "[{\"type\":\"int32\",\"optional\":false,\"field\":\"id\"},{\"type\":\"string\",\"optional\":true,\"field\":\"v\"}]"
        func image(_ name: String) -> String {
            "{\"type\":\"struct\",\"fields\":\(fields),\"optional\":true,\"name\":\"Value\",\"field\":\"\(name)\"}"
        }
        return
            "{\"schema\":{\"type\":\"struct\",\"fields\":[\(image("before")),\(image("after"))],\"optional\":false,\"name\":\"Envelope\"},"
            + "\"payload\":{\"before\":\(op == "d" ? row : "null"),\"after\":\(op == "d" ? "null" : row),\"source\":{\"version\":\"3\","
            + "\"connector\":\"postgresql\",\"name\":\"shop\",\"ts_ms\":\(1_700_000_000_000 + lsn),\"snapshot\":\"false\",\"db\":\"shop\","
            + "\"sequence\":\"[\\\"\(lsn)\\\",\\\"\(lsn)\\\"]\",\"schema\":\"public\",\"table\":\"items\",\"txId\":\(lsn),\"lsn\":\(lsn)},"
            + "\"op\":\"\(op)\",\"ts_ms\":1}}"
    }

    /// Inserts of `ids`, each at an LSN of its own above `lsn`.
    static func inserts(_ ids: Range<Int>, above lsn: Int = 0, v: String = "v") -> [OutgoingRecord] {
        ids.map { id in
            OutgoingRecord(
                topic: topic, key: Array(key(id).utf8), value: Array(value("c", lsn + id + 1, id: id, v: v).utf8))
        }
    }
}
