/// How large a source's batches are at most, in bytes, by what the warehouse does best with; `batch.max_bytes` lowers it.
/// One is written, one read and decoded meanwhile, each in several times its size: the agent's memory follows.
struct BatchBytes: Sendable {
    /// Of copied rows; a piece of each worker is in hand, too.
    var copy: Int
    /// Of whole transactions of a stream: while one is written the next is not only read but decoded.
    var stream: Int
    var kafka: Int
    /// What Kafka's client fetches ahead: what comes while a batch is written makes the next.
    var ahead: Int
    /// While a batch is written, one of Kafka's waits for more: it is decoded later, and spares a commit.
    var gathers = false

    static let forPostgres = BatchBytes(copy: 3 << 20, stream: 2 << 20, kafka: 8 << 20, ahead: 4 << 20)
    /// It writes a batch's rows as row groups of their own, which should be full ones (122,880 rows).
    static let forDuckDB = BatchBytes(copy: 16 << 20, stream: 8 << 20, kafka: 8 << 20, ahead: 4 << 20, gathers: true)
}
