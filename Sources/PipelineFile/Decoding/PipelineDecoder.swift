/// Reads the nodes of a file into a `Pipeline`. What is wrong goes to `context`; where something is, a
/// default stands in for it, so that the rest is read too.
struct PipelineDecoder {
    let context: DecodingContext

    /// nil only where `context` has problems.
    func decode(_ node: FileNode) -> Pipeline? {
        guard let root = Section(node, at: "", keys: Keys.root, in: context) else { return nil }
        let name = self.name(root)
        let source = self.source(root, pipeline: name ?? "pipeline")
        let warehouse = self.warehouse(root, pipeline: name ?? "pipeline")
        var pipeline = name.flatMap { name in
            source.flatMap { source in
                warehouse.map { Pipeline(name: name, source: source, warehouse: $0) }
            }
        }
        let layers = self.layers(root)
        let metadataColumns = self.metadataColumns(root, base: .standard, engine: warehouse?.engine) ?? .standard
        let tables = self.tables(
            root, metadataColumns: metadataColumns, engine: warehouse?.engine, selector: source?.tables, layers: layers)
        let batch = self.batch(root)
        let agent = self.agent(root)
        let alerts = self.alerts(root)
        let sweeps = self.sweeps(root, layers)
        let schemaChanges = self.schemaChanges(root, source?.input)
        let quality = self.quality(root)
        let lineage = self.lineage(root)

        pipeline?.layers = layers
        pipeline?.metadataColumns = metadataColumns
        pipeline?.tables = tables
        pipeline?.batch = batch
        pipeline?.agent = agent
        pipeline?.alerts = alerts
        pipeline?.lineage = lineage
        pipeline?.sweeps = sweeps
        pipeline?.schemaChanges = schemaChanges
        pipeline?.quality = quality
        return pipeline
    }

    private func name(_ root: Section) -> String? {
        guard root.node("pipeline") != nil else {
            root.fail("pipeline", "the pipeline has no name", try: "pipeline: shop")
            return nil
        }
        guard let value = root.text("pipeline") else { return nil }
        let bytes = value.text.utf8
        let isName =
            (1...41).contains(bytes.count) && bytes.first.map { (0x61...0x7A).contains($0) } ?? false
            && bytes.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == UInt8(ascii: "_") }
        guard isName else {
            root.fail(
                "pipeline",
                "\(value.shown) is no pipeline's name ([a-z][a-z0-9_]{0,40})",
                try: "pipeline: shop")
            return nil
        }
        return value.text
    }

    private func sweeps(_ root: Section, _ layers: Pipeline.Layers) -> Pipeline.Sweeps {
        var sweeps = Pipeline.Sweeps()
        guard let section = root.section("sweeps", keys: Keys.sweeps) else { return sweeps }
        if let text = section.text("full"), text.text != "never" {
            sweeps.full = CronSchedule(text.text)
            if sweeps.full?.next(after: 0) == nil {
                section.fail(
                    "full", "\(text.shown) is no cron expression of five fields whose time comes",
                    try: "full: \"0 3 * * *\"")
            }
        }
        sweeps.repairs = section.bool("repair") ?? sweeps.repairs
        if sweeps.repairs, !layers.raw || !layers.current {
            section.fail("repair", "a repair needs the raw and the current layer", try: "repair: false")
        }
        if let late = section.section("late", keys: Keys.lateSweeps) {
            let year = Duration.seconds(365 * 86_400)
            sweeps.lateAfter = late.duration("after", in: .seconds(10)...year, example: "6h") ?? sweeps.lateAfter
            sweeps.lateLookback =
                late.duration("lookback", in: .seconds(60)...year, example: "24h") ?? sweeps.lateLookback
        }
        return sweeps
    }

    private func schemaChanges(_ root: Section, _ input: Pipeline.Input?) -> Pipeline.SchemaChanges {
        var changes = Pipeline.SchemaChanges()
        guard let section = root.section("schema_changes", keys: Keys.schemaChanges) else { return changes }
        changes.additive = section.choice("additive") ?? changes.additive
        changes.breaking = section.choice("breaking") ?? changes.breaking
        changes.deprecateAfter =
            section.duration("deprecate_after", in: .zero ... .seconds(36_500 * 86_400), example: "30d")
            ?? changes.deprecateAfter
        if let input, case .postgres = input { return changes }
        // Of events only columns that are new are told.
        let standard = Pipeline.SchemaChanges()
        if input != nil, changes.breaking != standard.breaking {
            section.notYet("breaking", "another way with breaking changes of this source", try: "breaking: plan")
        }
        if input != nil, changes.deprecateAfter != standard.deprecateAfter {
            section.notYet("deprecate_after", "plans for changes of this source", try: "deprecate_after: 30d")
        }
        return changes
    }

    private func layers(_ root: Section) -> Pipeline.Layers {
        var layers = Pipeline.Layers()
        guard let section = root.section("layers", keys: Keys.layers) else { return layers }
        layers.raw = section.bool("raw") ?? layers.raw
        layers.current = section.bool("current") ?? layers.current
        if !layers.raw, !layers.current {
            section.fail("current", "raw and current are both off, nothing would be written", try: "current: true")
        }
        if let retention = section.text("raw_retention"), retention.text != "forever" {
            layers.raw_retention = section.duration(
                "raw_retention", in: .seconds(2 * 86_400)...(.seconds(36_500 * 86_400)), example: "90d")
        }
        return layers
    }

    private func batch(_ root: Section) -> Pipeline.Batch {
        var batch = Pipeline.Batch()
        guard let section = root.section("batch", keys: Keys.batch) else { return batch }
        batch.rows_max = section.integer("max_rows", in: 1...100_000_000, example: batch.rows_max) ?? batch.rows_max
        batch.bytes_max =
            section.bytes("max_bytes", in: ByteCount(bytes: 1 << 10)...ByteCount(bytes: 1 << 40), example: "32MiB")
            ?? batch.bytes_max
        batch.delay_max =
            section.duration("max_delay", in: .zero ... .seconds(3_600), example: "500ms") ?? batch.delay_max
        return batch
    }

    private func agent(_ root: Section) -> Pipeline.Agent {
        var agent = Pipeline.Agent()
        let section = root.section("agent", keys: Keys.agent)
        if let value = section?.text("listen") {
            if let address = Self.address(value.text) {
                agent.listen = address
            } else {
                section?.fail(
                    "listen", "\(value.shown) is no host:port", try: "listen: 127.0.0.1:8642")
            }
        }
        agent.token = token(section)
        agent.dir = context.resolve(path: section?.text("dir")?.text ?? agent.dir)
        agent.drain = section?.duration("drain", in: .seconds(1) ... .seconds(86_400), example: "30s") ?? agent.drain
        return agent
    }

    /// The default, `${MILLRACE_TOKEN}`, may stand for nothing, written out or not: the agent then makes one.
    private func token(_ section: Section?) -> Secret? {
        let standard = context.environment["MILLRACE_TOKEN"].flatMap { $0.isEmpty ? nil : $0 }
        guard let node = section?.node("token") else { return standard.map(Secret.init) }
        if case .scalar(let scalar) = node, scalar.raw == "${MILLRACE_TOKEN}", standard == nil { return nil }
        guard let value = section?.text("token") else { return nil }
        guard value.text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            section?.fail("token", "a token holds ASCII characters without spaces", try: "token: ${MILLRACE_TOKEN}")
            return nil
        }
        return Secret(value.text)
    }

    private static func address(_ text: String) -> Pipeline.ListenAddress? {
        guard let colon = text.lastIndex(of: ":") else { return nil }
        var host = text[..<colon]
        let digits = text[text.index(after: colon)...]
        guard let port = Int(digits), digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), port <= 65_535 else {
            return nil
        }
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard !host.isEmpty, !host.contains(where: { $0.isWhitespace || "/[]@".contains($0) }) else { return nil }
        return Pipeline.ListenAddress(host: String(host), port: port)
    }
}
