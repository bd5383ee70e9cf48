import Replication
import Testing

@testable import Debezium

@Suite("From when on readers see whole transactions")
struct ConsistencyGateTests {
    private let rows = TopicPartition(topic: "shop.public.a", partition: 0)
    private let ends = TopicPartition(topic: "shop.transaction", partition: 0)

    private func opened() -> ConsistencyGate {
        var gate = ConsistencyGate()
        gate.confirm([rows: 10, ends: 4])
        gate.setHorizon([rows: 20, ends: 8])
        gate.takeSettled(0)
        gate.confirm([rows: 20, ends: 9])
        return gate
    }

    @Test("Not before all that the log held at first is durable, and a transaction's END was seen")
    func catchingUp() {
        var gate = ConsistencyGate()
        #expect(gate.wantsHorizon)
        gate.confirm([rows: 10, ends: 4])
        gate.setHorizon([rows: 20, ends: 8])
        gate.confirm([rows: 20])
        #expect(gate.since == nil)
        gate.confirm([ends: 8])
        #expect(gate.since == nil, "nothing shows that it is a transaction topic")
        gate.takeSettled(0)
        gate.confirm([ends: 9])
        #expect(gate.since == [ends: 9])
        gate.confirm([ends: 12])
        #expect(gate.since == [ends: 9], "since then")
    }

    @Test("A transaction that is cut takes it back until it is over and all that the log holds then is durable")
    func cut() {
        var gate = opened()
        gate.takeCut(0)
        #expect(gate.since == nil)
        gate.confirm([rows: 30, ends: 12])
        #expect(gate.since == nil && !gate.wantsHorizon)
        gate.takeSettled(1)
        #expect(!gate.wantsHorizon, "another connector's says nothing of it")
        gate.takeSettled(0)
        #expect(gate.wantsHorizon)
        gate.setHorizon([rows: 33, ends: 12])
        #expect(gate.since == nil)
        gate.confirm([rows: 33])
        #expect(gate.since == [ends: 12])
    }

    @Test("Events without a transaction take it back, unless they are waited for anyway")
    func loose() {
        var gate = ConsistencyGate()
        gate.setHorizon([rows: 20, ends: 8])
        gate.takeLoose(0, rows, 19)
        gate.takeSettled(0)
        gate.confirm([rows: 20, ends: 8])
        #expect(gate.since != nil, "they were in the log at first")
        gate.takeLoose(0, rows, 20)
        #expect(gate.since == nil)
    }

    @Test("Events that no transaction topic tells of end it for good")
    func blind() {
        var gate = opened()
        gate.takeLoose(nil, rows, 21)
        #expect(gate.since == nil)
        gate.takeCut(0)
        gate.takeSettled(0)
        gate.setHorizon([rows: 21, ends: 9])
        gate.confirm([rows: 22])
        #expect(gate.since == nil)
    }

    @Test("Other partitions begin it anew")
    func restart() {
        var gate = opened()
        gate.restart()
        #expect(gate.since == nil && gate.wantsHorizon)
        gate.setHorizon([rows: 20, ends: 8])
        #expect(gate.since == [ends: 9])
    }
}
