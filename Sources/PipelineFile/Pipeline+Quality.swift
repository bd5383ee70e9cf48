extension Pipeline {
    /// `quality`: how the running agent holds tables against what is expected of them.
    package struct Quality: Sendable, Equatable {
        /// `every`: how often whole tables are held against what a row by itself doesn't tell; 10s to 365d. Default `15m`;
        /// `never`: by `millrace quality` alone (nil).
        package var every: Duration? = .seconds(900)
        /// `held_max`: how long a rule may hold a table before the agent stops (exit 6); 1m to 365d. Default `7d`.
        package var held_max = Duration.seconds(7 * 86_400)
        /// `deferred_max`: how many events of a table that a rule holds may wait in raw before the agent stops (exit 6); 1 to
        /// 10^15. Default `100000000`.
        package var deferred_max = 100_000_000

        package init() {}
    }
}
