/// Everything that is wrong with a pipeline file, found in one go and sorted by line. Exit code 2.
///
/// Messages quote the file's own text (`${NAME}`, never what it stands for) and no passwords.
package struct PipelineFileError: Error, Sendable, Equatable {
    /// One thing that is wrong.
    package struct Problem: Sendable, Equatable {
        /// From 1; 0 when it concerns the file as a whole (it isn't there, it is too large).
        package var line: Int
        /// From 1, counted in Unicode scalars; 0 where `line` is.
        package var column: Int
        /// Where in the file: `tables[0].columns.hash`; empty for the file as a whole.
        package var keyPath: String
        package var message: String
        /// What mends it, printed after `Try:`.
        package var remedy: String?

        package init(line: Int, column: Int, keyPath: String, message: String, remedy: String? = nil) {
            self.line = line
            self.column = column
            self.keyPath = keyPath
            self.message = message
            self.remedy = remedy
        }
    }

    /// The file as the user named it.
    package var file: String
    /// Never empty.
    package var problems: [Problem]

    package init(file: String, problems: [Problem]) {
        self.file = file
        self.problems = problems.enumerated()
            .sorted {
                ($0.element.line, $0.element.column, $0.offset) < ($1.element.line, $1.element.column, $1.offset)
            }
            .map(\.element)
    }
}

extension PipelineFileError: CustomStringConvertible {
    /// `Error: millrace.yaml:12:5: tables[0].columns.hash: …` and `Try: …`, a line each.
    package var description: String {
        problems.map { problem in
            var text = "Error: \(located(problem))"
            if let remedy = problem.remedy { text += "\nTry: \(remedy)" }
            return text
        }.joined(separator: "\n")
    }

    /// `millrace.yaml:12:5: tables[0].columns.hash: …`, without `Error:` and `Try:`.
    package func located(_ problem: Problem) -> String {
        var text = file
        if problem.line > 0 { text += ":\(problem.line):\(problem.column)" }
        if !problem.keyPath.isEmpty { text += ": \(problem.keyPath)" }
        return text + ": \(problem.message)"
    }
}
