extension PipelineDecoder {
    /// Nil: nothing is promised of the table.
    func freshness(_ table: Section) -> Pipeline.Freshness? {
        guard let section = table.section("freshness", keys: Keys.freshness) else { return nil }
        let alert = channel(section)
        guard section.node("max_staleness") != nil else {
            if section.node("alert") != nil {
                section.fail("alert", "how stale the table may be isn't said", try: "max_staleness: 15m")
            }
            return nil
        }
        let range = Duration.seconds(1)...Duration.seconds(366 * 86_400)
        guard let max = section.duration("max_staleness", in: range, example: "15m") else { return nil }
        return Pipeline.Freshness(maxStaleness: max, alert: alert)
    }

    /// It goes out with alerts, in JSON and on a line of a log.
    private func channel(_ section: Section) -> String? {
        guard let value = section.text("alert") else { return nil }
        let isPrintable = value.text.unicodeScalars.allSatisfy { $0.value >= 0x20 && !(0x7F...0x9F).contains($0.value) }
        guard isPrintable, value.text.utf8.count <= 200 else {
            section.fail(
                "alert", "this is no channel's name: 200 bytes at most, on one line", try: "alert: \"#data-alerts\"")
            return nil
        }
        return value.text
    }
}
