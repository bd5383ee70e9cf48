import Foundation

/// How a value's copy in DuckDB is compared with the source's: each side says it in SQL of its own.
indirect enum TypeForm: Sendable {
    case text, bool, json, float, decimal, bytes, date, time, moment, interval, map
    case list(TypeForm)
    /// Of these fields.
    case row([(String, TypeForm)])
    /// Arrays of arrays of what both print alike.
    case nested
    /// JSON as history has it, from raw.
    case document

    var inHistory: TypeForm {
        switch self {
        case .json: .document
        case .list(let element): .list(element.inHistory)
        case .row(let fields): .row(fields.map { ($0.0, $0.1.inHistory) })
        default: self
        }
    }

    /// How deep lists are in each other: their elements' names differ by it.
    private var depth: Int {
        switch self {
        case .list(let element): element.depth + 1
        case .row(let fields): fields.map(\.1.depth).max() ?? 0
        default: 0
        }
    }

    var isRow: Bool {
        switch self {
        case .row: true
        case .list(let element): element.isRow
        default: false
        }
    }

    var isJSON: Bool { if case .json = self { true } else { false } }

    func source(_ v: String) -> String {
        switch self {
        // By its output function: char(n) and inet are cast to text in another form.
        case .text, .json, .document, .float, .decimal:
            "CASE WHEN (\(v)) IS DISTINCT FROM NULL THEN format('%s', \(v)) END"
        case .bool: "(\(v))::text"
        case .bytes: "encode(\(v), 'hex')"
        case .date: "CASE WHEN isfinite(\(v)) THEN (\(v) - DATE '1970-01-01')::text ELSE (\(v))::text END"
        case .time: "(extract(epoch FROM \(v)) * 1000000)::bigint::text"
        case .moment:
            "CASE WHEN isfinite(\(v)) THEN trunc(extract(epoch FROM \(v)) * 1000000)::text ELSE (\(v))::text END"
        case .interval:
            """
            CASE WHEN \(v) IS NOT NULL THEN concat_ws(' ', (extract(year FROM \(v)) * 12 + extract(month FROM \(v)))::bigint, \
            extract(day FROM \(v))::bigint, (extract(hour FROM \(v)) * 3600000000 + extract(minute FROM \(v)) * 60000000 \
            + extract(microseconds FROM \(v)))::bigint) END
            """
        case .map: "public.hstore_to_json(\(v))::text"
        case .list(let element):
            """
            CASE WHEN \(v) IS NOT NULL THEN coalesce((SELECT json_agg(\(element.source("\(v)[i\(depth)]")) ORDER BY i\(depth)) \
            FROM generate_subscripts(\(v), 1) AS i\(depth)), '[]')::text END
            """
        case .row(let fields):
            // IS NOT NULL is false of a row with one NULL in it.
            """
            CASE WHEN (\(v)) IS DISTINCT FROM NULL THEN json_build_array(\(fields.map { $1.source("(\(v)).\(Self.quoted($0))") }
                .joined(separator: ", ")))::text END
            """
        case .nested: "to_json(\(v))::text"
        }
    }

    func duckdb(_ v: String) -> String {
        switch self {
        case .text, .bool, .json, .document, .float, .decimal: "CAST(\(v) AS VARCHAR)"
        case .bytes: "lower(hex(\(v)))"
        case .date:
            """
            CASE WHEN isfinite(\(v)) THEN CAST(date_diff('day', DATE '1970-01-01', \(v)) AS VARCHAR) \
            ELSE CAST(\(v) AS VARCHAR) END
            """
        case .time: "CAST(epoch_us(\(v)) AS VARCHAR)"
        case .moment: "CASE WHEN isfinite(\(v)) THEN CAST(epoch_us(\(v)) AS VARCHAR) ELSE CAST(\(v) AS VARCHAR) END"
        case .interval:
            """
            CASE WHEN \(v) IS NOT NULL THEN concat_ws(' ', datepart('year', \(v)) * 12 + datepart('month', \(v)), \
            datepart('day', \(v)), datepart('hour', \(v)) * 3600000000 + datepart('minute', \(v)) * 60000000 \
            + datepart('microsecond', \(v))) END
            """
        case .map, .nested: "CAST(to_json(\(v)) AS VARCHAR)"
        case .list(let element): "CAST(to_json([\(element.duckdb("x\(depth)")) FOR x\(depth) IN \(v)]) AS VARCHAR)"
        case .row(let fields):
            """
            CASE WHEN \(v) IS NOT NULL THEN CAST(to_json([\(fields.map { $1.duckdb("(\(v)).\(Self.quoted($0))") }
                .joined(separator: ", "))]) AS VARCHAR) END
            """
        }
    }

    private static func quoted(_ name: String) -> String { "\"\(name.replacing("\"", with: "\"\""))\"" }
}
