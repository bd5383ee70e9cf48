/// The algebra of rows: how a staged row and what the warehouse has become one. Pure, and independent
/// of the order in which events arrived.
package enum RowMerge {
    /// The newest of `floors` (ascending) below `version`: as of it the table was empty.
    package static func floor(below version: Version, _ floors: [Version]) -> Version {
        var found = Version.none
        for floor in floors where floor < version && floor > found { found = floor }
        return found
    }

    package static func columnVersions(
        _ registers: [ColumnRegister], _ columns: [Column], at version: Version
    ) -> ColumnVersions {
        var map = ColumnVersions()
        for (index, register) in registers.enumerated()
        where !(register.own == version && register.isKnown && register.carried.isNone) {
            map.registers[columns[index].name] = register
        }
        return map
    }

    /// The registers of a stored row, one a column.
    static func registers(of stored: StoredRow, _ columns: [Column]) -> [ColumnRegister] {
        if stored.isDeleted {
            return .init(repeating: ColumnRegister(own: stored.version, isKnown: false), count: columns.count)
        }
        return columns.map {
            stored.columnVersions.registers[$0.name] ?? ColumnRegister(own: stored.version, isKnown: true)
        }
    }

    /// The registers of a staged row, one a column.
    static func registers(of row: StagedRow, _ table: StagedTable) -> [ColumnRegister] {
        if row.registers >= 0, !row.isDeleted { return table.registers[Int(row.registers)] }
        let one = ColumnRegister(own: row.version, isKnown: !row.isDeleted)
        var all = [ColumnRegister](repeating: one, count: table.definition.columns.count)
        if !row.isDeleted {
            for index in Int(row.width)..<max(all.count, Int(row.width)) where index < all.count {
                all[index] = .unseen
            }
        }
        return all
    }

    /// Puts a row in the place of what the warehouse made of the same version.
    private static func settle(_ row: StagedRow, _ index: Int, _ table: StagedTable, _ stored: StoredRow) -> RowPatch {
        let columns = table.definition.columns
        if row.isDeleted, stored.isDeleted { return RowPatch(row: index, kind: .skip, take: [], columnVersions: nil) }
        let registers = registers(of: row, table)
        // A row that is deleted keeps its last values for people.
        let unknown = row.isDeleted ? RowPatch.fromStored : RowPatch.null
        var take = registers.map { $0.isKnown ? RowPatch.fromStage : unknown }
        for column in table.definition.key { take[column] = RowPatch.fromStage }
        let map = row.isDeleted ? ColumnVersions() : columnVersions(registers, columns, at: row.version)
        return RowPatch(row: index, kind: .advance, take: take, columnVersions: map.isEmpty ? nil : map.json)
    }

    /// - Parameter floors: versions of the table's truncates, ascending.
    package static func patch(
        row index: Int, in table: StagedTable, onto stored: StoredRow, floors: [Version]
    ) -> RowPatch {
        let row = table.rows[index]
        let columns = table.definition.columns
        let advances = row.version > stored.version
        let unchanged = RowPatch(row: index, kind: .skip, take: [], columnVersions: nil)
        if row.settles, row.version == stored.version { return settle(row, index, table, stored) }

        if advances && row.isDeleted {
            // The values stay as they were last known.
            var take = [UInt8](repeating: RowPatch.fromStored, count: columns.count)
            if row.mode != .keep {
                let known = row.registers >= 0 ? table.registers[Int(row.registers)] : nil
                for column in columns.indices where known?[column].isKnown ?? true { take[column] = RowPatch.fromStage }
            }
            for column in table.definition.key { take[column] = RowPatch.fromStage }
            return RowPatch(row: index, kind: .advance, take: take, columnVersions: nil)
        }
        if !advances && (stored.isDeleted || stored.columnVersions.isEmpty) { return unchanged }

        let version = max(row.version, stored.version)
        let floor = floor(below: version, floors)
        let void = ColumnRegister(own: floor, isKnown: false)
        let incoming = registers(of: row, table)
        // Carried columns were folded from all of raw just now: at their create they are the truth, also if that is less.
        let isFolded = row.event < 0
        var merged = registers(of: stored, columns)
        var take = [UInt8](repeating: RowPatch.fromStored, count: columns.count)
        var changed = false
        for column in columns.indices {
            let before = merged[column]
            let isTruth = isFolded && !incoming[column].own.isNone && incoming[column].own == before.own
            if incoming[column] > before || isTruth && incoming[column] != before {
                merged[column] = incoming[column]
                take[column] = incoming[column].isKnown ? RowPatch.fromStage : RowPatch.null
            }
            if void > merged[column] {
                merged[column] = void
                take[column] = RowPatch.null
            }
            // A deleted row keeps its last values for people; to the algebra they are none.
            if !merged[column].isKnown { take[column] = RowPatch.null }
            if merged[column] != before { changed = true }
        }
        for column in table.definition.key {
            take[column] = advances ? RowPatch.fromStage : RowPatch.fromStored
            merged[column] = ColumnRegister(own: version, isKnown: true)
        }
        if !advances && !changed { return unchanged }
        let map = columnVersions(merged, columns, at: version)
        return RowPatch(
            row: index, kind: advances ? .advance : .fill, take: take, columnVersions: map.isEmpty ? nil : map.json)
    }
}
