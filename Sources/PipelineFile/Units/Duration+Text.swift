extension Duration {
    /// A time as the pipeline file writes it: `500ms`, `10s`, `15m`, `6h`, `30d`; the unit is always
    /// there. nil where the text is none, or more than fits.
    package init?(pipelineText text: some StringProtocol) {
        guard let (number, unit) = splitUnit(text), number <= 1_000_000_000_000 else { return nil }
        switch unit {
        case "ms": self = .milliseconds(number)
        case "s": self = .seconds(number)
        case "m": self = .seconds(number * 60)
        case "h": self = .seconds(number * 3_600)
        case "d": self = .seconds(number * 86_400)
        default: return nil
        }
    }

    /// The same, written: in the largest unit that loses nothing above a millisecond.
    package var pipelineText: String {
        let (seconds, attoseconds) = components
        let milliseconds = attoseconds / 1_000_000_000_000_000
        if milliseconds != 0 { return "\(seconds * 1_000 + milliseconds)ms" }
        if seconds == 0 { return "0ms" }
        for (size, unit) in [(86_400, "d"), (3_600, "h"), (60, "m")] as [(Int64, String)] where seconds % size == 0 {
            return "\(seconds / size)\(unit)"
        }
        return "\(seconds)s"
    }
}
