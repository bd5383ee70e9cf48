import Replication
import Testing

@Suite("A query over tables as they were") struct AsOfQueryTests {
    private static let layout = WarehouseLayout(pipeline: "shop")

    private static func table(_ target: String, isFiltered: Bool = false) -> TableDefinition {
        TableDefinition(
            source: TableID(schema: "public", table: target), target: target,
            columns: [Column(name: "id", type: .bigint, isKey: true)], key: [0], isFiltered: isFiltered)
    }

    private static let known = ["orders", "Lines", "order items", "order"].map { table($0) }

    private static func query(
        _ sql: String, hasRaw: Bool = true, known: [TableDefinition] = known
    ) throws -> AsOfQuery {
        var layout = layout
        layout.hasRaw = hasRaw
        return try AsOfQuery(
            sql, at: .position(100), known: known, isDirect: true, refusal: AsOfRefusal(layout) { "\($0)" })
    }

    @Test(
        "names the tables that it reads",
        arguments: [
            ("select * from orders", ["orders"]),
            ("SELECT * FROM ORDERS o JOIN \"Lines\" l ON true;", ["Lines", "orders"]),
            ("with x as (select 1 from orders) select * from x", ["orders"]), ("from 'orders'", ["orders"]),
            ("select 'Lines' from orders -- \"Lines\"", ["orders"]),
            ("select /* Lines /* */ */ 1 from orders", ["orders"]),
            ("select $$Lines$$, $a$ lines $$ $a$, E'\\'lines' from \"order items\"", ["order items"]),
            ("select orders.id, 1e5lines from orders where x = 'it''s lines'", ["orders"]),
            ("(table orders)", ["orders"]),
            ("select 1 from orders order by 1", ["orders"]), ("select 1 from \"order\" order by 1", ["order"]),
            ("select 1 from orders where a in ('b', 'lines')", ["Lines", "orders"]),
            ("select a$lines from orders", ["orders"]),
        ]) func names(sql: String, tables: [String]) throws
    {
        #expect(try Self.query(sql).tables.map(\.target).sorted() == tables.sorted())
    }

    @Test(
        "refuses what would read the tables of now, or is no query",
        arguments: [
            "select * from shop.orders", "select * from Shop_LIVE.Orders", "select * from \"shop_raw\" . \"orders\"",
            "select * from orders, shop_history.orders", "select * from db.shop.orders",
            "select * from shop/**/.orders",
            "select query_to_xml('select * from shop_live.orders') from orders",
            "select query_to_xml('select * from shop_live'\n'.orders') from orders",
            "select * from U&\"order\\0073\", orders",
            "select 1 from other", "select 1", "", "-- only", "insert into orders values (1)",
            "explain select 1 from orders",
            "select 1 from orders; select 2 from orders", "delete from orders", "copy orders to 'x'",
        ]) func refuses(sql: String) throws
    {
        do {
            _ = try Self.query(sql)
            Issue.record("\(sql) is accepted")
        } catch let error as ReplicationError {
            #expect(error.kind == .configuration && error.remedy != nil)
        }
    }

    @Test("leaves alone what only looks like the tables of now")
    func accepts() throws {
        for sql in [
            "select shop.id from orders shop", "select 'shop.example' from orders", "select 1 from other.orders",
            "select ';' from orders ; -- end;", "select \"a;b\" from orders",
        ] {
            #expect(throws: Never.self) { try Self.query(sql) }
        }
    }

    @Test("needs raw") func raw() {
        #expect(throws: ReplicationError.self) { try Self.query("select 1 from orders", hasRaw: false) }
    }

    @Test("stands behind the tables' past, whatever it begins and ends with")
    func statement() throws {
        let past = [(name: "\"orders\"", query: "P")]
        #expect(
            try Self.query("select 1 from orders order by 1; -- x").statement(past)
                == "WITH \"orders\" AS (\nP\n)\nselect 1 from orders order by 1  -- x\n")
        #expect(
            try Self.query("with a as (select 1 from orders) select 2 from a").statement(past)
                == "WITH \"orders\" AS (\nP\n)\nSELECT * FROM (\nwith a as (select 1 from orders) select 2 from a\n) AS q"
        )
    }

    @Test("is refused where a table's past isn't known")
    func past() throws {
        let refusal = AsOfRefusal(Self.layout) { "\($0)" }
        let orders = Self.known[0]
        func check(_ past: TablePast, _ moment: AsOf, isDirect: Bool = true, _ table: TableDefinition = orders) -> Bool?
        {
            try? refusal.check(table, past, at: moment, isDirect: isDirect)
        }
        let copied = TablePast(snapshot: 100, copiedAt_us: 7)
        #expect(check(copied, .position(100)) == false)
        #expect(check(copied, .position(99)) == nil)
        #expect(check(copied, .time(7)) == false)
        #expect(check(copied, .time(6)) == nil)
        #expect(check(TablePast(), .position(1)) == true, "raw is asked")
        #expect(check(copied, .time(6), isDirect: false) == true)
        #expect(check(TablePast(snapshot: 1, isBeingCopied: true), .position(5)) == nil)
        #expect(check(TablePast(snapshot: 1, rawFrom_us: 1), .position(5)) == nil)
        #expect(check(copied, .position(100), Self.table("orders", isFiltered: true)) == nil)
    }
}
