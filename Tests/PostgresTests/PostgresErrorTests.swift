import Testing

@testable import Postgres

@Suite struct PostgresErrorTests {
    /// A cast puts a value where a relation's name stands.
    @Test func whatAUsersStatementMeets() {
        var error = PostgresError(
            kind: .permanent, sqlstate: "42P01", message: "relation \"4111\" does not exist", purpose: "run it")
        error.table = "4111"
        #expect(!"\(error.withoutMessage)".contains("4111") && error.withoutMessage.table == nil)
        #expect("\(error.withoutMessage)".contains("42P01"))
        error.kind = .passing
        #expect(error.withoutMessage == error)
    }

    @Test(arguments: [
        ("08006", PostgresError.Kind.passing), ("57P01", .passing), ("57P03", .passing), ("53300", .passing),
        ("40001", .passing), ("40P01", .passing), ("55P03", .passing), ("57014", .passing), ("55006", .passing),
        ("42501", .permanent), ("42P01", .permanent), ("42601", .permanent), ("28P01", .permanent),
        ("3D000", .permanent), ("XX000", .permanent), ("58P01", .permanent), ("57P04", .permanent),
        ("22P02", .data), ("23505", .data), ("44000", .data), ("54000", .data), ("P0001", .data), ("53100", .diskFull),
    ])
    func kindsFollowSQLSTATE(sqlstate: String, kind: PostgresError.Kind) {
        #expect(PostgresError.classify(sqlstate: sqlstate) == kind)
    }

    @Test(arguments: [
        ("22P02", #"invalid input syntax for type integer: "secret""#, "invalid input syntax for type integer: …"),
        (
            "22003", #"value "99999secret" is out of range for type integer"#,
            #"value "…" is out of range for type integer"#
        ),
        (
            "22003", #"value "1" type "secret" is out of range for type integer"#,
            #"value "…" is out of range for type integer"#
        ),
        (
            "23505", #"duplicate key value violates unique constraint "t_pkey""#,
            #"duplicate key value violates unique constraint "t_pkey""#
        ),
        (
            "23502", #"null value in column "a" of relation "t" violates not-null constraint"#,
            #"null value in column "a" of relation "t" violates not-null constraint"#
        ),
        (
            "22021", #"invalid byte sequence for encoding "UTF8": 0xff 0x5e"#,
            #"invalid byte sequence for encoding "UTF8": …"#
        ),
        (
            "22P05", #"character with byte sequence 0x5e 0xc1 in encoding "UTF8" has no equivalent"#,
            #"character with byte sequence … … in encoding "UTF8" has no equivalent"#
        ),
        ("42601", #"syntax error at or near "secret""#, #"syntax error at or near "…""#),
        ("42P01", #"relation "public.t" does not exist"#, #"relation "public.t" does not exist"#),
        (
            "P0001", "secret is too large",
            "a trigger or function raised an error (its text is withheld: see the server's log)"
        ),
        (
            "22P02", "ungültige Eingabesyntax für Typ integer »secret«",
            "a message in the server's language (withheld, as it may quote values)"
        ),
    ])
    func messagesLoseValuesAndKeepNames(sqlstate: String, message: String, expected: String) {
        #expect(PostgresError.redact(message: message, sqlstate: sqlstate) == expected)
    }

    @Test func aCopysPlaceIsKeptWithoutItsValue() {
        let place = PostgresError.copyPlace(context: #"COPY t, line 3, column amount: "secret""#)
        #expect(place.line == 3 && place.column == "amount")
        let line = PostgresError.copyPlace(context: #"COPY t, line 12: "secret|1""#)
        #expect(line.line == 12 && line.column == nil)
        let hostile = PostgresError.copyPlace(context: #"COPY t, line 12: "x, column secret: ""#)
        #expect(hostile.line == 12 && hostile.column == nil)
        #expect(PostgresError.copyPlace(context: "PL/pgSQL function f() line 3").line == nil)
    }

    @Test(arguments: [
        ("postgres://u:secret@h:5432/d", "postgres://u:***@h:5432/d"),
        ("postgres://u:se@cr/e?t@h/d", "postgres://u:***@h/d"),
        ("postgres://u@h:5432/d", "postgres://u@h:5432/d"),
        ("postgres://h:5432/d?password=secret&user=u", "postgres://h:5432/d?password=***&user=u"),
        ("postgres://h/d?sslmode=require&sslpassword=secret", "postgres://h/d?sslmode=require&sslpassword=***"),
        ("postgres://h/d?p%61ssword=secret", "postgres://h/d?p%61ssword=***"),
        ("postgres:///d", "postgres:///d"),
        ("host=h password=secret user=u", "host=h password=*** user=u"),
        (#"host=h password = 'sec\'ret x' user=u"#, "host=h password =*** user=u"),
        ("password='secret", "password=***"),
        (#"user=u password=sec\ ret"#, "user=u password=***"),
        ("user = 'a b' PASSWORD=secret", "user = 'a b' PASSWORD=***"),
    ])
    func passwordsAreHidden(url: String, expected: String) {
        #expect(redacted(url) == expected)
    }

    @Test(arguments: [
        "postgres://u:pass@secret@h/d", "postgres://u:pass/secret@h/d", "postgres://u:secret%zz@h/d",
        "host=h password='secret", "secret", "postgres://u:secret@h:port/d", "postgres://u:secret@h/d?sslmode=nope",
        "postgres://u:secret@h/d?nope=1", "postgres://u:sec\0ret@h/d",
    ])
    func brokenURLsAreRefusedWithoutShowingThem(url: String) async throws {
        let error = try #require(try await failure { _ = try Session(url: url) })
        #expect(error.kind == .permanent)
        #expect(!"\(error)".contains("secret"))
    }

    @Test func quoting() throws {
        #expect(try quoteIdentifier(#"a"b"#) == #""a""b""#)
        #expect(try quoteIdentifier(schema: "S", "t") == #""S"."t""#)
        #expect(try quoteLiteral("it's") == "'it''s'")
        #expect(try quoteLiteral(#"a\'b"#) == #" E'a\\''b'"#)
        #expect(try arrayText([#"a"b\"#, nil, "", "NULL"]) == #"{"a\"b\\",NULL,"","NULL"}"#)
        #expect(throws: QuotingError.self) { try quoteIdentifier("a\0b") }
        #expect(throws: QuotingError.self) { try quoteLiteral("\0") }
    }
}
