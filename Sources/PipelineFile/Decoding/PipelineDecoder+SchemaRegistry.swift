import Foundation

extension PipelineDecoder {
    private static let example = "schema_registry: { url: http://localhost:8081 }"
    private static let schemes = ["http", "https"]

    func schemaRegistry(_ source: Section) -> Pipeline.SchemaRegistry? {
        guard source.node("schema_registry") != nil,
            let section = source.section("schema_registry", keys: Keys.schemaRegistry),
            var registry = place(section)
        else { return nil }
        if let auth = section.text("basic_auth") {
            if !auth.text.contains(":") {
                section.fail("basic_auth", "this must be user:password", try: "basic_auth: ${REGISTRY_AUTH}")
            } else if registry.basicAuth != nil {
                section.fail("basic_auth", "the url has a user already", try: "take the user out of the url")
            } else if case .file = registry.place {
                section.fail("basic_auth", "a file needs no user", try: "take basic_auth out")
            }
            registry.basicAuth = Secret(auth.text)
        }
        registry.ca_file = section.text("ca_file").map { context.resolve(path: $0.text) }
        registry.timeout =
            section.duration("timeout", in: .milliseconds(100)...Duration.seconds(300), example: "10s")
            ?? registry.timeout
        return registry
    }

    private func place(_ section: Section) -> Pipeline.SchemaRegistry? {
        let file = section.text("file")
        let url = section.text("url")
        switch (url, file) {
        case (.some, .some):
            section.fail("file", "the schemas are in a registry or in a file, not in both", try: Self.example)
            return nil
        case (let url?, nil): return registry(at: url, section)
        case (nil, let file?): return Pipeline.SchemaRegistry(.file(context.resolve(path: file.text)))
        case (nil, nil):
            if section.node("url") == nil, section.node("file") == nil {
                section.fail("", "where the registry is isn't said", try: Self.example)
            }
            return nil
        }
    }

    /// The URL without its user, whom no log must show.
    private func registry(at value: FileValue, _ section: Section) -> Pipeline.SchemaRegistry? {
        var text = value.text
        while text.hasSuffix("/") { text.removeLast() }
        guard ConnectionURL(text, schemes: Self.schemes) != nil, let start = text.range(of: "://"),
            !text.contains(where: { "?#,".contains($0) })
        else {
            section.fail("url", "this is no http:// or https:// URL", try: "url: http://localhost:8081")
            return nil
        }
        var auth: Secret?
        let rest = text[start.upperBound...]
        if let at = rest.lastIndex(of: "@") {
            guard let user = String(rest[..<at]).removingPercentEncoding, user.contains(":") else {
                section.fail("url", "its user has no password", try: "basic_auth: ${REGISTRY_AUTH}")
                return nil
            }
            auth = Secret(user)
            text = String(text[..<start.upperBound]) + String(rest[rest.index(after: at)...])
        }
        guard let url = ConnectionURL(text, schemes: Self.schemes) else {
            section.fail("url", "it names no host", try: "url: http://localhost:8081")
            return nil
        }
        var registry = Pipeline.SchemaRegistry(.url(url))
        registry.basicAuth = auth
        return registry
    }

    /// Formats that need schemas.
    func checkFormat(_ format: Pipeline.Format, _ section: Section) {
        guard format.needsRegistry, section.node("schema_registry") == nil else { return }
        section.fail("format", "\(format.rawValue) needs a schema_registry to read its schemas from", try: Self.example)
    }
}
