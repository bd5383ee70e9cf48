import Testing

@testable import Agent

@Suite struct DBTNamesTests {
    @Test(arguments: [
        ("orders", "orders"), ("_a__b", "_a__b"), ("OrderItems", "order_items"), ("orderID", "order_id"),
        ("HTTPServer", "http_server"), ("ORDER_ID", "order_id"), ("order id", "order_id"), ("a\"b", "a_b"),
        ("2nd", "_2nd"), ("{{ x }}", "x"), ("größe", "größe"), ("Größe 2", "größe_2"),
        ("'; drop table x; --", "drop_table_x"),
        ("\"\"", "column"), ("", "column"), ("../../etc/passwd", "etc_passwd"), ("a\0b", "a_b"),
        ("Ünïcode\u{301}", "ünïcodé"),
        ("таблица", "таблица"), ("a\u{202E}b", "a_b"),
    ])
    func plain(name: String, wanted: String) {
        #expect(DBTNames.plain(name, or: "column") == wanted)
    }

    @Test func eachNameOnce() {
        var names = DBTTakenNames()
        #expect(names.take("a") == "a")
        #expect(names.take("A") == "A_2")
        #expect(names.take("a") == "a_3")
        let long = String(repeating: "ß", count: 60)
        let fitted = names.take(long)
        #expect(fitted.utf8.count <= 63 && fitted.hasPrefix("ßß") && fitted != long)
        #expect(names.take(long) == DBTNames.fitted(long, 61) + "_2")
        #expect(DBTNames.fitted(long) == fitted, "it hangs on the name alone")
    }

    @Test(arguments: [
        ("plain } text }} %}", "plain } text }} %}"), ("{{ x }}", "{{ '{' }}{ x }}"), ("{%{#", "{{ '{' }}%{{ '{' }}#"),
        ("{{{", "{{ '{' }}{{ '{' }}{"), ("{", "{"),
    ])
    func jinja(text: String, wanted: String) {
        #expect(DBTText.jinja(text) == wanted)
    }

    @Test func quotes() {
        #expect(DBTText.name("a\"{{b") == "\"a\"\"{{ '{' }}{b\"")
        #expect(DBTText.doubled("a\"b") == "a\"\"b" && DBTText.doubled("") == "")
        // A mark behind the quote makes one character of both.
        #expect(DBTText.doubled("\"\u{301}").utf8.filter { $0 == 0x22 }.count == 2)
    }
}
