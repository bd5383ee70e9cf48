import EventSchemas
import JSON
import Replication

/// What a registry answers of one schema.
struct SchemaAnswer: Sendable {
    struct Link: Sendable, Hashable {
        var name: String
        var subject: String
        var version: Int64
    }

    var format: SchemaFormat
    var text: String
    var links: [Link]

    enum Unreadable: Error, Equatable {
        case noSchema
        case unknownType(String)
    }

    /// From the object that the registry sends, and that each line of a file is.
    init(_ value: JSONValue) throws(Unreadable) {
        guard let text = value["schema"]?.string else { throw .noSchema }
        self.text = text
        let type = value["schemaType"]?.string ?? SchemaFormat.avro.rawValue
        guard let format = SchemaFormat(rawValue: type) else { throw .unknownType(String(type.prefix(40))) }
        self.format = format
        links = (value["references"]?.array ?? []).compactMap { reference in
            guard let name = reference["name"]?.string, let subject = reference["subject"]?.string,
                let version = reference["version"]?.int64
            else { return nil }
            return Link(name: name, subject: subject, version: version)
        }
    }
}

/// Gathers what a schema refers to, each behind what it needs itself.
struct SchemaReferences {
    private static let references_max = 256
    private static let depth_max = 32

    private(set) var gathered: [RegisteredSchema.Reference] = []
    private var seen = Set<SchemaAnswer.Link>()

    /// - Parameter fetch: the schema of a subject's version; nil: there is none.
    /// - Returns: why they can't all be had; nil: they are.
    mutating func gather(
        _ links: [SchemaAnswer.Link], depth: Int = 0,
        _ fetch: @Sendable (SchemaAnswer.Link) async throws -> SchemaAnswer?
    ) async throws -> String? {
        guard depth < Self.depth_max else { return "its references go too deep" }
        for link in links where seen.insert(link).inserted {
            guard seen.count <= Self.references_max else { return "it has more than \(Self.references_max) references" }
            guard let answer = try await fetch(link) else {
                return "its reference to \(link.subject.prefix(80)), version \(link.version), isn't there"
            }
            if let reason = try await gather(answer.links, depth: depth + 1, fetch) { return reason }
            gathered.append(.init(name: link.name, text: answer.text))
        }
        return nil
    }
}
