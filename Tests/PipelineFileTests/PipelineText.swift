import PipelineFile
import Testing

/// The smallest pipeline file, `extra` put after it.
func minimal(_ extra: String = "") -> String {
    """
    pipeline: shop
    source:
      kafka: { brokers: localhost:9092, topics: ["shop.public.*"] }
    warehouse:
      duckdb: {}

    """ + extra
}

/// What the program takes, its JSON Schema takes, too.
func parse(_ text: String, file: String = "millrace.yaml", _ environment: [String: String] = [:]) throws -> Pipeline {
    let pipeline = try Pipeline.parse(text: text, file: file, environment: environment)
    #expect(try schemaComplaints(text) == [], "\(text)")
    return pipeline
}

/// Each problem as `line: key path: message`; none where the text is a pipeline file.
func problems(_ text: String, _ environment: [String: String] = [:]) -> [String] {
    do {
        _ = try parse(text, environment)
        return []
    } catch let error as PipelineFileError {
        return error.problems.map { "\($0.line): \($0.keyPath): \($0.message)" }
    } catch {
        return ["\(error)"]
    }
}

extension Pipeline {
    var kafka: Kafka? {
        if case .kafka(let kafka) = source.input { kafka } else { nil }
    }

    var duckdb: DuckDB? {
        if case .duckdb(let duckdb) = warehouse.engine { duckdb } else { nil }
    }
}
