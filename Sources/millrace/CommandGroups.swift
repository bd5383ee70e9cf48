import Agent
import ArgumentParser
import Foundation

struct Checkpoint: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Where the pipeline stands at its source; rewind on purpose.",
        discussion: .help(examples: [
            "millrace checkpoint show": "where the pipeline stands",
            "millrace checkpoint set --to-offset earliest": "read a topic or file from its beginning again",
        ]),
        subcommands: [Show.self, Set.self], defaultSubcommand: Show.self)

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List positions.",
            discussion: .help(examples: [
                "millrace checkpoint show --json": "where the pipeline stands, for a program"
            ]))
        @OptionGroup var global: GlobalOptions

        func run() async throws { try await CheckpointCommand(.show).run(global.context()) }
    }

    struct Set: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Go on from another position; what was read before is recognised.",
            discussion: .help(examples: [
                "millrace checkpoint set --to-offset earliest --partition shop.orders:0":
                    "read one partition from its beginning again",
                "millrace checkpoint set --to-lsn 16/B374D848": "go on from a position of a Postgres source's log",
            ]))
        @OptionGroup var global: GlobalOptions
        @Option(
            help: ArgumentHelp("Of Kafka; of a file: its line.", valueName: "earliest|latest|N"),
            completion: .list(["earliest", "latest"]))
        var toOffset: String?
        @Option(help: ArgumentHelp("Of a Postgres source's log.", valueName: "latest|lsn")) var toLsn: String?
        @Option(help: "(not yet)") var toTime: String?
        @Option(help: ArgumentHelp("May be repeated. Default: all.", valueName: "topic:N"))
        var partition: [String] = []

        func run() async throws {
            let command = try CheckpointCommand(setToOffset: toOffset, lsn: toLsn, time: toTime, partitions: partition)
            try await command.run(global.context())
        }
    }
}

struct Alerts: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Who is told when something needs a person.",
        discussion: .help(examples: [
            "millrace alerts test": "see whether an alert arrives"
        ]),
        subcommands: [Test.self])

    struct Test: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Send a test to each target; exit 3 if one can't be reached.",
            discussion: .help(examples: [
                "millrace alerts test -c shop.yaml": "see whether an alert arrives"
            ]))
        @OptionGroup var global: GlobalOptions

        func run() async throws { try Ended.with(try await AlertsCommand().run(global.context())) }
    }
}

struct Quarantine: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "What couldn't be decoded or applied.",
        discussion: .help(examples: [
            "millrace quarantine list": "what couldn't be applied",
            "millrace quarantine replay --all": "try all of it again",
        ]),
        subcommands: [List.self, Show.self, Replay.self, Discard.self], defaultSubcommand: List.self)

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List records that wait.",
            discussion: .help(examples: [
                "millrace quarantine list": "records that wait",
                "millrace quarantine list --all": "those that were replayed or discarded, too",
            ]))
        @OptionGroup var global: GlobalOptions
        @Flag(help: "Also those that were replayed or discarded.") var all = false

        func run() async throws { try Ended.with(try await QuarantineCommand(.list, all: all).run(global.context())) }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show a record with its bytes.",
            discussion: .help(examples: [
                "millrace quarantine show 17": "one record, with its bytes and the reason"
            ]))
        @OptionGroup var global: GlobalOptions
        @Argument(help: "As `list` shows it.") var id: Int64

        func run() async throws { try Ended.with(try await QuarantineCommand(.show(id)).run(global.context())) }
    }

    struct Replay: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Apply records again; exit 1 if one fails again.",
            discussion: .help(examples: [
                "millrace quarantine replay 17 18": "try two records again",
                "millrace quarantine replay --all": "try all that wait again",
            ]))
        @OptionGroup var global: GlobalOptions
        @OptionGroup var choice: RecordChoice

        func run() async throws {
            try Ended.with(try await QuarantineCommand(.replay(choice.choice)).run(global.context()))
        }
    }

    struct Discard: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give records up; they stay on record.",
            discussion: .help(examples: [
                "millrace quarantine discard 17 18": "give two records up"
            ]))
        @OptionGroup var global: GlobalOptions
        @OptionGroup var choice: RecordChoice

        func run() async throws {
            try Ended.with(try await QuarantineCommand(.discard(choice.choice)).run(global.context()))
        }
    }
}

/// `ID…` or `--all`.
struct RecordChoice: ParsableArguments {
    @Argument(help: "Numbers, as `list` shows them.") var ids: [Int64] = []
    @Flag(help: "All that wait.") var all = false

    func validate() throws {
        if all == !ids.isEmpty { throw ValidationError("name records by their numbers, or all of them with --all") }
    }

    var choice: QuarantineChoice { all ? .all : .ids(ids) }
}

struct Sweep: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Prove that the warehouse equals its source, as of a position.",
        discussion: .help(
            """
            The running agent takes a snapshot at the source, waits until the warehouse has applied all that it shows, \
            and compares both by digests, while everybody writes on; rows that change meanwhile are looked at again. \
            Where the source is Kafka or a file, raw is applied once more beside the warehouse and compared, which the \
            report says; that works without an agent, too. Exit 0: equal, or all repaired; 4: differences, with their \
            keys; 3: a table couldn't be compared.
            """,
            examples: [
                "millrace sweep": "compare all tables with their source",
                "millrace sweep --table public.orders --repair": "one table, and mend what differs",
                "millrace sweep --recent 6h": "only rows about which something came lately",
                "millrace sweep --late": "fold rows again to which events came late",
            ]))
    @OptionGroup var global: GlobalOptions
    @Option(help: "A source or target name; may be repeated. Default: all.") var table: [String] = []
    @Flag(help: "Mend the rows that differ (from the source, or from raw), and compare again.")
    var repair = false
    @Flag(help: "Fold the rows from raw again to which events came late, and those that lack a column.") var late =
        false
    @Option(help: "Compare only rows about which something came in so long: 30m, 6h, 2d.") var recent: String?
    @Option(help: "Connections that read the source, and a Postgres warehouse, 1 to 32.") var workers = SweepPace()
        .workers
    @Option(help: "Rows a second that the source is asked for at most, over all connections.") var rowsPerSecond: Int?

    func run() async throws {
        let request = try SweepRequest(
            late: late, repair: repair, recent: recent, workers: workers, rowsPerSecond: rowsPerSecond)
        let command = SweepCommand(table.isEmpty ? .all : .named(table), request)
        try Ended.with(try await command.run(global.context()))
    }
}

struct Quality: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Hold whole tables against what is expected of them. Exit 6 if a hard expectation fails.",
        discussion: .help(
            """
            Counts by SQL over the live view, through the running agent where one runs, beside its writer. Of rows \
            that fail the first keys are shown, and no other value. What is expected stands in the pipeline file \
            (tables[].quality, quality_suite).
            """,
            examples: [
                "millrace quality": "hold all tables against what is expected",
                "millrace quality --table public.orders --json": "one table, for a program",
            ]))
    @OptionGroup var global: GlobalOptions
    @Option(help: "A source or target name; may be repeated. Default: all.") var table: [String] = []

    func run() async throws {
        try Ended.with(try await QualityCommand(table.isEmpty ? .all : .named(table)).run(global.context()))
    }
}

struct DBT: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dbt",
        abstract: "Make dbt sources and staging models.",
        discussion: .help(
            """
            Writes sources.yml (live views and current, with descriptions from the source's comments, tests from what \
            is expected, freshness) and a model stg_<pipeline>__<table>.sql for each table: incremental, merged by \
            key, without deleted rows. A file that was edited is kept, and what is new is put beside it as NAME.new.
            """,
            examples: [
                "millrace dbt --out models/staging/shop": "write sources and models into a dbt project"
            ]))
    @OptionGroup var global: GlobalOptions
    @Option(
        help: ArgumentHelp("A folder among the project's models; made if it isn't there.", valueName: "dir"),
        completion: .directory)
    var out: String
    @Flag(help: "Replace files that were edited, too.") var force = false

    func run() async throws { try await DBTCommand(out: out, isForced: force).run(global.context()) }
}

struct Freshness: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Whether tables keep their freshness contracts. Exit 5 if one is stale.",
        discussion: .help(
            """
            FRESH: what the warehouse shows lies no further behind the source than tables[].freshness.max_staleness \
            allows. A table that nobody writes to is fresh, too (idle), as long as the source's end is known to be \
            reached. Without an agent a table is as old as the moment up to which one has seen it complete.
            """,
            examples: [
                "millrace freshness": "whether tables keep their contracts",
                "millrace freshness --table public.orders --json": "one table, for a program",
            ]))
    @OptionGroup var global: GlobalOptions
    @Option(help: "A source or target name; may be repeated. Default: all.") var table: [String] = []

    func run() async throws {
        try Ended.with(try await FreshnessCommand(table.isEmpty ? .all : .named(table)).run(global.context()))
    }
}

struct Reload: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Let the running agent read its pipeline file again.",
        discussion: .help(
            """
            Tables are added and removed (source.include, source.exclude, tables); the others go on. What else the \
            file says begins with a start, and a reload that changes it is refused. SIGHUP does the same.
            """,
            examples: [
                "millrace reload": "let the agent read its pipeline file again"
            ]))
    @OptionGroup var global: GlobalOptions

    func run() async throws { try Ended.with(try await ReloadCommand().run(global.context())) }
}

struct Explain: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "The history of one row: event, position, version, verdict.",
        discussion: .help(
            """
            All that raw has of the row in the order of its versions, with truncates of its table: where each event \
            stood at the source, its transaction, the batch that brought it, and what became of it: `current` (the row \
            is what it says), `replaced` by newer ones, `superseded` (it came late), `deferred` (the table stands \
            still). Excluded and hashed columns are so here, too.
            """,
            examples: [
                "millrace explain customers 4711": "what happened to a row",
                "millrace explain order_items '{\"order_id\":1,\"line\":2}' --json":
                    "the same of a key of two columns, for a program",
            ]))
    @OptionGroup var global: GlobalOptions
    @Argument(help: "A source or target name.") var table: String
    @Argument(help: "The bare value, or a JSON object with the key's columns.") var key: String

    func run() async throws { try await ExplainCommand(table: table, key: key).run(global.context()) }
}

struct Erase: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Privacy erasure: scrub one row's values from the warehouse.",
        discussion: .help(
            """
            The row leaves current; its events in raw, and its records in the quarantine, lose their key and values. A \
            hash of the key and the version stay, so that a replay brings nothing back. Delete the row at the source \
            first: a change that the source makes later is news. What isn't reached: the source and its topics, \
            backups, and tables that others made of ours.
            """,
            examples: [
                "millrace erase customers 4711 --reason 'request 17'": "scrub a row's values",
                "millrace erase items '{\"order_id\":1,\"line\":2}' --reason 'request 18'":
                    "the same of a key of two columns",
            ]))
    @OptionGroup var global: GlobalOptions
    @Argument(help: "A source or target name.") var table: String
    @Argument(help: "The bare value, or a JSON object with the key's columns.") var key: String
    @Option(help: "Kept with the erasure; no personal data, please.") var reason: String

    func run() async throws {
        try Ended.with(try await EraseCommand(table: table, key: key, reason: reason).run(global.context()))
    }
}

struct Pause: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Let tables stand still; the others go on.",
        discussion: .help(
            """
            What comes for a paused table is kept in raw and acknowledged at the source. `resume` applies it, and the \
            table is as if it had never been paused.
            """,
            examples: [
                "millrace pause public.orders": "let a table stand still",
                "millrace pause --all": "let all of them stand still",
            ]))
    @OptionGroup var global: GlobalOptions
    @OptionGroup var tables: TableNames

    func run() async throws { try Ended.with(try await HoldCommand(.pause(tables.selection)).run(global.context())) }
}

struct Resume: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Let paused tables go on, with what came meanwhile.",
        discussion: .help(examples: [
            "millrace resume public.orders": "let a paused table go on",
            "millrace resume --all": "let all of them go on",
        ]))
    @OptionGroup var global: GlobalOptions
    @OptionGroup var tables: TableNames

    func run() async throws { try Ended.with(try await HoldCommand(.resume(tables.selection)).run(global.context())) }
}

struct Resync: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Copy tables anew, beside the stream; the others go on.",
        discussion: .help(
            """
            For a table whose rows in the warehouse are wrong or missing. All its rows are read from a snapshot of the \
            source and win over older ones; what the source no longer has is marked as deleted, last. Readers see the \
            rows at any time, and grants and views stay. Returns at once: `millrace status` shows how far it is.
            """,
            examples: [
                "millrace resync public.orders": "copy a table anew, beside the stream"
            ]))
    @OptionGroup var global: GlobalOptions
    @OptionGroup var tables: TableNames

    func run() async throws { try Ended.with(try await HoldCommand(.resync(tables.selection)).run(global.context())) }
}

struct Lend: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Lend the DuckDB file to another program.",
        discussion: .help(
            """
            DuckDB lets one process write. The running agent finishes its batch and closes the file, CMD runs (its \
            path is in MILLRACE_WAREHOUSE), the agent opens the file again and catches up. Ends as CMD ends. Of a \
            borrower that is killed the agent takes the file back by itself.
            """,
            examples: [
                "millrace lend -- dbt build": "let dbt have the DuckDB file, then go on"
            ]))
    @OptionGroup var global: GlobalOptions
    @Argument(parsing: .postTerminator, help: "The program and its arguments, behind --.") var command: [String] = []

    func validate() throws {
        if command.isEmpty { throw ValidationError("name a program behind --: millrace lend -- dbt build") }
    }

    func run() async throws { try Ended.with(try await LendCommand(command).run(global.context())) }
}

struct Release: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Let tables go on that are held.",
        discussion: .help(
            """
            With TABLE: the agent holds a table that it can't write, since somebody changed its columns, locked it, or \
            its rows are refused in masses, and tries it again each minute. This tries it at once, and says what is in \
            its way. --quarantine-failing puts the refused rows aside, however many they are.

            With --as: many events that are older than what the warehouse has, and were never seen before, are what a \
            source sends that was restored from a backup: its positions begin again from lower numbers. All tables are \
            held then.

            new-epoch: it was restored, or replaced. All that it said since counts as newer than all before.
            redelivery: it wasn't; the events were late.
            """,
            examples: [
                "millrace release public.orders": "try a held table again at once",
                "millrace release public.orders --quarantine-failing": "the same, with what is refused put aside",
                "millrace release --as new-epoch": "the source was restored from a backup",
                "millrace release --as redelivery": "it wasn't: the events were late",
            ]))
    @OptionGroup var global: GlobalOptions
    @Option(
        name: .customLong("as"), help: ArgumentHelp("What it was.", valueName: "redelivery|new-epoch"),
        completion: .list(["redelivery", "new-epoch"]))
    var verdict: String?
    @Argument(help: "Source or target names.") var tables: [String] = []
    @Flag(help: "Put aside what is refused, however much.") var quarantineFailing = false

    func validate() throws {
        if let verdict {
            if RestoreVerdict(rawValue: verdict) == nil {
                throw ValidationError("--as wants redelivery or new-epoch")
            }
            if !tables.isEmpty || quarantineFailing {
                throw ValidationError("--as is about all tables: name none with it")
            }
        } else if tables.isEmpty {
            throw ValidationError("name tables, or say --as redelivery or --as new-epoch")
        }
    }

    func run() async throws {
        let action: HoldCommand.Action =
            if let verdict = verdict.flatMap(RestoreVerdict.init(rawValue:)) {
                .decide(verdict)
            } else {
                .release(.named(tables), quarantinesAll: quarantineFailing)
            }
        try Ended.with(try await HoldCommand(action).run(global.context()))
    }
}

/// `TABLE…` or `--all`.
struct TableNames: ParsableArguments {
    @Argument(help: "Source or target names.") var tables: [String] = []
    @Flag(help: "All tables that are known.") var all = false

    func validate() throws {
        if all == !tables.isEmpty { throw ValidationError("name tables, or all of them with --all") }
    }

    var selection: TableSelection { all ? .all : .named(tables) }
}
