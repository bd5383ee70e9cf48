import Agent
import ArgumentParser

struct Schema: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Changes of the source's tables, and plans that wait for you.",
        discussion: .help(
            """
            What only adds is applied at once. What could break what reads a table is a plan: nothing is dropped, \
            renamed or converted before somebody approves it.
            """,
            examples: [
                "millrace schema list": "plans that wait for you",
                "millrace schema approve 7": "let one be carried out",
            ]),
        subcommands: [List.self, Show.self, Approve.self, Rollback.self], defaultSubcommand: List.self)

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List plans that aren't through.",
            discussion: .help(examples: [
                "millrace schema list": "plans that aren't through",
                "millrace schema list --all": "those that are through, too",
            ]))
        @OptionGroup var global: GlobalOptions
        @Flag(help: "Also what was applied at once, and what is through.") var all = false

        func run() async throws { try await SchemaCommand(.list, all: all).run(global.context()) }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show a change with its steps, and what approving it does.",
            discussion: .help(examples: [
                "millrace schema show 7": "one change, with its steps"
            ]))
        @OptionGroup var global: GlobalOptions
        @Argument(help: "As `list` shows it.") var id: Int64

        func run() async throws { try await SchemaCommand(.show(id)).run(global.context()) }
    }

    struct Approve: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Let a plan be carried out.",
            discussion: .help(
                """
                At once, or, where something is removed, when schema_changes.deprecate_after is over. A table that is \
                held goes on with what came meanwhile.
                """,
                examples: [
                    "millrace schema approve 7": "let a plan be carried out"
                ]))
        @OptionGroup var global: GlobalOptions
        @Argument(help: "As `list` shows it.") var id: Int64

        func run() async throws { try await SchemaCommand(.approve(id)).run(global.context()) }
    }

    struct Rollback: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give a plan up: the table is as it was before.",
            discussion: .help(examples: [
                "millrace schema rollback 7": "give a plan up"
            ]))
        @OptionGroup var global: GlobalOptions
        @Argument(help: "As `list` shows it.") var id: Int64

        func run() async throws { try await SchemaCommand(.rollBack(id)).run(global.context()) }
    }
}
