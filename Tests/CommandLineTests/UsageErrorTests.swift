import Testing

/// A wrong command line ends with exit 2, and says on stderr what is wrong and what to do.
@Suite struct UsageErrorTests {
    /// A command line, a part of what is wrong, and the command whose help is offered; nil: another remedy.
    @Test(
        arguments: [
            (["nonsense"], "Unexpected argument 'nonsense'", "millrace --help"),
            (["--nonsense"], "Unknown option '--nonsense'", "millrace --help"),
            (["-c", "a.yaml"], "-c", "millrace --help"),
            (["--generate-completion-script", "tcsh"], "one of: zsh bash fish", "millrace --help"),
            (["run", "--nonsense"], "Unknown option '--nonsense'", "millrace run --help"),
            (["run", "extra"], "Unexpected argument 'extra'", "millrace run --help"),
            (["run", "-c"], "Missing value for '-c <file>'", "millrace run --help"),
            (["run", "--log-level", "loud"], "one of the following: trace, debug", "millrace run --help"),
            (["run", "--log-format", "xml"], "'text' and 'json'", "millrace run --help"),
            (["run", "--standby", "--until-end"], "choose one", "millrace run --help"),
            (["run", "--until-end=yes"], "--until-end", "millrace run --help"),
            (["backfill", "--workers", "0"], "--workers takes 1 to 32", "millrace backfill --help"),
            (["backfill", "--workers", "many"], "'many' is invalid", "millrace backfill --help"),
            (["backfill", "--table"], "Missing value", "millrace backfill --help"),
            (["query"], "Missing expected argument '<sql>'", "millrace query --help"),
            (["query", "select 1", "select 2"], "Unexpected argument 'select 2'", "millrace query --help"),
            (["query", "select 1", "--format", "xml"], "'table', 'csv', 'json' or 'jsonl'", "millrace query --help"),
            (["query", "select 1", "--rows-max", "none"], "'none' is invalid", "millrace query --help"),
            (["explain", "orders"], "Missing expected argument '<key>'", "millrace explain --help"),
            (["erase", "orders", "1"], "Missing expected argument '--reason <reason>'", "millrace erase --help"),
            (["quarantine", "nonsense"], "Unexpected argument 'nonsense'", "millrace quarantine list --help"),
            (["quarantine", "show"], "Missing expected argument '<id>'", "millrace quarantine show --help"),
            (["quarantine", "show", "x"], "The value 'x' is invalid for '<id>'", "millrace quarantine show --help"),
            (["quarantine", "replay"], "name records by their numbers", "millrace quarantine replay --help"),
            (["quarantine", "discard", "1", "--all"], "name records", "millrace quarantine discard --help"),
            (["schema", "approve"], "Missing expected argument '<id>'", "millrace schema approve --help"),
            (["pause"], "name tables, or all of them with --all", "millrace pause --help"),
            (["resume", "orders", "--all"], "name tables", "millrace resume --help"),
            (["release"], "name tables, or say --as", "millrace release --help"),
            (["release", "--as", "other"], "--as wants redelivery or new-epoch", "millrace release --help"),
            (["release", "orders", "--as", "new-epoch"], "name none with it", "millrace release --help"),
            (["lend", "dbt", "build"], "name a program behind --", "millrace lend --help"),
            (["dbt"], "Missing expected argument '--out <dir>'", "millrace dbt --help"),
            (["broker", "--port", "70000"], "'70000' is invalid", "millrace broker --help"),
            (["broker", "--topic", "a:b"], "names no topic with its partitions", nil),
            (["checkpoint", "set"], "--to-offset earliest, latest or a number", nil),
            (["checkpoint", "set", "--to-time", "now"], "not yet", nil),
            (["sweep", "--recent", "soon"], "--recent is a time", nil),
            (["sweep", "--workers", "99"], "1 to 32", nil),
            (["status", "-c", "none.yaml"], "none.yaml: there is no such file", nil),
        ] as [([String], String, String?)])
    func aWrongCommandLineSaysWhatToDo(arguments: [String], message: String, help: String?) async throws {
        let result = try await Program.millrace(arguments)
        #expect(result.status == 2)
        #expect(result.output == "")
        let lines = result.errors.split(separator: "\n")
        #expect(lines.count == 2, "\(result.errors)")
        #expect(lines.first?.hasPrefix("Error: ") == true && result.errors.contains(message), "\(result.errors)")
        if let help {
            #expect(lines.last == "Try: \(help)")
            let words = help.split(separator: " ").dropFirst().map(String.init)
            let page = try await Program.millrace(words)
            #expect(page.status == 0 && page.output.contains("EXAMPLES:"), "\(help)")
        } else {
            #expect(lines.last?.hasPrefix("Try: ") == true, "\(result.errors)")
        }
    }

    /// `script` runs it with a pseudo-terminal as its input and outputs.
    private func onTerminal(_ command: String, _ environment: [String: String]) async throws -> String {
        var environment = environment
        environment["PROGRAM"] = Program.path
        let result = try await Program.run(
            ["script", "-qec", "\"$PROGRAM\" \(command)", "/dev/null"], environment: environment)
        #expect(result.status == 2, "\(result)")
        #expect(result.output.contains("Error:"), "\(result)")
        return result.output
    }

    @Test func coloursAreForTerminals() async throws {
        let escape = "\u{1B}["
        let shown = try await onTerminal("status -c none.yaml", ["NO_COLOR": ""])
        #expect(shown.contains("\(escape)31mError:\(escape)0m") && shown.contains("\(escape)1mTry:\(escape)0m"))
        #expect(try await onTerminal("status -c none.yaml", ["NO_COLOR": "1"]).contains(escape) == false)
        #expect(
            try await onTerminal("status -c none.yaml 2>&1 | cat; exit 2", ["NO_COLOR": ""]).contains(escape) == false)
        let piped = try await Program.millrace(["status", "-c", "none.yaml"], environment: ["NO_COLOR": ""])
        #expect(piped.status == 2 && piped.errors.hasPrefix("Error: ") && !piped.errors.contains(escape))
    }
}
