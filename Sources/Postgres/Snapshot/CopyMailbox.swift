import Replication
import Synchronization

/// What copying workers have read and nobody has taken yet. Bounded: a worker waits, on its own thread, until there is
/// room.
package final class CopyMailbox: Sendable {
    package enum Item: Sendable {
        case piece(CopyPiece)
        /// The table can't be read; the others go on.
        case refused(TableID, ReplicationError)
        case failed(ReplicationError)
    }

    private struct State {
        var items: [Item] = []
        var bytes = 0
        var isClosed = false
    }

    private let state = Mutex(State())
    private let room = Mutex<[Waker]>([])
    private let bytes_max: Int
    private let waker: Waker

    /// - Parameter waker: woken for each item.
    package init(bytes_max: Int, waker: Waker) {
        self.bytes_max = bytes_max
        self.waker = waker
    }

    /// Waits for room; false once closed.
    func put(_ item: Item) -> Bool {
        let size = if case .piece(let piece) = item { piece.records.bytes } else { 0 }
        let mine = Waker()
        while true {
            let (isIn, isClosed) = state.withLock { state -> (Bool, Bool) in
                if state.isClosed { return (false, true) }
                guard state.items.isEmpty || state.bytes + size <= bytes_max else { return (false, false) }
                state.items.append(item)
                state.bytes += size
                return (true, false)
            }
            if isIn {
                waker.wake()
                return true
            }
            if isClosed { return false }
            room.withLock { $0.append(mine) }
            // Taken in between: looked at again at once.
            let hasRoom = state.withLock { $0.items.isEmpty || $0.isClosed }
            if !hasRoom { mine.wait(.seconds(1)) }
            room.withLock { wakers in wakers.removeAll { $0 === mine } }
        }
    }

    package func take() -> Item? {
        let item = state.withLock { state -> Item? in
            guard !state.items.isEmpty else { return nil }
            let item = state.items.removeFirst()
            if case .piece(let piece) = item { state.bytes -= piece.records.bytes }
            return item
        }
        if item != nil { wakeAll() }
        return item
    }

    package var isEmpty: Bool { state.withLock { $0.items.isEmpty } }

    /// Workers that wait give up.
    package func close() {
        state.withLock { state in
            state.isClosed = true
            state.items = []
            state.bytes = 0
        }
        wakeAll()
    }

    private func wakeAll() { for waker in room.withLock({ $0 }) { waker.wake() } }
}

/// Rows of a chunk.
///
/// `@unchecked Sendable`: a record batch has one owner at a time and is handed on whole.
package struct CopyPiece: @unchecked Sendable {
    package var chunk: CopyChunk
    package var records: RecordBatch
    package var rows: Int64
    /// The chunk's last: with it the chunk is done.
    package var isLast: Bool
    /// Rows of the whole chunk, with its last piece.
    package var chunkRows: Int64
    package var snapshot: Int64
}
