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

    private static let noDDL =
        "fact 19: Postgres sends no DDL, so that what it does to rows which aren't touched again isn't in any event"
    private static let newKey =
        "fact 19: the key changes its columns in mid-topic; what comes then waits in quarantine for a migration (semantics 9)"
    private static let noScale =
        "fact 7: without a schema part a precise decimal's scale isn't told, and here it changes in mid-topic"

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

    static let values: [CorpusFile] = [
        asItCame(
            "schema_evolution",
            each(["public.acc"], [Exception.rows, "name"], newKey)
                + each(["public.acc"], ["seq", "age", "town", "ts"], noDDL) + each(["public.acc"], ["score"], noScale)
                + each(["app.acc"], ["extra", "st"], noDDL)),
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

    /// The same rows of every type, through the connector's modes.
    static let everyType: [CorpusFile] = [
        asItCame("types_a", debezium: "decimal_handling_mode: precise"), asItCame("types_a_schema"),
        asItCame("types_avro", typesInAvro, isFramed: true),
        asItCame(
            "types_b",
            debezium:
                "decimal_handling_mode: double, time_precision_mode: adaptive_time_microseconds, binary_handling_mode: base64"
        ),
        asItCame("types_b_schema", debezium: "binary_handling_mode: base64"),
        asItCame(
            "types_c",
            debezium: "decimal_handling_mode: string, time_precision_mode: isostring, binary_handling_mode: hex"),
        asItCame(
            "types_d",
            debezium:
                "decimal_handling_mode: string, time_precision_mode: connect, binary_handling_mode: base64-url-safe"),
    ]
}
