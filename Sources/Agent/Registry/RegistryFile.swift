import EventSchemas
import Foundation
import JSON
import Replication

/// A file with what a registry held: a JSON object a line (`subject`, `version`, `id`, `schema`, `schemaType`,
/// `references`), for replays of recorded events.
actor RegistryFile: SchemaProvider {
    private static let file_bytes_max = 256 << 20

    private let path: String
    private var byID: [UInt32: SchemaAnswer] = [:]
    private var unreadable: [UInt32: String] = [:]
    private var byVersion: [SchemaAnswer.Link: SchemaAnswer] = [:]
    /// The file's size and time when it was read; nil: it wasn't.
    private var state: FileState?

    private struct FileState: Equatable {
        var bytes: UInt64
        var changed: Date?
    }

    init(path: String) { self.path = path }

    func schema(_ id: UInt32) async throws -> SchemaStore.Entry {
        // A file may have grown.
        if byID[id] == nil, state == nil || look(at: path) != state { try read() }
        guard let answer = byID[id] else {
            return .refused(unreadable[id] ?? "\(URL(fileURLWithPath: path).lastPathComponent) doesn't have it")
        }
        var references = SchemaReferences()
        let found = byVersion
        let reason = try await references.gather(answer.links) { link in
            var link = link
            link.name = ""
            return found[link]
        }
        if let reason { return .refused(reason) }
        return .schema(
            RegisteredSchema(id: id, format: answer.format, text: answer.text, references: references.gathered))
    }

    func look() async throws -> String {
        try read()
        return "\(byID.count) schemas in \(path)"
    }

    private func look(at path: String) -> FileState? {
        // Of a link's target: a mounted ConfigMap is one.
        let path = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
        return (try? FileManager.default.attributesOfItem(atPath: path)).map {
            FileState(bytes: $0[.size] as? UInt64 ?? 0, changed: $0[.modificationDate] as? Date)
        }
    }

    private func read() throws {
        let state = look(at: path)
        let data: Data
        do {
            data = try Data(contentsOf: URL(fileURLWithPath: path))
        } catch {
            throw ReplicationError(
                .environment, "cannot read the schemas' file \(path)",
                remedy: "check schema_registry.file and the file's permissions")
        }
        guard data.count <= Self.file_bytes_max else {
            throw ReplicationError(
                .environment, "the schemas' file \(path) is longer than \(Self.file_bytes_max >> 20) MiB",
                remedy: "keep the schemas in it that the events name, or use a registry")
        }
        self.state = state
        for (index, line) in data.split(separator: 0x0A).enumerated()
        where !line.allSatisfy({ $0 == 0x20 || $0 == 0x0D }) {
            guard let value = try? JSONValue(parsing: line),
                let id = value["id"]?.int64.flatMap({ UInt32(exactly: $0) })
            else {
                throw ReplicationError(
                    .environment, "line \(index + 1) of the schemas' file \(path) is no JSON object with an id",
                    remedy: "a line is {\"id\": 1, \"subject\": …, \"version\": 1, \"schema\": …}")
            }
            do {
                let answer = try SchemaAnswer(value)
                byID[id] = answer
                if let subject = value["subject"]?.string, let version = value["version"]?.int64 {
                    byVersion[.init(name: "", subject: subject, version: version)] = answer
                }
            } catch {
                unreadable[id] = Self.reason(error)
            }
        }
    }

    private static func reason(_ error: SchemaAnswer.Unreadable) -> String {
        switch error {
        case .noSchema: "its line has no schema"
        case .unknownType(let type): "it is of type \(type), which is not read"
        }
    }
}
