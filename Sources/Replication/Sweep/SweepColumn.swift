/// Whose SQL: that of the warehouse. The source's is Postgres' always.
package enum SweepDialect: Hashable, Sendable {
    case postgres
    case duckdb

    /// What a session must have set, on either side, for texts to be the same. All of them are what Millrace's own
    /// sessions have anyway; a session that lacks one makes rows look different, never equal.
    package var settings: [String] {
        switch self {
        case .postgres:
            [
                "SET DateStyle = 'ISO'", "SET IntervalStyle = 'postgres'", "SET TimeZone = 'UTC'",
                "SET extra_float_digits = 1", "SET bytea_output = 'hex'", "SET search_path = pg_catalog",
                "SET standard_conforming_strings = on",
            ]
        case .duckdb: ["SET TimeZone = 'UTC'"]
        }
    }
}

/// Where a query runs.
package enum SweepSide: Hashable, Sendable {
    case source
    case warehouse
}

/// A column that both sides have.
package struct SweepColumn: Hashable, Sendable {
    package let name: String
    /// Of a column that was renamed there.
    package let sourceName: String
    package let isKey: Bool
    /// Whether the warehouse has the SHA-256 of the value's text instead, in lower hex digits.
    package let isHashed: Bool
    /// As the warehouse has it.
    package let type: ColumnType
    /// The part of the type that both sides have: composites may have lost fields at the source. Nil where the two
    /// are of different kinds, so that equal values have other texts.
    let shared: ColumnType?

    /// - Parameters:
    ///   - type: of the warehouse's table, as its definition has it.
    ///   - sourceName: nil: the same, as is `sourceType`, what the source's catalog says now.
    package init(
        _ name: String, _ type: ColumnType, isKey: Bool = false, isHashed: Bool = false,
        sourceName: String? = nil, sourceType: ColumnType? = nil
    ) {
        self.name = name
        self.sourceName = sourceName ?? name
        self.type = type
        self.isKey = isKey
        self.isHashed = isHashed
        shared = type.shared(with: sourceType ?? type)
    }

    package init(_ column: Column, isHashed: Bool = false, sourceType: ColumnType? = nil) {
        self.init(
            column.name, column.type, isKey: column.isKey, isHashed: isHashed, sourceName: column.sourceName,
            sourceType: sourceType)
    }
}

extension ColumnType {
    /// What of a warehouse's type a source's has too; nil if texts of equal values may differ between them.
    fileprivate func shared(with source: ColumnType) -> ColumnType? {
        switch (self, source) {
        case (.composite(let mine), .composite(let theirs)):
            var fields: [CompositeType.Field] = []
            for field in mine.fields {
                guard let index = theirs.index(of: field.name.utf8) else { continue }
                guard let type = field.type.shared(with: theirs.fields[index].type) else { return nil }
                fields.append(.init(field.name, type))
            }
            return CompositeType(name: mine.name, fields: fields).map(ColumnType.composite)
        // Dimensions are the warehouse's to say.
        case (.array(let mine), .array(let theirs)): return mine.sharedElement(with: theirs.leaf).map(ColumnType.array)
        // Whatever it is there, its text came over.
        case (.text, let other) where other != .text: return .other(Self.anyText)
        case (.text, _), (.other, _): return self
        case (.numeric(nil, _), .numeric): return self
        case (.numeric(_, let mine), .numeric(_?, let theirs)): return mine == theirs ? self : nil
        case (.timestamp, .timestamp): return self
        case (.smallint, _), (.integer, _), (.bigint, _):
            return [.smallint, .integer, .bigint].contains(source) ? self : nil
        default: return self == source ? self : nil
        }
    }

    private func sharedElement(with leaf: ColumnType) -> ColumnType? {
        guard case .array(let inner) = self else { return shared(with: leaf) }
        return inner.sharedElement(with: leaf).map(ColumnType.array)
    }

    /// No type's name, so that none is taken for it.
    private static let anyText = ""
}
