/// What decoding one file gathers: the problems found, and what `${…}` may stand for.
final class DecodingContext {
    let file: String
    /// The file's folder, as the user named it; empty for the current one.
    let folder: String
    let environment: [String: String]
    private(set) var problems: [PipelineFileError.Problem] = []

    init(file: String, environment: [String: String]) {
        self.file = file
        self.environment = environment
        folder = file.lastIndex(of: "/").map { String(file[...$0]) } ?? ""
    }

    func fail(_ mark: FileMark, _ keyPath: String, _ message: String, try remedy: String? = nil) {
        problems.append(
            .init(line: mark.line, column: mark.column, keyPath: keyPath, message: message, remedy: remedy))
    }

    /// A path of the file, seen from where the program stands.
    func resolve(path: String) -> String {
        path.hasPrefix("/") ? path : folder + path
    }

    /// The value of a scalar, `${…}` replaced; nil (and a problem) where that can't be.
    func value(of scalar: FileScalar, at keyPath: String) -> FileValue? {
        do {
            let text = try Substitution(environment: environment, resolve: resolve).replace(in: scalar.raw)
            return FileValue(text: text, raw: scalar.raw, mark: scalar.mark, keyPath: keyPath)
        } catch {
            fail(scalar.mark, keyPath, error.message, try: error.remedy)
            return nil
        }
    }
}

/// One value of the file.
struct FileValue {
    /// What it means.
    var text: String
    /// What the file says.
    var raw: String
    var mark: FileMark
    var keyPath: String

    /// Whether the text came, in part, from outside of the file: then no message may quote it.
    var isSubstituted: Bool { text != raw }

    /// For messages: what the file says, shortened.
    var shown: String {
        let line = raw.replacing("\n", with: "\\n")
        return line.count > 60 ? "\(line.prefix(57))…" : line
    }
}
