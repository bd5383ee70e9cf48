/// An adoption as it would be now: the plan, and what was counted in the table.
package struct Adoption: Sendable {
    package var plan: AdoptionPlan
    package var rows: Int
    /// Of those, the ones that are flagged as deleted.
    package var deleted: Int
    /// Keys that several rows have, and how many rows that are.
    package var repeatedKeys: Int
    package var repeatedRows: Int
    /// The table itself is set aside, and a copy of it adopted, as the engine can't take a constraint away from it.
    package var isCopied: Bool

    package init(
        plan: AdoptionPlan, rows: Int, deleted: Int, repeatedKeys: Int, repeatedRows: Int, isCopied: Bool = false
    ) {
        self.plan = plan
        self.rows = rows
        self.deleted = deleted
        self.repeatedKeys = repeatedKeys
        self.repeatedRows = repeatedRows
        self.isCopied = isCopied
    }

    /// False for a table of ours that was forgotten: it has a version, and no column of anybody else's.
    package var isOfOthers: Bool { plan.hasStrangers || !plan.inPlace.contains(MetadataNames.epoch) }

    /// Why it can't be: found before anything is written.
    package var refusal: ReplicationError? {
        if let refusal = plan.refusal { return refusal }
        if plan.isWithoutKey, rows > 0 {
            return plan.refused(
                "\(plan.table.name) holds rows and has no key, so that no event could tell which of them it means",
                "set key: for it in tables:, where columns of the source make one; else existing: replace, which sets it aside"
            )
        }
        guard repeatedKeys > 0 else { return nil }
        let keys = repeatedKeys == 1 ? "1 key has" : "\(repeatedKeys) keys have"
        return plan.refused(
            "\(plan.table.name) has several rows with one key: \(keys) \(repeatedRows) rows", Self.remedy(plan.maker))
    }

    private static func remedy(_ maker: ForeignMaker?) -> String {
        let replace = "or set existing: replace for it in tables:, which sets it aside"
        return switch maker {
        case .airbyte: "let Airbyte sync the stream with deduplication (Append + Deduped) first, \(replace)"
        case .debezium: "write it with insert.mode=upsert and the record's key first, \(replace)"
        case .fivetran, .peerdb, nil: "remove the older rows, \(replace)"
        }
    }
}

extension Adoption {
    /// What `check` says of it.
    package func findings(_ name: String) -> [Finding] {
        var findings: [Finding] = []
        if let refusal {
            let message = refusal.message.replacing("\(plan.definition.source): ", with: "")
            return [Finding(.error, name, message, remedy: refusal.remedy)]
        }
        let maker = plan.maker.map { ", a table of \($0.rawValue)" } ?? ""
        let count = rows == 1 ? "1 row" : "\(rows) rows"
        var parts = ["\(plan.table.name) is there already\(maker), and will be adopted with its \(count)"]
        if deleted > 0 { parts[0] += " (\(deleted) of them deleted)" }
        let mapped = plan.readings.map { "\($0.column) → \($0.field.name(in: plan.definition.metadata))" }
        if !mapped.isEmpty { parts.append("read once: \(mapped.joined(separator: ", "))") }
        let theirs = plan.inPlace.filter { ForeignMaker(column: $0) != nil }
        if !theirs.isEmpty { parts.append("used in place: \(theirs.joined(separator: ", "))") }
        if !plan.added.isEmpty {
            parts.append("columns to be added: \(plan.added.map(\.name).joined(separator: ", "))")
        }
        if !plan.freed.isEmpty {
            parts.append("NOT NULL will be dropped from \(plan.freed.joined(separator: ", ")), which we don't fill")
        }
        findings.append(Finding(.ok, name, parts.joined(separator: "; ")))
        if isCopied {
            findings.append(
                Finding(
                    .warning, name,
                    "its primary key or a constraint would refuse rows that replace each other in one transaction, and can't be dropped: the table will be set aside, and a copy without it adopted"
                ))
        }
        if let flag = plan.flag {
            findings.append(
                Finding(
                    .warning, name,
                    "nobody will keep up \(flag.column) any more: readers must look at \(plan.definition.metadata.isDeleted)",
                    remedy: "tell the readers, or let ours have its name: metadata_columns: for the table in tables:"))
        }
        if !plan.tight.isEmpty {
            let columns = plan.tight.joined(separator: ", ")
            findings.append(
                Finding(
                    .warning, name,
                    "\(columns) \(plan.tight.count == 1 ? "is" : "are") NOT NULL: the delete of a row that was never there, a row of nothing but its key, would go to quarantine",
                    remedy: "ALTER TABLE \(plan.table.name) ALTER COLUMN \(plan.tight[0]) DROP NOT NULL;"))
        }
        return findings
    }
}
