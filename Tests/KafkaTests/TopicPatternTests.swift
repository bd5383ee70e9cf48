import Testing

@testable import Kafka

@Suite struct TopicPatternTests {
    @Test(arguments: [
        ("shop.public.orders", "shop.public.orders"),
        ("shop.public.*", #"^shop\.public\..*$"#),
        ("shop-?.public_v1.*", #"^shop-.\.public_v1\..*$"#),
        ("*", "^.*$"),
    ])
    func subscription(pattern: String, expected: String) throws {
        #expect(try TopicPattern(pattern).subscription == expected)
    }

    @Test(arguments: [
        ("shop.public.*", "shop.public.orders", true),
        ("shop.public.*", "shopXpublic.orders", false),
        ("shop.public.*", "shop.public.", true),
        ("shop.public.*", "my.shop.public.orders", false),
        ("*.orders", "shop.public.orders", true),
        ("*.orders", "shop.public.orders2", false),
        ("a*b*c", "abbbcbc", true),
        ("a*b*c", "abbbcb", false),
        ("a?c", "abc", true),
        ("a?c", "ac", false),
        ("*", "anything", true),
        ("shop.public.orders", "shop.public.orders", true),
        ("shop.public.orders", "shopXpublic.orders", false),
    ])
    func matches(pattern: String, topic: String, expected: Bool) throws {
        #expect(try TopicPattern(pattern).matches(topic) == expected)
    }

    @Test(arguments: ["", "^shop", "a b", "shop/orders", "a|b", String(repeating: "x", count: 250)])
    func impossibleNames(pattern: String) {
        #expect(throws: KafkaError.self) { try TopicPattern(pattern) }
    }
}
