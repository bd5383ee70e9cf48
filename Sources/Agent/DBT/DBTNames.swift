import Foundation
import Replication

/// Names in a dbt project: they go through Jinja, YAML and SQL of macros that quote nothing, so they are made of letters,
/// digits and `_` alone, in small letters.
enum DBTNames {
    /// What Postgres keeps of a name, in bytes of UTF-8.
    static let bytes_max = 63

    /// `OrderID` and `Order Id` are `order_id`; a name that is plain already stays as it is.
    static func plain(_ name: String, or substitute: String) -> String {
        if isPlain(name) { return name }
        let characters = Array(name.precomposedStringWithCanonicalMapping)
        var text = ""
        for (index, character) in characters.enumerated() {
            // A letter may have a sign of another kind behind it that is one Character with it.
            let isPlain = character.unicodeScalars.allSatisfy { scalar in
                scalar.properties.isAlphabetic || scalar.properties.numericType != nil || scalar == "_"
                    || scalar.properties.generalCategory == .nonspacingMark
            }
            guard isPlain, character.isLetter || character.isNumber || character == "_" else {
                if !text.isEmpty, text.last != "_" { text.append("_") }
                continue
            }
            if character.isUppercase, index > 0 {
                let before = characters[index - 1]
                let isNextSmall = index + 1 < characters.count && characters[index + 1].isLowercase
                if before.isLowercase || before.isNumber || before.isUppercase && isNextSmall { text.append("_") }
            }
            text.append(contentsOf: character.lowercased())
        }
        if let last = characters.last, text.last == "_", last != "_" { text.removeLast() }
        if text.isEmpty { text = substitute }
        return text.first?.isNumber == true ? "_" + text : text
    }

    static func isPlain(_ name: String) -> Bool {
        guard let first = name.utf8.first, first == 0x5F || (0x61...0x7A).contains(first) else { return false }
        return name.utf8.allSatisfy { $0 == 0x5F || (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) }
    }

    /// Ends in a part of its hash where it has more bytes than that.
    static func fitted(_ name: String, _ bytes_max: Int = bytes_max) -> String {
        guard name.utf8.count > bytes_max else { return name }
        var hash = Hash128()
        hash.add(name)
        let digits = String(hash.finish().high, radix: 16)
        var head = name
        while head.utf8.count > bytes_max - 9 { head.removeLast() }
        return head + "_" + String((String(repeating: "0", count: 16) + digits).suffix(8))
    }
}

/// Names of one kind, each of them once, whatever their case. The first that asks for a name gets it: a table's columns are
/// in the order in which they became known, so that a new one changes nothing for those that were there.
struct DBTTakenNames {
    private var taken: Set<String> = []

    mutating func take(_ name: String, _ bytes_max: Int = DBTNames.bytes_max) -> String {
        var free = DBTNames.fitted(name, bytes_max)
        var number = 2
        while !taken.insert(free.lowercased()).inserted {
            let end = "_\(number)"
            free = DBTNames.fitted(name, bytes_max - end.utf8.count) + end
            number += 1
        }
        return free
    }
}
