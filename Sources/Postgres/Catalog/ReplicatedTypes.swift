import Replication

/// What a warehouse is told of the types of columns.
struct ReplicatedTypes {
    let types: [UInt32: CatalogType]

    /// The type behind all domains, also those of an array's elements, with as many `[]` as were declared; composites
    /// with their fields.
    func name(_ type: String, _ oid: UInt32, dimensions: Int) -> String {
        var room = CompositeType.fields_max
        return name(type, oid, dimensions: dimensions, depth: 0, &room)
    }

    /// - Parameter room: how many fields the column's type may have still.
    private func name(_ type: String, _ oid: UInt32, dimensions: Int, depth: Int, _ room: inout Int) -> String {
        let base = behindDomains(type, oid)
        guard types[base.oid]?.kind == .array, let elementOID = types[base.oid]?.elementOID else {
            return composite(base.oid, depth: depth, &room)?.stored ?? base.type
        }
        let plain = base.type.hasSuffix("[]") ? String(base.type.dropLast(2)) : base.type
        let element = behindDomains(plain, elementOID)
        let name = composite(element.oid, depth: depth, &room)?.stored ?? element.type
        return name + String(repeating: "[]", count: max(dimensions, 1))
    }

    private func behindDomains(_ type: String, _ oid: UInt32) -> (type: String, oid: UInt32) {
        var found = (type: type, oid: oid)
        while let domain = types[found.oid], let next = domain.baseOID, let nextType = domain.baseType {
            found = (nextType, next)
        }
        return found
    }

    /// Nil for another type, and for a composite that is kept as text.
    private func composite(_ oid: UInt32, depth: Int, _ room: inout Int) -> ColumnType? {
        guard let type = types[oid], type.kind == .composite, depth < CompositeType.depth_max,
            type.fields.count <= room
        else { return nil }
        room -= type.fields.count
        var fields: [CompositeType.Field] = []
        for field in type.fields {
            let name = name(field.type, field.typeOID, dimensions: field.dimensions, depth: depth + 1, &room)
            fields.append(.init(field.name, ColumnType(stored: name)))
        }
        return CompositeType(name: type.type, fields: fields).map(ColumnType.composite)
    }
}
