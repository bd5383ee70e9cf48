import Replication

/// What the columns of an adopted table say, in Postgres' SQL. Every session of ours has the time zone UTC.
struct AdoptionSQL {
    let sql: TableSQL
    let plan: AdoptionPlan

    /// Whether a row is deleted; nil: nothing tells.
    func isDeleted() throws -> String? {
        if let flag = plan.flag { return try value(flag) }
        return plan.inPlace.contains(sql.definition.metadata.isDeleted) ? "(\(sql.isDeleted) IS TRUE)" : nil
    }

    /// Fills ours from theirs, in the rows where they tell something; nil where there is nothing to fill.
    func fill() throws -> String? {
        guard !plan.readings.isEmpty else { return nil }
        let isDeleted = try isDeleted() ?? "false"
        var isOfDeleted = true
        let parts = try plan.readings.map { reading -> String in
            let name = try quoteIdentifier(reading.field.name(in: sql.definition.metadata))
            switch reading.field {
            case .isDeleted: return "\(name) = \(isDeleted)"
            case .deletedAt: return "\(name) = CASE WHEN \(isDeleted) THEN \(try value(reading)) END"
            case .sourceUpdatedAt, .loadedAt:
                isOfDeleted = false
                return "\(name) = \(try value(reading))"
            }
        }
        let rows = isOfDeleted ? " WHERE \(isDeleted)" : ""
        return "UPDATE \(sql.current) SET \(parts.joined(separator: ", "))\(rows)"
    }

    /// Of the type of our column. A text that is no time is null: an error would show it.
    private func value(_ reading: AdoptionPlan.Reading) throws -> String {
        let column = try quoteIdentifier(reading.column)
        switch reading.form {
        case .flag: return "(\(column) IS TRUE)"
        case .flagText: return "(coalesce(lower(btrim(\(column))), '') IN ('true', 't', '1'))"
        case .flagNumber: return "(coalesce(\(column), 0) <> 0)"
        case .presence: return "(\(column) IS NOT NULL)"
        case .moment: return column
        case .utc: return "(\(column) AT TIME ZONE 'UTC')"
        case .momentText:
            let day = "make_date(substr(\(column), 1, 4)::int, substr(\(column), 6, 2)::int, 1)"
            return """
                CASE WHEN \(column) ~ '^(?!0000)\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])[T ]\
                ([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d([.]\\d{1,9})?(Z|[+-](0\\d|1[0-4])(:?[0-5]\\d)?)?$' \
                THEN CASE WHEN substr(\(column), 9, 2)::int \
                <= extract(day FROM \(day) + interval '1 month - 1 day') THEN \(column)::timestamptz END END
                """
        case .since1970(let perSecond) where perSecond > 1_000_000:
            return "('epoch'::timestamptz + \(column) / \(perSecond / 1_000_000) * interval '1 microsecond')"
        case .since1970(let perSecond):
            return "('epoch'::timestamptz + \(column) * \(1_000_000 / perSecond) * interval '1 microsecond')"
        }
    }
}
