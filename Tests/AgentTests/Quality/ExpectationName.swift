import Replication

/// Ours, not the testing library's.
typealias Expectation = Replication.Expectation
