/// One mapping of the file, read key by key. Each reader notes what is wrong and returns nil, so that
/// decoding goes on and finds the rest.
struct Section {
    let context: DecodingContext
    let keyPath: String
    let mark: FileMark
    private let entries: [FileEntry]

    /// Notes unknown keys at once. nil, with a problem, where the node is no mapping; null is an empty one.
    init?(_ node: FileNode, at keyPath: String, keys: [String], in context: DecodingContext) {
        switch node {
        case .map(let entries, _): self.entries = entries
        case .null: entries = []
        case .scalar, .list:
            context.fail(
                node.mark, keyPath, "this must be a mapping, not \(node.kind)",
                try: keys.first.map { "\(keyPath.isEmpty ? "" : "\(keyPath): ")\($0): …" })
            return nil
        }
        self.context = context
        self.keyPath = keyPath
        mark = node.mark
        for entry in entries where !keys.contains(entry.key) {
            let path = Self.join(keyPath, entry.key)
            if let near = nearestName(to: entry.key, among: keys) {
                context.fail(entry.keyMark, path, "there is no such key", try: "\(Self.join(keyPath, near)): …")
            } else if let home = Keys.home(of: entry.key) {
                context.fail(entry.keyMark, path, "there is no such key here", try: "put it where it belongs: \(home)")
            } else {
                context.fail(
                    entry.keyMark, path, "there is no such key", try: "one of \(keys.joined(separator: ", "))")
            }
        }
    }

    static func join(_ path: String, _ key: String) -> String {
        path.isEmpty || key.isEmpty ? path + key : "\(path).\(key)"
    }

    func path(_ key: String) -> String { Self.join(keyPath, key) }

    func entry(_ key: String) -> FileEntry? { entries.first { $0.key == key } }

    /// The key's value; nil where it isn't given or null.
    func node(_ key: String) -> FileNode? {
        guard let node = entry(key)?.value else { return nil }
        if case .null = node { return nil }
        return node
    }

    func fail(_ key: String, _ message: String, try remedy: String? = nil) {
        context.fail(entry(key)?.value.mark ?? mark, path(key), message, try: remedy)
    }

    /// A mapping below this one; nil where it isn't given. `key:` with nothing behind is an empty one.
    func section(_ key: String, keys: [String]) -> Section? {
        entry(key).flatMap { Section($0.value, at: path(key), keys: keys, in: context) }
    }

    /// A single value, not empty.
    func text(_ key: String) -> FileValue? {
        node(key).flatMap { Self.text($0, at: path(key), in: context) }
    }

    static func text(_ node: FileNode, at keyPath: String, in context: DecodingContext) -> FileValue? {
        guard case .scalar(let scalar) = node else {
            context.fail(node.mark, keyPath, "this must be a single value, not \(node.kind)")
            return nil
        }
        guard let value = context.value(of: scalar, at: keyPath) else { return nil }
        if value.text.isEmpty {
            let why = value.isSubstituted ? "\(value.shown) is empty" : "this can't be empty"
            context.fail(value.mark, keyPath, why)
            return nil
        }
        if value.text.utf8.contains(0) {
            context.fail(value.mark, keyPath, "this can't hold a NUL character")
            return nil
        }
        return value
    }

    /// A list of single values, none of them empty.
    func texts(_ key: String, example: String) -> [FileValue]? {
        guard let node = node(key) else { return nil }
        guard case .list(let items, _) = node else {
            fail(key, "this must be a list, not \(node.kind)", try: "\(key): \(example)")
            return nil
        }
        return items.enumerated().compactMap { Self.text($1, at: "\(path(key))[\($0)]", in: context) }
    }

    func bool(_ key: String) -> Bool? {
        guard let value = text(key) else { return nil }
        switch value.text {
        case "true": return true
        case "false": return false
        default:
            fail(key, "this must be true or false, not \(value.shown)", try: "\(key): true")
            return nil
        }
    }

    func integer(_ key: String, in range: ClosedRange<Int>, example: Int) -> Int? {
        guard let value = text(key) else { return nil }
        guard let number = Int(value.text) else {
            fail(key, "this must be a whole number, not \(value.shown)", try: "\(key): \(example)")
            return nil
        }
        guard range.contains(number) else {
            fail(
                key, "\(value.shown) is outside of \(range.lowerBound) to \(range.upperBound)",
                try: "\(key): \(example)")
            return nil
        }
        return number
    }

    func bytes(_ key: String, in range: ClosedRange<ByteCount>, example: String) -> ByteCount? {
        guard let value = text(key) else { return nil }
        guard let count = ByteCount(value.text) else {
            fail(key, "this must be a size such as \(example), not \(value.shown)", try: "\(key): \(example)")
            return nil
        }
        guard range.contains(count) else {
            fail(
                key, "\(value.shown) is outside of \(range.lowerBound) to \(range.upperBound)",
                try: "\(key): \(example)")
            return nil
        }
        return count
    }

    func duration(_ key: String, in range: ClosedRange<Duration>, example: String) -> Duration? {
        guard let value = text(key) else { return nil }
        guard let duration = Duration(pipelineText: value.text) else {
            fail(
                key, "this must be a time with its unit (ms, s, m, h or d) such as \(example), not \(value.shown)",
                try: "\(key): \(example)")
            return nil
        }
        guard range.contains(duration) else {
            let bounds = "\(range.lowerBound.pipelineText) to \(range.upperBound.pipelineText)"
            fail(key, "\(value.shown) is outside of \(bounds)", try: "\(key): \(example)")
            return nil
        }
        return duration
    }

    /// One word of a few. `later`: words that are known and not built yet.
    func choice<Choice: RawRepresentable & CaseIterable>(
        _ key: String, _: Choice.Type = Choice.self, later: [String] = []
    ) -> Choice? where Choice.RawValue == String {
        guard let value = text(key) else { return nil }
        if let choice = Choice(rawValue: value.text) { return choice }
        let words = Choice.allCases.map(\.rawValue)
        if later.contains(value.text) {
            notYet(key, value.shown, try: "\(key): \(words.joined(separator: " or "))")
            return nil
        }
        fail(
            key, "\(value.shown) is none of \(words.joined(separator: ", "))",
            try: "\(key): \(nearestName(to: value.text, among: words) ?? words.first ?? "")")
        return nil
    }

    /// Refuses what belongs to a later step.
    func notYet(_ key: String, _ what: String? = nil, try remedy: String? = nil) {
        context.fail(
            entry(key)?.keyMark ?? mark, path(key), "\(what ?? key) is not built yet (not yet)",
            try: remedy ?? "take \(path(key)) out")
    }
}
