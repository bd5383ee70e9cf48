extension PipelineDecoder {
    func debezium(_ source: Section) -> Pipeline.Debezium {
        var settings = Pipeline.Debezium()
        guard let section = source.section("debezium", keys: Keys.debezium) else { return settings }
        if let placeholder = placeholder(section) { settings.unavailable_value_placeholder = placeholder }
        settings.decimal_handling_mode = section.choice("decimal_handling_mode") ?? .auto
        settings.time_precision_mode = section.choice("time_precision_mode") ?? .adaptive
        settings.binary_handling_mode = section.choice("binary_handling_mode") ?? .auto
        return settings
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
