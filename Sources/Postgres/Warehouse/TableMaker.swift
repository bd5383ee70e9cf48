import Replication

/// Brings the pipeline's relations to what the definitions say, inside one transaction.
struct TableMaker {
    let session: Session
    let layout: WarehouseLayout
    private var registry: TableRegistry
    let types: TypeNames
    private var schemasMade: Set<String> = []

    init(_ session: Session, _ layout: WarehouseLayout, _ registry: TableRegistry, _ types: TypeNames) {
        self.session = session
        self.layout = layout
        self.registry = registry
        self.types = types
    }

    /// Postgres cuts longer names silently.
    static let nameLength_max = 63

    mutating func ensure(_ wanted: TableDefinition, recording changes: [SchemaChange]) throws {
        let entered = registry.entry(layout.pipeline, wanted.source)
        // Of a table without a shape raw alone was made.
        let known = entered?.definition.hasShape == true ? entered : nil
        var wanted = wanted
        if let known {
            let made = try wanted.made(over: known.definition, recording: changes) {
                try MetaTables.schemaChanges(session, layout.pipeline)
            }
            guard let made else { return }
            wanted = made
        }
        if let entered, known == nil, entered.definition.target != wanted.target || entered.layout.raw != layout.raw {
            throw ReplicationError(
                .configuration, "\(wanted.source): its target or raw schema isn't the one that its table was made with",
                remedy: "set it back, or drop the pipeline with its tables and copy it anew", table: wanted.source)
        }
        guard wanted.hasShape else {
            if layout.hasRaw {
                try checkNames(wanted)
                try checkOwners(wanted)
                try makeRaw(try TableSQL(wanted, layout), entered)
            }
            if known == nil, entered?.layout != layout {
                try registry.write(
                    TableRegistry.Entry(
                        pipeline: layout.pipeline, definition: wanted, layout: layout, isAdopted: false), session)
            }
            return
        }
        try checkNames(wanted)
        try checkOwners(wanted)
        if let known { try checkUnchanged(wanted, known) }
        var definition = wanted
        if let known {
            for (before, now) in TableChanges(from: known.definition, to: wanted).kept {
                guard let index = definition.columns.firstIndex(where: { $0.name == now.name }),
                    !before.type.isWidened(to: now.type)
                else { continue }
                definition.columns[index].type = before.type.widened(by: now.type)
            }
            if wanted.followed == nil {
                // A column that became known before stays, and stays where it was.
                let later = Dictionary(
                    definition.columns.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
                definition.columns = known.definition.columns.map { later[$0.name] ?? $0 }
                let names = Set(definition.columns.map(\.name))
                definition.columns += wanted.columns.filter { !names.contains($0.name) }
            }
            definition.key = wanted.key.compactMap { index in
                definition.columns.firstIndex { $0.name == wanted.columns[index].name }
            }
        }
        let sql = try TableSQL(definition, layout)
        let declared = types.types(definition)
        let isChanged =
            definition.columns.map(\.name) != known?.definition.columns.map(\.name)
            || definition.columns.map(\.type) != known?.definition.columns.map(\.type)
            || definition.retired.map(\.name) != known?.definition.retired.map(\.name)
            || RawNames(definition)?.changed != known.flatMap { RawNames($0.definition)?.changed }
            || definition.liveColumns != known?.definition.liveColumns
        var entry = TableRegistry.Entry(
            pipeline: layout.pipeline, definition: definition, layout: layout, isAdopted: known?.isAdopted ?? false)
        entry.layout.hasCurrent = layout.hasCurrent || known?.layout.hasCurrent ?? false
        entry.layout.hasRaw = layout.hasRaw || known?.layout.hasRaw ?? false

        var grants: [String] = []
        var mayHaveMaps = false
        if layout.hasCurrent {
            try makeSchema(layout.current)
            if known?.layout.hasCurrent == true, try relationKind(layout.current, definition.target) != nil {
                if isChanged, let known {
                    grants = try SchemaSurgeon(session: session, sql: sql, types: types).grants()
                    try change(sql, from: known.definition)
                }
            } else {
                (entry.isAdopted, mayHaveMaps) = try makeCurrent(sql, declared)
            }
        }
        if layout.hasRaw { try makeRaw(sql, entered) }
        try makeViews(sql, known, isChanged: isChanged)
        // Views that were made anew have lost them.
        for grant in grants { try session.execute(grant, for: sql.purpose("grant rights on")) }
        if known == nil || known?.definition != definition || known?.layout != entry.layout {
            try registry.write(entry, session)
        }
        if mayHaveMaps { try registry.noteMaps(of: sql, layout.pipeline, session) }
    }

    // MARK: Checks

    private func checkNames(_ table: TableDefinition) throws {
        for (name, remedy) in [
            (table.target, "give it a shorter one with target: in tables:"),
            (layout.current, "set schemas: in warehouse:"),
            (layout.raw, "set schemas: in warehouse:"), (layout.live, "set schemas: in warehouse:"),
            (layout.history, "set schemas: in warehouse:"),
        ] where name.utf8.count > Self.nameLength_max {
            throw ReplicationError(
                .configuration, "\(table.source): the name \(name) is longer than the 63 bytes that Postgres keeps",
                remedy: remedy, table: table.source)
        }
        for column in table.columns where column.name.utf8.count > Self.nameLength_max {
            throw ReplicationError(
                .configuration,
                "\(table.source): the column name \(column.name) is longer than the 63 bytes that Postgres keeps",
                remedy: "leave it out with columns: { exclude: [...] } in tables:", table: table.source)
        }
        var names = Set(table.columns.map(\.name))
        for column in try TableSQL(table, layout).metadataColumns where !names.insert(column.name).inserted {
            throw ReplicationError(
                .configuration, "\(table.source): its column \(column.name) has the name of a metadata column",
                remedy: "set metadata_columns: for this table in tables:", table: table.source)
        }
    }

    private func checkOwners(_ table: TableDefinition) throws {
        var schemas: [String] = []
        if layout.hasCurrent { schemas += [layout.current, layout.live] }
        if layout.hasRaw { schemas += [layout.raw] }
        if layout.hasRaw, layout.hasCurrent || !table.isKeyless { schemas += [layout.history] }
        for schema in schemas {
            for entry in registry.entries where entry.definition.target == table.target {
                guard entry.pipeline != layout.pipeline || entry.definition.source != table.source else { continue }
                let other = entry.layout
                guard
                    other.hasCurrent && (other.current == schema || other.live == schema)
                        || other.hasRaw && (other.raw == schema || other.history == schema)
                else { continue }
                throw ReplicationError(
                    .configuration,
                    """
                    \(table.source): \(schema).\(table.target) is where pipeline \(entry.pipeline) keeps \
                    \(entry.definition.source)
                    """, remedy: "set another target: in tables:, or other schemas: in warehouse:", table: table.source)
            }
        }
    }

    private func checkUnchanged(_ table: TableDefinition, _ known: TableRegistry.Entry) throws {
        func changed(_ what: String) -> ReplicationError {
            ReplicationError(
                .configuration, "\(table.source): \(what) isn't the one that its table was made with",
                remedy: "set it back, or drop the pipeline with its tables and copy it anew", table: table.source)
        }
        let before = known.definition
        guard before.target == table.target else { throw changed("its target \(table.target)") }
        guard
            Set(before.key.map { before.columns[$0].name }) == Set(table.key.map { table.columns[$0].name })
        else { throw changed("its key") }
        guard before.metadata == table.metadata else { throw changed("its metadata_columns") }
        let names = { (layout: WarehouseLayout) in [layout.current, layout.raw, layout.live, layout.history] }
        guard names(known.layout) == names(layout) else { throw changed("its warehouse's schemas:") }
    }

    // MARK: Making

    /// Permission to create schemas is only asked for where one is missing.
    private mutating func makeSchema(_ name: String) throws {
        guard schemasMade.insert(name).inserted else { return }
        let found = try session.scalar(
            "SELECT count(*) FROM pg_namespace WHERE nspname = $1", [name], for: "look for schema \(name)")
        if found == "0" {
            try session.execute("CREATE SCHEMA \(try quoteIdentifier(name))", for: "make schema \(name)")
        }
    }

    private func relationKind(_ schema: String, _ name: String) throws -> String? {
        try session.scalar(
            """
            SELECT c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
            WHERE n.nspname = $1 AND c.relname = $2
            """, [schema, name], for: "look for \(schema).\(name)")
    }

    /// Makes room for a relation that we haven't made, as the table's policy says.
    /// - Returns: true if a table stands there that is to be adopted.
    private func clear(_ schema: String, _ table: TableDefinition, adopts: Bool) throws -> Bool {
        guard let kind = try relationKind(schema, table.target) else { return false }
        switch table.existing {
        case .adopt where adopts && (kind == "r" || kind == "p"): return true
        case .replace:
            try setAside(schema, table.target)
            return false
        default:
            let way = adopts && table.existing == .error ? "existing: adopt or existing: replace" : "existing: replace"
            throw ReplicationError(
                .configuration,
                "\(table.source): \(schema).\(table.target) is there already, and this pipeline didn't make it",
                remedy: "set \(way) for it in tables:, or another target:", table: table.source)
        }
    }

    /// Renames `orders` to `orders_replaced_1`, or the first number that is free.
    private func setAside(_ schema: String, _ name: String) throws {
        for number in 1... {
            let suffix = "_replaced_\(number)"
            var base = name
            while base.utf8.count + suffix.utf8.count > Self.nameLength_max { base.removeLast() }
            guard try relationKind(schema, base + suffix) == nil else { continue }
            // ALTER TABLE renames whatever relation it is.
            try session.execute(
                """
                ALTER TABLE \(try quoteIdentifier(schema: schema, name)) \
                RENAME TO \(try quoteIdentifier(base + suffix))
                """, for: "set \(schema).\(name) aside")
            return
        }
    }

    /// - Returns: whether a table was adopted, and whether its rows may have columns of their own versions.
    private func makeCurrent(_ sql: TableSQL, _ types: [String]) throws -> (isAdopted: Bool, mayHaveMaps: Bool) {
        if try clear(layout.current, sql.definition, adopts: true) {
            return (true, try TableAdoption(session: session, sql: sql, types: types).run())
        }
        try session.execute(try sql.createCurrent(types), for: sql.purpose("make table"))
        // A table may lose columns at the source before its first row comes here: it has them all the same.
        let surgeon = SchemaSurgeon(session: session, sql: sql, types: self.types)
        for column in sql.definition.retired { try surgeon.add(column, isMaybeThere: true) }
        return (false, false)
    }

    private mutating func makeRaw(_ sql: TableSQL, _ entered: TableRegistry.Entry?) throws {
        try makeSchema(layout.raw)
        let isThere = try relationKind(layout.raw, sql.definition.target) != nil
        guard entered?.layout.hasRaw != true || !isThere else { return }
        _ = try clear(layout.raw, sql.definition, adopts: false)
        try session.execute(sql.createRaw(session.serverVersion), for: sql.purpose("make the raw table of"))
    }

    /// Brings current's columns to the definition.
    private func change(_ sql: TableSQL, from known: TableDefinition) throws {
        let surgeon = SchemaSurgeon(session: session, sql: sql, types: types)
        let changes = TableChanges(from: known, to: sql.definition)
        for (from, to) in changes.renames {
            try surgeon.rename(from, to: to)
            try surgeon.renameInMaps(from, to)
        }
        for column in changes.additions { try surgeon.add(column, isMaybeThere: true) }
        let (before, after) = (types.byName(known), types.byName(sql.definition))
        let wider = sql.definition.columns.filter { column in
            let old = changes.kept.first { $0.now.name == column.name }.flatMap { before[$0.before.name] }
            return old.map { $0 != after[column.name] } ?? false
        }
        guard !wider.isEmpty else { return }
        // They hold on to the types of what they show; they are made again below.
        try surgeon.dropViews()
        for column in wider { try surgeon.widen(column) }
    }

    // MARK: Views

    private mutating func makeViews(
        _ sql: TableSQL, _ known: TableRegistry.Entry?, isChanged: Bool
    ) throws {
        let table = sql.definition
        let surgeon = SchemaSurgeon(session: session, sql: sql, types: types)
        if layout.hasCurrent {
            try makeSchema(layout.live)
            let isKnown = known?.layout.hasCurrent == true
            try makeView(
                layout.live, sql.live, try sql.createLive, table, surgeon, isKnown: isKnown, isChanged: isChanged)
        }
        guard layout.hasRaw, layout.hasCurrent || !table.isKeyless else { return }
        try makeSchema(layout.history)
        let isKnown = known?.layout.hasRaw == true && (known?.layout.hasCurrent == true || !table.isKeyless)
        try makeView(
            layout.history, sql.history, try sql.createHistory(types), table, surgeon, isKnown: isKnown,
            isChanged: isChanged)
    }

    private func makeView(
        _ schema: String, _ name: String, _ create: String, _ table: TableDefinition, _ surgeon: SchemaSurgeon,
        isKnown: Bool, isChanged: Bool
    ) throws {
        let purpose = "make view \(schema).\(table.target)"
        if isKnown, try relationKind(schema, table.target) == "v" {
            guard isChanged else { return }
        } else {
            _ = try clear(schema, table, adopts: false)
        }
        try surgeon.show(name, create, for: purpose)
    }
}
