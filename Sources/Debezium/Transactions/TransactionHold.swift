import Replication

/// Says how far the records of each partition may be handed on so that they end with whole source transactions, over all
/// partitions: the longest prefix, in the order of their ENDs, of transactions that are complete.
///
/// A transaction is complete once its END came and as many distinct places of each table that is read as the END counts.
/// Records that belong to none go with what precedes them in their partition. Events of a transaction that was handed
/// on before (a connector sends some again after a restart) are waited for no more: the warehouse knows them.
///
/// What never becomes complete is cut: handed on as it is, and told by `add` and `takeSettled`. That happens where
/// more than `bytes_max` are held, and where nothing of a transaction came for `stall_max` that would let it go on.
///
/// Pure: time is passed in, as a duration since any moment. What can't be told:
/// - Whether a table belongs to what is read, where its topic isn't called after it and no event of it was seen yet.
/// - Whether events that an END counts were left out later, by a transformation that filters: such transactions are cut.
package struct TransactionHold {
    package struct Limits: Sendable {
        /// What a transaction can be at most, keys and values together, and stay whole; by `RecordBatch.Record.weight_bytes`.
        package var bytes_max = 64 << 20
        package var stall_max = Duration.seconds(10)
        /// Transactions known to be through.
        package var remembered_max = 100_000

        package init() {}
    }

    /// Records in a row that go on together.
    private struct Run {
        /// Nil: goes with what precedes it.
        var transaction: TransactionID?
        var records: Int
        var bytes: Int
        static let looseRecords_max = 256
    }

    private struct Lane {
        let partition: TopicPartition
        var runs: [Run] = []
        var first = 0
        var bytes = 0
        var isEmpty: Bool { first == runs.count }
    }

    private struct Open {
        var orders = OrderSet()
        var counts: [EventID: Int64] = [:]
        var end: (events: Int64, collections: [CollectionCount])?
        /// Of its END among all ENDs.
        var place = Int.max
        var records = 0
        var bytes = 0
        var cameLast: Duration
        /// When its first record came, and when it was cut, in records.
        var born: Int
        var cutAt: Int?
        var isComplete = false
        // While a release is being found.
        var isChosen = false
        var reached = 0
    }

    private struct Stream {
        /// In the order of their ENDs.
        var queue: [TransactionID] = []
        var first = 0
        var cuts: [TransactionID] = []
        /// ENDs from here on came after the last event without a transaction.
        var loosePlace = 0
        var progressed = Duration.zero
        var hasEnds = false
        var cutCount = 0
        /// No END ever came: nothing is waited for, until one does.
        var isGivenUp: Bool { !hasEnds && cutCount >= Self.cuts_max }
        /// Cut transactions of which it is remembered that they aren't over.
        static let cuts_max = 1000
    }

    private let limits: Limits
    private var lanes: [Lane] = []
    private var laneOf: [TopicPartition: Int] = [:]
    private var streams: [Stream] = []
    private var open: [TransactionID: Open] = [:]
    private var seen: Set<EventID> = []
    /// Through; true: as a whole.
    private var through: [TransactionID: Bool] = [:]
    private var throughInOrder: [TransactionID] = []
    private var throughFirst = 0
    private var ends = 0
    private var records = 0
    private var nextCheck = Duration.zero
    private var isChanged = false
    /// Too much is held to read partitions on that are ahead of others; nil: and not reading them didn't help.
    private var pauses: Bool? = false
    private var settled: Set<Int32> = []

    /// Of what is held.
    package private(set) var bytes = 0
    /// Transactions that were cut since the beginning.
    package private(set) var cutCount = 0

    package init(_ limits: Limits = Limits()) { self.limits = limits }

    package var isEmpty: Bool { lanes.allSatisfy(\.isEmpty) }

    package mutating func lane(of partition: TopicPartition) -> Int {
        if let lane = laneOf[partition] { return lane }
        lanes.append(Lane(partition: partition))
        laneOf[partition] = lanes.count - 1
        return lanes.count - 1
    }

    package func partition(of lane: Int) -> TopicPartition { lanes[lane].partition }

    // MARK: Taking in

    /// Takes in the partition's next record. True: handed on, it can show a part of something.
    package mutating func add(_ mark: TransactionMark, to lane: Int, bytes: Int, at now: Duration) -> Bool {
        records += 1
        isChanged = true
        switch mark {
        case .none:
            append(nil, to: lane, bytes)
            return false
        case .loose(let stream):
            append(nil, to: lane, bytes)
            if let stream {
                reach(stream)
                streams[Int(stream)].loosePlace = ends
            }
            return true
        case .change(let id, let order, let collection):
            let isNew = seen.insert(collection).inserted
            reach(id.stream)
            // It wasn't counted when its transaction went through, or there is nothing to count.
            if isNew && through[id] != nil || streams[Int(id.stream)].isGivenUp {
                append(nil, to: lane, bytes)
                streams[Int(id.stream)].loosePlace = ends
                return true
            }
            return add(id, to: lane, bytes, at: now) { transaction in
                if transaction.orders.insert(order) { transaction.counts[collection, default: 0] += 1 }
            }
        case .begin(let id): return add(id, to: lane, bytes, at: now) { _ in }
        case .end(let id, let events, let collections):
            let isFirst = through[id] == nil && open[id]?.end == nil
            let place = ends
            reach(id.stream)
            streams[Int(id.stream)].hasEnds = true
            if isFirst {
                ends += 1
                streams[Int(id.stream)].queue.append(id)
            }
            return add(id, to: lane, bytes, at: now) { transaction in
                guard isFirst else { return }
                transaction.end = (events, collections)
                transaction.place = place
            }
        }
    }

    private mutating func add(
        _ id: TransactionID, to lane: Int, _ bytes: Int, at now: Duration, _ change: (inout Open) -> Void
    ) -> Bool {
        if let isWhole = through[id] {
            append(nil, to: lane, bytes)
            return !isWhole
        }
        reach(id.stream)
        if open.isEmpty { streams[Int(id.stream)].progressed = now }
        var transaction = open.removeValue(forKey: id) ?? Open(cameLast: now, born: records)
        change(&transaction)
        transaction.cameLast = now
        let isCut = transaction.cutAt != nil
        if !isCut {
            transaction.records += 1
            transaction.bytes += bytes
        }
        let wasComplete = transaction.isComplete
        if !wasComplete { transaction.isComplete = isComplete(transaction) }
        open[id] = transaction
        append(isCut ? nil : id, to: lane, bytes)
        let stream = streams[Int(id.stream)]
        if stream.first == stream.queue.count || stream.queue[stream.first] == id {
            streams[Int(id.stream)].progressed = now
        }
        if transaction.isComplete, !wasComplete { settle(id, transaction, at: now) }
        return isCut
    }

    private func isComplete(_ transaction: Open) -> Bool {
        guard let end = transaction.end else { return false }
        if transaction.orders.count >= end.events { return true }
        return !end.collections.isEmpty
            && end.collections.allSatisfy { table in
                transaction.counts[table.collection, default: 0] >= table.events
                    || !table.isRead && !seen.contains(table.collection)
            }
    }

    private mutating func append(_ id: TransactionID?, to lane: Int, _ bytes: Int) {
        self.bytes += bytes
        lanes[lane].bytes += bytes
        let last = lanes[lane].runs.count - 1
        if !lanes[lane].isEmpty, lanes[lane].runs[last].transaction == id,
            id != nil || lanes[lane].runs[last].records < Run.looseRecords_max
        {
            lanes[lane].runs[last].records += 1
            lanes[lane].runs[last].bytes += bytes
        } else {
            lanes[lane].runs.append(Run(transaction: id, records: 1, bytes: bytes))
        }
    }

    private mutating func reach(_ stream: Int32) {
        while streams.count <= Int(stream) { streams.append(Stream()) }
    }

    // MARK: What is over

    /// Connectors of which, since something was cut or came without a transaction, all of that is over, and a later
    /// transaction is complete.
    package mutating func takeSettled() -> Set<Int32> {
        defer { settled.removeAll() }
        return settled
    }

    private mutating func settle(_ id: TransactionID, _ transaction: Open, at now: Duration) {
        let stream = Int(id.stream)
        if transaction.cutAt != nil {
            streams[stream].cuts.removeAll { $0 == id }
            finish(id, isWhole: true)
        }
        // A connector sends one transaction after the other: what ended before this one gets nothing more that isn't on
        // its way; what never ended gets nothing more if this one began later, and it was silent for long.
        let over = streams[stream].cuts.filter { cut in
            guard let other = open[cut] else { return true }
            if other.end != nil { return transaction.place > other.place }
            return transaction.born > other.cutAt ?? .max && now - other.cameLast >= limits.stall_max
        }
        for cut in over { finish(cut, isWhole: false) }
        streams[stream].cuts.removeAll { over.contains($0) }
        if streams[stream].cuts.isEmpty, transaction.place >= streams[stream].loosePlace { settled.insert(id.stream) }
    }

    private mutating func finish(_ id: TransactionID, isWhole: Bool) {
        open[id] = nil
        guard through.updateValue(isWhole, forKey: id) == nil else { return }
        throughInOrder.append(id)
        if throughInOrder.count - throughFirst > limits.remembered_max {
            through[throughInOrder[throughFirst]] = nil
            throughFirst += 1
        }
        if throughFirst > 4096, throughFirst > throughInOrder.count / 2 {
            throughInOrder.removeFirst(throughFirst)
            throughFirst = 0
        }
    }

    // MARK: Bounds

    /// Cuts what passed a bound; the connectors whose transactions it cut. To be asked when nothing can be released.
    package mutating func cut(at now: Duration) -> Set<Int32> {
        let isFull = bytes > limits.bytes_max
        guard isFull || now >= nextCheck else { return [] }
        nextCheck = now + limits.stall_max / 20
        var cut: Set<Int32> = []
        for (id, transaction) in open where transaction.cutAt == nil && !transaction.isComplete {
            if !isFull {
                // In its turn, or without an END that would give it one.
                let isStalled =
                    transaction.end == nil || now - streams[Int(id.stream)].progressed >= limits.stall_max
                guard isStalled, now - transaction.cameLast >= limits.stall_max else { continue }
            }
            open[id]?.cutAt = records
            let stream = Int(id.stream)
            streams[stream].cuts.append(id)
            streams[stream].cutCount += 1
            if streams[stream].cuts.count > Stream.cuts_max {
                finish(streams[stream].cuts.removeFirst(), isWhole: false)
            }
            cut.insert(id.stream)
            cutCount += 1
        }
        for stream in cut { streams[Int(stream)].progressed = now }
        if !cut.isEmpty { isChanged = true }
        return cut
    }

    /// Lanes that are better not read on for now: much is held, and of the transaction that each waits for it has given
    /// all, since it holds a later one. So where one topic is far ahead of another (after an outage, say) the other is
    /// read first, and the bound isn't met.
    package mutating func ahead() -> Set<Int> {
        if bytes > limits.bytes_max / 2, pauses == false { pauses = true }
        if bytes < limits.bytes_max / 4 { pauses = false }
        guard pauses == true else { return [] }
        let least = limits.bytes_max / (4 * max(lanes.count, 1))
        return Set(lanes.indices.filter { lanes[$0].bytes >= least && isAhead($0) })
    }

    /// Nothing came while lanes weren't read on: no other has what they wait for.
    package mutating func readAll() {
        if pauses == true { pauses = nil }
    }

    private func isAhead(_ lane: Int) -> Bool {
        let runs = lanes[lane].runs[lanes[lane].first...]
        func isWaiting(_ run: Run) -> Bool { run.transaction.flatMap { open[$0] }.map { $0.cutAt == nil } ?? false }
        guard let first = runs.first(where: isWaiting), let last = runs.last(where: isWaiting) else { return false }
        return first.transaction != last.transaction
    }

    /// Lets all go as it is: some partitions are read by others.
    package mutating func letGo() {
        open.removeAll()
        for lane in lanes.indices {
            for run in lanes[lane].runs.indices { lanes[lane].runs[run].transaction = nil }
        }
        streams = streams.map { _ in Stream() }
        settled.removeAll()
        isChanged = true
    }

    /// Forgets what is held of partitions that others read from now on; `letGo` comes with it.
    package mutating func drop(_ partitions: [TopicPartition]) {
        for partition in partitions {
            guard let lane = laneOf[partition] else { continue }
            bytes -= lanes[lane].bytes
            lanes[lane] = Lane(partition: partition)
        }
    }

    // MARK: Letting out

    /// How many records of each lane go on now: whole transactions, as many as fit, and at least one if one is ready.
    package mutating func release(
        records_max: Int, bytes_max: Int, at now: Duration
    ) -> [(lane: Int, records: Int)] {
        guard isChanged else { return [] }
        var chosen = choose(records_max, bytes_max)
        var reached = reach(&chosen)
        if chosen.isEmpty {
            // What fits may stand behind something that doesn't.
            chosen = choose(.max, .max)
            reached = reach(&chosen)
        }
        extend(&reached, records_max, bytes_max)
        var taken: [(lane: Int, records: Int)] = []
        for lane in lanes.indices where reached[lane] > lanes[lane].first {
            taken.append(take(lane, to: reached[lane]))
        }
        for id in chosen {
            guard let transaction = open[id] else { continue }
            finish(id, isWhole: true)
            settle(id, transaction, at: now)
            streams[Int(id.stream)].progressed = now
        }
        isChanged = !taken.isEmpty
        return taken
    }

    /// Complete transactions in the order of their ENDs, none behind one of its connector that isn't.
    private mutating func choose(_ records_max: Int, _ bytes_max: Int) -> [TransactionID] {
        var next = streams.indices.map { stream in
            while streams[stream].first < streams[stream].queue.count {
                let transaction = open[streams[stream].queue[streams[stream].first]]
                if let transaction, transaction.cutAt == nil { break }
                streams[stream].first += 1
            }
            if streams[stream].first > 1024, streams[stream].first > streams[stream].queue.count / 2 {
                streams[stream].queue.removeFirst(streams[stream].first)
                streams[stream].first = 0
            }
            return streams[stream].first
        }
        var chosen: [TransactionID] = []
        var (records, bytes) = (0, 0)
        while true {
            var best: (place: Int, stream: Int, id: TransactionID)?
            for stream in streams.indices {
                while next[stream] < streams[stream].queue.count {
                    let id = streams[stream].queue[next[stream]]
                    guard let transaction = open[id], transaction.cutAt == nil else {
                        next[stream] += 1
                        continue
                    }
                    if transaction.isComplete, transaction.place < best?.place ?? .max {
                        best = (transaction.place, stream, id)
                    }
                    break
                }
            }
            guard let best, let transaction = open[best.id] else { return chosen }
            records += transaction.records
            bytes += transaction.bytes
            if !chosen.isEmpty, records > records_max || bytes > bytes_max { return chosen }
            chosen.append(best.id)
            next[best.stream] += 1
        }
    }

    /// How far each lane has to go for these, which lose what stands behind something else.
    private mutating func reach(_ chosen: inout [TransactionID]) -> [Int] {
        while !chosen.isEmpty {
            var left = 0
            for id in chosen {
                open[id]?.isChosen = true
                open[id]?.reached = 0
                left += open[id]?.records ?? 0
            }
            var reached = lanes.map(\.first)
            for lane in lanes.indices {
                walk: for index in lanes[lane].first..<lanes[lane].runs.count where left > 0 {
                    let run = lanes[lane].runs[index]
                    guard let id = run.transaction, let transaction = open[id], transaction.cutAt == nil else {
                        continue
                    }
                    guard transaction.isChosen else { break walk }
                    open[id]?.reached += run.records
                    left -= run.records
                    reached[lane] = index + 1
                }
            }
            for id in chosen { open[id]?.isChosen = false }
            if left == 0 { return reached }
            var blocked: [Int32: Int] = [:]
            for id in chosen {
                guard let transaction = open[id], transaction.reached != transaction.records else { continue }
                blocked[id.stream] = min(blocked[id.stream] ?? .max, transaction.place)
            }
            chosen.removeAll { id in (open[id]?.place ?? 0) >= blocked[id.stream] ?? .max }
        }
        return lanes.map(\.first)
    }

    /// Further runs that wait for nothing, as far as there is room for them.
    private func extend(_ reached: inout [Int], _ records_max: Int, _ bytes_max: Int) {
        var (records, bytes) = (0, 0)
        for lane in lanes.indices {
            for run in lanes[lane].runs[lanes[lane].first..<reached[lane]] {
                records += run.records
                bytes += run.bytes
            }
        }
        for lane in lanes.indices {
            while reached[lane] < lanes[lane].runs.count {
                let run = lanes[lane].runs[reached[lane]]
                if let id = run.transaction, let transaction = open[id], transaction.cutAt == nil { break }
                records += run.records
                bytes += run.bytes
                if records > run.records, records > records_max || bytes > bytes_max { return }
                reached[lane] += 1
            }
        }
    }

    private mutating func take(_ lane: Int, to end: Int) -> (lane: Int, records: Int) {
        var count = 0
        for run in lanes[lane].runs[lanes[lane].first..<end] {
            count += run.records
            bytes -= run.bytes
            lanes[lane].bytes -= run.bytes
        }
        lanes[lane].first = end
        if lanes[lane].isEmpty {
            lanes[lane].runs.removeAll(keepingCapacity: true)
            lanes[lane].first = 0
        } else if end > 1024, end > lanes[lane].runs.count / 2 {
            lanes[lane].runs.removeFirst(end)
            lanes[lane].first = 0
        }
        return (lane, count)
    }
}
