import Replication

/// How a column's value is written in an event's JSON.
indirect enum ValueEncoding: Hashable, Sendable {
    /// Nobody told: the JSON is kept.
    case json
    case boolean
    case integer
    case floating
    case string
    /// What a type without an encoding of its own is written as: a string, a number, a boolean.
    case loose
    case binary(Bytes)
    /// Base64 of a big-endian two's complement, with the scale known.
    case decimalBytes(scale: Int)
    /// Base64, digits, a number or `{"scale","value"}`, as they come.
    case decimal(scale: Int, EncodingModes.Decimal)
    case variableDecimal
    /// Days, or an ISO date.
    case date
    /// A count of these units since midnight, or an ISO time.
    case time(Unit)
    case timestamp(Unit)
    case zonedTimestamp
    case zonedTime
    /// Microseconds, or an ISO period.
    case interval
    case uuid
    /// A string that holds a JSON document.
    case document
    /// Base64, little-endian; a boolean for one bit. `length` 0: any, and leading zeros are lost at the source.
    case bits(length: Int)
    case hstore
    case point
    /// Of types that Debezium doesn't know (`include.unknown.datatypes`): the bytes of their text.
    case textBytes(Bytes)
    case array(ValueEncoding)

    enum Unit: Int64, Sendable {
        /// Nanoseconds in it, or as many of them.
        case milliseconds = 1_000_000
        case microseconds = 1000
        case nanoseconds = 1
        /// Milliseconds or microseconds, by the connector, which isn't known.
        case untold = 0
    }

    enum Bytes: Sendable { case base64, hex, unknown }
}

extension EncodingModes {
    /// How bytes are written where a schema calls them a string.
    var textOfBytes: ValueEncoding.Bytes {
        switch binary {
        case .hex: .hex
        case .base64: .base64
        case .automatic: .unknown
        }
    }
}

extension ValueEncoding {
    /// Debezium's encoding of a column of `type` in an event without a schema.
    init(inferredFrom type: ColumnType, modes: EncodingModes, connector: Connector) {
        switch type {
        case .unknown: self = .json
        case .boolean: self = .boolean
        case .smallint, .integer, .bigint: self = .integer
        case .real, .double: self = .floating
        case .numeric(let precision, let scale):
            self = precision == nil ? .decimal(scale: -1, modes.decimal) : .decimal(scale: scale, modes.decimal)
        case .text: self = .string
        case .bytea: self = .binary(modes.binary == .hex ? .hex : .base64)
        case .uuid: self = .uuid
        case .date: self = .date
        case .time: self = .time(Self.timeUnit(digits: 6, modes, connector))
        case .timetz: self = .zonedTime
        case .timestamp(let digits): self = .timestamp(Self.timestampUnit(digits: digits, modes))
        case .timestamptz: self = .zonedTimestamp
        case .interval: self = .interval
        case .json, .jsonb: self = .document
        case .array(let element): self = .array(.init(inferredFrom: element, modes: modes, connector: connector))
        case .other(let name): self = Self.other(name, modes: modes, connector: connector)
        case .composite(let composite): self = Self.other(composite.name, modes: modes, connector: connector)
        }
    }

    private static func timeUnit(digits: Int, _ modes: EncodingModes, _ connector: Connector) -> Unit {
        switch modes.time {
        case .adaptive where digits <= 3 && connector == .unknown: .untold
        case .adaptive: digits <= 3 && connector == .postgres ? .milliseconds : .microseconds
        case .adaptiveTimeMicroseconds, .microseconds: .microseconds
        case .connect: .milliseconds
        case .nanoseconds: .nanoseconds
        }
    }

    private static func timestampUnit(digits: Int, _ modes: EncodingModes) -> Unit {
        switch modes.time {
        case .adaptive, .adaptiveTimeMicroseconds: digits <= 3 ? .milliseconds : .microseconds
        case .microseconds: .microseconds
        case .connect: .milliseconds
        case .nanoseconds: .nanoseconds
        }
    }

    /// `bit(8)`, `time(3)`, `money` and what else has an encoding but no case in `ColumnType`.
    private static func other(_ name: String, modes: EncodingModes, connector: Connector) -> ValueEncoding {
        let (base, length) = parts(of: name)
        switch base {
        case "bit": return .bits(length: length ?? 1)
        case "bit varying", "varbit": return .bits(length: 0)
        case "time without time zone", "time":
            return .time(timeUnit(digits: length ?? 6, modes, connector))
        case "time with time zone", "timetz": return .zonedTime
        case "timestamp with time zone", "timestamptz": return .zonedTimestamp
        case "money": return .decimal(scale: 2, modes.decimal)
        case "hstore": return .hstore
        case "point": return .point
        default:
            if connector == .postgres, isUnknownToDebezium(name) {
                return .textBytes(modes.binary == .hex ? .hex : .base64)
            }
            return base.hasPrefix("interval") ? .interval : .loose
        }
    }

    /// Names of things of the database.
    private static let objects = [
        "regclass", "regcollation", "regconfig", "regdictionary", "regnamespace", "regoper", "regoperator", "regproc",
        "regprocedure", "regrole", "regtype",
    ]

    private static func isUnknownToDebezium(_ type: String) -> Bool {
        let base = parts(of: type).base
        return ["line", "lseg", "box", "path", "polygon", "circle", "tsquery", "pg_lsn"].contains(base)
            || base.hasSuffix("multirange") || objects.contains(base)
    }

    /// `time(0)` to `time(3)`.
    static func shortTime(_ modes: EncodingModes, _ connector: Connector) -> ValueEncoding {
        .time(timeUnit(digits: 3, modes, connector))
    }

    /// How a value is written whose schema says less than is known of its column; nil where it says enough.
    func known(as type: ColumnType, modes: EncodingModes) -> ValueEncoding? {
        if let text = asTextBytes(for: type, modes: modes) { return text }
        switch (self, type) {
        case (.string, .bytea): return .binary(modes.textOfBytes)
        case (.array(.string), .array(.bytea)): return .array(.binary(modes.textOfBytes))
        case (.boolean, .other(let name)) where Self.parts(of: name).base == "bit": return .bits(length: 1)
        case (.bits, .other(let name)) where ["bit varying", "varbit"].contains(Self.parts(of: name).base):
            return .bits(length: 0)
        default: return nil
        }
    }

    /// What a schema calls bytes (or, in the modes of text, a string) where the column is known to be of a type that
    /// Debezium doesn't know; else nil.
    private func asTextBytes(for type: ColumnType, modes: EncodingModes) -> ValueEncoding? {
        switch type {
        case .composite: break
        case .other(let name) where Self.isUnknownToDebezium(name): break
        default: return nil
        }
        switch (self, modes.binary) {
        case (.binary(let bytes), _): return .textBytes(bytes)
        case (.string, .hex): return .textBytes(.hex)
        case (.string, .base64): return .textBytes(.base64)
        default: return nil
        }
    }

    /// `time(3) without time zone` → ("time without time zone", 3).
    static func parts(of name: String) -> (base: String, length: Int?) {
        let lower = name.lowercased()
        guard let open = lower.firstIndex(of: "("), let close = lower[open...].firstIndex(of: ")") else {
            return (lower, nil)
        }
        let rest = lower[..<open] + lower[lower.index(after: close)...]
        let base = rest.split(separator: " ").joined(separator: " ")
        return (base, Int(lower[lower.index(after: open)..<close]))
    }
}

/// The source system, as far as its events differ.
package enum Connector: String, Sendable, Equatable {
    case postgres = "postgresql"
    case mysql, mariadb, sqlserver, oracle, mongodb, other
    /// Nobody told.
    case unknown

    init(name: UnsafeRawBufferPointer) {
        func matches(_ connector: Connector) -> Bool { name.elementsEqual(connector.rawValue.utf8) }
        let known: [Connector] = [.postgres, .mysql, .mariadb, .sqlserver, .oracle, .mongodb]
        self = known.first { matches($0) } ?? .other
    }

    /// Its before-images are whole rows (MySQL's row format is FULL unless it was changed), and it has no placeholder
    /// for what it doesn't send.
    var isMySQLFamily: Bool { self == .mysql || self == .mariadb }
    /// What it calls a database is the schema of its tables.
    var namesSchemasDatabases: Bool { isMySQLFamily || self == .mongodb }
}
