import JSON

extension ArrayText {
    /// Why a JSON text isn't an array of the element type; nil if it is.
    static func misfit(_ bytes: UnsafeRawBufferPointer, element: ColumnType) -> String? {
        var checker = Checker(cursor: JSONCursor(bytes), element: element.leaf)
        guard checker.array(depth: 0), checker.cursor.next() == 0 else {
            return checker.reason ?? "not an array of \(element.sql)"
        }
        return checker.reason
    }

    private struct Checker {
        var cursor: JSONCursor
        let element: ColumnType
        var reason: String?
        /// Elements per dimension; all arrays of a dimension are of one length.
        private var lengths: [Int?] = []
        private var leafDepth: Int?

        init(cursor: JSONCursor, element: ColumnType) {
            self.cursor = cursor
            self.element = element
            lengths.reserveCapacity(dimensions_max)
        }

        mutating func array(depth: Int) -> Bool {
            guard depth < dimensions_max, cursor.take(0x5B) else { return false }
            if lengths.count == depth { lengths.append(nil) }
            var length = 0
            if !cursor.take(0x5D) {
                repeat {
                    guard item(depth: depth) else { return false }
                    length += 1
                } while cursor.take(0x2C)
                guard cursor.take(0x5D) else { return false }
            } else if depth > 0 {
                return false
            }
            if let other = lengths[depth], other != length { return false }
            lengths[depth] = length
            return true
        }

        private mutating func item(depth: Int) -> Bool {
            if cursor.next() == 0x5B, !isJSON(element) {
                guard leafDepth.map({ $0 > depth }) ?? true else { return false }
                return array(depth: depth + 1)
            }
            if let leafDepth, leafDepth != depth { return false }
            leafDepth = depth
            let first = cursor.next()
            guard let value = cursor.value() else { return false }
            if cursor.sawUnstorable, element != .json {
                reason = "an element has \\u0000 or half of a surrogate pair"
                return false
            }
            if first == 0x6E || isJSON(element) { return true }
            reason = judge(first, cursor.bytes(value))
            return reason == nil
        }

        private func judge(_ first: UInt8, _ text: UnsafeRawBufferPointer) -> String? {
            let isString = first == 0x22
            let isNumber = first == 0x2D || first &- 0x30 < 10
            var wrong: String { "not an array of \(element.sql)" }
            let content = isString ? UnsafeRawBufferPointer(rebasing: text[1..<text.count - 1]) : text
            switch element {
            case .boolean: return first == 0x74 || first == 0x66 || isString ? nil : wrong
            case .smallint, .integer, .bigint:
                guard let value = JSONString.int64(content), FieldJSONDecode.fits(value, element) else { return wrong }
                return nil
            case .real: return DoubleText.parseSingle(content) == nil ? wrong : nil
            case .double: return DoubleText.parse(content) == nil ? wrong : nil
            case .numeric(let precision, let scale):
                return FieldMisfit.numeric(content, precision: precision, scale: scale, element)
            case .date, .time, .timestamp, .timestamptz:
                return isString && FieldJSONDecode.calendar(content, element) != nil ? nil : wrong
            case .composite(let composite): return CompositeText.misfit(text, composite)
            case .other: return nil
            default: return isString || isNumber ? nil : wrong
            }
        }
    }
}
