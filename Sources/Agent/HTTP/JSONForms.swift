import Foundation
import JSON
import Postgres
import Replication

// The forms in which the API and `--json` say things.

extension JSONValue {
    package static func integer(_ value: (some BinaryInteger)?) -> JSONValue {
        value.map { .number(String($0)) } ?? .null
    }

    package static func text(_ value: String?) -> JSONValue { value.map(JSONValue.string) ?? .null }

    /// ISO 8601 in UTC with microseconds; null for an unknown time.
    package static func moment(_ time_us: Int64?) -> JSONValue { .text(time_us.flatMap(Moment.text)) }
}

/// Times as text.
package enum Moment {
    /// `2026-05-01T10:00:00.123456Z`; nil for the marks of an unknown time.
    package static func text(_ time_us: Int64) -> String? {
        guard time_us != .min, time_us != .max else { return nil }
        let days = (Double(time_us) / 86_400e6).rounded(.down)
        let day = Int64(days)
        let rest_us = time_us - day * 86_400_000_000
        let (year, month, dayOfMonth) = civil(day)
        let seconds = rest_us / 1_000_000
        return String(
            format: "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", Int(year), Int(month), Int(dayOfMonth), Int(seconds / 3600),
            Int(seconds / 60 % 60), Int(seconds % 60), Int(rest_us % 1_000_000))
    }

    /// Days since 1970 as a date of the proleptic Gregorian calendar.
    static func civil(_ days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let ofEra = shifted - era * 146_097
        let yearOfEra = (ofEra - ofEra / 1460 + ofEra / 36_524 - ofEra / 146_096) / 365
        let ofYear = ofEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let march = (5 * ofYear + 2) / 153
        let month = march < 10 ? march + 3 : march - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, ofYear - (153 * march + 2) / 5 + 1)
    }

    /// The other way.
    static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
        let year = month <= 2 ? year - 1 : year
        let era = (year >= 0 ? year : year - 399) / 400
        let yearOfEra = year - era * 400
        let ofYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + ofYear - 719_468
    }

    package static func now_us() -> Int64 { Int64(Date().timeIntervalSince1970 * 1e6) }
}

extension Checkpoint {
    package var json: JSONValue { json(asLSN: false) }

    /// - Parameter asLSN: with the position as Postgres writes it, beside the number.
    package func json(asLSN: Bool) -> JSONValue {
        var members: [JSONValue.Member] = [
            ("topic", .string(partition.topic)), ("partition", .integer(partition.partition)),
            ("position", .integer(position)), ("token", .integer(token)), ("last_offset", .integer(lastOffset)),
            ("source_time", .moment(sourceTime_us)),
        ]
        if asLSN { members.append(("lsn", .text(position.map(LSN.text)))) }
        return .object(members)
    }

    /// What `json` gave, as far as commands need it.
    package init?(json: JSONValue) {
        guard let partition = TopicPartition(json: json) else { return nil }
        self.init(
            partition: partition, position: json["position"]?.int64, token: json["token"]?.int64 ?? 0,
            lastOffset: json["last_offset"]?.int64)
    }
}

extension TopicPartition {
    package init?(json: JSONValue) {
        guard let topic = json["topic"]?.string, let partition = json["partition"]?.int64.flatMap(Int32.init(exactly:))
        else { return nil }
        self.init(topic: topic, partition: partition)
    }

    /// `topic:3`.
    package init?(text: String) {
        guard let colon = text.lastIndex(of: ":"), let partition = Int32(text[text.index(after: colon)...]),
            partition >= 0, colon != text.startIndex
        else { return nil }
        self.init(topic: String(text[..<colon]), partition: partition)
    }
}

extension QueryResult {
    package var json: JSONValue {
        .object([
            (
                "columns",
                .array(
                    columns.map { column in
                        let kind = column.kind == .text ? "text" : "literal"
                        return .object([("name", .string(column.name)), ("kind", .string(kind))])
                    })
            ),
            ("rows", .array(rows.map { .array($0.map(JSONValue.text)) })),
        ])
    }

    package init?(json: JSONValue) {
        guard let columns = json["columns"]?.array, let rows = json["rows"]?.array else { return nil }
        self.init(
            columns: columns.map { ($0["name"]?.string ?? "", $0["kind"]?.string == "literal" ? .literal : .text) },
            rows: rows.map { row in (row.array ?? []).map(\.string) })
    }
}

extension QuarantinedRecord {
    /// - Parameter whole: with key, value and headers; bytes that aren't text in base64 as `key_b64`, `value_b64`.
    package func json(whole: Bool) -> JSONValue {
        var members: [JSONValue.Member] = [
            ("id", .integer(id)), ("state", .string(state.rawValue)), ("table", .text(entry.table?.description)),
            ("schema_name", .text(entry.table?.schema)), ("table_name", .text(entry.table?.table)),
            ("topic", .string(entry.partition.topic)), ("partition", .integer(entry.partition.partition)),
            ("offset", .integer(entry.offset)), ("reason", .string(entry.reason)),
            ("op", .text(entry.operation.map { String(UnicodeScalar($0.rawValue)) })),
            ("loaded_at", .moment(loadedAt_us)), ("loaded_at_us", .integer(loadedAt_us)),
        ]
        if whole {
            members += [Self.member("key", entry.key), Self.member("value", entry.value)]
            members.append(("headers", .text(entry.headers)))
        }
        return .object(members)
    }

    private static func member(_ name: String, _ bytes: [UInt8]?) -> JSONValue.Member {
        guard let bytes else { return (name, .null) }
        if let text = String(validating: bytes, as: UTF8.self) { return (name, .string(text)) }
        return (name + "_b64", .string(Data(bytes).base64EncodedString()))
    }

    package init?(json: JSONValue) {
        guard let id = json["id"]?.int64, let partition = TopicPartition(json: json),
            let state = json["state"]?.string.flatMap(State.init(rawValue:)), let reason = json["reason"]?.string
        else { return nil }
        var table: TableID?
        if let schema = json["schema_name"]?.string, let name = json["table_name"]?.string {
            table = TableID(schema: schema, table: name)
        }
        func bytes(_ name: String) -> [UInt8]? {
            if let text = json[name]?.string { return Array(text.utf8) }
            return json[name + "_b64"]?.string.flatMap { Data(base64Encoded: $0) }.map { Array($0) }
        }
        let letter = json["op"]?.string?.utf8.first
        let entry = QuarantineEntry(
            table: table, partition: partition, offset: json["offset"]?.int64 ?? 0, reason: reason, key: bytes("key"),
            value: bytes("value"), headers: json["headers"]?.string,
            operation: letter.flatMap { Replication.Operation(rawValue: $0) })
        self.init(id: id, entry: entry, state: state, loadedAt_us: json["loaded_at_us"]?.int64 ?? .min)
    }
}

extension QuarantineOutcome {
    package var json: JSONValue {
        .object([("id", .integer(id)), ("state", .string(state.rawValue)), ("reason", .text(reason))])
    }

    package init?(json: JSONValue) {
        guard let id = json["id"]?.int64,
            let state = json["state"]?.string.flatMap(QuarantinedRecord.State.init(rawValue:))
        else { return nil }
        self.init(id: id, state: state, reason: json["reason"]?.string)
    }
}

extension Finding {
    package var json: JSONValue {
        .object([
            ("level", .string(level.rawValue)), ("subject", .string(subject)), ("message", .string(message)),
            ("try", .text(remedy)),
        ])
    }
}
