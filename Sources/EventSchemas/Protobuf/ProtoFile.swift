/// A `.proto` file as far as decoding needs it.
struct ProtoFile {
    var package = ""
    /// proto2 and editions know of each scalar whether it was set; proto3 of those called `optional`.
    var hasPresence = true
    var messages: [ProtoMessage] = []
    var enums: [ProtoEnum] = []
}

struct ProtoMessage {
    var name: String
    var fields: [ProtoField] = []
    var messages: [ProtoMessage] = []
    var enums: [ProtoEnum] = []
    var isMapEntry = false
}

struct ProtoField {
    enum Label { case none, optional, required, repeated }

    var name: String
    var number: Int32
    var label = Label.none
    /// A scalar's name, or a message's or enum's as it is written.
    var type: String
    /// Of `map<key, type>`.
    var key: String?
    var isInOneof = false
    /// `(confluent.field_meta)`'s params: what Connect said of the field.
    var parameters: [(name: String, value: String)] = []
}

struct ProtoEnum {
    var name: String
    var values: [(name: String, number: Int32)] = []
}
