extension PipelineDecoder {
    func alerts(_ root: Section) -> [Pipeline.AlertTarget] {
        guard let node = root.node("alerts") else { return [] }
        guard case .list(let items, _) = node else {
            root.fail("alerts", "this must be a list, not \(node.kind)", try: "alerts: [{ webhook: ${ALERT_URL} }]")
            return []
        }
        return items.enumerated().compactMap { index, item in
            Section(item, at: "alerts[\(index)]", keys: Keys.alert, in: context).flatMap(alert)
        }
    }

    private func alert(_ section: Section) -> Pipeline.AlertTarget? {
        let ways = ["webhook", "exec", "log"].filter { section.node($0) != nil }
        guard ways.count == 1 else {
            section.fail(
                ways.last ?? "",
                ways.isEmpty
                    ? "where the alert goes isn't said"
                    : "an entry has one way, this one has \(ways.joined(separator: " and "))",
                try: ways.isEmpty ? "webhook: ${ALERT_URL}, exec: ./page.sh or log: true" : "an entry for each")
            return nil
        }
        guard let way = way(section) else { return nil }
        var target = Pipeline.AlertTarget(way)
        target.lagOver =
            section.duration("lag_over", in: .seconds(20)...Duration.seconds(30 * 86_400), example: "60s")
            ?? target.lagOver
        if let words = section.texts("on", example: "[held, lost]") {
            var kinds = Set<Pipeline.AlertKind>()
            for word in words {
                if let kind = Pipeline.AlertKind(rawValue: word.text) {
                    kinds.insert(kind)
                } else {
                    let all = Pipeline.AlertKind.allCases.map(\.rawValue).joined(separator: ", ")
                    context.fail(word.mark, word.keyPath, "\(word.shown) is none of \(all)", try: "on: [held, lost]")
                }
            }
            if words.isEmpty { section.fail("on", "nothing would be sent", try: "on: [held, lost]") }
            target.kinds = kinds
        }
        return target
    }

    private func way(_ section: Section) -> Pipeline.AlertTarget.Way? {
        let format = section.choice("format", Pipeline.AlertFormat.self)
        if section.node("webhook") != nil {
            guard let value = section.text("webhook") else { return nil }
            guard value.text.hasPrefix("https://") || value.text.hasPrefix("http://"),
                value.text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }), value.text.utf8.count > 10
            else {
                section.fail("webhook", "this is no http or https URL", try: "webhook: ${ALERT_URL}")
                return nil
            }
            return .webhook(Secret(value.text), format ?? .json)
        }
        if format != nil { section.fail("format", "only a webhook has a format", try: "take it out") }
        if let path = section.text("exec") { return .exec(context.resolve(path: path.text)) }
        guard section.bool("log") == true else {
            section.fail("log", "this entry sends nothing", try: "log: true")
            return nil
        }
        return .log
    }
}
