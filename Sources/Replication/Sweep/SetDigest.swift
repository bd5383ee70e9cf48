/// The digest of a set of rows: how many there are, and the sum of their hashes in two signed halves; of hashes
/// of 64 bits (`RowHash.records`) the second is 0.
///
/// A sum over exact integers: it doesn't depend on order, equal rows don't cancel each other, and parts of a set add up
/// to the whole. A cell that changes moves the sums by a difference of two hashes; other changes undo that by chance
/// only, once in 2^128 or 2^64.
package struct SetDigest: Hashable, Sendable {
    package var rows: Int64
    /// Of the hashes' first 64 bits and their last, as two's complement.
    package var high: Int128
    package var low: Int128

    package static let empty = SetDigest(rows: 0, high: 0, low: 0)

    package init(rows: Int64, high: Int128, low: Int128) {
        self.rows = rows
        self.high = high
        self.low = low
    }

    /// Of one row, by the hash that `RowDigest.rows` gives: 32 hex digits.
    package init?(hash: String) {
        guard hash.utf8.count == 32, hash.utf8.allSatisfy({ hexValue($0) != nil }),
            let high = UInt64(hash.prefix(16), radix: 16), let low = UInt64(hash.suffix(16), radix: 16)
        else { return nil }
        self.init(rows: 1, high: Int128(Int64(bitPattern: high)), low: Int128(Int64(bitPattern: low)))
    }

    /// Of the one row that `RowDigest.set` gives.
    package init?(row: [String?]) {
        guard row.count == 3, let rows = row[0].flatMap({ Int64($0) }), let high = row[1].flatMap({ Int128($0) }),
            let low = row[2].flatMap({ Int128($0) })
        else { return nil }
        self.init(rows: rows, high: high, low: low)
    }

    /// Of two sets without a row in common.
    package static func + (a: SetDigest, b: SetDigest) -> SetDigest {
        SetDigest(rows: a.rows + b.rows, high: a.high + b.high, low: a.low + b.low)
    }

    /// Of a set without some of its rows.
    package static func - (a: SetDigest, b: SetDigest) -> SetDigest {
        SetDigest(rows: a.rows - b.rows, high: a.high - b.high, low: a.low - b.low)
    }
}

extension SetDigest: CustomStringConvertible {
    package var description: String { "\(rows) rows, \(high)/\(low)" }
}
