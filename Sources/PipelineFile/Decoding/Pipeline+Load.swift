import Foundation

extension Pipeline {
    /// Larger files are refused unread.
    package static let file_bytes_max = 1 << 20

    /// Reads and validates a pipeline file. Relative paths in it are relative to its folder.
    ///
    /// `environment`: what `${NAME}` stands for. Throws `PipelineFileError` with everything that is wrong.
    package static func load(
        path: String, environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws(PipelineFileError) -> Pipeline {
        func refuse(_ message: String, try remedy: String, line: Int = 0) -> PipelineFileError {
            let problem = PipelineFileError.Problem(
                line: line, column: min(line, 1), keyPath: "", message: message, remedy: remedy)
            return PipelineFileError(file: path, problems: [problem])
        }
        var status = stat()
        guard stat(path, &status) == 0 else {
            let reason =
                errno == ENOENT ? "there is no such file" : "can't be read: \(String(cString: strerror(errno)))"
            throw refuse(reason, try: "millrace … -c FILE")
        }
        guard status.st_mode & S_IFMT != S_IFDIR else { throw refuse("this is a folder", try: "millrace … -c FILE") }
        guard let handle = FileHandle(forReadingAtPath: path) else {
            throw refuse("can't be read: \(String(cString: strerror(errno)))", try: "ls -l '\(path)'")
        }
        defer { try? handle.close() }
        let bytes: Data
        do {
            bytes = try handle.read(upToCount: file_bytes_max + 1) ?? Data()
        } catch {
            throw refuse("can't be read", try: "ls -l '\(path)'")
        }
        guard bytes.count <= file_bytes_max else {
            throw refuse("a pipeline file has at most 1MiB", try: "split it into several pipelines")
        }
        guard let text = String(bytes: bytes, encoding: .utf8) else {
            throw refuse("this is no UTF-8", try: "iconv -t UTF-8", line: lineOfInvalidUTF8(bytes))
        }
        return try parse(text: text, file: path, environment: environment)
    }

    /// The same for a text in hand. `file`: its name in messages, whose folder paths are relative to.
    package static func parse(
        text: String, file: String, environment: [String: String]
    ) throws(PipelineFileError) -> Pipeline {
        let context = DecodingContext(file: file, environment: environment)
        if text.utf8.count > file_bytes_max {
            context.fail(FileMark(line: 0, column: 0), "", "a pipeline file has at most 1MiB")
            throw PipelineFileError(file: file, problems: context.problems)
        }
        var pipeline: Pipeline?
        do {
            if let node = try FileNode.read(text) {
                pipeline = PipelineDecoder(context: context).decode(node)
            } else {
                context.fail(
                    FileMark(line: 1, column: 1), "", "the file is empty",
                    try: "start with pipeline, source and warehouse")
            }
        } catch {
            context.fail(error.mark, "", error.message, try: error.remedy)
        }
        guard let pipeline, context.problems.isEmpty else {
            throw PipelineFileError(file: file, problems: context.problems)
        }
        return pipeline
    }

    private static func lineOfInvalidUTF8(_ bytes: Data) -> Int {
        let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        return (lines.firstIndex { String(bytes: $0, encoding: .utf8) == nil } ?? 0) + 1
    }
}
