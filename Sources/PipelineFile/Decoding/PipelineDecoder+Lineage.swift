extension PipelineDecoder {
    private static let example = "lineage: { openlineage: { url: http://marquez:5000, namespace: shop } }"
    private static let endpoint = "/api/v1/lineage"

    func lineage(_ root: Section) -> Pipeline.OpenLineage? {
        guard let lineage = root.section("lineage", keys: Keys.lineage), lineage.entry("openlineage") != nil,
            let section = lineage.section("openlineage", keys: Keys.openLineage)
        else { return nil }
        let key = apiKey(section)
        let namespace = namespace(section)
        guard let place = place(section) else { return nil }
        var settings = Pipeline.OpenLineage(place)
        settings.namespace = namespace ?? settings.namespace
        settings.apiKey = key
        return settings
    }

    private func place(_ section: Section) -> Pipeline.OpenLineage.Place? {
        switch (section.node("url") != nil, section.node("file") != nil) {
        case (true, true):
            section.fail("file", "events go to a url or to a file, not to both", try: "take one of the two out")
            return nil
        case (true, false):
            guard let base = section.text("url").flatMap({ base($0, section) }) else { return nil }
            return url(base, section).map { .http($0) }
        case (false, true):
            for key in ["endpoint", "api_key"] where section.node(key) != nil {
                section.fail(key, "a file has no \(key)", try: "take \(section.path(key)) out")
            }
            guard let path = section.text("file") else { return nil }
            guard !path.text.hasSuffix("/"), !path.text.contains("://") else {
                section.fail("file", "this must be the path of a file", try: "file: lineage.jsonl")
                return nil
            }
            return .file(context.resolve(path: path.text))
        case (false, false):
            section.fail("", "where the events go isn't said", try: Self.example)
            return nil
        }
    }

    /// The server, without a slash at its end. What of it may be a secret isn't quoted.
    private func base(_ value: FileValue, _ section: Section) -> String? {
        var text = value.text
        while text.hasSuffix("/") { text.removeLast() }
        let start = ["http://", "https://"].first { text.hasPrefix($0) }
        guard let start, let host = text.dropFirst(start.count).split(separator: "/").first,
            !text.dropFirst(start.count).hasPrefix("/"), !host.hasPrefix(":"), Self.isPlain(text)
        else {
            section.fail("url", "this is no http or https URL", try: "url: http://marquez:5000")
            return nil
        }
        guard !text.contains("@") else {
            section.fail(
                "url", "no user or password belongs here: it would stand where URLs are shown",
                try: "api_key: ${OPENLINEAGE_API_KEY}")
            return nil
        }
        guard !text.contains(where: { "?#".contains($0) }) else {
            section.fail("url", "this is the server's URL, without a query", try: "url: http://marquez:5000")
            return nil
        }
        return text
    }

    private func url(_ base: String, _ section: Section) -> ConnectionURL? {
        var endpoint = Self.endpoint
        if section.node("endpoint") != nil {
            guard let given = section.text("endpoint") else { return nil }
            guard Self.isPlain(given.text), !given.text.contains("://"),
                !given.text.contains(where: { "#@".contains($0) })
            else {
                section.fail("endpoint", "this must be a path on the server", try: "endpoint: \(Self.endpoint)")
                return nil
            }
            endpoint = given.text.hasPrefix("/") ? given.text : "/" + given.text
        }
        guard !base.hasSuffix(endpoint) else {
            section.fail(
                "url", "it ends with \(endpoint), which is appended to it", try: "url: the server alone, or endpoint: …"
            )
            return nil
        }
        return ConnectionURL(base + endpoint, schemes: ["http", "https"])
    }

    private static func isPlain(_ text: String) -> Bool { text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F } }

    private func apiKey(_ section: Section) -> Secret? {
        guard section.node("api_key") != nil, let value = section.text("api_key") else { return nil }
        guard Self.isPlain(value.text) else {
            section.fail(
                "api_key", "a key holds ASCII characters without spaces", try: "api_key: ${OPENLINEAGE_API_KEY}")
            return nil
        }
        return Secret(value.text)
    }

    private func namespace(_ section: Section) -> String? {
        guard let value = section.text("namespace") else { return nil }
        guard value.text.utf8.count <= 1024,
            value.text.unicodeScalars.allSatisfy({ $0.value > 0x20 && $0.value != 0x7F })
        else {
            section.fail("namespace", "a namespace has no spaces, and at most 1024 bytes", try: "namespace: shop")
            return nil
        }
        return value.text
    }
}
