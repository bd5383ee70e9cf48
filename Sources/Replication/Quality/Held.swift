/// A value in one place, whoever looks at it.
final class Held<Value: Sendable>: Sendable {
    let value: Value

    init(_ value: Value) { self.value = value }
}

/// A number that fields are compared with, taken apart once.
///
/// `@unchecked Sendable`: the bytes are written once, by `init`.
final class HeldDecimal: @unchecked Sendable {
    /// Nil: NaN, or infinite.
    let number: ExactDecimal?
    let text: String
    let order: DecimalOrder
    private let bytes: UnsafeMutableRawBufferPointer

    convenience init(_ number: ExactDecimal) { self.init(number, number.text) }

    /// - Parameter word: as Postgres prints it.
    convenience init(special word: String) { self.init(nil, word) }

    private init(_ number: ExactDecimal?, _ text: String) {
        self.number = number
        self.text = text
        let utf8 = Array(text.utf8)
        bytes = .allocate(byteCount: utf8.count, alignment: 1)
        bytes.copyBytes(from: utf8)
        guard let order = DecimalOrder(UnsafeRawBufferPointer(bytes)) else { preconditionFailure("no number") }
        self.order = order
    }

    deinit { bytes.deallocate() }
}
