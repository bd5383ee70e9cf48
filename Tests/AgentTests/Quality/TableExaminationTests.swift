import Replication
import Testing

@testable import Agent

/// What becomes of an expectation where the warehouse doesn't answer as it should.
@Suite struct TableExaminationTests {
    private static let table = TableDefinition(
        source: TableID(schema: "public", table: "orders"), target: "orders",
        columns: [
            Column(name: "id", type: .bigint, isKey: true), Column(name: "code", type: .text),
            Column(name: "email", type: .text),
        ], key: [0])

    private func examination(_ snapshot: ScriptedSnapshot, known: [TableDefinition] = [table]) -> TableExamination {
        TableExamination(
            engine: "postgres", layout: WarehouseLayout(pipeline: "shop"), table: Self.table, known: known,
            snapshot: { snapshot })
    }

    private static func ofStatement(_ message: String) -> ReplicationError {
        var error = ReplicationError(.environment, message)
        error.isStatements = true
        return error
    }

    /// Two of ten rows fail each.
    private static func counts(_ sql: String) -> [[String?]]? {
        if sql.contains("sum(n)") { return [["10", "2"]] }
        guard let list = sql.firstRange(of: " FROM ") else { return nil }
        let counts = sql[..<list.lowerBound].split(separator: "count(").count - 1
        return counts > 0 ? [(0..<counts).map { $0 % 2 == 0 ? "10" : "2" }] : nil
    }

    @Test func rowsThatFailDoSoWithoutTheirKeysToo() async throws {
        let snapshot = ScriptedSnapshot { sql in
            if let counts = Self.counts(sql) { return counts }
            throw Self.ofStatement("aggregates stand nowhere here")
        }
        let (rules, trouble) = try await examination(snapshot).rules([
            .init(.expression("sum(id) over () > 1")), .init(.notNull("code")), .init(.unique(["code"], .any)),
        ])
        #expect(rules.map(\.verdict) == [.fail, .fail, .fail] && rules.map(\.failing) == [2, 2, 2], "\(rules)")
        #expect(rules.allSatisfy { $0.keys.isEmpty && $0.reason == nil } && trouble == nil)
    }

    @Test func whatAnExpectationSaysIsItsOwnFault() async throws {
        let snapshot = ScriptedSnapshot { sql in
            if sql.contains("WHERE false") { return [] }
            throw Self.ofStatement("no such function")
        }
        let (rules, trouble) = try await examination(snapshot).rules([
            .init(.expression("nope(id)")), .init(.notNull("code")),
        ])
        #expect(rules.map(\.verdict) == [.misfit, .misfit] && trouble == nil)
    }

    @Test(arguments: [
        ofStatement("relation shop_live.orders does not exist"), ReplicationError(.permanent, "out of memory"),
        ReplicationError(.passing, "cancelled by somebody"), ReplicationError(.environment, "permission denied"),
    ])
    func whatTheWarehouseCantDoIsNotTheExpectations(error: ReplicationError) async throws {
        let snapshot = ScriptedSnapshot { _ in throw error }
        let (rules, trouble) = try await examination(snapshot).rules([
            .init(.length("id", .init(min: 1))), .init(.notNull("code")), .init(.expression("id > 0")),
        ])
        #expect(rules.map(\.verdict) == [.misfit, .unknown, .unknown])
        #expect(trouble?.message == error.message)
    }

    @Test func brokenPromisesOfOursAreTold() async throws {
        let snapshot = ScriptedSnapshot { _ in [] }
        await #expect(throws: ReplicationError.self) {
            _ = try await examination(snapshot).rules([.init(.notNull("code"))])
        }
    }

    @Test func noLockIsKeptBetweenStatements() async throws {
        let snapshot = ScriptedSnapshot { Self.counts($0) ?? [["7"]] }
        let (rules, _) = try await examination(snapshot).rules([
            .init(.notNull("code")), .init(.length("code", .init(max: 3))), .init(.expression("id > 0")),
        ])
        #expect(rules.allSatisfy { $0.keys == ["{\"id\":7}"] }, "\(rules)")
        #expect(
            snapshot.calls == [
                .rows, .letGo, .rows, .letGo, .rows, .close, .usersRows, .letGo, .usersRows, .close,
            ])
    }

    // MARK: Limits

    @Test func yesterdayThatTakesTooLongIsUnknown() async throws {
        let snapshot = ScriptedSnapshot { _ in [["10"]] }
        var examination = examination(snapshot)
        examination.statement_s_max = 0.05
        examination.countBefore = { _ in
            try await snapshot.waitForInterruption()
            return 0
        }
        let (rules, trouble) = try await examination.rules([
            .init(.rowCount(.init(change_max: Share("0.5")))), .init(.rowCount(.init(min: 11))),
        ])
        #expect(rules.map(\.verdict) == [.unknown, .fail] && trouble == nil)
        #expect(rules[0].reason?.contains("was stopped after") == true && rules[0].rows == 10)
    }

    @Test func oneExaminationAtATime() async throws {
        let control = try await AgentFixture().control
        let turns = try #require(control.running).examinations
        #expect(turns.begin())
        let failure = await #expect(throws: CommandFailure.self) { try await control.quality(.all) }
        #expect(failure?.exit == ExitStatus.environment && failure?.remedy != nil)
        turns.end()
        _ = try await control.quality(.all)
        _ = try await control.quality(.all)
    }

    // MARK: Hashes

    @Test func hashesAreNotComparedWithValues() async throws {
        var users = Self.table
        users.source.table = "users"
        // It was called so when it was to be hashed.
        users.columns[2].name = "mail"
        users.columns[2].formerNames = ["email"]
        let snapshot = ScriptedSnapshot { Self.counts($0) ?? [] }
        var examination = examination(snapshot, known: [Self.table, users])
        func verdicts(_ own: Set<String>, _ others: Set<String>) async throws -> [QualityReport.Verdict] {
            let id = Self.table.source
            examination.hashed = { $0 == id ? own : others }
            return try await examination.rules([
                .init(.foreignKey(.init(["email"], table: "public.users", to: ["mail"]))),
                .init(.length("email", .init(min: 1))),
            ]).0.map(\.verdict)
        }
        #expect(try await verdicts([], []) == [.fail, .fail])
        #expect(try await verdicts(["email"], []) == [.misfit, .misfit])
        #expect(try await verdicts([], ["email"]) == [.misfit, .fail])
        #expect(try await verdicts(["email"], ["email"]) == [.fail, .misfit])

        // `check` says the same.
        let rules = QualityRules(
            table: "public.orders",
            quality: TableQuality([.init(.foreignKey(.init(["email"], table: "public.users", to: ["mail"])))]))
        func findings(_ others: Set<String>) -> [Finding] {
            CheckCommand.misfits(rules, Self.table, known: [Self.table, users]) { $0 == users.source ? others : [] }
        }
        #expect(findings([]).isEmpty)
        #expect(findings(["email"]).map(\.level) == [.error])
    }
}
