/// How a row becomes a hash.
package enum RowHash: Sendable {
    /// md5 of the columns' canonical texts, 128 bits: what both engines have at the least cost.
    case texts
    /// The bytes that a Postgres would send of the row in binary form, 64 bits of them by what it hashes records with (14 and
    /// later): a third of the time. It is no hash against who wants collisions, as md5 isn't.
    ///
    /// All of a row is hashed as one value. The hash of a record with several columns is a weighted sum over theirs: in a set's
    /// sum rows could exchange cells unseen, and in a row columns whose weights are alike. Postgres' hash of a bigint or a
    /// time folds its upper half into the lower.
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
    private static let sample = """
        SELECT \(sql(
            """
            -3000000001, -12.340, true, date '2026-11-28', NULL::text, 'mill'::text, timestamptz 'epoch', \
            '00112233-4455-6677-8899-aabbccddeeff'::uuid, interval '1 day', '\\x0001ff'::bytea
            """))
        """

    /// SQL of the hash of a row of these values, a bigint.
    static func sql(_ values: String) -> String { "hash_record_extended(ROW(record_send(ROW(\(values)))), 0)" }
}
