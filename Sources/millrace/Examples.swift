extension String {
    /// What a command's help says below its first line.
    /// - Parameter examples: command lines as they are typed, each with what it does. Short enough not to be wrapped.
    static func help(_ text: String = "", examples: KeyValuePairs<String, String>) -> String {
        let lines = examples.map { "  # \($0.value)\n  \($0.key)" }
        return (text.isEmpty ? "" : text + "\n\n") + "EXAMPLES:\n" + lines.joined(separator: "\n")
    }
}
