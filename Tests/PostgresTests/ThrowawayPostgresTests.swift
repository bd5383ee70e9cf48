import Foundation
import Testing
import ThrowawayPostgres

@Suite struct ThrowawayPostgresTests {
    private static let identifier = "SELECT system_identifier FROM pg_control_system()"

    @Test func copiesShareTheirIdentifierAndOthersDoNot() async throws {
        var options = ThrowawayPostgres.Options()
        options.hasOwnSystemIdentifier = true
        let own = try await ThrowawayPostgres.start(options)
        let shared = try await SharedCluster.cluster
        #expect(try await own.psql(Self.identifier) != shared.psql(Self.identifier))
        await own.remove()
        #expect(!FileManager.default.fileExists(atPath: own.folder.path(percentEncoded: false)))
        await own.remove()
    }

    @Test func settingsAndRestartsKeepPortAndData() async throws {
        var options = ThrowawayPostgres.Options()
        options.settings = ["work_mem": "3MB", "application_name": "it's"]
        let cluster = try await ThrowawayPostgres.start(options)
        try await cluster.psql("CREATE TABLE t(a int); INSERT INTO t VALUES (1); CHECKPOINT")
        for mode in [ThrowawayPostgres.StopMode.fast, .immediate] {
            try await cluster.restart(mode)
            #expect(try await cluster.psql("SELECT a FROM t; SHOW wal_level; SHOW work_mem") == "1\nlogical\n3MB")
        }
        try await cluster.stop()
        await #expect(throws: ThrowawayPostgresError.self) { try await cluster.psql("SELECT 1") }
        try await cluster.stop()
        await cluster.remove()
    }

    @Test func badSettingsSaySo() async throws {
        var options = ThrowawayPostgres.Options()
        options.hasOwnSystemIdentifier = true
        options.settings = ["no_such_setting": "1"]
        let unusable = options
        await #expect(throws: ThrowawayPostgresError.self) { try await ThrowawayPostgres.start(unusable) }
    }
}
