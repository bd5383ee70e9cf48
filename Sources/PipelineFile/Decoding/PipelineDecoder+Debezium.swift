extension PipelineDecoder {
    func debezium(_ source: Section) -> Pipeline.Debezium {
        var settings = Pipeline.Debezium()
        guard let section = source.section("debezium", keys: Keys.debezium) else { return settings }
        if let placeholder = placeholder(section) { settings.unavailable_value_placeholder = placeholder }
        settings.decimal_handling_mode = section.choice("decimal_handling_mode") ?? .auto
        settings.time_precision_mode = section.choice("time_precision_mode") ?? .adaptive
        settings.binary_handling_mode = section.choice("binary_handling_mode") ?? .auto
        settings.connector = section.choice("connector") ?? .auto
        settings.add_fields = references(section, "add_fields")
        settings.add_headers = references(section, "add_headers")
        // An empty one is what it says.
        settings.add_fields_prefix = prefix(section, "add_fields_prefix")
        settings.add_headers_prefix = prefix(section, "add_headers_prefix")
        return settings
    }

    private func references(_ section: Section, _ key: String) -> [String]? {
        section.texts(key, example: "[op, source.lsn]")?.map { value in
            let parts = value.text.split(separator: ":", omittingEmptySubsequences: false)
            let path = parts[0].split(separator: ".", omittingEmptySubsequences: false)
            let isPath = path.count == 1 || path.count == 2 && ["source", "transaction"].contains(path[0])
            if parts.count > 2 || parts.contains("") || path.contains("") || !isPath {
                context.fail(
                    value.mark, value.keyPath, "\(value.shown) is no field of an event, or field:name",
                    try: "source.lsn, or source.lsn:position")
            }
            return value.text
        }
    }

    private func prefix(_ section: Section, _ key: String) -> String {
        guard case .scalar(let scalar)? = section.node(key),
            let value = context.value(of: scalar, at: section.path(key))
        else {
            if section.node(key) != nil { _ = section.text(key) }
            return "__"
        }
        return value.text
    }

    private func placeholder(_ section: Section) -> String? {
        guard let value = section.text("unavailable_value_placeholder") else { return nil }
        guard value.text.hasPrefix("hex:") else { return value.text }
        let digits = value.text.dropFirst(4).compactMap(\.hexDigitValue)
        let isHex = !digits.isEmpty && digits.count % 2 == 0 && digits.count == value.text.count - 4
        let bytes =
            isHex ? stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) } : []
        guard isHex, let text = String(validating: bytes, as: UTF8.self) else {
            section.fail(
                "unavailable_value_placeholder", "behind hex: there are no pairs of hex digits that are UTF-8",
                try: "unavailable_value_placeholder: __debezium_unavailable_value")
            return nil
        }
        return text
    }
}
