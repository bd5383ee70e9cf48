extension Pipeline {
    /// What alerts are about; the words of `on`.
    package enum AlertKind: String, Sendable, CaseIterable, Equatable {
        /// The pipeline is further behind its source than `lag_over`.
        case lag
        /// A table's current stands still, and nobody asked for it.
        case held
        /// An expectation that only warns isn't met.
        case quality
        /// Records were put aside.
        case quarantine
        /// A slot or a partition can't be read on.
        case lost
        /// A table can't be copied or written.
        case error
        /// The warehouse is away, or a Postgres source.
        case waiting
        /// Of the log that the source keeps little is left before what wasn't read is gone.
        case retention
        /// A change of a table's schema waits for a person.
        case schema
        /// A table lies further behind its source than its freshness contract allows.
        case stale
        /// A sweep found differences between a table and its source.
        case sweep
    }

    /// An entry of `alerts`: where alerts go, and which.
    package struct AlertTarget: Sendable, Equatable {
        package enum Way: Sendable, Equatable {
            /// `webhook`: http or https; the URL may hold a secret, and isn't shown. `format`: `json` or `slack`.
            case webhook(Secret, AlertFormat)
            /// `exec`: a program's path, given the alert as JSON on stdin.
            case exec(String)
            /// `log: true`: the agent's own log.
            case log
        }

        package var way: Way
        /// `lag_over`: 20s to 30d, as a quiet source's position is noted every 10 s. Default `60s`.
        package var lagOver = Duration.seconds(60)
        /// `on`. Default all.
        package var kinds = Set(AlertKind.allCases)

        package init(_ way: Way) { self.way = way }
    }

    package enum AlertFormat: String, Sendable, CaseIterable, Equatable { case json, slack }
}
