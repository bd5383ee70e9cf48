/// A topic's name, or a glob over names (`*` any characters, `?` one), as `source.kafka.topics` lists them.
package struct TopicPattern: Sendable, Hashable, CustomStringConvertible {
    package let pattern: String

    /// Throws where no topic could have the name: letters, digits, `.`, `_`, `-`, at most 249 of them.
    package init(_ pattern: String) throws(KafkaError) {
        let valid = pattern.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"),
                UInt8(ascii: "*"), UInt8(ascii: "?"):
                true
            default: false
            }
        }
        guard valid, !pattern.isEmpty, pattern.utf8.count <= 249 else {
            throw .invalid(
                "\"\(pattern)\" is neither a Kafka topic's name nor a glob over names",
                remedy: "use letters, digits, '.', '_', '-', and '*' or '?' for a glob"
            )
        }
        self.pattern = pattern
    }

    package var isGlob: Bool { pattern.utf8.contains { $0 == UInt8(ascii: "*") || $0 == UInt8(ascii: "?") } }

    /// What librdkafka is subscribed to: a plain name as it is, as it compares such names byte by byte; a
    /// glob as an anchored regular expression, which it knows by the leading `^`.
    package var subscription: String {
        guard isGlob else { return pattern }
        var regex = "^"
        for character in pattern {
            switch character {
            case "*": regex += ".*"
            case "?": regex += "."
            case ".": regex += "\\."
            default: regex.append(character)
            }
        }
        return regex + "$"
    }

    /// Whether the pattern chooses `topic`, by the same rules as the subscription.
    package func matches(_ topic: String) -> Bool {
        let glob = Array(pattern.utf8), name = Array(topic.utf8)
        var g = 0, n = 0
        // Where to go on from when what follows the last star fits nowhere so far.
        var star: (glob: Int, name: Int)?
        while n < name.count {
            if g < glob.count, glob[g] == UInt8(ascii: "*") {
                star = (g + 1, n)
                g += 1
            } else if g < glob.count, glob[g] == UInt8(ascii: "?") || glob[g] == name[n] {
                g += 1
                n += 1
            } else if let last = star {
                star = (last.glob, last.name + 1)
                g = last.glob
                n = last.name + 1
            } else {
                return false
            }
        }
        return glob[g...].allSatisfy { $0 == UInt8(ascii: "*") }
    }

    package var description: String { pattern }
}
