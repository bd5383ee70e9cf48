extension Pipeline {
    /// `lineage.openlineage`: where OpenLineage's run events go.
    package struct OpenLineage: Sendable, Equatable {
        /// Exactly one of `url` and `file`.
        package enum Place: Sendable, Equatable {
            /// `url` and `endpoint` (default `/api/v1/lineage`) in one, without user and password.
            /// Example: `http://marquez:5000/api/v1/lineage`.
            case http(ConnectionURL)
            /// `file`: an event a line is appended.
            case file(String)
        }

        package var place: Place
        /// `namespace`: of the jobs. Default `millrace`.
        package var namespace = "millrace"
        /// `api_key`: sent with each event as a bearer token. Default none.
        package var apiKey: Secret?

        package init(_ place: Place) { self.place = place }
    }
}
