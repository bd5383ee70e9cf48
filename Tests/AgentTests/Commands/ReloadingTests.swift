import Logging
import Testing

@testable import Agent

/// One reload at a time, and no signal is lost: whoever sends one hears nothing of it.
@Suite(.timeLimit(.minutes(1))) struct ReloadingTests {
    private let reloading = Reloading(
        context: CommandContext(
            file: "millrace.yaml", json: false, console: Written().console(),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
    private let begun = AsyncStream.makeStream(of: Void.self)
    private let allowed = AsyncStream.makeStream(of: Void.self)

    /// Each reload says that it has begun, and waits until it may end.
    private func begin() {
        reloading.begin { [begun, allowed] in
            begun.continuation.yield()
            for await _ in allowed.stream { break }
            return ReloadReport()
        }
    }

    @Test func signalsDuringAReloadAreAnsweredOnceAfterwards() async throws {
        var begins = begun.stream.makeAsyncIterator()
        reloading.signal()
        begin()
        await begins.next()
        for _ in 0..<3 { reloading.signal() }
        await #expect(throws: CommandFailure.self) { try await reloading.run() }
        allowed.continuation.yield()
        await begins.next()
        allowed.continuation.yield()
        // Taken as soon as nothing else is under way: by then three signals have made one reload.
        let requested = Task {
            while true { if (try? await reloading.run()) != nil { return } else { await Task.yield() } }
        }
        await begins.next()
        allowed.continuation.finish()
        await requested.value
        begun.continuation.finish()
        #expect(await begins.next() == nil, "no reload but these")
    }

    @Test func aSignalDuringARequestIsAnsweredAfterwards() async throws {
        var begins = begun.stream.makeAsyncIterator()
        await #expect(throws: CommandFailure.self, "nothing to reload yet") { try await reloading.run() }
        begin()
        async let requested = reloading.run()
        await begins.next()
        reloading.signal()
        allowed.continuation.yield()
        #expect(try await requested == ReloadReport())
        await begins.next()
        allowed.continuation.yield()
    }
}
