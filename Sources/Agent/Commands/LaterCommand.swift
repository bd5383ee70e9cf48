/// Commands of later steps: refused, never accepted and ignored.
package enum LaterCommand {
    /// Each with what to do meanwhile.
    package static let remedies: [(name: String, remedy: String)] = [
        ("backfill", "millrace run reads what the topics hold; a connector's snapshot brings the rest"),
        ("explain", "millrace query, on the table's raw layer"),
        ("dbt", "read the tables as they are: see millrace status for their names"),
    ]

    package static func failure(_ name: String, try remedy: String? = nil) -> CommandFailure {
        CommandFailure(
            ExitStatus.usage, "`millrace \(name)` is not built yet (not yet)",
            try: remedy ?? remedies.first { $0.name == name }?.remedy)
    }
}
