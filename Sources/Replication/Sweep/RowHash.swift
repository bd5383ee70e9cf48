/// How a row becomes a hash.
package enum RowHash: Sendable {
    /// md5 of the columns' canonical texts, 128 bits: what both engines have at the least cost.
    case texts
    /// What a Postgres hashes records with (14 and later), 64 bits, over values in their binary form: a quarter of the time.
    /// It is no hash against who wants collisions, as md5 isn't.
    ///
    /// Only values go into it whose hash is of all their bytes: Postgres' hash of a bigint or a time folds the upper half into
    /// the lower. A record's hash is a sum over its columns', so that in a set's sum two rows could exchange a cell
    /// unseen: it is hashed again.
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

    /// One row of one number, of every kind of value that goes in, of odd lengths too.
    private static let sample = """
        SELECT \(twice(
            """
            int8send(-3000000001), numeric_send(-12.340), true, date '2026-11-28', NULL::text, ''::text COLLATE "C", \
            'mill'::text COLLATE "C", 'the quick brown fox'::text COLLATE "C", \
            '00112233-4455-6677-8899-aabbccddeeff'::uuid, '\\x0001ff'::bytea
            """))
        """

    /// SQL of the hash, a bigint.
    static func twice(_ values: String) -> String {
        "hash_record_extended(ROW(int8send(hash_record_extended(ROW(\(values)), 0))), 0)"
    }
}
