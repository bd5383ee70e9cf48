import JSON
import Replication

/// Connect's schema types and Debezium's logical names, as column types and encodings.
extension SchemaCache {
    static func type(
        _ tape: JSONTape, _ field: Int, _ modes: EncodingModes, _ connector: Connector
    ) -> (ColumnType, ValueEncoding) {
        let parameters = tape.find("parameters", in: field)
        func parameter(_ name: StaticString) -> String? {
            parameters.flatMap { tape.find(name, in: $0) }.flatMap { tape.string($0) }
        }
        // There with `column.propagate.source.type`.
        let source = parameter("__debezium.source.column.type")
        if let name = tape.find("name", in: field).flatMap({ tape.string($0) }),
            let logical = logical(name, source: source, connector: connector, parameter)
        {
            return logical
        }
        switch tape.find("type", in: field).flatMap({ tape.string($0) }) {
        case "boolean": return source == "BIT" ? (.other("bit(1)"), .bits(length: 1)) : (.boolean, .boolean)
        case "int8", "int16": return (.smallint, .integer)
        case "int32": return (.integer, .integer)
        case "int64": return (.bigint, .integer)
        case "float", "float32": return (.real, .floating)
        case "double", "float64":
            // decimal.handling.mode=double: what came out of it is no more than a double.
            return (.double, .floating)
        case "string":
            if source == "BYTEA" {
                return (.bytea, .binary(modes.textOfBytes))
            }
            if source == "NUMERIC" || source == "DECIMAL" {
                return (.numeric(precision: nil, scale: 0), .decimal(scale: -1, .string))
            }
            return (.text, .string)
        case "bytes": return (.bytea, .binary(.base64))
        case "array":
            guard let items = tape.find("items", in: field) else { return (.array(.unknown), .array(.json)) }
            let (element, encoding) = type(tape, items, modes, connector)
            return (.array(element), .array(encoding))
        case "map": return (.other("hstore"), .hstore)
        default: return (.json, .json)
        }
    }

    private static func logical(
        _ name: String, source: String?, connector: Connector, _ parameter: (StaticString) -> String?
    ) -> (ColumnType, ValueEncoding)? {
        switch name {
        case "org.apache.kafka.connect.data.Decimal":
            guard let scale = parameter("scale").flatMap({ Int($0) }) else { return nil }
            let precision = parameter("connect.decimal.precision").flatMap { Int($0) }
            // numeric(4,-2) says 2046; such a column is better off unconstrained.
            let isOrdinary = scale <= 1000 && scale >= 0 && (precision ?? 0) >= 1
            return (
                .numeric(precision: isOrdinary ? precision : nil, scale: isOrdinary ? scale : 0),
                .decimalBytes(scale: scale)
            )
        case "io.debezium.data.VariableScaleDecimal":
            return (.numeric(precision: nil, scale: 0), .variableDecimal)
        case "io.debezium.time.Date", "org.apache.kafka.connect.data.Date", "io.debezium.time.IsoDate":
            return (.date, .date)
        case "io.debezium.time.Time", "org.apache.kafka.connect.data.Time": return time(.milliseconds, connector)
        case "io.debezium.time.MicroTime", "io.debezium.time.IsoTime": return time(.microseconds, connector)
        case "io.debezium.time.NanoTime": return time(.nanoseconds, connector)
        case "io.debezium.time.Timestamp", "org.apache.kafka.connect.data.Timestamp":
            return (.timestamp(digits: 3), .timestamp(.milliseconds))
        case "io.debezium.time.MicroTimestamp", "io.debezium.time.IsoTimestamp":
            return (.timestamp(digits: 6), .timestamp(.microseconds))
        case "io.debezium.time.NanoTimestamp": return (.timestamp(digits: 6), .timestamp(.nanoseconds))
        case "io.debezium.time.ZonedTimestamp": return (.timestamptz, .zonedTimestamp)
        case "io.debezium.time.ZonedTime": return (.timetz, .zonedTime)
        case "io.debezium.time.MicroDuration", "io.debezium.time.Interval": return (.interval, .interval)
        case "io.debezium.data.Uuid": return (.uuid, .uuid)
        case "io.debezium.data.Json": return (source == "JSONB" ? .jsonb : .json, .document)
        case "io.debezium.data.Bits": return bits(parameter("length"), source: source)
        case "io.debezium.data.geometry.Point" where connector == .postgres: return (.other("point"), .point)
        case "io.debezium.data.Xml", "io.debezium.data.Enum", "io.debezium.data.EnumSet", "io.debezium.data.Ltree",
            "io.debezium.data.Tsvector":
            return (.text, .string)
        case "io.debezium.time.Year": return (.integer, .integer)
        case _ where name.hasPrefix("io.debezium.data.geometry.") || name.contains("Vector"): return (.json, .json)
        default: return nil
        }
    }

    /// MySQL's TIME is a span of up to 838 hours, either way.
    private static func time(_ unit: ValueEncoding.Unit, _ connector: Connector) -> (ColumnType, ValueEncoding) {
        connector.isMySQLFamily && unit == .microseconds ? (.interval, .interval) : (.time, .time(unit))
    }

    /// Without the source's type, `bit(n)` and `bit varying(n)` look alike; only the first keeps leading zeros here.
    private static func bits(_ length: String?, source: String?) -> (ColumnType, ValueEncoding) {
        guard let length = length.flatMap({ Int($0) }), length > 0, length < Int(Int32.max) else {
            return (.other("bit varying"), .bits(length: 0))
        }
        return source == "VARBIT"
            ? (.other("bit varying(\(length))"), .bits(length: 0)) : (.other("bit(\(length))"), .bits(length: length))
    }
}
