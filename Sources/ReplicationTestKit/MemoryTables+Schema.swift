package import Replication

extension MemoryTables {
    package mutating func ensure(
        _ tables: [TableDefinition], recording changes: [SchemaChange], now_us: Int64
    ) throws {
        for wanted in tables where wanted.hasShape || definitions[wanted.source] == nil {
            var table = wanted
            if let known = definitions[table.source] {
                guard let made = try table.made(over: known, recording: changes, beside: { schemaChanges }) else {
                    continue
                }
                table = made
                let changes = TableChanges(from: known, to: table)
                for (from, to) in changes.renames { rename(table.source, from, to: to) }
                for column in changes.additions { add(column, to: table.source) }
            }
            definitions[table.source] = table
        }
        schemaChanges += SchemaChange.new(changes, beside: schemaChanges, now_us: now_us)
    }

    package mutating func carryOut(_ decision: SchemaDecision) -> SchemaDecision.Outcome {
        do throws(SchemaPlan.Refusal) {
            guard let step = try decision.step(schemaChanges, Array(definitions.values)) else { return .nothing }
            carryOut(step)
            return .done(step.change)
        } catch {
            return .refused(error)
        }
    }

    private mutating func carryOut(_ step: SchemaStep) {
        let table = step.change.table
        for operation in step.operations {
            switch operation {
            case .addColumn(let column): add(column, to: table)
            case .widen: break
            case .renameColumn(let from, let to): rename(table, from, to: to)
            case .retype(let column, let aside):
                forEachRow(of: table) { row in row.values[aside] = row.values[column.name] }
            case .restore(let column, let from, let aside, _):
                rename(table, column, to: aside)
                rename(table, from, to: column)
            case .dropColumn(let column): forEachRow(of: table) { $0.values[column] = nil }
            // Rows have their keys as text: the copy that follows brings them.
            case .rekey: current[table] = [:]
            }
        }
        if step.definition.hasShape { definitions[table] = step.definition }
        schemaChanges = schemaChanges.filter { $0.id != step.change.id } + [step.change]
        schemaChanges.sort { $0.id < $1.id }
        guard !step.isNote else { return }
        for partition in checkpoints.keys { checkpoints[partition]?.token += 1 }
        if step.copiesAnew { copied.removeAll { $0.table == table } }
    }

    private mutating func forEachRow(of table: TableID, _ change: (inout MemoryRow) -> Void) {
        guard var rows = current.removeValue(forKey: table) else { return }
        for key in rows.keys {
            rows[key].map { row in
                var row = row
                change(&row)
                rows[key] = row
            }
        }
        current[table] = rows
    }

    private mutating func add(_ column: Column, to table: TableID) {
        guard let text = column.initial?.text else { return }
        let sink = ByteArena()
        FieldText.appendJSON(.stretch(.text, sink.append(text)), column.type, from: sink, to: sink)
        let json = sink.string(ByteRange(offset: text.utf8.count, length: sink.count - text.utf8.count))
        forEachRow(of: table) { $0.values[column.name] = json }
    }

    private mutating func rename(_ table: TableID, _ from: String, to: String) {
        forEachRow(of: table) { row in
            row.values[to] = row.values.removeValue(forKey: from)
            if let register = row.columnVersions.registers.removeValue(forKey: from) {
                row.columnVersions.registers[to] = register
            }
        }
    }
}
