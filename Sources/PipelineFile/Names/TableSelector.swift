/// Which source tables a pipeline takes: one of `include`, and none of `exclude`.
package struct TableSelector: Sendable, Equatable {
    /// `source.include`: globs over the whole of `schema.table`. Default `["*.*"]`.
    package var include = [Glob("*.*")]
    /// `source.exclude`: the same; it wins. Default none.
    package var exclude: [Glob] = []

    package init() {}

    package init(include: [String], exclude: [String] = []) {
        self.include = include.map(Glob.init)
        self.exclude = exclude.map(Glob.init)
    }

    /// `name`: `schema.table`, unquoted, as the source calls them.
    package func chooses(_ name: String) -> Bool {
        include.contains { $0.matches(name) } && !exclude.contains { $0.matches(name) }
    }
}
