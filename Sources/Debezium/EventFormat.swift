/// The forms in which Debezium's events come.
package enum EventFormat: Sendable, Equatable {
    /// Debezium's envelope: `before`, `after`, `source`, `op`.
    case envelope
    /// The row alone (ExtractNewRecordState), with added fields and headers.
    case flattened
    /// A CloudEvent in JSON around before- and after-image.
    case cloudEvents

    /// In messages.
    var noun: String {
        switch self {
        case .envelope: "a Debezium envelope"
        case .flattened: "a flattened event (ExtractNewRecordState)"
        case .cloudEvents: "a CloudEvent"
        }
    }

    /// The word of `source.kafka.format`.
    var word: String {
        switch self {
        case .envelope: "debezium"
        case .flattened: "flattened"
        case .cloudEvents: "cloudevents"
        }
    }
}

/// What ExtractNewRecordState was told to add to events, in its own words: for what their form doesn't show.
package struct AddedNames: Sendable, Equatable {
    /// `add.fields.prefix`.
    package var fieldsPrefix = "__"
    /// `add.headers.prefix`.
    package var headersPrefix = "__"
    /// `add.fields`: `op`, `source.ts_ms`, `lsn:position`…; nil: known names behind the prefix are taken for added ones.
    package var fields: [String]?
    /// `add.headers`.
    package var headers: [String]?

    package init() {}
}
