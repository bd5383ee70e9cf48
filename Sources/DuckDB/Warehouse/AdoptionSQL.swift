import Replication

/// What the columns of an adopted table say, in DuckDB's SQL. Every session of ours has the time zone UTC.
struct AdoptionSQL {
    let sql: TableSQL
    let plan: AdoptionPlan

    /// Whether a row is deleted; nil: nothing tells.
    var isDeleted: String? {
        if let flag = plan.flag { return value(flag) }
        return plan.inPlace.contains(sql.definition.metadata.isDeleted) ? "(\(sql.isDeleted) IS TRUE)" : nil
    }

    /// Fills ours from theirs, in the rows where they tell something; nil where there is nothing to fill.
    var fill: String? {
        guard !plan.readings.isEmpty else { return nil }
        let isDeleted = isDeleted ?? "false"
        let isOfDeleted = plan.readings.allSatisfy { $0.field == .isDeleted || $0.field == .deletedAt }
        let parts = plan.readings.map { reading -> String in
            let name = SQLName.quoted(reading.field.name(in: sql.definition.metadata))
            return switch reading.field {
            case .isDeleted: "\(name) = \(isDeleted)"
            case .deletedAt: "\(name) = CASE WHEN \(isDeleted) THEN \(value(reading)) END"
            case .sourceUpdatedAt, .loadedAt: "\(name) = \(value(reading))"
            }
        }
        return "UPDATE \(sql.current) SET \(parts.joined(separator: ", "))\(isOfDeleted ? " WHERE \(isDeleted)" : "")"
    }

    /// Of the type of our column. A text that is no time is null: an error would show it.
    private func value(_ reading: AdoptionPlan.Reading) -> String {
        let column = SQLName.quoted(reading.column)
        return switch reading.form {
        case .flag: "(\(column) IS TRUE)"
        case .flagText: "(coalesce(lower(trim(\(column))), '') IN ('true', 't', '1'))"
        case .flagNumber: "(coalesce(\(column), 0) <> 0)"
        case .presence: "(\(column) IS NOT NULL)"
        case .moment: column
        case .utc: "make_timestamptz(epoch_us(\(column)))"
        case .momentText: "TRY_CAST(\(column) AS TIMESTAMP WITH TIME ZONE)"
        case .since1970(let perSecond) where perSecond > 1_000_000:
            "make_timestamptz(CAST(\(column) AS BIGINT) // \(perSecond / 1_000_000))"
        case .since1970(let perSecond):
            "make_timestamptz(CAST(\(column) AS BIGINT) * \(1_000_000 / perSecond))"
        }
    }
}
