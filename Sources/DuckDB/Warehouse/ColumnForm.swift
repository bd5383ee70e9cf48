import Replication

/// How a source column stands in DuckDB: its type, and the form in which its values are staged. A class, so that values
/// inside of values cost no copies of it.
final class ColumnForm: Sendable {
    enum Kind: Sendable {
        case bool, int16, int32, int64, float, double, decimal, text, blob, uuid
        case date, time, timestamp, timestamptz
        /// Staged as text and converted by the engine.
        case json, list, structure, map, interval
    }

    let name: String
    let type: ColumnType
    let kind: Kind
    /// Of a DECIMAL.
    let precision: Int
    let scale: Int
    /// A LIST's element, or a STRUCT's fields.
    let children: [ColumnForm]
    let sqlType: String
    /// `sqlType` with texts for JSON in it: a text goes into nested JSON only through a text.
    private let textType: String
    /// Of a STRUCT's field.
    let nameBytes: [UInt8]

    convenience init(_ column: Column) {
        self.init(name: column.name, type: column.type)
    }

    private init(name: String, type: ColumnType) {
        self.name = name
        self.type = type
        var precision = 0
        var scale = 0
        var children: [ColumnForm] = []
        var textType: String?
        switch type {
        case .boolean: (kind, sqlType) = (.bool, "BOOLEAN")
        case .smallint: (kind, sqlType) = (.int16, "SMALLINT")
        case .integer: (kind, sqlType) = (.int32, "INTEGER")
        case .bigint: (kind, sqlType) = (.int64, "BIGINT")
        case .real: (kind, sqlType) = (.float, "FLOAT")
        case .double: (kind, sqlType) = (.double, "DOUBLE")
        case .numeric(let digits?, let behind) where (1...38).contains(digits) && (0...digits).contains(behind):
            precision = digits
            scale = behind
            (kind, sqlType) = (.decimal, "DECIMAL(\(digits),\(behind))")
        // Wider than the engine's: the exact digits as text.
        case .numeric: (kind, sqlType) = (.text, "VARCHAR")
        case .bytea: (kind, sqlType) = (.blob, "BLOB")
        case .uuid: (kind, sqlType) = (.uuid, "UUID")
        case .date: (kind, sqlType) = (.date, "DATE")
        case .time: (kind, sqlType) = (.time, "TIME")
        case .timestamp: (kind, sqlType) = (.timestamp, "TIMESTAMP")
        case .timestamptz: (kind, sqlType) = (.timestamptz, "TIMESTAMP WITH TIME ZONE")
        case .interval: (kind, sqlType) = (.interval, "INTERVAL")
        case .json, .jsonb, .unknown: (kind, sqlType) = (.json, "JSON")
        case .array(let element):
            children = [ColumnForm(name: name, type: element)]
            (kind, sqlType) = (.list, children[0].sqlType + "[]")
            textType = children[0].textType + "[]"
        case .composite(let composite):
            children = composite.fields.map { ColumnForm(name: $0.name, type: $0.type) }
            (kind, sqlType) = (.structure, Self.structure(children, \.sqlType))
            textType = Self.structure(children, \.textType)
        case .other(let other) where Self.isHstore(other):
            (kind, sqlType) = (.map, "MAP(VARCHAR, VARCHAR)")
        case .text, .timetz, .other: (kind, sqlType) = (.text, "VARCHAR")
        }
        self.precision = precision
        self.scale = scale
        self.children = children
        self.textType = textType ?? (kind == .json ? "VARCHAR" : sqlType)
        nameBytes = Array(name.utf8)
    }

    private static func structure(_ fields: [ColumnForm], _ type: (ColumnForm) -> String) -> String {
        "STRUCT(\(fields.map { "\(SQLName.quoted($0.name)) \(type($0))" }.joined(separator: ", ")))"
    }

    private static func isHstore(_ name: String) -> Bool {
        let name = name.lowercased()
        return name == "hstore" || name.hasSuffix(".hstore")
    }

    /// The staging table's column.
    var staged: ColumnKind {
        switch kind {
        case .bool: .bool
        case .int16: .int16
        case .int32: .int32
        case .int64: .int64
        case .float: .float
        case .double: .double
        case .decimal: .decimal(width: UInt8(precision), scale: UInt8(scale))
        case .blob: .blob
        case .uuid: .uuid
        case .date: .date
        case .time: .time
        case .timestamp: .timestamp
        case .timestamptz: .timestamptz
        case .text, .json, .list, .structure, .map, .interval: .varchar
        }
    }

    /// Whether a staged value is the column's without more.
    var isStagedAsItIs: Bool {
        switch kind {
        case .json, .map, .interval, .list, .structure: false
        default: true
        }
    }

    /// `expression`, a staged value, as a value of the column.
    func converted(_ expression: String) -> String {
        switch kind {
        case .json, .map, .interval: "CAST(\(expression) AS \(sqlType))"
        case .list, .structure:
            textType == sqlType
                ? "CAST(\(expression) AS \(sqlType))" : "CAST(CAST(\(expression) AS \(textType)) AS \(sqlType))"
        default: expression
        }
    }

    /// How deep lists are in each other.
    private var depth: Int { (children.map(\.depth).max() ?? 0) + (kind == .list ? 1 : 0) }

    // MARK: Out of raw's JSON

    /// Whether it is a number there: a text that looks marked is a text.
    private var isNumber: Bool {
        switch type.leaf {
        case .smallint, .integer, .bigint, .real, .double, .numeric: true
        default: false
        }
    }

    /// Whether the engine's own JSON functions would change its numbers, which they read as doubles.
    var needsExactNumbers: Bool {
        switch type {
        case .numeric(let precision?, _): precision > 15
        case .numeric, .json, .jsonb, .unknown: true
        case .array, .composite: children.contains(where: \.needsExactNumbers)
        default: false
        }
    }

    /// `json`, a JSON value in its `to_jsonb` form with numbers marked if `marked`, as a value of the column.
    func typed(json: String, marked: Bool) -> String {
        switch kind {
        case .json:
            let text = marked ? ExactNumbers.unmarkedJSON("CAST(\(json) AS VARCHAR)") : "CAST(\(json) AS VARCHAR)"
            return "CAST(CASE WHEN json_type(\(json)) <> 'NULL' THEN \(text) END AS JSON)"
        case .list:
            let element = children[0]
            if element.kind == .json || element.kind == .list || element.kind == .structure {
                let item = "item\(depth)"
                return "[\(element.typed(json: item, marked: marked)) FOR \(item) IN CAST(\(json) AS JSON[])]"
            }
            let item = marked && isNumber ? ExactNumbers.unmarkedText("item") : "item"
            return "[\(element.typed(text: item)) FOR item IN CAST(\(json) AS VARCHAR[])]"
        case .structure:
            let fields = children.map { field in
                let member = "json_extract(\(json), \(SQLName.literal(Self.pointer(to: field.name))))"
                return "\(SQLName.literal(field.name)): \(field.typed(json: member, marked: marked))"
            }
            let row = "{\(fields.joined(separator: ", "))}"
            return "CASE WHEN json_type(\(json)) = 'OBJECT' THEN CAST(\(row) AS \(sqlType)) END"
        default:
            let text = "(\(json) ->> '$')"
            return typed(text: marked && isNumber ? ExactNumbers.unmarkedText(text) : text)
        }
    }

    /// A JSON pointer to a member.
    static func pointer(to name: String) -> String {
        "/" + name.replacing("~", with: "~0").replacing("/", with: "~1")
    }

    /// `text`, the content of a `to_jsonb` string or number, as a value of the column.
    private func typed(text: String) -> String {
        switch kind {
        case .text: text
        case .blob: "unhex(substr(\(text), 3))"
        case .interval: "CAST(replace(\(text), '+', '') AS INTERVAL)"
        case .date, .timestamp, .timestamptz:
            // The engine has the era behind the date, and then no T.
            """
            CAST(CASE WHEN \(text) LIKE '% BC' \
            THEN regexp_replace(replace(\(text), 'T', ' '), '^([0-9-]+)(.*) BC$', '\\1 (BC)\\2') \
            ELSE \(text) END AS \(sqlType))
            """
        case .map:
            "CAST('{' || \(ExactNumbers.outsideStrings(text) { "replace(\($0), '=>', '=')" }) || '}' AS \(sqlType))"
        case .list, .structure, .json, .bool, .int16, .int32, .int64, .float, .double, .decimal, .uuid, .time:
            "CAST(\(text) AS \(sqlType))"
        }
    }
}

/// SQL that keeps the digits of JSON's numbers: the engine's JSON functions read them as doubles, so before them
/// each number becomes a string with a mark, which is taken away after them.
enum ExactNumbers {
    private static let mark = "#millrace#"
    private static let token = #"'"(?:[^"\\]|\\.)*"|[^"]+'"#

    static func marked(_ json: String) -> String {
        outsideStrings(json) { #"regexp_replace(\#($0), '(-?[0-9][0-9.eE+-]*)', '"\#(mark)\1"', 'g')"# }
    }

    static func unmarkedText(_ text: String) -> String {
        "CASE WHEN starts_with(\(text), '\(mark)') THEN substr(\(text), \(mark.count + 1)) ELSE \(text) END"
    }

    static func unmarkedJSON(_ text: String) -> String {
        #"regexp_replace(\#(text), '"\#(mark)([0-9.eE+-]*)"', '\1', 'g')"#
    }

    /// Changes what stands outside of double quotes.
    static func outsideStrings(_ text: String, _ change: (String) -> String) -> String {
        """
        array_to_string([CASE WHEN piece[1] = '"' THEN piece ELSE \(change("piece")) END \
        FOR piece IN regexp_extract_all(\(text), \(token))], '')
        """
    }
}
