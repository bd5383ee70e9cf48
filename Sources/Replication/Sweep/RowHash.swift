/// How a row becomes a hash of 128 bits.
package enum RowHash: Sendable {
    /// md5 of the columns' canonical texts: what both engines have at the least cost.
    case texts
    /// The bytes that Postgres would send of the row in its binary form, hashed by what it hashes records with (14 and
    /// later), under two seeds: a third of the time. It is no hash against who wants collisions, as md5 isn't.
    ///
    /// All of a row is hashed as one value. The hash of a record with several columns is a sum over theirs, which stays what
    /// it was in the sum of a set when two rows exchange a cell; and Postgres' hash of a bigint or a time folds its upper half
    /// into the lower.
    case records

    /// What both servers can make, and make alike: the order of a machine's bytes is in it.
    ///
    /// - Parameters:
    ///   - engine: the warehouse's (`Warehouse.engine`).
    ///   - source: asks it, as `warehouse` does.
    package static func common(
        engine: String, _ source: (String) async throws -> [[String?]],
        _ warehouse: (String) async throws -> [[String?]]
    ) async throws -> RowHash {
        guard engine == "postgres", try await source(isThere) == [["t"]], try await warehouse(isThere) == [["t"]]
        else { return .texts }
        return try await source(sample) == warehouse(sample) ? .records : .texts
    }

    /// One row of one boolean.
    private static let isThere =
        "SELECT to_regprocedure('pg_catalog.hash_record_extended(record, bigint)') IS NOT NULL"

    /// One row of one number, of every kind of value that goes in.
    static let sample = """
        SELECT hash_record_extended(ROW(record_send(ROW(-3000000001, -12.340, true, date '2026-11-28', NULL::text, \
        'mill'::text, '00112233-4455-6677-8899-aabbccddeeff'::uuid, timestamptz 'epoch', interval '1 day', '\\x0001ff'::bytea))), \
        \(seeds.low))
        """

    static let seeds: (high: Int64, low: Int64) = (0, 0x6d69_6c6c_7261_6365)
}
