import EventSchemas
import PipelineFile
import Replication

extension CheckCommand {
    /// The schema registry: can it be asked, and does it have what the records looked at name.
    static func registry(_ setup: PipelineSetup, _ batches: [RecordBatch]) async -> [Finding] {
        let ids = batches.reduce(into: Set<UInt32>()) { $0.formUnion(WireFormat.ids(in: $1)) }
        guard let schemas = setup.schemas else {
            guard !ids.isEmpty else { return [] }
            return [
                Finding(
                    .error, "source",
                    "records are in Confluent's wire format, and nothing says where their schemas are: they would go to quarantine",
                    remedy: "schema_registry: { url: http://localhost:8081 } in \(setup.sourceKey)")
            ]
        }
        var findings: [Finding] = []
        do {
            findings.append(Finding(.ok, "schema registry", try await schemas.provider.look()))
            if setup.sendsCredentialsInClear {
                findings.append(
                    Finding(
                        .warning, "schema registry", "user and password are sent without TLS",
                        remedy: "schema_registry: { url: https://… }"))
            }
            for batch in batches { try await schemas.prepare(batch) }
        } catch {
            return findings + [finding(error, "schema registry")]
        }
        for id in ids.sorted() {
            guard case .schema(let schema)? = schemas.store[id], schema.hidesNulls else { continue }
            findings.append(
                Finding(
                    .warning, "schema \(id)",
                    "its Protobuf fields can't tell NULL from 0, false or an empty text, which is stored instead",
                    remedy: "value.converter.optional.for.nullables=true in the connector's configuration"))
        }
        return findings
    }
}

extension PipelineSetup {
    var sourceKey: String {
        if case .file = pipeline.source.input { "source.file" } else { "source.kafka" }
    }

    var sendsCredentialsInClear: Bool {
        guard let registry = pipeline.source.schemaRegistry, registry.basicAuth != nil,
            case .url(let url) = registry.place, url.text.hasPrefix("http://")
        else { return false }
        let address = url.text.dropFirst("http://".count).prefix { $0 != "/" }
        if address.hasPrefix("[::1]") { return false }
        let host = address.prefix { $0 != ":" }
        let numbers = host.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
        return host != "localhost" && !(numbers.count == 4 && numbers[0] == 127 && !numbers.contains(nil))
    }
}

extension SchemaResolver {
    /// From where the pipeline file says; nil: it says nothing.
    init?(_ source: Pipeline.Source) {
        guard let settings = source.schemaRegistry else { return nil }
        let expected: SchemaFormat? =
            switch source.format {
            case .avro: .avro
            case .json_schema: .jsonSchema
            case .protobuf: .protobuf
            case .auto, .debezium, .flattened, .cloudevents: nil
            }
        let provider: any SchemaProvider =
            switch settings.place {
            case .url(let url): SchemaRegistryClient(url: url, settings: settings)
            case .file(let path): RegistryFile(path: path)
            }
        self.init(provider, store: SchemaStore(expected: expected))
    }
}
