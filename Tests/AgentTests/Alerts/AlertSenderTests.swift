import Foundation
import Hummingbird
import HummingbirdTesting
import Logging
import NIOCore
import PipelineFile
import Replication
import ServiceLifecycle
import Synchronization
import Testing

@testable import Agent

/// For real: a program that is run, an HTTP server that is asked.
@Suite struct AlertSenderTests {
    private static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private func folder() throws -> URL {
        let folder = FileManager.default.temporaryDirectory.appending(path: "millrace-alerts-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder
    }

    private func program(_ body: String, in folder: URL) throws -> String {
        let path = folder.appending(path: "page.sh")
        try Data("#!/bin/sh\n\(body)\n".utf8).write(to: path)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path.path)
        return path.path
    }

    /// Keeps what is posted to `/hook`.
    private final class Hook: Sendable {
        private let bodies = Mutex<[String]>([])
        var received: [String] { bodies.withLock { $0 } }

        var router: Router<BasicRequestContext> {
            let router = Router()
            router.post("/hook") { request, _ -> HTTPResponse.Status in
                let body = try await request.body.collect(upTo: 1 << 16)
                self.bodies.withLock { $0.append(String(buffer: body)) }
                return .ok
            }
            return router
        }
    }

    private let notice = AlertNotice(
        pipeline: "shop", change: .began,
        alert: Alert(key: .init(kind: .held, subject: "public.orders"), message: "held"), beganAt_us: 0)

    @Test func aProgramIsGivenTheAlert() async throws {
        let folder = try folder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = try program(
            "cat > \"$(dirname \"$0\")/got\"; echo \"$MILLRACE_ALERT_KIND\" >> \"$(dirname \"$0\")/got\"", in: folder)
        try await AlertSender(way: .exec(path), logger: Self.quiet).send(notice)
        let got = try String(contentsOf: folder.appending(path: "got"), encoding: .utf8)
        #expect(got == notice.json.serialized + "held\n")
    }

    @Test func aProgramThatFailsIsAFailure() async throws {
        let folder = try folder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = try program("exit 3", in: folder)
        await #expect(throws: AlertSender.Failure(reason: "ended with 3")) {
            try await AlertSender(way: .exec(path), logger: Self.quiet).send(notice)
        }
        await #expect(throws: AlertSender.Failure(reason: "isn't a program that can be run")) {
            try await AlertSender(way: .exec(path + "x"), logger: Self.quiet).send(notice)
        }
    }

    @Test func aWebhookIsPostedTo() async throws {
        let hook = Hook()
        let router = hook.router
        router.post("/broken") { _, _ -> HTTPResponse.Status in .internalServerError }
        let application = Application(router: router, configuration: .init(address: .hostname("127.0.0.1", port: 0)))
        try await application.test(.live) { client in
            let base = "http://127.0.0.1:\(client.port ?? 0)"
            try await AlertSender(way: .webhook(Secret("\(base)/hook"), .json), logger: Self.quiet).send(notice)
            try await AlertSender(way: .webhook(Secret("\(base)/hook"), .slack), logger: Self.quiet).send(notice)
            await #expect(throws: AlertSender.Failure(reason: "answers HTTP 500")) {
                try await AlertSender(way: .webhook(Secret("\(base)/broken"), .json), logger: Self.quiet).send(notice)
            }
        }
        #expect(hook.received == [notice.json.serialized, notice.slackJSON.serialized])
    }

    /// The service as the agent has it: an episode begins and is told, once; a stop ends it.
    @Test func theServiceTellsOnce() async throws {
        let folder = try folder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = try program("cat >> \"$(dirname \"$0\")/got\"; echo >> \"$(dirname \"$0\")/got\"", in: folder)
        let status = AgentStatus()
        let partition = TopicPartition(topic: "t", partition: 0)
        status.update {
            $0.state = .ok
            $0.lost = [LostPartition(partition: partition, reason: "the log was cut", remedy: "rewind")]
        }
        let service = AlertService(
            pipeline: "shop", targets: [.init(.exec(path)), .init(.exec(path + "missing"))], status: status,
            logger: Self.quiet)
        let group = ServiceGroup(
            configuration: .init(services: [.init(service: service)], logger: Self.quiet))
        let running = Task { try await group.run() }
        while status.current.alertsSent < 1 || status.current.alertsFailed < 2 { await Task.yield() }
        await group.triggerGracefulShutdown()
        try await running.value
        let got = try String(contentsOf: folder.appending(path: "got"), encoding: .utf8)
        #expect(got.split(separator: "\n").count == 1)
        #expect(
            got.contains(#""kind":"lost","subject":"t:0","state":"began","message":"the log was cut","try":"rewind""#))
    }

    /// A lost slot ends a Postgres source's agent at once: it is told all the same.
    @Test func whatEndsTheAgentIsToldBefore() async throws {
        struct Failing: Service {
            struct Failed: Error {}
            let status: AgentStatus

            func run() async throws {
                status.update {
                    $0.lost = [
                        LostPartition(
                            partition: TopicPartition(topic: "slot", partition: 0), reason: "the slot is gone",
                            remedy: "copy anew")
                    ]
                }
                throw Failed()
            }
        }
        let folder = try folder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = try program("cat >> \"$(dirname \"$0\")/got\"", in: folder)
        let hook = Hook()
        let application = Application(
            router: hook.router, configuration: .init(address: .hostname("127.0.0.1", port: 0)))
        try await application.test(.live) { client in
            let status = AgentStatus()
            status.update { $0.state = .ok }
            let url = Secret("http://127.0.0.1:\(client.port ?? 0)/hook")
            let alerts = AlertService(
                pipeline: "shop", targets: [.init(.exec(path)), .init(.webhook(url, .json))], status: status,
                logger: Self.quiet)
            let group = ServiceGroup(
                configuration: .init(
                    services: [
                        .init(
                            service: alerts, successTerminationBehavior: .ignore, failureTerminationBehavior: .ignore),
                        .init(service: Failing(status: status), failureTerminationBehavior: .cancelGroup),
                    ], logger: Self.quiet))
            await #expect(throws: Failing.Failed.self) { try await group.run() }
        }
        let got = try String(contentsOf: folder.appending(path: "got"), encoding: .utf8)
        #expect(got.contains("the slot is gone"))
        #expect(hook.received.count == 1 && hook.received[0].contains("the slot is gone"))
    }
}
