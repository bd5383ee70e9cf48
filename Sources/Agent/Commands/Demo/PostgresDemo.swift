import Foundation
import JSON
import Logging
import Replication
import Synchronization
import ThrowawayPostgres

/// `millrace demo`: a Postgres of its own is written to while an agent copies and streams it; readers beside it look for
/// halves of transactions; at the end every row is compared.
struct PostgresDemo: Sendable {
    /// How long the source is written to at least, and after the copy.
    var load_s = 7.0
    var streaming_s = 3.0

    func run(_ folder: DemoFolder, _ context: CommandContext) async throws -> Int32 {
        context.console.note("Millrace demo: a Postgres under load → DuckDB in \(folder.path)\n")
        let server: ThrowawayPostgres
        do {
            server = try await ThrowawayPostgres.start()
        } catch let error as ThrowawayPostgresError {
            throw CommandFailure(
                ExitStatus.environment, error.message,
                try: "\(error.remedy ?? "apt-get install postgresql"); or without one: millrace demo --kafka")
        }
        do {
            let code = try await run(server, folder, context)
            await server.remove()
            return code
        } catch {
            await server.remove()
            throw error
        }
    }

    private func run(_ server: ThrowawayPostgres, _ folder: DemoFolder, _ context: CommandContext) async throws -> Int32
    {
        let load = ShopLoad(url: server.url())
        try await load.prepare()
        context.console.note(
            """
            source: \(server.programs.version) on port \(server.port), \(ShopLoad.tables.count) tables, \
            \(ShopLoad.writers) writers
            """)
        let text = """
            # Made by `millrace demo`. The server ends with the demo; the tables stay.
            pipeline: shop
            source:
              postgres: { url: "\(server.url())" }
            warehouse:
              duckdb: { path: warehouse.duckdb }
            agent: { listen: 127.0.0.1:0 }

            """
        let setup = try folder.setup(text, context.logger)
        return try await setup.withWarehouse(readOnly: false) { warehouse in
            let looks = try await replicate(setup, warehouse, load, context.console)
            return try await conclude(setup, warehouse, load, looks, folder, context)
        }
    }

    // MARK: While it runs

    /// What a reader beside the agent saw.
    struct Looks: Sendable {
        var count = 0
        /// Looks that saw half a transaction.
        var torn = 0
    }

    private final class Stage: Sendable {
        private let state = Mutex((isInterrupted: false, hasEnded: false))
        var isInterrupted: Bool { state.withLock { $0.isInterrupted } }
        /// The agent or a writer has ended by itself.
        var hasEnded: Bool { state.withLock { $0.hasEnded } }
        func interrupt() { state.withLock { $0.isInterrupted = true } }
        func end() { state.withLock { $0.hasEnded = true } }

        func check() throws {
            guard isInterrupted else { return }
            throw CommandFailure(ExitStatus.signal(SIGINT), "the demo was stopped before its end")
        }
    }

    private func replicate(
        _ setup: PipelineSetup, _ warehouse: any Warehouse, _ load: ShopLoad, _ console: Console
    ) async throws -> Looks {
        let status = AgentStatus()
        let progress = RunProgress(status: status, console: console, logger: setup.logger)
        let showing = Task { await progress.run() }
        defer {
            showing.cancel()
            console.progress("")
        }
        let stage = Stage()
        let service = DemoAgent.service(setup, warehouse, status)
        let rest = DemoAgent.service(setup, warehouse, status, untilEnd: true)
        let watch = SignalWatch { _ in
            stage.interrupt()
            service.stop()
            rest.stop()
        }
        defer { withExtendedLifetime(watch) {} }

        let writing = Task {
            defer { stage.end() }
            try await load.run()
        }
        let running = Task {
            defer { stage.end() }
            try await service.run()
        }
        let watched: Result<Looks, any Error>
        do {
            watched = .success(try await look(setup, warehouse, load, status, stage, console))
        } catch {
            watched = .failure(error)
        }
        load.stop()
        service.stop()
        let (written, ran) = (await writing.result, await running.result)
        try stage.check()
        try ran.get()
        try written.get()
        let looks = try watched.get()
        console.note(
            "writers stopped after \(load.counts.transactions) transactions; the agent too, and it is started again")
        try await rest.run()
        try stage.check()
        return looks
    }

    /// Reads the warehouse again and again, until it was copied and streamed for long enough.
    private func look(
        _ setup: PipelineSetup, _ warehouse: any Warehouse, _ load: ShopLoad, _ status: AgentStatus, _ stage: Stage,
        _ console: Console
    ) async throws -> Looks {
        let started = ContinuousClock.now
        var copiedAt: ContinuousClock.Instant?
        var looks = Looks()
        while !stage.hasEnded, !stage.isInterrupted {
            let now = ContinuousClock.now
            if let copiedAt {
                let torn = try await warehouse.query(ShopLoad.tornOrders(setup.layout.live), rows_max: 1).rows[0][0]
                looks.count += 1
                if torn != "0" { looks.torn += 1 }
                if now - started > .seconds(load_s), now - copiedAt > .seconds(streaming_s) { break }
            } else if let since = status.current.progress.consistentSince {
                copiedAt = now
                console.note(
                    """
                    copied in \(String(format: "%.1f", (now - started) / .seconds(1))) s beside \
                    \(load.counts.transactions) transactions; consistent since \(since)
                    """)
            }
            try await Task.sleep(for: .milliseconds(100))
        }
        return looks
    }

    // MARK: The end

    private func conclude(
        _ setup: PipelineSetup, _ warehouse: any Warehouse, _ load: ShopLoad, _ looks: Looks, _ folder: DemoFolder,
        _ context: CommandContext
    ) async throws -> Int32 {
        let proof = DemoProof(setup: setup, warehouse: warehouse, folder: folder, context: context)
        let counts = load.counts
        if !context.json {
            let deeds = ShopWriter.Deed.allCases.map { "\($0.rawValue) \(counts.byKind[$0] ?? 0)" }
            context.console.result("the source's transactions: \(deeds.joined(separator: ", "))\n")
            try await proof.showRows()
            proof.show(try await setup.control(warehouse, catalog: nil, running: nil).status())
        }
        var problems: [String] = []
        if looks.torn > 0 { problems.append("\(looks.torn) of \(looks.count) looks saw half a transaction") }
        if looks.count == 0 { problems.append("nobody looked at the warehouse while it was written") }
        if problems.isEmpty, !context.json {
            context.console.result(
                "\(looks.count) looks at the warehouse meanwhile: each order was the sum of its lines, every time")
        }
        return try await proof.conclude(
            try await load.rows(), problems: problems,
            facts: [("transactions", .integer(counts.transactions)), ("looks", .integer(looks.count))])
    }
}
