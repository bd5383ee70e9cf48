import Agent
import ArgumentParser

struct Schema: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Changes of the source's tables, and plans that wait for you.",
        discussion: """
            What only adds is applied at once. What could break what reads a table is a plan: nothing is dropped, renamed or \
            converted before somebody approves it.

            Example: millrace schema list
            Example: millrace schema approve 7
            """,
        subcommands: [List.self, Show.self, Approve.self, Rollback.self], defaultSubcommand: List.self)

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List plans that aren't through.", discussion: "Example: millrace schema list --all")
        @OptionGroup var global: GlobalOptions
        @Flag(help: "Also what was applied at once, and what is through.") var all = false

        func run() async throws { try await SchemaCommand(.list, all: all).run(global.context()) }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show a change with its steps, and what approving it does.",
            discussion: "Example: millrace schema show 7")
        @OptionGroup var global: GlobalOptions
        @Argument var id: Int64

        func run() async throws { try await SchemaCommand(.show(id)).run(global.context()) }
    }

    struct Approve: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Let a plan be carried out.",
            discussion: """
                At once, or, where something is removed, when schema_changes.deprecate_after is over. A table that is held \
                goes on with what came meanwhile.

                Example: millrace schema approve 7
                """)
        @OptionGroup var global: GlobalOptions
        @Argument var id: Int64

        func run() async throws { try await SchemaCommand(.approve(id)).run(global.context()) }
    }

    struct Rollback: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give a plan up: the table is as it was before.",
            discussion: "Example: millrace schema rollback 7")
        @OptionGroup var global: GlobalOptions
        @Argument var id: Int64

        func run() async throws { try await SchemaCommand(.rollBack(id)).run(global.context()) }
    }
}
