import JSON

/// What of a definition came with schema changes, as `_millrace.tables.evolution` keeps it; nil where nothing did.
extension TableDefinition {
    package var evolution: String? {
        let traits = columns.compactMap { column -> JSONValue.Member? in
            let members = column.traits
            return members.isEmpty ? nil : (column.name, .object(members))
        }
        guard
            followed != nil || revision > 0 || !retired.isEmpty || !shown.isEmpty || !traits.isEmpty
                || !spentNames.isEmpty
        else { return nil }
        return JSONValue.object(
            [
                ("followed", followed?.json ?? .null), ("revision", .number(String(revision))),
                ("retired", .array(retired.map(\.json))), ("spent", .array(spentNames.map(JSONValue.string))),
                ("spent_id", .number(String(spentIdentity))),
                ("tables", .array(keptTables.map(JSONValue.string))),
                ("shown", .array(shown.map { .array([.string($0.name), .string($0.column)]) })),
                ("columns", .object(traits)),
            ] + (takenNames.isEmpty ? [] : [("taken", .array(takenNames.map(\.json)))])
        ).serialized
    }

    /// Takes what `evolution` gave.
    package mutating func take(evolution: String?) {
        guard let evolution, let value = try? JSONValue(parsing: evolution) else { return }
        followed = value["followed"].flatMap(SourceSchema.init(json:))
        revision = value["revision"]?.int64 ?? 0
        spentIdentity = value["spent_id"]?.int64.map { Int(truncatingIfNeeded: $0) } ?? 0
        keptTables = value["tables"]?.array?.compactMap(\.string) ?? []
        spentNames = value["spent"]?.array?.compactMap(\.string) ?? []
        takenNames = value["taken"]?.array?.compactMap(TakenName.init(json:)) ?? []
        retired = value["retired"]?.array?.compactMap(Column.init(json:)) ?? []
        shown =
            value["shown"]?.array?.compactMap { pair in
                guard let pair = pair.array, pair.count == 2, let name = pair[0].string, let column = pair[1].string
                else { return nil }
                return ShownColumn(name, of: column)
            } ?? []
        let traits = value["columns"]
        for index in columns.indices {
            if let members = traits?[columns[index].name] { columns[index].take(traits: members) }
        }
        if followed != nil { identify() }
    }
}

extension Column {
    package var json: JSONValue {
        .object(
            [
                ("name", .string(name)), ("type", .string(type.stored)), ("key", .bool(isKey)),
                ("nullable", .bool(nullable)),
            ] + traits)
    }

    package init?(json: JSONValue) {
        guard let name = json["name"]?.string, let type = json["type"]?.string else { return nil }
        self.init(
            name: name, type: ColumnType(stored: type), isKey: json["key"]?.bool ?? false,
            nullable: json["nullable"]?.bool ?? true)
        take(traits: json)
    }

    fileprivate var traits: [JSONValue.Member] {
        var members: [JSONValue.Member] = []
        if identity != 0 { members.append(("id", .number(String(identity)))) }
        if let number { members.append(("number", .number(String(number)))) }
        if let sourceName { members.append(("source", .string(sourceName))) }
        if !formerNames.isEmpty { members.append(("former", .array(formerNames.map(JSONValue.string)))) }
        if namesInRaw != [name] { members.append(("raw", .array(namesInRaw.map(JSONValue.string)))) }
        if let keptFor { members.append(("kept", .number(String(keptFor)))) }
        if let goneSince {
            members.append(
                ("gone", .array([goneSince.epoch, goneSince.commit, goneSince.seq].map { .number(String($0)) })))
        }
        if let initial {
            members.append(
                ("initial", .array([initial.text.map(JSONValue.string) ?? .null, .number(String(initial.since))])))
        }
        return members
    }

    fileprivate mutating func take(traits: JSONValue) {
        identity = traits["id"]?.int64.map { Int(truncatingIfNeeded: $0) } ?? 0
        number = traits["number"]?.int64.map { Int(truncatingIfNeeded: $0) }
        sourceName = traits["source"]?.string
        formerNames = traits["former"]?.array?.compactMap(\.string) ?? []
        if let names = traits["raw"]?.array?.compactMap(\.string), !names.isEmpty { namesInRaw = names }
        keptFor = traits["kept"]?.int64.map { Int(truncatingIfNeeded: $0) }
        if let parts = traits["gone"]?.array?.compactMap(\.int64), parts.count == 3 {
            goneSince = Version(epoch: parts[0], commit: parts[1], seq: parts[2])
        }
        if let pair = traits["initial"]?.array, pair.count == 2, let since = pair[1].int64 {
            initial = InitialValue(text: pair[0].string, since: since)
        }
    }
}

extension SourceSchema {
    var json: JSONValue {
        .object([
            ("oid", .number(String(oid))), ("epoch", .number(String(epoch))), ("position", .number(String(position))),
            ("place", .number(String(place))),
            ("key", key.map { .array($0.map(JSONValue.string)) } ?? .null),
            ("identity", identity.map { .number(String($0.rawValue)) } ?? .null),
            (
                "columns",
                .array(
                    columns.map { column in
                        .array([
                            .string(column.name), column.number.map { .number(String($0)) } ?? .null,
                            column.type.map { .string($0.stored) } ?? .null,
                            column.isNullable.map(JSONValue.bool) ?? .null,
                        ])
                    })
            ),
        ])
    }

    init?(json: JSONValue) {
        guard let oid = json["oid"]?.int64, let position = json["position"]?.int64, let list = json["columns"]?.array
        else { return nil }
        self.init(
            oid: UInt32(truncatingIfNeeded: oid), position: position,
            columns: list.compactMap { entry in
                guard let parts = entry.array, parts.count == 4, let name = parts[0].string else { return nil }
                return Column(
                    name, number: parts[1].int64.map { Int(truncatingIfNeeded: $0) },
                    type: parts[2].string.map { ColumnType(stored: $0) }, isNullable: parts[3].bool)
            }, key: json["key"]?.array?.compactMap(\.string),
            identity: json["identity"]?.int64.flatMap { Identity(rawValue: Int(truncatingIfNeeded: $0)) })
        place = json["place"]?.int64 ?? 0
        epoch = json["epoch"]?.int64 ?? 0
    }
}
