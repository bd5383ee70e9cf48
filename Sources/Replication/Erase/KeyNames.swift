import Crypto
import JSON

/// The names that erased keys go by: SHA-256 in hex over the table's name and the key, one for all keys that the
/// warehouse calls equal.
package struct KeyNames {
    private let definition: TableDefinition
    private let template: KeyTemplate
    private let arena = ByteArena(capacity: 256)

    /// `definition` has a key.
    package init(_ definition: TableDefinition, _ equality: KeyEquality) {
        self.definition = definition
        template = KeyTemplate(definition, equality: equality)
    }

    /// Equal keys may be written differently.
    package var mayDiffer: Bool { template.needsGroup }

    /// - Parameter key: as raw has it; of an erased row its name.
    /// - Throws: where it isn't a key of the table.
    package func name(ofKey key: String) throws -> String {
        if key.hasPrefix("\"" + Erasure.rawKeyStart), key.hasSuffix("\"") {
            return String(key.dropFirst(1 + Erasure.rawKeyStart.count).dropLast())
        }
        var hash = SHA256()
        for part in [definition.source.schema, definition.source.table] {
            hash.update(data: Array(part.utf8))
            hash.update(data: [0])
        }
        if template.needsGroup {
            arena.removeAll()
            let fields = try fields(ofKey: key)
            let group = template.appendGroup(from: arena, to: arena) { fields[$0] ?? .absent }
            hash.update(bufferPointer: arena.bytes(group))
        } else {
            hash.update(data: Array(key.utf8))
        }
        return hash.finalize().map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0" + digits : digits
        }.joined()
    }

    /// The key as raw writes it, of what a person gave: the bare value of a key of one column, or a JSON object.
    ///
    /// - Parameter hash: of columns that the warehouse has as hashes, in the place of the value.
    /// - Throws: `.configuration`, without the value.
    package func key(
        _ given: String, hash: (_ column: String, _ text: String) -> String? = { _, _ in nil }
    ) throws -> String {
        let columns = definition.key.map { definition.columns[$0] }
        var values: [String: JSONValue] = [:]
        if let object = try? JSONValue(parsing: given), let members = object.members,
            columns.count > 1 || members.map(\.key) == columns.map(\.name)
        {
            for (name, value) in members { values[name] = value }
            guard Set(values.keys) == Set(columns.map(\.name)) else { throw wrong("has other columns than the key") }
        } else {
            guard columns.count == 1 else { throw wrong("isn't a JSON object with the key's columns") }
            values[columns[0].name] = .string(given)
            // Of a schemaless source's key nobody knows whether it is a number; a text is to be given as JSON.
            if columns[0].type == .unknown, let number = try? JSONValue(parsing: given), case .number = number {
                values[columns[0].name] = number
            }
        }
        arena.removeAll()
        var fields: [Int: Field] = [:]
        for index in definition.key {
            let column = definition.columns[index]
            guard var value = values[column.name], !value.isNull else {
                throw wrong("has no value of \(column.name)")
            }
            if let hashed = hash(column.name, value.string ?? value.serialized) { value = .string(hashed) }
            guard let field = field(value, column.type) else {
                throw wrong("has a value of \(column.name) that isn't \(column.type.sql)")
            }
            fields[index] = field
        }
        return arena.string(template.appendKey(from: arena, to: arena) { fields[$0] ?? .absent })
    }

    private func wrong(_ what: String) -> ReplicationError {
        let example = definition.key.map { "\"\(definition.columns[$0].name)\":…" }.joined(separator: ",")
        return ReplicationError(
            .configuration, "\(definition.source): the key that was given \(what)",
            remedy: definition.key.count == 1 ? "give the bare value, or {\(example)}" : "give '{\(example)}'",
            table: definition.source)
    }

    private func fields(ofKey key: String) throws -> [Int: Field] {
        let object = try? JSONValue(parsing: key)
        var fields: [Int: Field] = [:]
        for index in definition.key {
            let column = definition.columns[index]
            guard let value = object?[column.name], let field = field(value, column.type) else {
                throw ReplicationError(
                    .permanent, "\(definition.source): a key in raw doesn't fit column \(column.name)",
                    table: definition.source)
            }
            fields[index] = field
        }
        return fields
    }

    /// What a person types of a number is a text at first.
    private func field(_ value: JSONValue, _ type: ColumnType) -> Field? {
        decode(value.serialized, type) ?? value.string.flatMap { decode($0, type) }
    }

    private func decode(_ json: String, _ type: ColumnType) -> Field? {
        let found = try? JSONParser.withTape(of: Array(json.utf8)) { tape in
            FieldJSONDecode.field(tape, tape.root, type, to: arena)
        }
        return found ?? nil
    }
}
