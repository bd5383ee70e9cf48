import Foundation

/// Whether a file that was found, and not named, is to be run.
enum FileTrust {
    /// Why it isn't; nil: it and its folder are this user's, root's or the program's owner's, and nobody else may write to them.
    static func objection(to path: String) -> String? {
        // Who owns the program can have it do anything already.
        var program = stat()
        var owners: Set<uid_t> = [0, geteuid()]
        if stat("/proc/self/exe", &program) == 0 { owners.insert(program.st_uid) }
        for place in [path, URL(fileURLWithPath: path).deletingLastPathComponent().path] {
            var status = stat()
            guard stat(place, &status) == 0 else { return "it can't be looked at" }
            guard owners.contains(status.st_uid) else { return "it belongs to another user" }
            guard status.st_mode & 0o002 == 0 else { return "anybody may change it" }
        }
        return nil
    }
}
