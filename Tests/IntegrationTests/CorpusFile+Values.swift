/// Files of other forms than the envelope, and those that are about their values.
extension CorpusFile {
    private static let noBefore =
        "facts 12 and 13: flattened events have no before-images and no truncates, so that changes of a table without a key can't be told"
    static let droppedDeletes = "fact 13: the mode drop sends no deletes, nor the delete half of a key change"

    static func flattened(
        _ mode: String, _ exceptions: [Exception] = [], format: String = "auto", isOfArrival: Bool = false
    ) -> CorpusFile {
        CorpusFile(
            name: "unwrap_\(mode)", exceptions: exceptions + [Exception(table: "public.nopk", reason: noBefore)],
            keyless: ["public.nopk"], format: format, isOfArrival: isOfArrival)
    }

    /// What a file is about are its values, so that it is replayed as it came.
    private static func asItCame(
        _ name: String, _ exceptions: [Exception] = [], partitions: Int = 1, debezium: String? = nil,
        isFramed: Bool = false
    ) -> CorpusFile {
        CorpusFile(
            name: name, partitions: partitions, exceptions: exceptions, debezium: debezium, isFramed: isFramed,
            isReplayed: false)
    }

    private static let replacedNulls =
        "fact 1: with replace.null.with.default=true NULL is sent as the column's default, and nothing can tell"
    private static let lostDays = "fact 10: as a number an interval is microseconds, without its days and months"
    private static let currency =
        "fact 11: money comes as its amount; the text that Postgres shows has the server's currency sign besides"
    private static let unsigned = "fact 22: the largest unsigned bigint is -1 by default"
    private static let escapedEnum = "fact 22: a comma in an enum's value is escaped in the stream"
    private static let stillRunning = "the connector's heartbeat query went on after the last recorded event"
    private static let underRoot = "fact 18: with publish.via.partition.root events are under the root alone"

    private static func each(_ tables: [String], _ columns: [String], _ reason: String, _ engine: Engine? = nil)
        -> [Exception]
    {
        tables.flatMap { table in
            columns.map { Exception(table: table, column: $0, reason: reason, engine: engine) }
        }
    }

    private static let defaults = ["public.d", "public.d_full"]
    private static let nullsKept = each(defaults, ["iv"], lostDays) + each(defaults, ["money"], currency, .duckdb)
    private static let ofMySQL = each(["types"], ["t_biu"], unsigned) + each(["types"], ["t_enum"], escapedEnum)

    /// With types by the schema alone, as its converter wrote it.
    private static let typesInAvro: [Exception] = {
        func of(_ reason: String, _ columns: String..., engine: Engine? = nil) -> [Exception] {
            each(["public.types"], columns, reason, engine)
        }
        return
            of(
                "fact 9: a snapshot's infinite dates are out of range, and so is a timestamp of the year 294276: they wait in quarantine; to Postgres so is an interval of 2^63 microseconds",
                Exception.rows)
            + of("fact 9: dates before 1582 and BC are wrong in snapshots", "c_date")
            // Rows that Postgres doesn't have.
            + of("fact 9: generated columns appear only in the snapshot", "c_gen", engine: .duckdb)
            + of("a JSON null in a column looks like NULL in row_to_json", "c_json", "c_jsonb", engine: .duckdb)
            + of(
                "fact 11: a type that Debezium doesn't know is absent unless include.unknown.datatypes",
                "c_int4multirange", "a_interval", "a_money", "c_addr", "c_line", "c_lseg", "c_box", "c_path",
                "c_polygon", "c_circle", "c_tsquery", "c_regclass", "c_pg_lsn")
            + of("fact 7: NaN and infinity are null in precise mode", "c_num")
            + of(currency, "c_money") + of(lostDays, "c_interval", "c_interval_ym", "c_interval3")
            + of("fact 4: an unchanged value of this type is a plain null, same as a real null", "a_num", "c_name")
            + of("fact 8: Debezium brings a time with a zone to UTC", "c_timetz", "c_timetz3")
            + of(
                "fact 11: without column.propagate.source.type bit varying(n) looks like bit(n), and leading zeros are lost",
                "c_varbit", "c_varbit_u")
            + of("an array's second dimension isn't in the event", "a_int2d")
    }()

    // `schema_evolution` stands in SchemaEventsTests, as its plans want to be decided on.
    static let values: [CorpusFile] = [
        asItCame(
            "heartbeat_action_noTombstone",
            [
                Exception(table: "public.hb", column: "ts", reason: stillRunning),
                Exception(table: "public.part_2025", column: Exception.rows, reason: underRoot),
            ]),
        asItCame(
            "defaults",
            each(
                defaults,
                ["b", "c", "dt", "f", "fn", "i", "j", "n", "now_ts", "t", "tm", "ts", "tz", "u"], replacedNulls)
                + nullsKept),
        asItCame("defaults_nullskept", nullsKept), asItCame("defaults_nullskept_schema", nullsKept),
        asItCame("mysql_basic"), asItCame("mysql_types", ofMySQL), asItCame("mysql_types_schema", ofMySQL),
    ]

    /// Not recorded, but written after the documentation of connectors that none of ours has met.
    static let documented: [CorpusFile] = [
        asItCame("documented_sqlserver"), asItCame("documented_oracle"), asItCame("documented_mongodb"),
    ]

    // MARK: - Every type

    private static func types(_ columns: [String], _ reason: String, _ engine: Engine? = nil) -> [Exception] {
        each(["public.types"], columns, reason, engine)
    }

    /// Whatever the modes.
    private static let everyMode =
        types(
            [Exception.rows],
            "fact 9: snapshots' infinite dates are none of any calendar; the last timestamps don't fit 64 bits since 1970"
        )
        + types(["c_date"], "fact 9: dates before 1582 are wrong in snapshots")
        + types(["a_int2d"], "Debezium's JSON keeps no array's second dimension")
        + types(["a_interval", "a_money"], unknownColumn)
        + types(["a_num"], "fact 4: an unchanged numeric[] is a plain null")
        + types(["c_timetz", "c_timetz3"], "fact 8: a timetz comes at offset 0, and 24:00 as 00:00")
        + types(["c_varbit_u"], "Debezium keeps no varbit's leading zeros")
    private static let unknownColumn = "fact 11: a type that Debezium doesn't know is absent"
    private static let jsonNull = "the expected file itself doesn't tell JSON's null from NULL"
    private static let generated = "fact 9: generated columns are in the snapshot alone"
    private static let mask = "the comparison's own cast shows an inet's mask"

    /// Without include.unknown.datatypes.
    private static let knownTypesOnly = types(
        [
            "c_addr", "c_box", "c_circle", "c_int4multirange", "c_line", "c_lseg", "c_name", "c_path", "c_pg_lsn",
            "c_polygon", "c_regclass", "c_tsquery",
        ], unknownColumn)
    /// Interval as a number, whose longest Postgres refuses, and with it rows 3, 103 and 1003.
    private static let numericIntervals =
        types(["c_interval", "c_interval3", "c_interval_ym"], lostDays) + types(["c_gen"], generated, .duckdb)
        + types(["c_json", "c_jsonb"], jsonNull, .duckdb) + types(["c_money"], currency, .duckdb)
    private static let textIntervals =
        types(["c_gen"], generated) + types(["c_json", "c_jsonb"], jsonNull) + types(["c_inet"], mask, .postgres)
        + types(["c_addr"], "a composite comes as its text, in bytes")
    private static let precise = types(["c_num"], notANumber)
    private static let doubles = types(
        ["c_num", "c_num_38_10", "c_money"], "fact 7: the mode double keeps a double's digits")

    /// The same rows of every type, through the connector's modes.
    static let everyType: [CorpusFile] = [
        asItCame("types_avro", typesInAvro, isFramed: true),
        asItCame(
            "types_a", everyMode + knownTypesOnly + numericIntervals + precise,
            debezium: "decimal_handling_mode: precise"),
        asItCame("types_a_schema", everyMode + knownTypesOnly + numericIntervals + precise),
        asItCame(
            "types_b", everyMode + textIntervals + doubles,
            debezium:
                "decimal_handling_mode: double, time_precision_mode: adaptive_time_microseconds, binary_handling_mode: base64"
        ),
        asItCame("types_b_schema", everyMode + textIntervals + doubles, debezium: "binary_handling_mode: base64"),
        asItCame(
            "types_c",
            everyMode + textIntervals + types(["c_time"], "fact 8: in isostring 24:00 is 00:00")
                + types(["c_money"], currency, .duckdb),
            debezium: "decimal_handling_mode: string, time_precision_mode: isostring, binary_handling_mode: hex"),
        asItCame(
            "types_d",
            everyMode + knownTypesOnly + numericIntervals
                + types(["c_time", "c_ts", "c_ts6"], "fact 8: the mode connect keeps milliseconds"),
            debezium:
                "decimal_handling_mode: string, time_precision_mode: connect, binary_handling_mode: base64-url-safe"),
    ]
}
