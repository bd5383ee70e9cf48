extension PipelineDecoder {
    /// `metadata_columns` of the file or of one table; nil where it isn't given. A map changes `base`.
    func metadataColumns(_ section: Section, base: MetadataColumns, engine: Pipeline.Engine?) -> MetadataColumns? {
        let key = "metadata_columns"
        guard let node = section.node(key) else { return nil }
        if case .scalar = node {
            guard let value = section.text(key) else { return nil }
            if let preset = MetadataColumns.presets.first(where: { $0.name == value.text }) { return preset.columns }
            let names = MetadataColumns.presets.map(\.name)
            section.fail(
                key, "\(value.shown) is none of \(names.joined(separator: ", ")), nor a map of the four names",
                try: "\(key): \(nearestName(to: value.text, among: names) ?? "default")")
            return nil
        }
        guard let map = section.section(key, keys: MetadataColumns.keys.map(\.key)) else { return nil }
        var columns = base
        let bytes_max = engine?.identifier_bytes_max ?? Identifier.duckdb_bytes_max
        for (name, path) in MetadataColumns.keys {
            guard let value = map.text(name) else { continue }
            columns[keyPath: path] = value.text
            if let problem = Identifier.problem(value.text, bytes_max: bytes_max) {
                map.fail(name, problem)
            } else if MetadataColumns.versionColumns.contains(value.text.lowercased()) {
                map.fail(name, "\(value.shown) is a column of the row's version", try: "\(name): another name")
            }
        }
        refuseTwins(map, columns)
        return columns
    }

    private func refuseTwins(_ map: Section, _ columns: MetadataColumns) {
        let keys = MetadataColumns.keys
        for (index, one) in keys.enumerated() {
            let name = columns[keyPath: one.path].lowercased()
            guard let twin = keys[..<index].first(where: { columns[keyPath: $0.path].lowercased() == name }) else {
                continue
            }
            let given = map.node(one.key) != nil ? one.key : twin.key
            map.fail(given, "\(one.key) and \(twin.key) would be one column", try: "\(given): another name")
        }
    }
}
