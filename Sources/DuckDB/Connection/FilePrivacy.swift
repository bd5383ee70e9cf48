import Foundation
import Synchronization

/// Keeps a database's files from other users of the machine.
///
/// The engine makes them with the rights that the umask leaves, its log anew after each checkpoint and on whichever thread
/// commits, so that nothing but the process's umask reaches all of them.
enum FilePrivacy {
    /// The mask can't be read without being set.
    private static let turn = Mutex(())

    /// To be called before the engine opens `path` for writing: what it makes is this user's alone. An existing file keeps
    /// its rights, and what is made beside it gets no more than it has.
    static func begin(_ path: String) {
        var information = stat()
        let rights = stat(path, &information) == 0 ? information.st_mode & 0o777 : 0o600
        // Those that somebody who started us took away stay away; another database's, too.
        turn.withLock { _ in
            let before = umask(0o077)
            umask(before | (~rights & 0o077))
        }
    }
}
