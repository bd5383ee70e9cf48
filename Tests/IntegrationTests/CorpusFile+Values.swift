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
        _ name: String, _ exceptions: [Exception] = [], partitions: Int = 1, debezium: String? = nil
    ) -> CorpusFile {
        CorpusFile(
            name: name, partitions: partitions, exceptions: exceptions, debezium: debezium, isReplayed: false)
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
