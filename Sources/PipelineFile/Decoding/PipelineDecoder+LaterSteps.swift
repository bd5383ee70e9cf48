extension PipelineDecoder {
    /// What a key of a later step may say today: exactly what the documentation gives as its default.
    private indirect enum Default {
        case word(String)
        case time(Duration)
        case emptyMap
        case map([(key: String, value: Default)])
    }

    private static let later: [(key: String, what: String, value: Default)] = [
        ("lineage", "reporting lineage", .emptyMap)
    ]

    /// Keys of later steps are refused, never accepted and ignored.
    func refuseLaterSteps(_ root: Section) {
        for (key, what, value) in Self.later {
            check(key, of: root, is: value, what: what)
        }
    }

    private func check(_ key: String, of section: Section, is value: Default, what: String) {
        guard let node = section.node(key) else { return }
        switch value {
        case .map(let entries):
            guard let inner = section.section(key, keys: entries.map(\.key)) else { return }
            for entry in entries { check(entry.key, of: inner, is: entry.value, what: what) }
        case .word(let word):
            if let given = section.text(key), given.text != word { section.notYet(key, what, try: "\(key): \(word)") }
        case .time(let time):
            if let given = section.text(key), Duration(pipelineText: given.text) != time {
                section.notYet(key, what, try: "\(key): \(time.pipelineText)")
            }
        case .emptyMap:
            if case .map(let entries, _) = node, entries.isEmpty { return }
            section.notYet(key, what, try: "\(key): {}")
        }
    }
}
