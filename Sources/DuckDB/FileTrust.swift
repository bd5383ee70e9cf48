import Foundation

/// Whether a file that was found, and not named, is to be run.
enum FileTrust {
    /// Why it isn't; nil: it and its folder are this user's or root's, and nobody else may write to them.
    static func objection(to path: String) -> String? {
        for place in [path, URL(fileURLWithPath: path).deletingLastPathComponent().path] {
            var status = stat()
            guard stat(place, &status) == 0 else { return "it can't be looked at" }
            guard status.st_uid == 0 || status.st_uid == geteuid() else { return "it belongs to another user" }
            guard status.st_mode & 0o002 == 0 else { return "anybody may change it" }
        }
        return nil
    }
}
