import JSON
import Replication

/// What is told of the rows that differ.
extension TableSweep {
    /// Tells what is deleted from what was never there, of rows that one side alone shows.
    ///
    /// - Parameter raw: the table's raw, where it has one.
    mutating func nameKinds(_ here: any SweepReader, raw: String?) async throws {
        func keys(of kind: SweepDifference.Kind) -> [[String]] { differences.filter { $0.kind == kind }.map(\.key) }
        let missing = keys(of: .missing)
        if !missing.isEmpty {
            let sql = digest.rows(
                of: current, on: .warehouse, where: "(\(digest.filter(keys: missing, on: .warehouse))) AND \(isDeleted)"
            )
            rename(.missing, .wronglyDeleted, Set(try await here.rows(sql).map(key)))
        }
        let extra = keys(of: .extra)
        if !extra.isEmpty, let raw, let sql = digest.deleted(inRaw: raw, extra) {
            rename(.extra, .undeleted, Set(try await here.rows(sql).map { try key($0 + [nil]) }))
        }
    }

    private mutating func rename(
        _ kind: SweepDifference.Kind, _ other: SweepDifference.Kind, _ keys: Set<[String]>
    ) {
        for index in differences.indices where differences[index].kind == kind && keys.contains(differences[index].key)
        {
            differences[index].kind = other
        }
    }

    /// Which columns of the different rows differ. Rows may have changed since: then none is named.
    mutating func nameColumns(_ source: any SweepReader, _ here: any WarehouseSnapshot) async throws {
        let indices = differences.indices.filter {
            differences[$0].kind == .different && differences[$0].columns.isEmpty
        }
        guard !indices.isEmpty else { return }
        let keys = indices.map { differences[$0].key }
        let keyColumns = digest.columns.filter(\.isKey)
        for column in digest.columns where !column.isKey {
            let one = RowDigest(keyColumns + [column], of: digest)
            func hashes(
                _ side: SweepSide, _ relation: String, _ filter: String?, _ read: (String) async throws -> [[String?]]
            ) async throws -> [[String]: String] {
                let chosen = one.filter(keys: keys, on: side)
                let all = filter.map { "(\(chosen)) AND (\($0))" } ?? chosen
                let rows = try await read(one.rows(of: relation, on: side, where: all))
                return Dictionary(
                    try rows.map { (try key($0), ($0.last ?? nil) ?? "") }, uniquingKeysWith: { first, _ in first })
            }
            let theirs = try await hashes(side, relation, filter, { try await source.rows($0) })
            let mine = try await hashes(.warehouse, current, isLive, { try await here.rows($0) })
            for index in indices {
                let key = differences[index].key
                if let a = theirs[key], let b = mine[key], a != b { differences[index].columns.append(column.name) }
            }
        }
    }

    /// The keys of all rows that differ, as JSON objects of their columns' texts.
    func keysOfDifferences(_ source: any SweepReader, _ here: any SweepReader) async throws -> [String] {
        let found = try await objects(of: differing, source, here)
        return differing.compactMap { found[$0]?.object }
    }

    /// Of each key its columns as a JSON object of texts, and whether the source has its row.
    func objects(
        of keys: [[String]], _ source: any SweepReader, _ here: any SweepReader
    ) async throws -> [[String]: (object: String, isAtSource: Bool)] {
        let columns = definition.key.map { index in digest.columns.first { $0.name == definition.columns[index].name } }
        guard !columns.contains(nil) else { return [:] }
        var found: [[String]: (object: String, isAtSource: Bool)] = [:]
        for start in stride(from: 0, to: keys.count, by: Self.keys_max) {
            let part = Array(keys[start..<min(start + Self.keys_max, keys.count)])
            // The source's own words last: they count.
            for (reader, relation, side, isSource) in [
                (here, current, SweepSide.warehouse, false), (source, relation, side, true),
            ] {
                let chosen = digest.filter(keys: part, on: side)
                let all = isSource ? filter.map { "(\(chosen)) AND (\($0))" } ?? chosen : chosen
                let sql = digest.values(of: relation, on: side, columns.compactMap { $0 }, where: all)
                for row in try await reader.rows(sql) {
                    let texts = row.compactMap { $0 }
                    guard texts.count == 2 * columns.count else { continue }
                    let members = zip(columns, texts.dropFirst(columns.count)).map { column, text in
                        (column?.name ?? "", JSONValue.string(text))
                    }
                    found[Array(texts.prefix(columns.count))] = (JSONValue.object(members).serialized, isSource)
                }
            }
        }
        return found
    }
}
