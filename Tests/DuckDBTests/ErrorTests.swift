import Testing

@testable import DuckDB

@Suite struct ErrorTests {
    /// Messages as DuckDB 2.0 words them, with a secret in the place of each value.
    static let leaking: [(String, DuckDBError.Kind, String)] = [
        (
            "Constraint Error: Duplicate key \"id: SECRET\" violates primary key constraint.", .constraint,
            "Constraint error: duplicate key of column id violates a primary key constraint"
        ),
        (
            "Constraint Error: Duplicate key \"mail: a: SECRET, b: SECRET\" violates unique constraint.", .constraint,
            "Constraint error: duplicate key of column mail violates a unique constraint"
        ),
        (
            "Constraint Error: PRIMARY KEY or UNIQUE constraint violation: duplicate key \"1, SECRET\"", .constraint,
            "Constraint error: duplicate key violates a primary key or unique constraint"
        ),
        (
            "TransactionContext Error: Failed to commit: PRIMARY KEY or UNIQUE constraint violation: duplicate key "
                + "\"SECRET\"", .constraint,
            "Transaction error: duplicate key violates a primary key or unique constraint"
        ),
        (
            "Constraint Error: NOT NULL constraint failed: orders.name", .constraint,
            "Constraint error: NOT NULL constraint failed: orders.name"
        ),
        (
            "Constraint Error: CHECK constraint failed on table \"t\" with expression CHECK((s != 'SECRET'))",
            .constraint, "Constraint error: CHECK constraint failed on table t"
        ),
        (
            "Constraint Error: Violates foreign key constraint because key \"id: SECRET\" does not exist in the "
                + "referenced table", .constraint, "Constraint error: a key violates a foreign key constraint"
        ),
        (
            "Conversion Error: Could not convert string 'it's SECRET to X' to INT32\n\nLINE 1: select 'SECRET'\n    ^",
            .value, "Conversion error: could not convert a string to INT32"
        ),
        (
            "Conversion Error: Could not convert string \"SECRET\" to DECIMAL(4,2)", .value,
            "Conversion error: could not convert a string to DECIMAL(4,2)"
        ),
        (
            "Conversion Error: Could not convert string 'SECRET' to ENUM('SECRET', 'b')", .value,
            "Conversion error: could not convert a string"
        ),
        (
            "Conversion Error: Casting value \"SECRET\" to type DECIMAL(4,2) failed: value is out of range!", .value,
            "Conversion error: could not cast a value to DECIMAL(4,2)"
        ),
        (
            "Conversion Error: Type INT64 with value SECRET can't be cast because the value is out of range for the "
                + "destination type INT32\n\nLINE 1: x", .value, "Conversion error: could not cast a value to INT32"
        ),
        (
            "Out of Range Error: Overflow in addition of INT32 (SECRET + 1)!", .value,
            "Out of range error: overflow in addition of INT32"
        ),
        (
            "Conversion Error: Malformed JSON at byte 1 of input: unexpected character.  Input: \"SECRET\"", .value,
            "Conversion error: Malformed JSON"
        ),
        (
            "Invalid Input Error: Could not parse string \"SECRET\" according to format \"%Y\"\nSECRET\n^", .value,
            "Invalid input error: Could not parse string"
        ),
        (
            "Invalid Input Error: SECRET", .value,
            "Invalid input error: details withheld, as they may contain data"
        ),
        ("SECRET Error: SECRET", .other, "DuckDB error: details withheld, as they may contain data"),
        ("", .other, "DuckDB error: details withheld, as they may contain data"),
        (
            "Binder Error: Cannot compare 'SECRET' and can't say 'it's SECRET' of \"x\"\n\nLINE 3: SECRET", .catalog,
            "Binder error: Cannot compare '…' of \"x\""
        ),
        ("Parser Error: syntax error at or near \"SECRET\"", .syntax, "Parser error: syntax error at or near \"…\""),
        (
            "Catalog Error: Table with name nope does not exist!\nDid you mean \"t\"?\n\nLINE 1: 'SECRET'", .catalog,
            "Catalog error: Table with name nope does not exist!\nDid you mean \"t\"?"
        ),
        (
            "IO Error: Could not write file \"/d/x\": No space left on device", .diskFull,
            "IO error: Could not write file \"/d/x\": No space left on device"
        ),
        (
            "TransactionContext Error: Failed to commit: Could not write file \"/d/x.wal\": No space left on device",
            .diskFull,
            "Transaction error: Failed to commit: Could not write file \"/d/x.wal\": No space left on device"
        ),
        (
            "INTERNAL Error: Attempted to access SECRET", .fatal,
            "Internal error: details withheld, as they may contain data"
        ),
        (
            "FATAL Error: Failed: database has been invalidated because of a previous fatal error. Original: SECRET",
            .fatal, "Fatal error: Failed: database has been invalidated"
        ),
    ]

    @Test(arguments: leaking) func messagesHoldNoValues(raw: String, kind: DuckDBError.Kind, safe: String) {
        let message = EngineMessage(raw)
        #expect(message.kind == kind)
        #expect(message.text == safe)
        #expect(!message.text.contains("SECRET"))
    }

    @Test func lockMessagesTellTheHolder() {
        let raw = "IO Error: Could not set lock on file \"/d/shop.duckdb\": Conflicting lock is held in /bin/duck (PID"
        #expect(EngineMessage(raw + " 42). See also x").kind == .locked(path: "/d/shop.duckdb", holder: 42))
        #expect(EngineMessage(raw).kind == .locked(path: "/d/shop.duckdb", holder: nil))
    }

    /// The engine in hand words its messages so that each gets its kind, and no value passes.
    static let statements: [(String, DuckDBError.Kind)] = [
        ("INSERT INTO t VALUES (5012, 'x', 1)", .constraint),
        ("INSERT INTO t VALUES (6, NULL, 1)", .constraint),
        ("INSERT INTO t VALUES (-5012, 'x', 1)", .constraint),
        ("INSERT INTO u VALUES (1, '5012'), (1, '5012')", .constraint),
        ("INSERT INTO f VALUES (75012)", .constraint),
        ("SELECT '5012x'::INT", .value),
        ("SELECT 95012::TINYINT", .value),
        ("SELECT 5012.67::DECIMAL(4,2)", .value),
        ("SELECT i::DECIMAL(2,1) FROM (SELECT 5012 i)", .value),
        ("SELECT 2147485012::INT + 1", .value),
        ("SELECT '5012-13-45'::DATE", .value),
        ("SELECT '5012 o clock'::TIMESTAMP", .value),
        ("SELECT '{5012'::JSON", .value),
        ("SELECT '5012'::UUID", .value),
        ("SELECT '5012'::INT[]", .value),
        ("SELECT strptime('5012', '%Y-%m')", .value),
        ("SELECT error('5012')", .value),
        ("SELECT 9223372036854775807 * s.i FROM (SELECT 5012::BIGINT i) s", .value),
        ("SELECT * FROM nope WHERE s = '5012'", .catalog),
        ("SELECT nope FROM t WHERE s = '5012'", .catalog),
        ("SELECT '5012' + 1::INT + [1]", .catalog),
        ("SELEC '5012'", .syntax),
        ("SELECT 1 '5012' '5012'", .syntax),
        ("SELECT '5012", .syntax),
    ]

    @Test(arguments: statements) func theEnginesErrorsAreClassifiedAndSafe(
        sql: String, kind: DuckDBError.Kind
    ) throws {
        let session = try Session(Database(options: .init(threads: 1)))
        try session.run(
            """
            CREATE TABLE t(id INT PRIMARY KEY, s VARCHAR NOT NULL, d DECIMAL(4,2), CHECK (id > 0));
            CREATE TABLE u(a INT, b VARCHAR, PRIMARY KEY (a, b));
            CREATE TABLE f(id INT REFERENCES t(id));
            INSERT INTO t VALUES (5012, 'a', 1);
            """, purpose: "setup")
        let error = #expect(throws: DuckDBError.self) { try session.run(sql, purpose: "writing shop.t") }
        #expect(error?.kind == kind, "\(error?.description ?? "")")
        #expect(error?.description.contains("5012") == false)
        #expect(error?.description.hasPrefix("writing shop.t: ") == true)
        #expect(error?.message.contains("withheld") == sql.contains("error("), "\(error?.message ?? "")")
    }

    @Test func aUsersOwnStatementIsQuotedToThem() throws {
        let session = try Session(Database())
        let error = #expect(throws: DuckDBError.self) {
            _ = try session.query("SELEC 5012", purpose: "query", isUserText: true)
        }
        #expect(error?.message.contains("SELEC 5012") == true)
        let value = #expect(throws: DuckDBError.self) {
            _ = try session.query("SELECT ('x' || i)::INT FROM range(5012, 5013) r(i)", purpose: "q", isUserText: true)
        }
        #expect(value?.kind == .value)
        #expect(value?.message.contains("5012") == false)
    }
}
