import Replication

/// How one column's values are decoded: fixed size and without references, so that reading one costs nothing.
struct ColumnPlan {
    enum Operation: UInt8 {
        /// Not made yet.
        case unset
        case json, boolean, integer, floating, string, loose, binary, decimalBytes, decimal, variableDecimal
        case date, time, timestamp, zonedTimestamp, zonedTime, interval, uuid, document, bits, hstore, point, array
        case textBytes
    }

    /// What a value's `Field` looks like.
    enum Form: UInt8 {
        case unknown, boolean, smallint, integer, bigint, real, double, numeric, text, bytea, uuid, date, time, timetz
        case timestamp, timestamptz, interval, json, array

        init(_ type: ColumnType) {
            self =
                switch type {
                case .unknown: .unknown
                case .boolean: .boolean
                case .smallint: .smallint
                case .integer: .integer
                case .bigint: .bigint
                case .real: .real
                case .double: .double
                case .numeric: .numeric
                case .text, .other, .composite: .text
                case .bytea: .bytea
                case .uuid: .uuid
                case .date: .date
                case .time: .time
                case .timetz: .timetz
                case .timestamp: .timestamp
                case .timestamptz: .timestamptz
                case .interval: .interval
                case .json, .jsonb: .json
                case .array: .array
                }
        }

        var isInteger: Bool { self == .smallint || self == .integer || self == .bigint }
    }

    var operation = Operation.unset
    /// Of the decoded value, before it is made what the column wants.
    var form = Form.unknown
    /// Base64's scale, bits' length, or a time unit's nanoseconds; -1: not told.
    var parameter: Int32 = -1
    /// Of the column, where it is a constrained numeric; a timestamp's digits of the second; else -1.
    var precision: Int32 = -1
    var scale: Int32 = 0
    /// Index in the decoder's `details`; -1: the decoded value is the column's.
    var detail: Int32 = -1
    /// The document must be one that jsonb takes.
    var isBinaryJSON = false
    var decimals = EncodingModes.Decimal.automatic
    var bytes = ValueEncoding.Bytes.base64
}

/// What a plan needs beyond its fixed size.
final class PlanDetail {
    let natural: ColumnType
    let target: ColumnType
    /// The decoded value becomes a value of `target`, which is another kind of type.
    let converts: Bool
    let isHashed: Bool
    let element: ColumnPlan?
    let elementType: ColumnType

    init(
        natural: ColumnType, target: ColumnType, converts: Bool, isHashed: Bool, element: ColumnPlan? = nil,
        elementType: ColumnType = .unknown
    ) {
        self.natural = natural
        self.target = target
        self.converts = converts
        self.isHashed = isHashed
        self.element = element
        self.elementType = elementType
    }
}

extension ValueDecoder {
    /// - Parameters:
    ///   - type: what the encoding says (or was inferred from).
    ///   - target: the column's type in the warehouse's definition.
    func plan(_ encoding: ValueEncoding, of type: ColumnType, for target: ColumnType, isHashed: Bool = false)
        -> ColumnPlan
    {
        var plan = ColumnPlan(operation: .json)
        var natural = type
        var element: ColumnPlan?
        var elementType = ColumnType.unknown
        switch encoding {
        case .json: natural = target.takesJSON ? target : .unknown
        case .boolean: plan.operation = .boolean
        case .integer: plan.operation = .integer
        case .floating: plan.operation = .floating
        case .string: plan.operation = .string
        case .loose: plan.operation = .loose
        case .binary(let bytes):
            plan.operation = .binary
            plan.bytes = bytes
        case .decimalBytes(let scale):
            plan.operation = .decimalBytes
            plan.parameter = Int32(clamping: scale)
        case .decimal(let scale, let mode):
            plan.operation = .decimal
            // numeric(4,-2) is written with the scale's low eleven bits.
            plan.parameter = Int32(clamping: scale < -1 ? scale + 2048 : scale)
            plan.decimals = mode
        case .variableDecimal: plan.operation = .variableDecimal
        case .date: plan.operation = .date
        case .time(let unit):
            plan.operation = .time
            plan.parameter = Int32(unit.rawValue)
            if case .other = type { natural = .time }
        case .timestamp(let unit):
            plan.operation = .timestamp
            plan.parameter = Int32(unit.rawValue)
            if case .other = type { natural = .timestamp(digits: 6) }
        case .zonedTimestamp:
            plan.operation = .zonedTimestamp
            if case .other = type { natural = .timestamptz }
        case .zonedTime: plan.operation = .zonedTime
        case .interval: plan.operation = .interval
        case .uuid: plan.operation = .uuid
        case .document: plan.operation = .document
        case .bits(let length):
            plan.operation = .bits
            plan.parameter = Int32(clamping: length)
        case .textBytes(let bytes):
            plan.operation = .textBytes
            plan.bytes = bytes
        case .hstore: plan.operation = .hstore
        case .point: plan.operation = .point
        case .array(let inner):
            plan.operation = .array
            elementType = if case .array = type { type.leaf } else { .unknown }
            element = self.plan(inner, of: elementType, for: elementType)
        }
        // The wider or narrower target is decoded into directly, and its limits are tested there.
        if ColumnPlan.Form(natural).isInteger, ColumnPlan.Form(target).isInteger { natural = target }
        if case .numeric = natural, case .numeric = target { natural = target }
        if case .array = natural, case .array = target, natural.leaf == target.leaf { natural = target }
        if case .timestamp = natural, case .timestamp = target { natural = target }
        plan.isBinaryJSON = target == .jsonb
        if plan.operation == .string, target == .uuid {
            plan.operation = .uuid
            natural = target
        }
        plan.form = ColumnPlan.Form(natural)
        if case .numeric(let precision?, let scale) = natural {
            plan.precision = Int32(clamping: precision)
            plan.scale = Int32(clamping: scale)
        }
        if case .timestamp(let digits) = natural, (0..<6).contains(digits) { plan.precision = Int32(digits) }
        let converts = !isHashed && !Self.isSameForm(natural, target)
        if converts || isHashed || element != nil {
            plan.detail = Int32(details.count)
            details.append(
                PlanDetail(
                    natural: natural, target: target, converts: converts, isHashed: isHashed, element: element,
                    elementType: elementType))
        }
        return plan
    }

    /// How the elements of an array's column are written; nil of any other column.
    @inline(__always)
    func elementOperation(_ plan: ColumnPlan) -> ColumnPlan.Operation? {
        plan.operation == .array ? details[Int(plan.detail)].element?.operation : nil
    }

    /// Whether a value of `natural` is one of `target` as it stands.
    private static func isSameForm(_ natural: ColumnType, _ target: ColumnType) -> Bool {
        // Judged element by element, as a conversion is.
        if case .array = natural, case .array = target { return natural.leaf == target.leaf }
        let a = ColumnPlan.Form(natural)
        let b = ColumnPlan.Form(target)
        if a == b { return true }
        // Text that is Postgres' own form of any type.
        return b == .text && (a == .uuid || a == .interval || a == .timetz || a == .numeric)
    }
}
