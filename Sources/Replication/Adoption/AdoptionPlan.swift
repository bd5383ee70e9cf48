/// What becomes of a table that somebody else made, when it is adopted: which of their columns tell what of ours, what
/// is added, and what would be in the way. Nothing of theirs is changed or dropped.
package struct AdoptionPlan: Sendable {
    /// The columns of ours that somebody else's may tell.
    package enum Field: String, Sendable, CaseIterable {
        case isDeleted = "is_deleted"
        case deletedAt = "deleted_at"
        case sourceUpdatedAt = "_source_updated_at"
        case loadedAt = "_loaded_at"

        package func name(in names: MetadataNames) -> String {
            switch self {
            case .isDeleted: names.isDeleted
            case .deletedAt: names.deletedAt
            case .sourceUpdatedAt: names.sourceUpdatedAt
            case .loadedAt: names.loadedAt
            }
        }
    }

    /// How a column of theirs is read.
    package enum Form: Sendable, Equatable {
        /// boolean; null is false.
        case flag
        /// A text: `true` in any case, `t` and `1` are true, all else false.
        case flagText
        /// A whole number: 0 and null are false.
        case flagNumber
        /// Anything: null is false.
        case presence
        /// timestamptz.
        case moment
        /// timestamp, in UTC.
        case utc
        /// ISO 8601, in UTC where it names no zone; null where it isn't one.
        case momentText
        /// Since 1970: this many in a second.
        case since1970(perSecond: Int64)
    }

    package struct Reading: Sendable, Equatable {
        package var field: Field
        /// Theirs.
        package var column: String
        package var form: Form
    }

    /// Nil: no column tells.
    package private(set) var maker: ForeignMaker?
    /// Columns of ours that are added, and what of theirs fills them in the rows that are there.
    package private(set) var readings: [Reading] = []
    /// Columns of ours that are there already, with our type.
    package private(set) var inPlace: [String] = []
    /// Columns of the source that are added, and null until an event or read of the row comes.
    package private(set) var added: [Column] = []
    /// Columns of theirs that we never fill, and whose NOT NULL is taken away.
    package private(set) var freed: [String] = []
    /// Columns of the source, beside the key's, that are NOT NULL there: a row of nothing but its key doesn't fit.
    package private(set) var tight: [String] = []
    /// Why it can't be adopted.
    package private(set) var refusal: ReplicationError?
    /// Neither the source's rows nor theirs have a key that ours could be told by.
    package private(set) var isWithoutKey = false
    /// It has columns that are neither the source's nor ours.
    package private(set) var hasStrangers = false
    /// What it is to become.
    package let definition: TableDefinition
    package let table: ForeignTable

    package init(_ table: ForeignTable, as definition: TableDefinition, metadata: [(name: String, type: ColumnType)]) {
        self.definition = definition
        self.table = table
        let source = Set(definition.columns.map { fold($0.name) })
        let ours = Set(metadata.map { fold($0.name) })
        let theirs = table.columns.filter { !source.contains(fold($0.name)) }
        hasStrangers = theirs.contains { !ours.contains(fold($0.name)) }
        maker = theirs.lazy.compactMap { ForeignMaker(column: $0.name) }.first
        added = definition.columns.filter { table.column($0.name) == nil }
        inPlace = metadata.map(\.name).filter { table.column($0) != nil }
        isWithoutKey = definition.isKeyless && table.column(MetadataNames.rowID) == nil
        freed = theirs.filter { !$0.isNullable && !$0.hasDefault && !$0.isInPrimaryKey && !isKeptUp($0.name, ours) }
            .map(\.name)
        let key = Set(definition.key.map { fold(definition.columns[$0].name) })
        tight = table.columns.filter {
            !$0.isNullable && !$0.hasDefault && source.contains(fold($0.name)) && !key.contains(fold($0.name))
        }.map(\.name)
        refusal = findRefusal(theirs, metadata)
        if refusal == nil { read(theirs) }
    }

    func fold(_ name: String) -> String { table.ignoresCase ? name.lowercased() : name }

    /// Columns of ours that every write fills.
    private func isKeptUp(_ name: String, _ ours: Set<String>) -> Bool {
        let names = definition.metadata
        return ours.contains(fold(name)) && fold(name) != fold(names.deletedAt)
            && fold(name) != fold(names.sourceUpdatedAt)
    }

    // MARK: Theirs, read as ours

    private mutating func read(_ theirs: [ForeignTable.Column]) {
        guard let maker else { return }
        for field in Field.allCases where table.column(field.name(in: definition.metadata)) == nil {
            let reading = Self.columns(of: maker, for: field).lazy.compactMap { name, form -> Reading? in
                guard let column = theirs.first(where: { $0.name.lowercased() == name }) else { return nil }
                if case .since1970 = form, column.type != .bigint { return nil }
                return (form ?? Self.form(of: column.type, for: field)).map { form in
                    Reading(field: field, column: column.name, form: form)
                }
            }.first
            if let reading { readings.append(reading) }
        }
        // When a row was deleted means nothing where no flag says that it was.
        if flag == nil, table.column(definition.metadata.isDeleted) == nil {
            readings.removeAll { $0.field == .deletedAt }
        }
    }

    /// Names in lower case, the best first; the form where the type doesn't tell it.
    static func columns(of maker: ForeignMaker, for field: Field) -> [(String, Form?)] {
        switch (maker, field) {
        case (.fivetran, .isDeleted): [("_fivetran_deleted", nil)]
        case (.fivetran, .loadedAt): [("_fivetran_synced", nil)]
        case (.airbyte, .isDeleted): [("_ab_cdc_deleted_at", .presence)]
        case (.airbyte, .deletedAt): [("_ab_cdc_deleted_at", nil)]
        case (.airbyte, .sourceUpdatedAt): [("_ab_cdc_updated_at", nil)]
        case (.airbyte, .loadedAt): [("_airbyte_extracted_at", nil), ("_airbyte_emitted_at", nil)]
        case (.peerdb, .isDeleted): [("_peerdb_is_deleted", nil)]
        case (.peerdb, .loadedAt): [("_peerdb_synced_at", nil)]
        case (.debezium, .isDeleted): [("__deleted", nil)]
        case (.debezium, .deletedAt), (.debezium, .sourceUpdatedAt):
            [
                ("__source_ts_ns", .since1970(perSecond: 1_000_000_000)),
                ("__source_ts_us", .since1970(perSecond: 1_000_000)), ("__source_ts_ms", .since1970(perSecond: 1000)),
            ]
        // When they wrote a deleted row isn't when it was deleted at the source, and bulk deletes don't even tell that.
        case (.fivetran, .deletedAt), (.fivetran, .sourceUpdatedAt), (.peerdb, .deletedAt),
            (.peerdb, .sourceUpdatedAt), (.debezium, .loadedAt):
            []
        }
    }

    static func form(of type: ColumnType, for field: Field) -> Form? {
        switch (field, type) {
        case (.isDeleted, .boolean): .flag
        case (.isDeleted, .smallint), (.isDeleted, .integer), (.isDeleted, .bigint): .flagNumber
        case (.isDeleted, let type): type.isText ? .flagText : nil
        case (_, let type) where type.isMoment: .moment
        case (_, .timestamp): .utc
        case (_, let type): type.isText ? .momentText : nil
        }
    }

    /// The reading that tells deleted rows; nil where none does, or where their flag is ours.
    package var flag: Reading? { readings.first { $0.field == .isDeleted } }
}

extension ColumnType {
    /// Texts of any length.
    fileprivate var isText: Bool {
        switch self {
        case .text: true
        case .other(let name): ["character", "varchar", "char"].contains { name.lowercased().hasPrefix($0) }
        default: false
        }
    }

    /// `timestamp(3) with time zone` is one, too.
    fileprivate var isMoment: Bool {
        switch self {
        case .timestamptz: true
        case .other(let name): name.hasPrefix("timestamp(") && name.hasSuffix("with time zone")
        default: false
        }
    }
}
