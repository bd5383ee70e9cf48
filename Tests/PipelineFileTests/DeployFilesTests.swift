import Foundation
import PipelineFile
import Testing

/// The pipeline files in deploy/ are read as they are, and say what the manifests beside them rely on.
@Suite struct DeployFilesTests {
    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    private static let kubernetes = ["to-postgres", "to-duckdb", "sidecar"].map { "deploy/kubernetes/\($0)" }
    private static let folders = kubernetes + ["deploy/compose"]

    private static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    /// A secret that Kubernetes mounts as a file isn't there when tests run: the environment stands in its place.
    private static func pipeline(in folder: String) throws -> Pipeline {
        let mounted = "${file:/run/secrets/millrace/warehouse-url}"
        let file = try Self.text("\(folder)/millrace.yaml")
        return try parse(
            file.replacingOccurrences(of: mounted, with: "${WAREHOUSE_URL}"), file: "/etc/millrace/millrace.yaml",
            [
                "SOURCE_URL": "postgres://replicator@db/shop",
                "WAREHOUSE_URL": "postgres://loader@warehouse/analytics",
            ])
    }

    /// One that is added is to be read here, too.
    @Test func allOfThemAreFound() throws {
        let files = try FileManager.default.subpathsOfDirectory(atPath: Self.root.appending(path: "deploy").path)
        let found = files.filter { $0.hasSuffix("/millrace.yaml") }.map { "deploy/\($0)" }
        #expect(found.sorted() == Self.folders.map { "\($0)/millrace.yaml" }.sorted())
    }

    /// The root of a container can't be written to: all that is stands on the volume. Probes come from outside.
    @Test(arguments: folders) func aPipelineFileHasNoProblems(folder: String) throws {
        let pipeline = try Self.pipeline(in: folder)
        #expect(pipeline.name == "shop")
        #expect(pipeline.agent.listen.description == "0.0.0.0:8642")
        #expect(pipeline.agent.dir.hasPrefix("/var/lib/millrace/"))
        if let duckdb = pipeline.duckdb { #expect(duckdb.path.hasPrefix("/var/lib/millrace/")) }
    }

    /// Whoever kills the agent waits longer than it does itself.
    @Test func theAgentEndsBeforeItIsKilled() throws {
        for folder in Self.kubernetes {
            let manifest = try Self.text("\(folder)/deployment.yaml")
            let grace = try #require(manifest.firstMatch(of: /terminationGracePeriodSeconds: (\d+)/))
            let limit = try #require(Int(grace.output.1))
            let drain = try Self.pipeline(in: folder).agent.drain
            #expect(drain + .seconds(10) < .seconds(limit), "\(folder)")
        }
        let compose = try Self.text("deploy/compose/compose.yaml")
        let drain = try Self.pipeline(in: "deploy/compose").agent.drain
        #expect(drain + .seconds(10) < .seconds(45))
        #expect(compose.contains("stop_grace_period: 45s"))
        let unit = try Self.text("deploy/systemd/millrace@.service")
        #expect(unit.contains("\nTimeoutStopSec=45\n"))
    }

    /// The pipeline reads what the connector that compose registers writes.
    @Test func composeReadsItsConnectorsTopics() throws {
        let pipeline = try Self.pipeline(in: "deploy/compose")
        let topics = try #require(pipeline.kafka).topics
        for topic in ["shop.public.customers", "shop.public.orders", "shop.transaction"] {
            #expect(topics.contains { $0.matches(topic) }, "\(topic)")
        }
        let compose = try Self.text("deploy/compose/compose.yaml")
        #expect(compose.contains("connectors/debezium-postgres/connector.json"))
    }
}
