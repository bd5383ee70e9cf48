import AsyncHTTPClient
import Foundation
import PipelineFile
import Replication

extension CheckCommand {
    /// Whether lineage events would arrive; none is sent. What keeps them away keeps nothing else from working.
    static func lineage(_ setup: PipelineSetup) async -> [Finding] {
        guard let settings = setup.pipeline.lineage else { return [] }
        switch settings.place {
        case .file(let path): return [file(path)]
        case .http(let url):
            var request = HTTPClientRequest(url: url.text)
            request.method = .HEAD
            do {
                // Any answer is one: of the path it is known only that events are posted there.
                _ = try await HTTPPost.client.execute(request, timeout: .seconds(5))
                return [Finding(.ok, "lineage", "\(url) is there, job namespace \(settings.namespace)")]
            } catch {
                return [
                    Finding(
                        .warning, "lineage", "\(url) can't be reached (\(type(of: error))): no lineage would arrive",
                        remedy: "start it, or correct lineage.openlineage.url")
                ]
            }
        }
    }

    private static func file(_ path: String) -> Finding {
        var isFolder: ObjCBool = false
        let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
        let isThere = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
        let canWrite = isThere ? !isFolder.boolValue && access(path, W_OK) == 0 : access(folder, W_OK) == 0
        return canWrite
            ? Finding(.ok, "lineage", "events are appended to \(path)")
            : Finding(
                .warning, "lineage", "\(path) can't be written: no lineage would be kept",
                remedy: "make its folder, or correct lineage.openlineage.file")
    }
}
