import Foundation
import JSON
import Logging

/// Log lines on stderr: for people, or a JSON object each.
package struct LogOutput: LogHandler {
    package enum Format: String, Sendable, CaseIterable { case text, json }

    private let console: Console
    private let format: Format
    private let label: String
    package var logLevel: Logger.Level
    package var metadata: Logger.Metadata = [:]

    package init(_ console: Console, format: Format, level: Logger.Level, label: String = "millrace") {
        self.console = console
        self.format = format
        self.label = label
        logLevel = level
    }

    package subscript(metadataKey key: String) -> Logger.MetadataValue? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var all = metadata
        if let more = event.metadata { all.merge(more) { $1 } }
        let time = Moment.text(Moment.now_us()) ?? ""
        switch format {
        case .text: console.note(text(event, all, time))
        case .json: console.note(json(event, all, time))
        }
    }

    private func text(_ event: LogEvent, _ metadata: Logger.Metadata, _ time: String) -> String {
        let level = event.level.rawValue
        var line = "\(time.dropLast(4))Z \(level) \(Console.printable(event.message.description))"
        for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
            line += " \(Console.printable(key))=\(Console.printable(value.description))"
        }
        switch event.level {
        case .error, .critical: return console.paint(line, .red, isError: true)
        case .warning: return console.paint(line, .yellow, isError: true)
        default: return line
        }
    }

    private func json(_ event: LogEvent, _ metadata: Logger.Metadata, _ time: String) -> String {
        let members = metadata.sorted { $0.key < $1.key }.map { ($0.key, Self.value($0.value)) }
        return JSONValue.object([
            ("time", .string(time)), ("level", .string(event.level.rawValue)),
            ("message", .string(event.message.description)), ("metadata", .object(members)),
        ]).serialized
    }

    private static func value(_ value: Logger.MetadataValue) -> JSONValue {
        switch value {
        case .string(let text): .string(text)
        case .stringConvertible(let value): .string(value.description)
        case .array(let elements): .array(elements.map(self.value))
        case .dictionary(let members):
            .object(members.sorted { $0.key < $1.key }.map { ($0.key, self.value($0.value)) })
        @unknown default: .string(value.description)
        }
    }
}
