import Replication
import Testing

@testable import Agent

@Suite("Metrics")
struct AgentMetricsTests {
    @Test("are well-formed text: each sample after its HELP and TYPE, no name twice")
    func wellFormed() async throws {
        let fixture = try await AgentFixture()
        fixture.status.update {
            $0.unknown.read = 2
            $0.progress.retainedLog_bytes = 5
            $0.progress.logLeft[TopicPartition(topic: "test", partition: 0)] = 0.25
        }
        let text = AgentMetrics.text(
            fixture.status.current, layout: fixture.layout, now_us: 3_000_000,
            memory: ProcessMemory(resident_bytes: 4096, heap_bytes: 2048))
        var typed: [String: String] = [:]
        var seen = Set<String>()
        var current = ""
        for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
            let words = line.split(separator: " ")
            if line.hasPrefix("# HELP ") {
                current = String(words[2])
                #expect(seen.insert(current).inserted)
            } else if line.hasPrefix("# TYPE ") {
                #expect(words[2] == current)
                typed[current] = String(words[3])
            } else {
                let name = line.prefix { $0 != "{" && $0 != " " }
                if typed[current] == "histogram" {
                    #expect(["_bucket", "_sum", "_count"].contains(name.dropFirst(current.count)))
                }
                #expect(typed[current] == "histogram" ? name.hasPrefix(current) : name == current)
                #expect(
                    line.wholeMatch(of: /[a-z_]+(\{([a-z_]+="([^"\\\n]|\\.)*",?)+\})? -?[0-9.e+-]+/) != nil, "\(line)")
            }
        }
        #expect(text.hasSuffix("\n"))
        #expect(typed["millrace_events_total"] == "counter")
        #expect(text.contains("millrace_retained_log_bytes 5\n"))
        #expect(text.contains("millrace_log_left_ratio{topic=\"test\",partition=\"0\"} 0.25\n"))
        #expect(text.contains("millrace_events_total{table=\"public.orders\",outcome=\"applied\"} 1\n"))
        #expect(text.contains("millrace_events_total{table=\"\",outcome=\"read\"} 2\n"))
        #expect(text.contains("millrace_checkpoint_position{topic=\"test\",partition=\"0\"} 1\n"))
        #expect(text.contains("millrace_apply_seconds_total 0.5\n"))
        #expect(typed["millrace_apply_duration_seconds"] == "histogram")
        #expect(text.contains("millrace_apply_duration_seconds_bucket{le=\"0.25\"} 0\n"))
        #expect(text.contains("millrace_apply_duration_seconds_bucket{le=\"0.5\"} 1\n"))
        #expect(text.contains("millrace_apply_duration_seconds_bucket{le=\"+Inf\"} 1\n"))
        #expect(text.contains("millrace_apply_duration_seconds_sum 0.5\n"))
        #expect(text.contains("millrace_batch_events_count 1\n"))
        #expect(text.contains("process_resident_memory_bytes 4096\n"))
        #expect(text.contains("process_heap_bytes 2048\n"))
    }

    @Test("Labels are escaped")
    func escaped() {
        var text = PrometheusText()
        text.metric("a", .gauge, "one\\two\nthree", [([("name", "q\"b\\n\nx")], 1.5)])
        #expect(text.text == "# HELP a one\\\\two\\nthree\n# TYPE a gauge\na{name=\"q\\\"b\\\\n\\nx\"} 1.5\n")
    }

    @Test("Memory is told")
    func memory() throws {
        let before = ProcessMemory.current()
        #expect(try #require(before.resident_bytes) > 1 << 20)
        // Not touched, and more than what the tests beside this one give back.
        let block = UnsafeMutableRawPointer.allocate(byteCount: 2 << 30, alignment: 16)
        defer { block.deallocate() }
        #expect(try #require(ProcessMemory.current().heap_bytes) >= (before.heap_bytes ?? 0) + (1 << 30))
    }

    @Test("Durations", arguments: [("30s", 30_000), ("500ms", 500), ("5m", 300_000), ("1h", 3_600_000)])
    func durations(_ text: String, _ milliseconds: Int64) { #expect(Readiness.milliseconds(text) == milliseconds) }

    @Test("What is no duration", arguments: ["", "s", "-1s", "3", "9223372036854775807h", "1d"])
    func noDurations(_ text: String) { #expect(Readiness.milliseconds(text) == nil) }
}
