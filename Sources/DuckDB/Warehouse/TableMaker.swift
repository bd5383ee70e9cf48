import CrashPoint
import Replication

/// Makes what a pipeline's tables lack, inside of a transaction: schemas, current, raw, views, columns.
struct TableMaker {
    let session: Session
    let layout: WarehouseLayout
    let now_us: Int64

    func ensure(_ tables: [TableDefinition], recording changes: [SchemaChange]) throws {
        try refuseCollisions(tables)
        let registry = try TableRegistry(session)
        for definition in tables { try ensure(definition, registry, recording: changes) }
        if !changes.isEmpty {
            let known = try MetaTables.schemaChanges(session, layout.pipeline)
            try MetaTables.write(
                SchemaChange.new(changes, beside: known, now_us: now_us), session, layout.pipeline)
        }
        CrashPoint.ddl.reach()
    }

    private func ensure(
        _ wanted: TableDefinition, _ registry: TableRegistry, recording changes: [SchemaChange]
    ) throws {
        let known = registry.entry(layout.pipeline, wanted.source)
        if let known, known.definition == wanted, known.layout == layout, try isWhole(wanted) { return }
        var definition = wanted
        if let known {
            let made = try wanted.made(over: known.definition, recording: changes) {
                try MetaTables.schemaChanges(session, layout.pipeline)
            }
            guard let made else { return }
            definition = made
        }
        try refuseNames(definition)
        try refuseOthers(definition, registry)
        if let known, known.definition.hasShape { try refuseChanges(definition, known.definition) }
        if let known, !known.definition.hasShape { try refuseOtherNames(definition, known.definition) }
        let isOurRaw = known?.layout.hasRaw == true && known?.layout.raw == layout.raw
        guard definition.hasShape else {
            // Its truncates and its floor are all that can be kept so far.
            if layout.hasRaw {
                try run("CREATE SCHEMA IF NOT EXISTS \(SQLName.quoted(layout.raw))", definition)
                let sql = TableSQL(definition, layout)
                try table(layout.raw, sql.createRaw, TableSQL.rawColumns, isOurs: isOurRaw, definition)
            }
            try TableRegistry.write(definition, layout, madeAt_us: known == nil ? now_us : nil, session)
            return
        }

        let made = known?.definition.hasShape == true ? known : nil
        let sql = TableSQL(definition, layout)
        let schemas = [
            (layout.current, layout.hasCurrent), (layout.raw, layout.hasRaw), (layout.live, layout.hasCurrent),
            (layout.history, layout.hasRaw),
        ]
        for (schema, isWanted) in schemas where isWanted {
            try run("CREATE SCHEMA IF NOT EXISTS \(SQLName.quoted(schema))", definition)
        }
        var isAdopted = known?.isAdopted ?? false
        var mayHaveMaps = false
        if layout.hasCurrent {
            let isOurs = made?.layout.hasCurrent == true && known?.layout.current == layout.current
            // Composites that have more fields now.
            let changes = made.map { TableChanges(from: $0.definition, to: definition) }
            let widened = Set(
                changes?.kept.filter { $0.before.type != $0.now.type }.map { SQLName.folded($0.now.name) } ?? [])
            if isOurs, let changes { try rename(changes.renames, sql) }
            let retired = definition.retired.map { ($0.name, ColumnForm($0).sqlType) }
            let adoption = try table(
                layout.current, sql.createCurrent, sql.currentColumns + retired, isOurs: isOurs, widened: widened,
                definition)
            if let adoption {
                isAdopted = adoption.isOfOthers
                mayHaveMaps = adoption.plan.inPlace.contains(MetadataNames.columns)
            }
            try view(layout.live, sql.createLive, isOurs: isOurs && known?.layout.live == layout.live, definition)
        }
        if layout.hasRaw {
            try table(layout.raw, sql.createRaw, TableSQL.rawColumns, isOurs: isOurRaw, definition)
            if layout.hasCurrent || !definition.isKeyless {
                let isOurView = made != nil && isOurRaw && known?.layout.history == layout.history
                try view(layout.history, sql.createHistory, isOurs: isOurView, definition)
            }
        }
        try TableRegistry.write(
            definition, layout, isAdopted: isAdopted, madeAt_us: known == nil ? now_us : nil, session)
        if mayHaveMaps { try TableRegistry.noteMaps(of: sql, layout.pipeline, session) }
    }

    private func run(_ statement: String, _ definition: TableDefinition) throws {
        try session.run(statement, purpose: "making \(layout.current).\(definition.target)")
    }

    private func rename(_ renames: [(from: String, to: String)], _ sql: TableSQL) throws {
        for (from, to) in renames {
            let rename = "ALTER TABLE \(sql.current) RENAME COLUMN \(SQLName.quoted(from)) TO \(SQLName.quoted(to))"
            for statement in [rename] + SchemaSurgeon.renameInMaps(from, to, of: sql.current) {
                try session.run(statement, purpose: sql.purpose("renaming a column of"))
            }
        }
    }

    private func isWhole(_ definition: TableDefinition) throws -> Bool {
        let catalog = CatalogReader(session: session)
        let hasCurrent = layout.hasCurrent && definition.hasShape
        if hasCurrent, try catalog.kind(layout.current, definition.target) == nil { return false }
        if hasCurrent, try catalog.kind(layout.live, definition.target) == nil { return false }
        if layout.hasRaw, try catalog.kind(layout.raw, definition.target) == nil { return false }
        return true
    }

    // MARK: Tables and views

    /// - Returns: what was adopted, if something was.
    @discardableResult
    private func table(
        _ schema: String, _ create: String, _ columns: [(name: String, type: String)], isOurs: Bool,
        widened: Set<String> = [], _ definition: TableDefinition
    ) throws -> Adoption? {
        let catalog = CatalogReader(session: session)
        guard let kind = try catalog.kind(schema, definition.target) else {
            try run(create, definition)
            return nil
        }
        let adopting = TableAdoption(session: session, sql: TableSQL(definition, layout))
        var adoption: Adoption?
        if !isOurs {
            switch definition.existing {
            case .error: throw inPlace(schema, kind, definition)
            case .replace:
                try setAside(schema, kind, definition)
                try run(create, definition)
                return nil
            case .adopt:
                guard kind == .table else { throw inPlace(schema, kind, definition) }
                guard schema == layout.current else { break }
                adoption = try adopting.begin {
                    SQLName.quoted(schema, try setAside(schema, kind, definition))
                }
            }
        }
        let found = try catalog.columns(schema, definition.target)
        for column in columns {
            guard let there = found.first(where: { SQLName.folded($0.name) == SQLName.folded(column.name) }) else {
                if schema == layout.current, isOurs,
                    let new = definition.columns.first(where: { $0.name == column.name }), new.initial?.text != nil
                {
                    let current = SQLName.quoted(schema, definition.target)
                    for statement in SchemaSurgeon.add(new, to: current) { try run(statement, definition) }
                    continue
                }
                let fill =
                    column.name == definition.metadata.isDeleted && schema == layout.current ? " DEFAULT false" : ""
                try run(
                    """
                    ALTER TABLE \(SQLName.quoted(schema, definition.target)) \
                    ADD COLUMN \(SQLName.quoted(column.name)) \(column.type)\(fill)
                    """, definition)
                continue
            }
            // The engine has its own mind about the quotes in a STRUCT.
            if try there.sqlType == column.type || there.sqlType == catalog.written(column.type) { continue }
            if isOurs, widened.contains(SQLName.folded(column.name)) {
                try run(
                    """
                    ALTER TABLE \(SQLName.quoted(schema, definition.target)) \
                    ALTER COLUMN \(SQLName.quoted(column.name)) SET DATA TYPE \(column.type)
                    """, definition)
                continue
            }
            throw ReplicationError(
                .configuration,
                """
                \(schema).\(definition.target): column \(column.name) is \(there.sqlType) there and would be \
                \(column.type)
                """,
                remedy: "change the column's type, or set existing: replace for \(definition.source)",
                table: definition.source)
        }
        if let adoption { try adopting.finish(adoption) }
        return adoption
    }

    private func view(_ schema: String, _ create: String, isOurs: Bool, _ definition: TableDefinition) throws {
        if let kind = try CatalogReader(session: session).kind(schema, definition.target), !(isOurs && kind == .view) {
            guard definition.existing != .error else { throw inPlace(schema, kind, definition) }
            try setAside(schema, kind, definition)
        }
        try run(create, definition)
    }

    private func inPlace(
        _ schema: String, _ kind: CatalogReader.Kind, _ definition: TableDefinition
    ) -> ReplicationError {
        ReplicationError(
            .configuration,
            "\(schema).\(definition.target) is a \(kind == .table ? "table" : "view") that this pipeline didn't make",
            remedy: "set existing: adopt or existing: replace for \(definition.source), or give it another target",
            table: definition.source)
    }

    /// Renames what is there, under the first number that is free.
    /// - Returns: what it is called now.
    @discardableResult
    private func setAside(
        _ schema: String, _ kind: CatalogReader.Kind, _ definition: TableDefinition
    ) throws -> String {
        let catalog = CatalogReader(session: session)
        var number = 1
        while try catalog.kind(schema, "\(definition.target)_replaced_\(number)") != nil { number += 1 }
        try run(
            """
            ALTER \(kind == .table ? "TABLE" : "VIEW") \(SQLName.quoted(schema, definition.target)) \
            RENAME TO \(SQLName.quoted("\(definition.target)_replaced_\(number)"))
            """, definition)
        return "\(definition.target)_replaced_\(number)"
    }

    // MARK: What can't be

    /// Two tables of this pipeline in one place.
    private func refuseCollisions(_ tables: [TableDefinition]) throws {
        var places: [String: TableID] = [:]
        for definition in tables {
            guard let other = places.updateValue(definition.source, forKey: SQLName.folded(definition.target)),
                other != definition.source
            else { continue }
            throw ReplicationError(
                .configuration,
                "\(other) and \(definition.source) would both become \(layout.current).\(definition.target) in DuckDB",
                remedy: "give one of them another target", table: definition.source)
        }
    }

    /// Names that the engine can't tell apart, as it knows no case.
    private func refuseNames(_ definition: TableDefinition) throws {
        var seen: [String: String] = [:]
        for column in definition.columns {
            guard let other = seen.updateValue(column.name, forKey: SQLName.folded(column.name)) else { continue }
            throw ReplicationError(
                .configuration,
                "\(definition.source): DuckDB takes the columns \(other) and \(column.name) for one, as it knows no case",
                remedy: "exclude one of them under tables: columns: exclude", table: definition.source)
        }
        let metadata = TableSQL(definition, layout).metadataColumns.map(\.name)
        for name in metadata {
            guard let column = seen.updateValue(name, forKey: SQLName.folded(name)) else { continue }
            throw ReplicationError(
                .configuration,
                "\(definition.source): the source's column \(column) has the name of a metadata column",
                remedy: "rename it under metadata_columns, as { is_deleted: _is_deleted, deleted_at: _deleted_at }",
                table: definition.source)
        }
    }

    private func refuseOthers(_ definition: TableDefinition, _ registry: TableRegistry) throws {
        for other in registry.entries {
            let isThis = other.pipeline == layout.pipeline && other.definition.source == definition.source
            guard !isThis, SQLName.folded(other.definition.target) == SQLName.folded(definition.target) else {
                continue
            }
            // Any of the other's schemas may be one of ours, in whatever role.
            let taken = other.layout.schemas.intersection(layout.schemas)
            guard let schema = taken.sorted().first else { continue }
            throw ReplicationError(
                .configuration,
                """
                \(schema).\(definition.target) belongs to pipeline \(other.pipeline), which made it for \
                \(other.definition.source)
                """,
                remedy: "give \(definition.source) another target, or this pipeline other schemas",
                table: definition.source)
        }
    }

    private func refuseOtherNames(_ definition: TableDefinition, _ known: TableDefinition) throws {
        guard definition.target == known.target, definition.metadata == known.metadata else {
            throw ReplicationError(
                .configuration,
                "\(definition.source) was made as \(known.target) with other names than the pipeline file has now",
                remedy: "keep the names, or drop the pipeline and copy it anew", table: definition.source)
        }
    }

    private func refuseChanges(_ definition: TableDefinition, _ known: TableDefinition) throws {
        try refuseOtherNames(definition, known)
        let key = definition.key.map { definition.columns[$0].name }
        let knownKey = known.key.map { known.columns[$0].name }
        guard key == knownKey else {
            throw ReplicationError(
                .configuration,
                """
                \(definition.source) has the key (\(knownKey.joined(separator: ", "))) in the warehouse and \
                (\(key.joined(separator: ", "))) now
                """,
                remedy: "keep the key, or drop the pipeline and copy it anew", table: definition.source)
        }
        for (old, column) in TableChanges(from: known, to: definition).kept {
            let isWider = old.type.widened(by: column.type) == column.type || old.type.isWidened(to: column.type)
            guard isWider || ColumnForm(old).sqlType == ColumnForm(column).sqlType else {
                throw ReplicationError(
                    .configuration,
                    """
                    \(definition.source): column \(column.name) is \(old.type.sql) in the warehouse and \
                    \(column.type.sql) now
                    """,
                    remedy: "set its type under tables: columns: types, or copy the table anew",
                    table: definition.source)
            }
        }
    }
}

extension WarehouseLayout {
    /// Folded names of the schemas in use.
    fileprivate var schemas: Set<String> {
        var schemas: Set<String> = []
        if hasCurrent { schemas.formUnion([SQLName.folded(current), SQLName.folded(live)]) }
        if hasRaw { schemas.formUnion([SQLName.folded(raw), SQLName.folded(history)]) }
        return schemas
    }
}
