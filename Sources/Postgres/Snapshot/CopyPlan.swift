import Replication

/// A range of blocks of one relation, read by one COPY and marked as done when its last row is durable.
package struct CopyChunk: Sendable, Equatable {
    package var facts: RelationFacts
    package var filter: String?
    package var part: SourceServer.Part
    package var number: Int64
    package var from: Int64
    /// Nil: to the end, however long the relation has become.
    package var to: Int64?
    /// Only the rows of these keys (JSON objects of texts), read once more; the chunk marks nothing then.
    package var keys: [String]?
    /// The columns of those keys.
    package var keyColumns: [String] = []

    package init(
        facts: RelationFacts, filter: String?, part: SourceServer.Part, number: Int64 = 0, from: Int64 = 0,
        to: Int64? = nil, keys: [String]? = nil
    ) {
        self.facts = facts
        self.filter = filter
        self.part = part
        self.number = number
        self.from = from
        self.to = to
        self.keys = keys
    }

    /// What is read. Column order is that of the facts.
    package func sql() throws -> String {
        let columns = try facts.columns.map { "t.\(try quoteIdentifier($0.name))" }.joined(separator: ", ")
        if let keys {
            let root = try quoteIdentifier(schema: facts.table.schema, facts.table.table)
            let key = try keyColumns.map { try quoteIdentifier($0) }.joined(separator: ", ")
            let list = try quoteLiteral("[\(keys.joined(separator: ","))]")
            let names = try keyColumns.map { "t.\(try quoteIdentifier($0))" }.joined(separator: ", ")
            // A row filter names columns without their table.
            return """
                COPY (SELECT \(columns) FROM \(root) t WHERE (\(names)) IN (SELECT \(key) FROM \
                jsonb_populate_recordset(NULL::\(root), \(list)::jsonb))\(filter.map { " AND (\($0))" } ?? "")) TO STDOUT
                """
        }
        var conditions: [String] = []
        if from > 0 { conditions.append("t.ctid >= '(\(from),0)'::tid") }
        if let to { conditions.append("t.ctid < '(\(to),0)'::tid") }
        if let filter { conditions.append("(\(filter))") }
        let condition = conditions.isEmpty ? "" : " WHERE \(conditions.joined(separator: " AND "))"
        let relation = try quoteIdentifier(schema: part.schema, part.name)
        return "COPY (SELECT \(columns) FROM ONLY \(relation) t\(condition)) TO STDOUT"
    }
}

/// Which chunks a table's copy still needs. Pure.
///
/// A chunk that is done stays done under a newer snapshot: what changed in between is streamed. That doesn't hold where
/// the relation was rewritten meanwhile (VACUUM FULL, CLUSTER, TRUNCATE), which moves rows without a word in the stream;
/// its file has another number then, and all of it is read again.
package enum CopyPlan {
    /// 8 MiB of heap.
    package static let blocksPerChunk: Int64 = 1024

    package static func chunks(
        _ facts: RelationFacts, filter: String?, parts: [SourceServer.Part], done: [CopyMark]
    ) -> [CopyChunk] {
        var chunks: [CopyChunk] = []
        for part in parts {
            let finished = done.filter { $0.part == part.identity && $0.state == .done && !$0.isWholeTable }
            var from: Int64 = 0
            var number: Int64 = 0
            while true {
                let to = from + blocksPerChunk
                let isLast = to >= part.blocks
                let mark = finished.first { $0.chunk == number }
                // One that reached to the end then reached over all that was there.
                if let mark, mark.blocks.to == nil { break }
                if mark == nil {
                    chunks.append(
                        CopyChunk(
                            facts: facts, filter: filter, part: part, number: number, from: from, to: isLast ? nil : to)
                    )
                    if isLast { break }
                }
                // A chunk that is done and was not the last then: what is behind it is to be read.
                from = to
                number += 1
            }
        }
        return chunks
    }
}
