/// Reads the bounds and values of an expectation as values of a column's type.
struct ComparedValues {
    private let type: ComparedType
    private let column: String

    init(_ type: ComparedType, _ column: String) {
        self.type = type
        self.column = column
    }

    typealias Misfit = ColumnTest.Misfit
    typealias Limit = ColumnTest.Limit

    /// Without the value, which may come from a file that is nobody's to read.
    private var unread: Misfit {
        Misfit("what is given is no \(type.noun), as the column \(column) holds them", try: type.example)
    }

    // MARK: Ranges

    func range(_ bounds: Expectation.Bounds) throws(Misfit) -> ColumnTest.Kind {
        switch type {
        case .integer: return .wholes(try integers(bounds))
        case .decimal: return .decimals(Held(.init(min: try limit(bounds.min, held), max: try limit(bounds.max, held))))
        case .float: return .floats(.init(min: try limit(bounds.min, float), max: try limit(bounds.max, float)))
        case .text, .padded, .uuid:
            return .texts(Held(.init(min: try limit(bounds.min, bytes), max: try limit(bounds.max, bytes))))
        case .boolean, .date, .time, .timestamp, .timestamptz:
            return .wholes(.init(min: try limit(bounds.min, whole), max: try limit(bounds.max, whole)))
        }
    }

    private func limit<Value>(
        _ bound: Expectation.Bound?, _ read: (String) throws(Misfit) -> Value
    ) throws(Misfit) -> Limit<Value>? {
        guard let bound else { return nil }
        return Limit(value: try read(bound.text), isStrict: bound.isStrict)
    }

    /// Any number can be a bound of integers: what counts is the integer next to it.
    private func integers(_ bounds: Expectation.Bounds) throws(Misfit) -> ColumnTest.Range<Int64> {
        var range = ColumnTest.Range<Int64>()
        if let bound = bounds.min {
            let number = try decimal(bound.text)
            let floor = number.floor(scale: 0)
            let isAbove = bound.isStrict || floor != number
            if let value = floor.whole {
                // Above the last integer there is none.
                if isAbove, value == .max {
                    range.isEmpty = true
                } else {
                    range.min = Limit(value: isAbove ? value + 1 : value, isStrict: false)
                }
            } else {
                range.isEmpty = !number.isNegative
            }
        }
        if let bound = bounds.max {
            let number = try decimal(bound.text)
            let floor = number.floor(scale: 0)
            let isBelow = bound.isStrict && floor == number
            if let value = floor.whole {
                if isBelow, value == .min {
                    range.isEmpty = true
                } else {
                    range.max = Limit(value: isBelow ? value - 1 : value, isStrict: false)
                }
            } else if number.isNegative {
                range.isEmpty = true
            }
        }
        return range
    }

    // MARK: Sets

    func set(_ values: [String], isIn: Bool) throws(Misfit) -> ColumnTest.Kind {
        do throws(Misfit) {
            return try kind(of: values, isIn: isIn)
        } catch {
            for (index, value) in values.enumerated() {
                do throws(Misfit) {
                    _ = try kind(of: [value], isIn: isIn)
                } catch {
                    throw Misfit("of \(values.count) values, number \(index + 1): \(error.message)", try: error.remedy)
                }
            }
            throw error
        }
    }

    private func kind(of values: [String], isIn: Bool) throws(Misfit) -> ColumnTest.Kind {
        switch type {
        case .integer:
            var wholes: Set<Int64> = []
            for value in values {
                // 1.5 is a number, and no row has it.
                if let whole = try decimal(value).whole { wholes.insert(whole) }
            }
            return .inWholes(wholes.sorted(), isIn: isIn)
        case .decimal:
            var numbers: Set<ExactDecimal> = []
            var special: Set<String> = []
            for value in values {
                if let word = Self.special(value) { special.insert(word) } else { numbers.insert(try decimal(value)) }
            }
            let held = numbers.map { HeldDecimal($0) } + special.map { HeldDecimal(special: $0) }
            return .inDecimals(held.sorted { DecimalOrder.compare($0.order, $1.order) < 0 }, isIn: isIn)
        case .float:
            var numbers: [Double] = []
            for value in values {
                let number = try float(value, orSpecial: true)
                if !numbers.contains(where: { $0 == number || $0.isNaN && number.isNaN }) { numbers.append(number) }
            }
            return .inFloats(numbers, isIn: isIn)
        case .text, .padded, .uuid:
            var texts: Set<[UInt8]> = []
            for value in values { texts.insert(try bytes(value)) }
            return .inTexts(texts.sorted { $0.lexicographicallyPrecedes($1) }, isIn: isIn)
        case .boolean, .date, .time, .timestamp, .timestamptz:
            var wholes: Set<Int64> = []
            for value in values { wholes.insert(try whole(value)) }
            return .inWholes(wholes.sorted(), isIn: isIn)
        }
    }

    /// As Postgres prints it.
    private static func special(_ text: String) -> String? {
        switch text.lowercased() {
        case "nan": "NaN"
        case "infinity", "+infinity", "inf", "+inf", ".inf": "Infinity"
        case "-infinity", "-inf", "-.inf": "-Infinity"
        default: nil
        }
    }

    // MARK: Values

    private func decimal(_ text: String) throws(Misfit) -> ExactDecimal {
        guard let number = ExactDecimal(text) else { throw unread }
        return number
    }

    private func held(_ text: String) throws(Misfit) -> HeldDecimal { HeldDecimal(try decimal(text)) }

    private func float(_ text: String) throws(Misfit) -> Double { try float(text, orSpecial: false) }

    private func float(_ text: String, orSpecial: Bool) throws(Misfit) -> Double {
        let word = Self.special(text)
        if word != nil, !orSpecial { throw unread }
        let number = Array((word ?? text).utf8).withUnsafeBytes { bytes in
            type == .float(isSingle: true) ? DoubleText.parseSingle(bytes) : DoubleText.parse(bytes)
        }
        guard let number, word != nil || number.isFinite else { throw unread }
        return number == 0 ? 0 : number
    }

    private func whole(_ text: String) throws(Misfit) -> Int64 {
        let bytes = Array(text.utf8)
        let value = bytes.withUnsafeBytes { bytes -> Int64? in
            if type == .boolean { return FieldText.bool(bytes).map { $0 ? 1 : 0 } }
            return type.calendar.flatMap { FieldJSONDecode.calendar(bytes, $0)?.bits }
        }
        if let value, isHeld(value) { return value }
        if type == .boolean, let number = ExactDecimal(text)?.whole, number == 0 || number == 1 { return number }
        if let value = widened(text), isHeld(value) { return value }
        throw unread
    }

    /// Whether both engines have such a date or moment: from 4713 BC on, and dates to 5874897.
    private func isHeld(_ value: Int64) -> Bool {
        if value == .max || value == .min { return true }
        return switch type {
        case .date: value >= -2_440_588 && value <= 2_145_031_948
        case .timestamp, .timestamptz: value >= -2_440_588 * 86_400_000_000
        default: true
        }
    }

    /// A date where a timestamp is meant, a timestamp without a zone where one has it, and midnight where a date is.
    private func widened(_ text: String) -> Int64? {
        func read(_ text: String, _ type: ColumnType) -> Int64? {
            Array(text.utf8).withUnsafeBytes { FieldJSONDecode.calendar($0, type)?.bits }
        }
        switch type {
        case .timestamp, .timestamptz:
            if let days = read(text, .date) {
                if days == .max || days == .min { return days }
                let (moment, isOver) = days.multipliedReportingOverflow(by: 86_400_000_000)
                return isOver ? nil : moment
            }
            return type == .timestamptz ? read(text, .timestamp(digits: 6)) : nil
        case .date:
            guard let moment = read(text, .timestamp(digits: 6)), moment % 86_400_000_000 == 0 else { return nil }
            return moment / 86_400_000_000
        default: return nil
        }
    }

    private func bytes(_ text: String) throws(Misfit) -> [UInt8] {
        var bytes = Array(text.utf8)
        if bytes.contains(0) { throw Misfit("a value of \(column) can't hold a NUL character") }
        switch type {
        case .padded: while bytes.last == 0x20 { bytes.removeLast() }
        case .uuid:
            let digits = bytes.map(\.lowered).filter { $0 != 0x2D && $0 != 0x7B && $0 != 0x7D }
            guard digits.count == 32, digits.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) })
            else {
                throw unread
            }
            bytes = []
            for (index, digit) in digits.enumerated() {
                if [8, 12, 16, 20].contains(index) { bytes.append(0x2D) }
                bytes.append(digit)
            }
        default: break
        }
        return bytes
    }
}

extension UInt8 {
    /// A letter of ASCII, small.
    var lowered: UInt8 { self &- 0x41 < 26 ? self | 0x20 : self }
}
