import Yams

/// Why a text is no YAML that we take.
struct YAMLProblem: Error {
    var mark: FileMark
    var message: String
    var remedy: String?
}

extension FileNode {
    /// Nodes that a file may have, aliases followed. Bounds what anchors within anchors can blow up to.
    static let nodes_max = 100_000
    static let depth_max = 32

    /// Reads one YAML document; nil where there is none.
    static func read(_ text: String) throws(YAMLProblem) -> FileNode? {
        // A byte order mark is no part of the document.
        let shielded = ShieldedText(
            text.unicodeScalars.first == "\u{FEFF}" ? String(text.unicodeScalars.dropFirst()) : text)
        try shielded.refuseCollectionsAsKeys()
        let root: Node?
        do {
            // The encoding is named because Yams else prints about an environment variable.
            root = try Yams.compose(yaml: shielded.text, .default, .default, .utf8)
        } catch let error as YamlError {
            throw shielded.problem(of: error)
        } catch {
            throw YAMLProblem(mark: FileMark(line: 1, column: 1), message: "this is no YAML: \(error)")
        }
        guard let root else { return nil }
        var reader = NodeReader(shielded: shielded)
        return try reader.read(root, depth: 0)
    }
}

private struct NodeReader {
    let shielded: ShieldedText
    var nodes = 0

    mutating func read(_ node: Node, depth: Int) throws(YAMLProblem) -> FileNode {
        let mark = node.fileMark
        nodes += 1
        if nodes > FileNode.nodes_max {
            throw YAMLProblem(
                mark: mark,
                message: "the file has more than \(FileNode.nodes_max) values once its anchors are followed",
                remedy: "write the values out, without anchors inside anchors")
        }
        if depth > FileNode.depth_max {
            throw YAMLProblem(mark: mark, message: "values are nested more than \(FileNode.depth_max) deep")
        }
        switch node {
        case .scalar(let scalar):
            let isNull = scalar.style == .plain && ["", "~", "null", "Null", "NULL"].contains(scalar.string)
            return isNull ? .null(mark) : .scalar(FileScalar(raw: shielded.restore(scalar.string), mark: mark))
        case .sequence(let sequence):
            var items: [FileNode] = []
            for item in sequence { items.append(try read(item, depth: depth + 1)) }
            return .list(items, mark)
        case .mapping(let mapping):
            return .map(try entries(of: mapping, depth: depth), mark)
        case .alias:
            // Parsing follows aliases; only trees built by hand hold them.
            throw YAMLProblem(mark: mark, message: "an alias that leads nowhere")
        }
    }

    private mutating func entries(of mapping: Node.Mapping, depth: Int) throws(YAMLProblem) -> [FileEntry] {
        var entries: [FileEntry] = []
        var merged: [FileEntry] = []
        var names: Set<String> = []
        for (key, value) in mapping {
            guard case .scalar(let scalar) = key else {
                throw YAMLProblem(mark: key.fileMark, message: "a key must be a single word, this is a list or mapping")
            }
            let name = shielded.restore(scalar.string)
            let read = try read(value, depth: depth + 1)
            if name == "<<", scalar.style == .plain {
                merged += try Self.merged(read)
                continue
            }
            if !names.insert(name).inserted {
                throw YAMLProblem(
                    mark: key.fileMark, message: "the key \(name) is given twice", remedy: "keep one of them")
            }
            entries.append(FileEntry(key: name, keyMark: key.fileMark, value: read))
        }
        // What stands in the mapping itself wins, then what was merged first.
        for entry in merged where names.insert(entry.key).inserted { entries.append(entry) }
        return entries
    }

    private static func merged(_ node: FileNode) throws(YAMLProblem) -> [FileEntry] {
        switch node {
        case .map(let entries, _): return entries
        case .list(let items, _):
            var all: [FileEntry] = []
            for item in items {
                guard case .map(let entries, _) = item else {
                    throw YAMLProblem(mark: item.mark, message: "<< merges mappings, this is \(item.kind)")
                }
                all += entries
            }
            return all
        case .null, .scalar:
            throw YAMLProblem(mark: node.mark, message: "<< merges a mapping, this is \(node.kind)")
        }
    }
}

extension Node {
    fileprivate var fileMark: FileMark {
        mark.map { FileMark(line: $0.line, column: $0.column) } ?? FileMark(line: 1, column: 1)
    }
}

extension ShieldedText {
    /// Where Yams' complaint stands in the file, and what it says.
    fileprivate func problem(of error: YamlError) -> YAMLProblem {
        switch error {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            let detail = context.map { " (\($0.text) that began at line \($0.mark.line))" } ?? ""
            return YAMLProblem(
                mark: FileMark(line: mark.line, column: mark.column), message: "this is no YAML: \(problem)\(detail)",
                remedy: "check the indentation, and quote values that hold : # { } [ ] or ,")
        case .reader(let problem, let offset, _, _):
            return YAMLProblem(mark: mark(ofCharacter: offset ?? 0), message: "this is no YAML: \(problem)")
        case .duplicatedKeysInMapping(let duplicates, let context):
            let name = restore(duplicates.first ?? "")
            let first = FileMark(line: context.mark.line, column: context.mark.column)
            return YAMLProblem(
                mark: repeated(key: duplicates.first ?? "", after: first),
                message: "the key \(name) is given twice, first at line \(first.line)", remedy: "keep one of them")
        default:
            return YAMLProblem(mark: FileMark(line: 1, column: 1), message: "this is no YAML: \(error)")
        }
    }

    private func mark(ofCharacter offset: Int) -> FileMark {
        var mark = FileMark(line: 1, column: 1)
        for character in text.prefix(offset) {
            if character.isNewline {
                mark = FileMark(line: mark.line + 1, column: 1)
            } else {
                mark.column += character.unicodeScalars.count
            }
        }
        return mark
    }

    /// Yams names the first of two equal keys. In block style the second stands below it in the same
    /// column; where it can't be found so, the first place must do.
    private func repeated(key: String, after first: FileMark) -> FileMark {
        let lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
        for (index, line) in lines.enumerated().dropFirst(first.line) {
            let indentation = line.prefix { $0 == " " }.count
            let content = line.dropFirst(indentation)
            if content.isEmpty || content.hasPrefix("#") { continue }
            if indentation < first.column - 1 { break }
            guard indentation == first.column - 1 else { continue }
            if [key, "\"\(key)\"", "'\(key)'"].contains(where: { content.hasPrefix($0 + ":") }) {
                return FileMark(line: index + 1, column: first.column)
            }
        }
        return first
    }
}
