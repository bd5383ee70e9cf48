extension PipelineDecoder {
    func tables(
        _ root: Section, metadataColumns: MetadataColumns, engine: Pipeline.Engine?, selector: TableSelector?,
        layers: Pipeline.Layers
    ) -> [Pipeline.Table] {
        guard let node = root.node("tables") else { return [] }
        guard case .list(let items, _) = node else {
            root.fail("tables", "this must be a list, not \(node.kind)", try: "tables: [{ source: public.orders }]")
            return []
        }
        var tables: [Pipeline.Table] = []
        var sources: [String: Int] = [:]
        var targets: [String: Int] = [:]
        var topics: [String: Int] = [:]
        for (index, item) in items.enumerated() {
            guard let section = Section(item, at: "tables[\(index)]", keys: Keys.table, in: context),
                let table = table(section, metadataColumns: metadataColumns, engine: engine, selector: selector)
            else { continue }
            if let first = sources.updateValue(index, forKey: table.source) {
                section.fail(
                    "source", "this table is in tables[\(first)] already", try: "put both into one entry")
                sources[table.source] = first
                continue
            }
            if let target = Self.certainTarget(table) {
                let name = engine?.ignoresCase == true ? target.lowercased() : target
                if let first = targets.updateValue(index, forKey: name) {
                    let key = table.target == nil ? "source" : "target"
                    section.fail(
                        key, "tables[\(first)] has the same target",
                        try: "target: another name, here or in tables[\(first)]")
                    targets[name] = first
                }
            }
            if let topic = table.topic, let first = topics.updateValue(index, forKey: topic) {
                section.fail("topic", "tables[\(first)] has the same topic", try: "one table to a topic")
            }
            if !table.quality.isEmpty, !layers.current {
                section.fail(
                    section.node("quality") == nil ? "quality_suite" : "quality",
                    "expectations are held against current, and layers.current is false",
                    try: "layers: { current: true }"
                )
            }
            tables.append(table)
        }
        return tables
    }

    /// The target where it can be told from the file alone: not for a schema that may be the only one.
    private static func certainTarget(_ table: Pipeline.Table) -> String? {
        if let target = table.target { return target }
        let parts = table.source.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, TargetName.defaultSchemas.contains(String(parts[0])) else { return nil }
        return String(parts[1])
    }

    private func table(
        _ section: Section, metadataColumns: MetadataColumns, engine: Pipeline.Engine?, selector: TableSelector?
    ) -> Pipeline.Table? {
        let source = self.source(section, selector: selector)
        var table = Pipeline.Table(source: source ?? "")
        table.topic = section.text("topic")?.text
        table.target = target(section, engine: engine)
        table.key = names(section, "key", example: "[order_id]")?.map(\.text)
        if section.node("key")?.isEmptyCollection == true {
            section.fail("key", "a key has at least one column", try: "key: [order_id]")
        }
        table.existing = section.choice("existing", Pipeline.Existing.self) ?? .error
        table.columns = columns(section, key: table.key ?? [])
        table.filter = filter(section)
        table.metadataColumns = self.metadataColumns(section, base: metadataColumns, engine: engine)
        table.allowedLateness = section.duration(
            "allowed_lateness", in: .seconds(1)...Duration.seconds(366 * 86_400), example: "1h")
        table.quality = quality(section, columns: table.columns, selector: selector)
        table.freshness = freshness(section)
        return source == nil ? nil : table
    }

    private func source(_ section: Section, selector: TableSelector?) -> String? {
        guard section.node("source") != nil else {
            section.fail("source", "which table this is about isn't said", try: "source: public.orders")
            return nil
        }
        guard let value = section.text("source") else { return nil }
        let wildcards = value.text.contains("*") || value.text.contains("?")
        if wildcards {
            section.fail(
                "source", "this names one table, no glob; source.include and source.exclude choose tables",
                try: "source: public.orders")
        } else if !value.text.dropFirst().dropLast().contains(".") {
            section.fail(
                "source", "\(value.shown) is no schema.table",
                try: value.isSubstituted ? "source: public.orders" : "source: public.\(value.text)")
        } else if let selector, !selector.chooses(value.text) {
            section.fail(
                "source", "source.include and source.exclude don't choose \(value.shown)",
                try: "add it to source.include, or take this entry out")
        }
        return value.text
    }

    private func target(_ section: Section, engine: Pipeline.Engine?) -> String? {
        guard let value = section.text("target") else { return nil }
        let bytes_max = engine?.identifier_bytes_max ?? Identifier.duckdb_bytes_max
        if let problem = Identifier.problem(value.text, bytes_max: bytes_max) {
            section.fail("target", problem)
        } else if value.text.contains(".") {
            section.fail(
                "target", "a target is a table's name, its schema is warehouse.schemas.current",
                try: value.isSubstituted ? nil : "target: \(value.text.split(separator: ".").last ?? "")")
        }
        return value.text
    }

    /// A list of names, each once.
    private func names(_ section: Section, _ key: String, example: String) -> [FileValue]? {
        let values = section.texts(key, example: example)
        var seen: Set<String> = []
        for value in values ?? [] where !seen.insert(value.text).inserted {
            context.fail(value.mark, value.keyPath, "\(value.shown) is here twice", try: "keep one of them")
        }
        return values
    }

    private func filter(_ section: Section) -> Predicate? {
        guard let value = section.text("where") else { return nil }
        do {
            return try Predicate(value.text)
        } catch {
            // The error's words may quote what a variable stands for.
            let message = value.isSubstituted ? "at character \(error.position): this can't be read" : error.description
            context.fail(value.mark, value.keyPath, message, try: error.remedy)
            return nil
        }
    }

    private func columns(_ table: Section, key: [String]) -> Pipeline.Columns {
        var columns = Pipeline.Columns()
        guard let section = table.section("columns", keys: Keys.columns) else { return columns }
        let exclude = names(section, "exclude", example: "[card_number]") ?? []
        let hash = names(section, "hash", example: "[email]") ?? []
        columns.exclude = exclude.map(\.text)
        columns.hash = hash.map(\.text)
        for name in exclude where key.contains(name.text) {
            context.fail(
                name.mark, name.keyPath, "\(name.shown) is part of the key, which can't be left out",
                try: "hash it instead of excluding it")
        }
        for name in hash where columns.exclude.contains(name.text) {
            context.fail(
                name.mark, name.keyPath, "\(name.shown) is excluded already", try: "keep it in exclude or in hash")
        }
        columns.types = types(section, untyped: columns)
        return columns
    }

    /// `untyped`: columns that are excluded or hashed can't be given a type.
    private func types(_ section: Section, untyped: Pipeline.Columns) -> [String: String] {
        guard let node = section.node("types") else { return [:] }
        let example = "types: { amount: \"numeric(12,2)\" }"
        guard case .map(let entries, _) = node else {
            section.fail("types", "this must be a mapping, not \(node.kind)", try: example)
            return [:]
        }
        var types: [String: String] = [:]
        for entry in entries {
            let path = Section.join(section.path("types"), entry.key)
            if untyped.exclude.contains(entry.key) || untyped.hash.contains(entry.key) {
                let how = untyped.exclude.contains(entry.key) ? "excluded" : "hashed"
                context.fail(
                    entry.keyMark, path, "the column is \(how), its type can't be chosen", try: "take it out of types")
                continue
            }
            if case .null = entry.value {
                context.fail(
                    entry.keyMark, path, "this column has no type; one with a comma needs quotes", try: example)
                continue
            }
            guard let value = Section.text(entry.value, at: path, in: context) else { continue }
            if Self.isType(value.text) {
                types[entry.key] = value.text
            } else {
                context.fail(value.mark, path, "\(value.shown) is no type's name", try: example)
            }
        }
        return types
    }

    /// The text goes into the warehouse's DDL as it is, so it holds nothing that could end the column.
    private static func isType(_ text: String) -> Bool {
        // Postgres' type of one byte, which is called so to tell it from char.
        if text == "\"char\"" { return true }
        var depth = 0
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "("): depth += 1
            case UInt8(ascii: ")"): depth -= 1
            // A numeric's scale may be below zero.
            case UInt8(ascii: ","), UInt8(ascii: "-"): if depth == 0 { return false }
            case UInt8(ascii: " "), UInt8(ascii: "_"), UInt8(ascii: "["), UInt8(ascii: "]"), UInt8(ascii: "."): break
            default: if !(0x61...0x7A).contains(byte | 0x20) && !(0x30...0x39).contains(byte) { return false }
            }
            if depth < 0 { return false }
        }
        return depth == 0 && text.utf8.count <= 200 && text.first?.isLetter == true
    }
}

extension FileNode {
    /// `[]` or `{}`.
    var isEmptyCollection: Bool {
        switch self {
        case .list(let items, _): items.isEmpty
        case .map(let entries, _): entries.isEmpty
        case .null, .scalar: false
        }
    }
}
