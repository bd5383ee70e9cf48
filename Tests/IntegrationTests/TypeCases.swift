/// A type of Postgres with the values that a test brings of it.
struct TypeCase: Sendable {
    /// The column's name.
    let name: String
    let type: String
    /// SQL expressions; NULL is brought of each type besides.
    let values: [String]
    /// Values that DuckDB's column can't hold: there they are quarantined.
    let beyond: [String]
    /// The column's type in DuckDB.
    let duckdb: String
    let form: TypeForm
    /// Whether the source can have it in a key.
    let isKey: Bool
    /// As a Postgres warehouse declares it; nil: as the source does.
    let declared: String?

    init(
        _ name: String, _ type: String, _ values: [String], beyond: [String] = [], duckdb: String = "VARCHAR",
        form: TypeForm = .text, isKey: Bool = true, declared: String? = nil
    ) {
        self.name = name
        self.type = type
        self.values = values
        self.beyond = beyond
        self.duckdb = duckdb
        self.form = form
        self.isKey = isKey
        self.declared = declared
    }
}

enum TypeCases {
    /// What makes the types that aren't built in.
    static let types = """
        CREATE EXTENSION IF NOT EXISTS citext;
        CREATE EXTENSION IF NOT EXISTS hstore;
        CREATE TYPE mood AS ENUM ('ok', 'so so', 'it''s "bad"');
        CREATE TYPE "Odd Type" AS ENUM ('One', 'two');
        CREATE DOMAIN cents AS numeric(12,2) CHECK (VALUE > -1);
        CREATE DOMAIN code AS varchar(5);
        CREATE DOMAIN codes AS text[];
        CREATE TYPE place AS (street text, number integer, at point, tags text[]);
        CREATE DOMAIN home AS place;
        CREATE TYPE "Inner Row" AS ("a b" text, "q""'\\" integer, n numeric(20,3));
        CREATE TYPE outer_row AS (i "Inner Row", all_i "Inner Row"[], m mood, c cents, cs cents[], j jsonb, b bytea, \
        t timestamptz, d date, ti interval, h hstore, f double precision, flags boolean[], times timestamp[], u uuid, \
        num numeric, boxes box[], k json[], grid integer[][], p home);
        CREATE TYPE key_row AS (a text, b integer);
        CREATE TYPE row_without AS ();
        CREATE TYPE row_of_case AS (a integer, "A" integer);
        CREATE TABLE row_of_table (x integer PRIMARY KEY, gone integer, y row_of_case);
        ALTER TABLE row_of_table DROP COLUMN gone;
        CREATE TYPE spans AS RANGE (subtype = float8, subtype_diff = float8mi);
        """

    private static let date_min = "'4714-11-24 BC'"

    static let all: [TypeCase] =
        numbers + texts + times + documents + network + geometry + system + ranges + arrays + own + composites

    private static let numbers: [TypeCase] = [
        TypeCase("bool", "boolean", ["true", "false"], duckdb: "BOOLEAN", form: .bool),
        TypeCase("i2", "smallint", ["-32768", "32767", "0"], duckdb: "SMALLINT"),
        TypeCase("i4", "integer", ["-2147483648", "2147483647", "7"], duckdb: "INTEGER"),
        TypeCase("i8", "bigint", ["'-9223372036854775808'", "9223372036854775807", "7"], duckdb: "BIGINT"),
        TypeCase(
            "f4", "real",
            [
                "'-0'", "'NaN'", "'Infinity'", "'-Infinity'", "3.4028235e38", "1e-45", "0.1", "16777216",
                "1.17549435e-38",
            ],
            duckdb: "FLOAT", form: .float),
        TypeCase(
            "f8", "double precision",
            [
                "'-0'", "'NaN'", "'Infinity'", "'-Infinity'", "1.7976931348623157e308", "5e-324", "0.1",
                "9007199254740993", "2.2250738585072014e-308", "1e22", "123456789.125",
            ], duckdb: "DOUBLE", form: .float),
        TypeCase(
            "num", "numeric",
            [
                "'NaN'", "'Infinity'", "'-Infinity'", "'0.00'", "'-1.10'", "10::numeric ^ 1000",
                "'-0.' || repeat('0', 16382) || '1'", "repeat('9', 131072)", "'1e-30'",
            ]),
        TypeCase(
            "num12_2", "numeric(12,2)", ["9999999999.99", "-9999999999.99", "0.01", "-0.5", "0"], beyond: ["'NaN'"],
            duckdb: "DECIMAL(12,2)", form: .decimal),
        TypeCase(
            "num38", "numeric(38,10)",
            [
                "'9999999999999999999999999999.9999999999'", "'-9999999999999999999999999999.9999999999'",
                "'0.0000000001'", "1",
            ], beyond: ["'NaN'"], duckdb: "DECIMAL(38,10)", form: .decimal),
        TypeCase("num4_4", "numeric(4,4)", ["0.9999", "-0.0001"], duckdb: "DECIMAL(4,4)", form: .decimal),
        TypeCase("num39", "numeric(39,0)", ["repeat('9', 39)", "'NaN'", "-1"]),
        TypeCase(
            "num1000", "numeric(1000,500)",
            ["repeat('9', 500) || '.' || repeat('9', 500)", "'-1e-500'", "'NaN'", "1.5"]),
        TypeCase("num_up", "numeric(3,-2)", ["99900", "-100", "0", "'NaN'"]),
        TypeCase("num_down", "numeric(2,5)", ["0.00099", "-0.00001", "0"]),
        TypeCase("money", "money", ["'-92233720368547758.08'", "'92233720368547758.07'", "'1234.56'", "0"]),
    ]

    private static let texts: [TypeCase] = [
        TypeCase(
            "text", "text",
            [
                "''", "'plain'", "U&'\\+01F600 e\\0301 \\FFFF \\FEFF\\200D'", "' both ends '", "'NULL'", "E'\\\\N'",
                "E'\\\\.'",
                "(SELECT string_agg(chr(i), '' ORDER BY i) FROM generate_series(1, 160) AS i)", "E'\\r\\n\\t\\v\\\\'",
                "'#millrace#1'", "repeat('xyzäö', 150000)", "E'\"''{}[],;=>'",
            ]),
        TypeCase("varchar", "varchar", ["''", "'v '"], declared: "text"),
        TypeCase("varchar5", "varchar(5)", ["''", "'äöüß😀'", "'  x  '"]),
        TypeCase("bpchar5", "char(5)", ["''", "'ab'", "'äöüß😀'"]),
        TypeCase("bpchar", "bpchar", ["'any length '", "''"]),
        TypeCase("char1", "\"char\"", ["'a'", "''", "'\\200'", "','"]),
        TypeCase("name", "name", ["'n'", "repeat('n', 63)", "''"]),
        TypeCase(
            "bytes", "bytea", ["'\\x'", "'\\x00'", "'\\xdeadbeef00ff5c'", "decode(repeat('00ff5c0a', 250000), 'hex')"],
            duckdb: "BLOB", form: .bytes),
        TypeCase("bit1", "bit", ["B'0'", "B'1'"]),
        TypeCase("bit70", "bit(70)", ["repeat('10', 35)::bit(70)", "B'0'::bit(70)"]),
        TypeCase("varbit", "bit varying", ["B''", "B'1010'", "repeat('1', 1001)::varbit"]),
        TypeCase("varbit8", "bit varying(8)", ["B''", "B'10101010'"]),
        TypeCase(
            "tsvector", "tsvector",
            ["''", "'''a b'':1A,2B c:16383 ''it''''s'''", "to_tsvector('english', 'The fat cats')"]),
        TypeCase("tsquery", "tsquery", ["''", "'fat & (rat | !cat:AB*) <-> ''a b'''"]),
        TypeCase(
            "uuid", "uuid", ["'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"],
            duckdb: "UUID"),
    ]

    private static let times: [TypeCase] = [
        TypeCase(
            "date", "date",
            [
                date_min, "'5874897-12-31'", "'infinity'", "'-infinity'", "'2000-02-29'", "'0001-12-31 BC'",
                "'1582-10-10'", "'10000-01-01'",
            ],
            duckdb: "DATE", form: .date),
        TypeCase(
            "time", "time", ["'00:00'", "'24:00'", "'23:59:59.999999'", "'12:34:56.000001'"], duckdb: "TIME",
            form: .time),
        TypeCase(
            "time3", "time(3)", ["'12:34:56.789'"], duckdb: "TIME", form: .time, declared: "time without time zone"),
        TypeCase(
            "timetz", "timetz", ["'00:00+15:59:59'", "'24:00-15:59:59'", "'23:59:59.999999+05:30'", "'12:00+00'"]),
        TypeCase(
            "ts", "timestamp",
            [
                date_min, "'294247-01-10 04:00:54.775806'", "'infinity'", "'-infinity'", "'2024-02-29 23:59:59.999999'",
                "'0044-03-15 12:00:00.5 BC'", "'1969-12-31 23:59:59.999999'",
            ], beyond: ["'294276-12-31 23:59:59.999999'"], duckdb: "TIMESTAMP", form: .moment),
        TypeCase(
            "ts3", "timestamp(3)", ["'2024-02-29 23:59:59.999'", "'infinity'"], duckdb: "TIMESTAMP", form: .moment),
        TypeCase(
            "tstz", "timestamptz",
            [
                "'4714-11-24 00:00+00 BC'", "'294247-01-10 04:00:54.775806+00'", "'infinity'", "'-infinity'",
                "'2024-03-31 02:30:00.000001 Europe/Berlin'", "'1900-01-01 00:00:00+00:19:32'",
            ], beyond: ["'294276-12-31 23:59:59.999999+00'"], duckdb: "TIMESTAMP WITH TIME ZONE", form: .moment),
        TypeCase(
            "tstz0", "timestamptz(0)", ["'2024-02-29 23:59:59+00'"], duckdb: "TIMESTAMP WITH TIME ZONE", form: .moment,
            declared: "timestamp with time zone"),
        TypeCase(
            "interval", "interval",
            [
                "'178956970 years 7 mons 2147483647 days 2562047788:00:54.775807'",
                "'-178956970 years -8 mons -2147483648 days -2562047788:00:54.775807'", "'0'",
                "'1 mon -1 day 00:00:00.000001'",
                "'-1 year 2 mons -3 days 04:05:06.7'", "'-00:00:00.000001'", "'1 year'",
            ], duckdb: "INTERVAL", form: .interval),
        TypeCase(
            "interval_ym", "interval year to month", ["'3 years 2 mons'", "'-1 mon'"], duckdb: "INTERVAL",
            form: .interval, declared: "interval"),
        TypeCase(
            "interval_ds", "interval day to second(3)", ["'3 days 01:02:03.456'"], duckdb: "INTERVAL", form: .interval,
            declared: "interval"),
        TypeCase(
            "interval2", "interval(2)", ["'1.25 seconds'"], duckdb: "INTERVAL", form: .interval, declared: "interval"),
    ]

    private static let documents: [TypeCase] = [
        TypeCase(
            "json", "json",
            [
                "'{\"b\": 1.10,  \"a\":[ ], \"b\":null}'", "'null'", "'\"😀 \\u0000 \\ud83d\\ude00\"'",
                "'123456789012345678901234567890.10'",
                "E' [\\n1e400, -0, -0.0, 1E5 ] '", "'\"\"'", "'{}'", "('[' || repeat('9', 5000) || ']')::json",
            ], beyond: ["'\"\\ud800\"'"], duckdb: "JSON", form: .json, isKey: false),
        TypeCase(
            "jsonb", "jsonb",
            [
                "'{\"b\": 1.10,  \"a\":[ ], \"\": {\"x y\": \"q\\\"\\\\\"}}'", "'null'", "'\"ünï😀 \\u0001\\u001f\"'",
                "'123456789012345678901234567890.10'", "'[1e400, 1e-400, -0.0]'", "'true'",
            ], duckdb: "JSON", form: .json),
        TypeCase("jsonpath", "jsonpath", ["'$.a[*] ? (@.b > 1 && @ like_regex \"^x\")'", "'strict $'"], isKey: false),
        TypeCase(
            "xml", "xml",
            [
                "''", "'<a b=\"1\">x &amp; y<!-- c --></a>'", "'two <b/> pieces <c/>'",
                "'<?xml version=\"1.0\"?><!DOCTYPE a><a>ü</a>'",
            ], isKey: false),
    ]

    private static let network: [TypeCase] = [
        TypeCase(
            "inet", "inet", ["'0.0.0.0/0'", "'192.168.0.1/24'", "'10.0.0.1'", "'::ffff:1.2.3.4/96'", "'fe80::1'"]),
        TypeCase("cidr", "cidr", ["'10.0.0.0/8'", "'2001:db8::/32'", "'::/0'", "'1.2.3.4/32'"]),
        TypeCase("mac", "macaddr", ["'08:00:2b:01:02:03'", "'ff:ff:ff:ff:ff:ff'"]),
        TypeCase("mac8", "macaddr8", ["'08:00:2b:01:02:03:04:05'", "'00:00:00:00:00:00:00:00'"]),
    ]

    private static let geometry: [TypeCase] = [
        TypeCase("point", "point", ["'(1,-2.5)'", "'(NaN,Infinity)'", "'(1e-300,-0)'"], isKey: false),
        TypeCase("line", "line", ["'{1,-1,0.1}'", "'{0,1,5}'"], isKey: false),
        TypeCase("lseg", "lseg", ["'[(0,0),(1,1)]'"], isKey: false),
        TypeCase("box", "box", ["'(0,0),(1,1)'", "'(-Infinity,1),(2,0)'"], isKey: false),
        TypeCase("path", "path", ["'[(0,0),(1,1),(2,0)]'", "'((0,0),(1,1))'"], isKey: false),
        TypeCase("polygon", "polygon", ["'((0,0),(1,1),(2,0))'"], isKey: false),
        TypeCase("circle", "circle", ["'<(0,0),1e10>'"], isKey: false),
    ]

    private static let system: [TypeCase] = [
        TypeCase("oid", "oid", ["0", "4294967295"]),
        TypeCase("xid", "xid", ["'0'", "'4294967295'"], isKey: false),
        TypeCase("xid8", "xid8", ["'0'", "'18446744073709551615'"]),
        TypeCase("cid", "cid", ["'0'", "'4294967295'"], isKey: false),
        TypeCase("tid", "tid", ["'(0,1)'", "'(4294967295,65535)'"]),
        TypeCase("lsn", "pg_lsn", ["'0/0'", "'FFFFFFFF/FFFFFFFF'"]),
        TypeCase("snapshot", "pg_snapshot", ["'10:20:10,14,15'"], isKey: false),
        TypeCase("txid_snapshot", "txid_snapshot", ["'10:20:10,14,15'"], isKey: false),
        TypeCase("int2vector", "int2vector", ["'1 -2 3'", "''"], isKey: false),
        TypeCase("oidvector", "oidvector", ["'1 4294967295'", "''"]),
        TypeCase("refcursor", "refcursor", ["'c'", "''"], isKey: false),
        TypeCase(
            "acl", "aclitem", ["'visitor_of_types=r*w/postgres'", "'=r/postgres'"], isKey: false, declared: "text"),
        TypeCase(
            "regclass", "regclass", ["'pg_catalog.pg_class'", "'public.\"Odd Relation\"'", "0"], declared: "text"),
        TypeCase("regproc", "regproc", ["'pg_catalog.now'"], declared: "text"),
        TypeCase("regprocedure", "regprocedure", ["'pg_catalog.abs(bigint)'"], declared: "text"),
        TypeCase("regoper", "regoper", ["'pg_catalog.|/'::regoper", "0"], declared: "text"),
        TypeCase("regoperator", "regoperator", ["'pg_catalog.+(integer,bigint)'"], declared: "text"),
        TypeCase("regtype", "regtype", ["'pg_catalog.int4'", "'public.mood'"], declared: "text"),
        TypeCase("regrole", "regrole", ["'visitor_of_types'"], declared: "text"),
        TypeCase("regnamespace", "regnamespace", ["'public'"], declared: "text"),
        TypeCase("regconfig", "regconfig", ["'pg_catalog.english'"], declared: "text"),
        TypeCase("regdictionary", "regdictionary", ["'pg_catalog.simple'"], declared: "text"),
        TypeCase("regcollation", "regcollation", ["'pg_catalog.\"C\"'"], declared: "text"),
    ]

    private static let ranges: [TypeCase] = [
        TypeCase("int4range", "int4range", ["'empty'", "'[,]'", "'[-2147483648,2147483647)'", "'(1,5]'"]),
        TypeCase("int8range", "int8range", ["'[-9223372036854775808,9223372036854775807)'", "'(,0]'"]),
        TypeCase("numrange", "numrange", ["'[1.10,1.1000]'", "'(-Infinity,Infinity)'", "'[NaN,]'", "'empty'"]),
        TypeCase("daterange", "daterange", ["'[2024-02-29,infinity]'", "'[0044-03-15 BC,2024-01-01)'", "'[,)'"]),
        TypeCase("tsrange", "tsrange", ["'[\"2024-02-29 12:00:00.000001\",infinity)'", "'empty'"]),
        TypeCase("tstzrange", "tstzrange", ["'[\"2024-02-29 12:00:00+05:30\",\"294276-12-31 23:59:59.999999+00\"]'"]),
        TypeCase("int4multirange", "int4multirange", ["'{}'", "'{[1,3),[5,7)}'", "'{(,)}'"]),
        TypeCase("int8multirange", "int8multirange", ["'{[1,3),[5,)}'"]),
        TypeCase("nummultirange", "nummultirange", ["'{[1.10,2.0],(3,4.50)}'", "'{}'"]),
        TypeCase("datemultirange", "datemultirange", ["'{[2024-02-29,2024-03-02),[2025-01-01,infinity)}'"]),
        TypeCase("tsmultirange", "tsmultirange", ["'{[\"2024-02-29 12:00\",\"2024-02-29 13:00\")}'"]),
        TypeCase("tstzmultirange", "tstzmultirange", ["'{[\"2024-02-29 12:00+00\",infinity)}'"]),
    ]

    private static let arrays: [TypeCase] = [
        TypeCase("a_bool", "boolean[]", ["'{t,f,NULL}'", "'{}'"], duckdb: "BOOLEAN[]", form: .list(.bool)),
        TypeCase(
            "a_int", "integer[]", ["'{}'", "'{1,NULL,-2147483648}'"], beyond: ["'{{1,2},{3,NULL}}'"],
            duckdb: "INTEGER[]",
            form: .list(.text)),
        // The bounds are Postgres' alone.
        TypeCase(
            "a_bounds", "integer[]", ["'[0:2]={1,2,3}'", "'[-5:-5]={NULL}'"], duckdb: "INTEGER[]", form: .list(.text)),
        TypeCase(
            "a_matrix", "integer[][]", ["'{{1,2},{3,NULL}}'", "'{}'", "'[0:0][2:3]={{1,2}}'"],
            beyond: ["'{1,2}'", "'{{{1}}}'"],
            duckdb: "INTEGER[][]", form: .nested),
        TypeCase(
            "a_cube", "text[][][]", ["'{{{a,\"b,}\"},{\"c\\\"\\\\\",NULL}},{{NULL,\"\"},{null,\"null\"}}}'", "'{}'"],
            duckdb: "VARCHAR[][][]", form: .nested),
        TypeCase(
            "a_numbers", "numeric(20,3)[][]", ["'{{12345678901234567.125,-0.001}}'"], duckdb: "DECIMAL(20,3)[][]",
            form: .nested),
        TypeCase(
            "a_text", "text[]",
            [
                "'{}'", "'{\"\",NULL,\"NULL\",null,\"a b\"}'",
                "ARRAY[E'q\"\\\\', 'c,d', '{e}', E'\\n\\t', '😀', 'x;y', '[1]', '''']",
                "ARRAY[repeat('long', 20000)]",
            ], duckdb: "VARCHAR[]", form: .list(.text)),
        TypeCase("a_varchar", "varchar(3)[]", ["'{abc,NULL}'"], duckdb: "VARCHAR[]", form: .list(.text)),
        TypeCase("a_char", "char(3)[]", ["'{a,\"b  \",NULL}'"], duckdb: "VARCHAR[]", form: .list(.text)),
        TypeCase(
            "a_num", "numeric[]", ["'{NaN,1.10,Infinity,123456789012345678901234567890.1234567890}'"],
            duckdb: "VARCHAR[]",
            form: .list(.text)),
        TypeCase(
            "a_float", "double precision[]", ["'{NaN,-Infinity,0.1,-0,5e-324}'"], duckdb: "DOUBLE[]",
            form: .list(.float)),
        TypeCase("a_bytes", "bytea[]", ["ARRAY['\\x00ff5c22', '\\x']::bytea[]"], duckdb: "BLOB[]", form: .list(.bytes)),
        TypeCase(
            "a_date", "date[]", ["'{infinity,0044-03-15 BC,2024-02-29,NULL}'"], duckdb: "DATE[]", form: .list(.date)),
        TypeCase("a_time", "time[]", ["'{24:00,12:00:00.5}'"], duckdb: "TIME[]", form: .list(.time)),
        TypeCase("a_timetz", "timetz[]", ["'{24:00+05:30}'"], duckdb: "VARCHAR[]", form: .list(.text)),
        TypeCase(
            "a_ts", "timestamp[]", ["'{-infinity,0044-03-15 10:00:00 BC,2024-02-29 12:00:00.000001}'"],
            duckdb: "TIMESTAMP[]", form: .list(.moment)),
        TypeCase(
            "a_tstz", "timestamptz[]", ["'{infinity,2024-02-29 12:00:00.000001+05:30}'"],
            duckdb: "TIMESTAMP WITH TIME ZONE[]", form: .list(.moment)),
        TypeCase(
            "a_interval", "interval[]", ["'{1 day,-1 year +2 days -00:00:01,NULL}'"], duckdb: "INTERVAL[]",
            form: .list(.interval)),
        TypeCase(
            "a_uuid", "uuid[]", ["'{00112233-4455-6677-8899-aabbccddeeff,NULL}'"], duckdb: "UUID[]", form: .list(.text)),
        TypeCase(
            "a_json", "json[]", ["ARRAY['{\"a\": [1.10, \"x,y\"]}', NULL, '\"q\\\"\"', '[]']::json[]"],
            duckdb: "JSON[]",
            form: .list(.json), isKey: false),
        TypeCase(
            "a_jsonb", "jsonb[]", ["ARRAY['{\"a\": [1.10, null]}', NULL, '12345678901234567890.0']::jsonb[]"],
            duckdb: "JSON[]", form: .list(.json)),
        TypeCase("a_inet", "inet[]", ["'{10.0.0.1/8,::1}'"], duckdb: "VARCHAR[]", form: .list(.text)),
        TypeCase(
            "a_point", "point[]", ["ARRAY['(1,2)', NULL]::point[]"], duckdb: "VARCHAR[]", form: .list(.text),
            isKey: false),
        TypeCase(
            "a_box", "box[]", ["ARRAY['(0,0),(1,1)', NULL, '(2,2),(3,3)']::box[]"], duckdb: "VARCHAR[]",
            form: .list(.text),
            isKey: false),
        TypeCase(
            "a_range", "numrange[]", ["ARRAY['[1.0,2.50)', 'empty', NULL]::numrange[]"], duckdb: "VARCHAR[]",
            form: .list(.text)),
        TypeCase("a_bit", "bit(3)[]", ["'{101,000}'"], duckdb: "VARCHAR[]", form: .list(.text)),
        TypeCase("a_money", "money[]", ["'{1234.56,-0.01}'"], duckdb: "VARCHAR[]", form: .list(.text)),
    ]

    private static let own: [TypeCase] = [
        TypeCase("enum", "mood", ["'ok'", "'so so'", "'it''s \"bad\"'"], declared: "text"),
        TypeCase(
            "a_enum", "mood[]", ["'{ok,\"so so\",NULL}'"], duckdb: "VARCHAR[]", form: .list(.text), declared: "text[]"),
        TypeCase("odd", "\"Odd Type\"", ["'One'", "'two'"], declared: "text"),
        TypeCase(
            "a_odd", "\"Odd Type\"[]", ["'{One,two}'"], duckdb: "VARCHAR[]", form: .list(.text), declared: "text[]"),
        TypeCase(
            "domain", "cents", ["9999999999.99", "-0.5"], beyond: ["'NaN'"], duckdb: "DECIMAL(12,2)", form: .decimal,
            declared: "numeric(12,2)"),
        TypeCase("domain_text", "code", ["'abcde'", "''"], declared: "character varying(5)"),
        TypeCase(
            "domain_array", "codes", ["'{a,\"b c\",NULL}'"], duckdb: "VARCHAR[]", form: .list(.text), declared: "text[]"
        ),
        TypeCase(
            "a_domain", "cents[]", ["'{1.50,NULL,-0.01}'"], duckdb: "DECIMAL(12,2)[]", form: .list(.decimal),
            declared: "numeric(12,2)[]"),
        TypeCase("own_range", "spans", ["'[1.5,2.5)'", "'empty'"], declared: "text"),
        TypeCase(
            "hstore", "hstore", ["''", "'a=>1, \"b, c\"=>NULL, \"q\\\"\\\\\"=>\"=>\", e=>\"\"'"],
            duckdb: "MAP(VARCHAR, VARCHAR)",
            form: .map, declared: "text"),
        TypeCase(
            "a_hstore", "hstore[]", ["ARRAY['a=>1,b=>\"x\\\"y\"', NULL, '']::hstore[]"],
            duckdb: "MAP(VARCHAR, VARCHAR)[]", form: .list(.map), declared: "text[]"),
        TypeCase("citext", "citext", ["'Bob'", "'ÄÖ'"], isKey: false, declared: "text"),
    ]
}
