import Agent
import ArgumentParser
import Foundation
import PipelineFile

struct Run: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Replicate until stopped.",
        discussion: .help(
            """
            SIGTERM and SIGINT drain the batch in hand, for at most `agent.drain` (30s): exit 0 if it was written, \
            else 1. A second one ends the process at once. Neither loses anything.

            With --standby a second agent of the same slot or DuckDB file waits, with `state: standby`, and takes over \
            within seconds after the first is gone.
            """,
            examples: [
                "millrace run": "replicate until stopped",
                "millrace run --until-end --json": "replicate what the source holds now, then stop",
                "millrace run --standby": "wait for the agent at work, and take over when it is gone",
            ]))

    @OptionGroup var global: GlobalOptions
    @Flag(help: "Stop when all that the source held at the start is durable, with a summary at the end.")
    var untilEnd = false
    @Flag(help: "Exit 1 if a record was put into quarantine.")
    var strict = false
    @Flag(help: "Wait for the agent that is at work, and take over when it is gone.")
    var standby = false

    func validate() throws {
        if standby, untilEnd { throw ValidationError("--standby waits without end, and --until-end ends: choose one") }
    }

    func run() async throws {
        try Ended.with(
            try await RunCommand(untilEnd: untilEnd, isStrict: strict, isStandby: standby).run(
                global.context(quiet: false)))
    }
}

struct Backfill: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "One-shot copy of tables, verified, then exit. Exit 4 if a table differs.",
        discussion: .help(
            """
            A killed backfill is gone on with by the same command. A table that holds rows already is copied anew: \
            rows that the source no longer has are marked as deleted.
            """,
            examples: [
                "millrace backfill": "copy all tables, verified, then stop",
                "millrace backfill --table public.orders --workers 4": "one table, by four connections",
                "millrace backfill --follow": "the same for `millrace run` to go on from",
            ]))

    @OptionGroup var global: GlobalOptions
    @Option(help: ArgumentHelp("A table; may be repeated. Default: all.", valueName: "schema.table"))
    var table: [String] = []
    @Option(help: "Connections that read the copy. Default: source.postgres.copy_workers.")
    var workers: Int?
    @Flag(help: "Begin anew, whatever an earlier backfill has copied.")
    var restart = false
    @Flag(help: "Use the pipeline's own slot, so that `millrace run` goes on from the end.")
    var follow = false

    func validate() throws {
        if let workers, !(1...32).contains(workers) { throw ValidationError("--workers takes 1 to 32") }
    }

    func run() async throws {
        try Ended.with(
            try await BackfillCommand(tables: table, workers: workers, isRestart: restart, isFollowed: follow)
                .run(global.context(quiet: false)))
    }
}

struct Check: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Preflight: connect everywhere, list findings, write nothing. Exit 3 on errors.",
        discussion: .help(examples: [
            "millrace check -c shop.yaml": "what would be replicated, and what is in the way",
            "millrace check --schema > millrace.schema.json": "the JSON Schema of pipeline files, for an editor",
        ]))

    @OptionGroup var global: GlobalOptions
    @Flag(help: "Print the JSON Schema of pipeline files, and look at nothing.")
    var schema = false

    func run() async throws {
        if schema { return Console.standard.result(PipelineSchema.text) }
        try Ended.with(try await CheckCommand().run(global.context()))
    }
}

struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "State, position, lag and ledger of each table, over its lifetime.",
        discussion: .help(examples: [
            "millrace status": "how the pipeline is going",
            "millrace status --json": "the same for a program",
        ]))

    @OptionGroup var global: GlobalOptions

    func run() async throws { try await StatusCommand().run(global.context()) }
}

struct Query: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Read the warehouse with SQL, through the running agent where one runs.",
        discussion: .help(examples: [
            "millrace query 'select * from shop_live.orders limit 10'": "rows as they are now",
            "millrace query 'select status from shop_live.orders' --format csv": "the same for a spreadsheet",
            "millrace query 'select * from orders' --as-of 16/B374D848":
                "rows as they were at a position of the source's log",
            "millrace query 'select * from orders' --as-of 2026-05-01T10:00:00Z": "rows as they were at a time",
        ]))

    @OptionGroup var global: GlobalOptions
    @Argument(help: "One statement that only reads.")
    var sql: String
    @Option(help: "Default: table on a terminal, jsonl else.")
    var format: QueryFormat?
    @Option(help: "More rows than this are an error.")
    var rowsMax = 100_000
    @Option(
        help: ArgumentHelp(
            """
            Tables, named without their schema, are as they were at this position of the source's log (Postgres) or \
            time (ISO 8601, the source's).
            """, valueName: "lsn|time"))
    var asOf: String?

    func run() async throws {
        try await QueryCommand(sql: sql, asOf: asOf, format: format, rows_max: rowsMax).run(global.context())
    }
}

struct Drop: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Take the pipeline away: checkpoints, ledger and quarantine; its tables only on request.",
        discussion: .help(examples: [
            "millrace drop": "take the pipeline away, and leave its tables",
            "millrace drop --tables --yes": "its tables too, without being asked",
        ]))

    @OptionGroup var global: GlobalOptions
    @Flag(help: "Drop the pipeline's tables and views too.")
    var tables = false
    @Flag(help: "Don't ask.")
    var yes = false

    func run() async throws {
        let context = global.context()
        let isTerminal = isatty(STDIN_FILENO) == 1 && context.console.isErrorTerminal
        var ask: (@Sendable (String) -> Bool)?
        if isTerminal {
            ask = { question in
                context.console.note("\(question) [y/N]")
                return ["y", "yes"].contains(readLine()?.lowercased() ?? "")
            }
        }
        try await DropCommand(tables: tables, isConfirmed: yes, ask: ask).run(context)
    }
}

struct Broker: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "A local Kafka broker for trying out and tests, in the foreground.",
        discussion: .help(
            """
            It keeps 5 MiB of each partition and nothing on disk.
            """,
            examples: [
                "millrace broker --port 9092 --topic shop.public.orders:4": "a broker with a topic of four partitions"
            ]))

    @OptionGroup var global: GlobalOptions
    @Option(help: "Default: a free one.")
    var port: UInt16?
    @Option(help: ArgumentHelp("A topic to make; may be repeated.", valueName: "name:partitions"))
    var topic: [String] = []

    func run() async throws { try await BrokerCommand(port: port, topics: topic).run(global.context()) }
}

struct Demo: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "The whole thing on this machine, ending with the proof that warehouse equals source.",
        discussion: .help(
            """
            A Postgres server of its own is written to while it is copied and streamed; with --kafka recorded Debezium \
            events are played into a local broker.
            """,
            examples: [
                "millrace demo": "replicate a Postgres of its own, and compare",
                "millrace demo --kafka --dir /tmp/demo": "recorded events through a local broker, and keep the files",
            ]))

    @OptionGroup var global: GlobalOptions
    @Flag(help: "Recorded Debezium events through a local Kafka broker.")
    var kafka = false
    @Option(
        help: "Where the warehouse and its pipeline file are put. Default: a new temporary folder.",
        completion: .directory)
    var dir: String?
    @Option(
        help: ArgumentHelp("Recorded events, with --kafka. Default: the project's own.", valueName: "file.jsonl"),
        completion: .file(extensions: ["jsonl"]))
    var events: String?
    @Option(
        help: ArgumentHelp("The rows that must come of them. Default: beside the events.", valueName: "file.json"),
        completion: .file(extensions: ["json"]))
    var expected: String?

    func run() async throws {
        let isKafka = kafka || events != nil || expected != nil
        try Ended.with(
            try await DemoCommand(isKafka ? .kafka(events: events, expected: expected) : .postgres, dir: dir)
                .run(global.context()))
    }
}
