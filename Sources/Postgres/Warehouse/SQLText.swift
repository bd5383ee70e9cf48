import Replication

/// Values as SQL literals, for statements of `_millrace` that go out together.
enum SQLText {
    static func literal(_ text: String?) throws -> String { try text.map { try quoteLiteral($0) } ?? "NULL" }
    static func literal(_ number: Int64?) -> String { number.map(String.init) ?? "NULL" }

    /// A moment; `Int64.min` and nil are NULL.
    static func moment(_ time_us: Int64?) throws -> String {
        guard let time_us, time_us != .min else { return "NULL::timestamptz" }
        return try quoteLiteral(timestamp(time_us)) + "::timestamptz"
    }

    /// Postgres' own text of a moment, in UTC.
    static func timestamp(_ time_us: Int64) -> String {
        let field = Field(kind: .timestamptz, bits: time_us)
        let sink = ByteArena(capacity: 64)
        return sink.string(FieldText.appendPostgresText(field, .timestamptz, from: sink, to: sink))
    }

    /// µs since 1970 of a timestamptz expression.
    static func microseconds(_ expression: String) -> String {
        "(extract(epoch FROM \(expression)) * 1000000)::bigint"
    }

    static func version(_ version: Version) -> String {
        "(\(version.epoch)::bigint, \(version.commit)::bigint, \(version.seq)::bigint)"
    }

    /// The key of an advisory lock: a hash that all agents make alike.
    static func lockKey(_ parts: String...) -> Int64 {
        var hash = Hash128()
        for part in parts {
            hash.add(UInt64(part.utf8.count))
            hash.add(part)
        }
        return Int64(bitPattern: hash.finish().low)
    }
}

extension Rows {
    /// A version from three columns; `.none` where they are null.
    func version(_ row: Int, _ column: Int) -> Version {
        guard let epoch = integer(row, column), let commit = integer(row, column + 1),
            let seq = integer(row, column + 2)
        else { return .none }
        return Version(epoch: epoch, commit: commit, seq: seq)
    }

    func text(_ row: Int, _ column: Int) -> String { string(row, column) ?? "" }
}
