/// Texts of the page. What comes from outside goes through `escaped`.
enum PageText {
    static func escaped(_ text: String) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case "'": escaped += "&#39;"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }

    /// `1,234,567`.
    static func count(_ number: Int) -> String {
        let digits = Array(String(number.magnitude))
        var text = number < 0 ? "-" : ""
        for (place, digit) in digits.enumerated() {
            if place > 0, (digits.count - place) % 3 == 0 { text += "," }
            text.append(digit)
        }
        return text
    }

    /// `1 table`, `2 tables`.
    static func count(_ number: Int, _ what: String) -> String { "\(count(number)) \(what)\(number == 1 ? "" : "s")" }

    /// `120 ms`, `4.2 s`, `7 min`, `3 h`.
    static func span(ms: Int64) -> String {
        switch ms {
        case ..<1000: "\(max(0, ms)) ms"
        case ..<120_000: "\(ms / 1000).\(ms % 1000 / 100) s"
        case ..<7_200_000: "\(ms / 60_000) min"
        default: "\(ms / 3_600_000) h"
        }
    }

    static func rate(_ perSecond: Double) -> String {
        perSecond >= 10 || perSecond == 0
            ? "\(count(Int(perSecond.rounded()))) events/s"
            : "\(Int(perSecond)).\(Int(perSecond * 10) % 10) events/s"
    }
}
