import Foundation
import Replication

/// A DuckDB file that another program has, while the agent reads nothing.
struct Loan: Sendable {
    /// Who gives it back: a process of this machine. One that is gone has given it back.
    let borrower: Int32
    /// What it runs.
    let program: String
    /// The agent has closed it.
    var isGiven = false

    var text: String { "the warehouse is lent to process \(borrower): \(program)" }

    /// Also where nobody has asked yet how it ended.
    var isBorrowerGone: Bool {
        if kill(borrower, 0) != 0 { return errno == ESRCH }
        guard let stat = try? String(contentsOfFile: "/proc/\(borrower)/stat", encoding: .utf8),
            let end = stat.lastIndex(of: ")")
        else { return false }
        return stat[end...].dropFirst(2).first == "Z"
    }

    /// A batch in hand is finished before the file is given.
    static let patience = Duration.seconds(120)
    static let look = Duration.milliseconds(50)
}
