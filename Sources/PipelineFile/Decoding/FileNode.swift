/// A place in the pipeline file, from 1; columns count Unicode scalars.
struct FileMark: Equatable {
    var line: Int
    var column: Int
}

/// The pipeline file's YAML as far as we care: tags are dropped, aliases and `<<` are followed.
enum FileNode {
    /// Nothing, `~` or `null`: as if the key weren't there.
    case null(FileMark)
    case scalar(FileScalar)
    case list([FileNode], FileMark)
    case map([FileEntry], FileMark)

    var mark: FileMark {
        switch self {
        case .null(let mark), .list(_, let mark), .map(_, let mark): mark
        case .scalar(let scalar): scalar.mark
        }
    }

    /// For messages: what it is instead of what was wanted.
    var kind: String {
        switch self {
        case .null: "nothing"
        case .scalar: "a single value"
        case .list: "a list"
        case .map: "a mapping"
        }
    }
}

struct FileScalar {
    /// As in the file: `${NAME}` isn't replaced yet.
    var raw: String
    var mark: FileMark
}

struct FileEntry {
    var key: String
    var keyMark: FileMark
    var value: FileNode
}
