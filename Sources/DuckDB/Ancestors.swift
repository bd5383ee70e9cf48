import Foundation

extension URL {
    /// The folder and those that it lies in, up to the root. Of a path that isn't absolute, as that of a working directory
    /// which is gone, the folder alone: what lies above it has no end.
    package var ancestors: [URL] {
        var folder = standardizedFileURL
        guard folder.path.hasPrefix("/") else { return [self] }
        var found = [folder]
        while folder.path != "/" {
            let parent = folder.deletingLastPathComponent().standardizedFileURL
            // Each is shorter than the one before.
            guard parent.path.utf8.count < folder.path.utf8.count else { break }
            folder = parent
            found.append(folder)
        }
        return found
    }
}
