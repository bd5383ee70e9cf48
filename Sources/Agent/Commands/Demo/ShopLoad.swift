import Foundation
import JSON
import Postgres
import SerialQueue
import Synchronization

/// The demo's source: a shop's three tables, and writers that work on them. Whatever commits, the total of each order is
/// the sum of its lines.
final class ShopLoad: Sendable {
    static let tables = ["public.customers", "public.orders", "public.order_lines"]
    static let writers = 4
    static let customers = 1000
    static let orders: Int64 = 10_000

    struct Counts: Sendable {
        var transactions = 0
        var byKind: [ShopWriter.Deed: Int] = [:]
    }

    private let url: String
    private let isStopping = Mutex(false)
    private let counted = Mutex(Counts())

    init(url: String) { self.url = url }

    var counts: Counts { counted.withLock { $0 } }

    /// Makes the tables and fills them.
    func prepare() async throws {
        let writer = try await ShopWriter(url: url, number: 0)
        try await writer.run(Self.schema)
        await writer.close()
    }

    /// Works until `stop`.
    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<Self.writers {
                group.addTask { [self] in
                    let writer = try await ShopWriter(url: url, number: number)
                    do {
                        try await writer.work(until: { self.isStopping.withLock { $0 } }) { deed in
                            self.counted.withLock {
                                $0.transactions += 1
                                $0.byKind[deed, default: 0] += 1
                            }
                        }
                        await writer.close()
                    } catch {
                        // The others needn't go on.
                        self.stop()
                        await writer.close()
                        throw error
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    func stop() { isStopping.withLock { $0 = true } }

    /// The rows as they are now.
    func rows() async throws -> ExpectedTables {
        let reader = try await ShopWriter(url: url, number: 0)
        let members = Self.tables.map { "'\($0)', (SELECT coalesce(json_agg(row_to_json(t)), '[]') FROM \($0) t)" }
        let json = try await reader.scalar("SELECT json_build_object(\(members.joined(separator: ", ")))")
        await reader.close()
        return try ExpectedTables(json: json)
    }

    /// Orders whose total isn't that of their lines, in the warehouse's live views.
    static func tornOrders(_ live: String) -> String {
        """
        SELECT count(*) FROM \(live).orders o FULL JOIN \
        (SELECT order_id, sum(qty * price) AS total FROM \(live).order_lines GROUP BY order_id) l ON l.order_id = o.id \
        WHERE o.total IS DISTINCT FROM l.total
        """
    }

    private static let schema = """
        CREATE TABLE customers (
            id int PRIMARY KEY, name text NOT NULL, city text, balance numeric(12,2) NOT NULL DEFAULT 0, letter text);
        ALTER TABLE customers ALTER letter SET STORAGE EXTERNAL;
        CREATE TABLE orders (
            id bigint PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, status text NOT NULL DEFAULT 'new',
            total numeric(12,2) NOT NULL, placed_at timestamptz NOT NULL DEFAULT clock_timestamp());
        CREATE TABLE order_lines (
            order_id bigint REFERENCES orders ON UPDATE CASCADE ON DELETE CASCADE, line int, sku text NOT NULL,
            qty int NOT NULL, price numeric(10,2) NOT NULL, PRIMARY KEY (order_id, line));
        INSERT INTO customers SELECT i, 'customer ' || i, 'city ' || i % 37, 0, \
        CASE WHEN i % 5 = 0 THEN repeat(md5(i::text), 100) END FROM generate_series(1, \(customers)) i;
        INSERT INTO orders SELECT i, 1 + i % \(customers), 'new', 0, now() FROM generate_series(1, \(orders)) i;
        INSERT INTO order_lines SELECT i, line, 'sku-' || (i + line) % 500, 1 + (i + line) % 4, ((i * line) % 9900 + 100) / 100.0 \
        FROM generate_series(1, \(orders)) i, generate_series(1, 1 + i % 4) line;
        UPDATE orders o SET total = (SELECT sum(qty * price) FROM order_lines l WHERE l.order_id = o.id);
        """
}

/// One writer, on a connection and a thread of its own. Each has orders of its own, told by the remainder of their
/// number; customers are everybody's.
actor ShopWriter {
    enum Deed: String, CaseIterable, Sendable {
        case placed, paid, amended, renumbered, cancelled, moved = "customers moved", repriced = "price lists", undone
    }

    private let executor = SerialQueueExecutor(label: "shop-writer")
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    private let session: Session
    private let number: Int64
    private var orders: [Int64]
    private var next: Int64

    init(url: String, number: Int) async throws {
        self.number = Int64(number)
        let writers = Int64(ShopLoad.writers)
        orders = (1...ShopLoad.orders).filter { $0 % writers == Int64(number) }
        next = ShopLoad.orders / writers + 1
        session = try Session(url: url)
        try session.execute("SET search_path = public", for: "work at the demo's source")
    }

    func close() { session.close() }
    func run(_ sql: String) throws { try session.execute(sql, for: "work at the demo's source") }
    func scalar(_ sql: String) throws -> String { try session.scalar(sql, for: "read the demo's source") ?? "" }

    func work(until isStopping: () -> Bool, _ committed: (Deed) -> Void) throws {
        var done = 0
        while !isStopping() {
            let deed = choose(done)
            do {
                try run("BEGIN; \(sql(deed)) \(deed == .undone ? "ROLLBACK" : "COMMIT")")
                committed(deed)
                done += 1
            } catch let error as PostgresError where error.kind == .passing && session.isUsable {
                // A deadlock: as any application, again.
                session.rollback()
            }
            // People think, and the two cores are the agent's, too.
            usleep(5000)
        }
    }

    private func choose(_ done: Int) -> Deed {
        if done % 300 == 150 { return .repriced }
        return switch Int.random(in: 0..<100) {
        case 0..<30: .placed
        case 30..<55: .paid
        case 55..<75: .amended
        case 75..<82: .renumbered
        case 82..<90: .cancelled
        case 90..<96: .moved
        default: .undone
        }
    }

    private func newNumber() -> Int64 {
        next += 1
        return next * Int64(ShopLoad.writers) + number
    }

    /// The statements of a transaction; what becomes of the orders is noted.
    private func sql(_ deed: Deed) -> String {
        let customer = Int.random(in: 1...ShopLoad.customers)
        guard let place = orders.indices.randomElement() else { return "" }
        let order = orders[place]
        func total(_ order: Int64) -> String {
            "UPDATE orders SET total = (SELECT sum(qty * price) FROM order_lines WHERE order_id = \(order)) WHERE id = \(order);"
        }
        switch deed {
        case .placed:
            let made = newNumber()
            orders.append(made)
            return """
                INSERT INTO orders (id, customer_id, total) VALUES (\(made), \(customer), 0); \
                INSERT INTO order_lines SELECT \(made), i, 'sku-' || i * 7, i, 1 + random() * 99 \
                FROM generate_series(1, \(Int.random(in: 1...6))) i; \(total(made))
                """
        case .paid:
            return """
                UPDATE orders SET status = 'paid' WHERE id = \(order); \
                UPDATE customers SET balance = balance + (SELECT total FROM orders WHERE id = \(order)) WHERE id = \(customer);
                """
        case .amended:
            return """
                DELETE FROM order_lines WHERE order_id = \(order) AND line > 2; \
                UPDATE order_lines SET qty = qty + 1 WHERE order_id = \(order); \
                INSERT INTO order_lines VALUES (\(order), 3, 'gift', 1, 0.01); \(total(order))
                """
        case .renumbered:
            // The key changes, and those of the lines with it.
            orders[place] = newNumber()
            return "UPDATE orders SET id = \(orders[place]) WHERE id = \(order);"
        case .cancelled:
            orders.swapAt(place, orders.count - 1)
            orders.removeLast()
            return "DELETE FROM orders WHERE id = \(order);"
        case .moved: return "UPDATE customers SET city = 'city \(customer % 41)' WHERE id = \(customer);"
        case .repriced:
            let mine = "% \(ShopLoad.writers) = \(number)"
            return """
                UPDATE order_lines SET price = price + 0.01 WHERE order_id \(mine); \
                UPDATE orders o SET total = (SELECT sum(qty * price) FROM order_lines l WHERE l.order_id = o.id) \
                WHERE id \(mine);
                """
        case .undone: return "DELETE FROM orders WHERE id = \(order);"
        }
    }
}
