import Replication

/// The query that gives a table's rows as they were, from raw's events of up to then.
///
/// Of each key the newest event tells; what it didn't send is looked for below it, in the key's own events and, where a
/// key change brought the row there, in those of the key that it had before.
struct AsOfSelect {
    let sql: TableSQL
    /// Declared, by column.
    let types: [String]
    let moment: AsOf
    /// The newest: positions are of it.
    let epoch: Int64
    /// Some deletes were found to spare a row (`SharedKeys`).
    let hasSpared: Bool
    let pipeline: String

    private var key: [Int] { sql.definition.key }
    private var keys: AsOfKeys { AsOfKeys(count: key.count) }

    /// What has happened by then.
    private func isPast(_ row: String) throws -> String {
        switch moment {
        case .position(let position):
            // A commit that begins there isn't before it; a copy's rows are of what stood before their position.
            """
            (\(row).\(TableSQL.epoch) < \(epoch) OR (\(row).\(TableSQL.epoch) = \(epoch) AND \
            (\(row).\(TableSQL.commit), \(row).\(TableSQL.seq)) <= (\(position)::bigint, 0::bigint)))
            """
        // Of a copy it is known otherwise that it was before.
        case .time(let time_us):
            """
            (\(row).source_ts <= \(try SQLText.moment(time_us)) OR \(row).source_ts IS NULL AND \(row).\(TableSQL.seq) <= 0)
            """
        }
    }

    var query: String {
        get throws { sql.definition.isKeyless ? try keyless : try keyed }
    }

    /// Current has the rows that are gone too, and names the events that made and ended them; but for a truncate, which ends
    /// what is older. Later truncates change the version of what is gone, so that can't be asked.
    private var keyless: String {
        get throws {
            """
            WITH \(try floor)
            SELECT \(sql.columns.map { "c.\($0)" }.joined(separator: ", ")) FROM \(sql.current) c
            JOIN \(sql.raw) r ON r.event_id = c.\(TableSQL.rowID)
            LEFT JOIN \(sql.raw) x ON x.event_id = c.\(TableSQL.endedBy)
            WHERE \(try isPast("r")) AND \(isAboveFloor) AND (\(try isPast("x"))) IS NOT TRUE
            """
        }
    }

    /// The newest truncate of up to then.
    private var floor: String {
        get throws {
            """
            floor AS MATERIALIZED (
                SELECT \(TableSQL.versionColumns("r")) FROM \(sql.raw) r WHERE r.op = 't' AND \(try isPast("r"))
                ORDER BY 1 DESC, 2 DESC, 3 DESC LIMIT 1
            )
            """
        }
    }

    private var isAboveFloor: String {
        "NOT EXISTS (SELECT FROM floor f WHERE (\(TableSQL.versionColumns("r"))) < (\(TableSQL.versionColumns("f"))))"
    }

    /// A row if raw has keys of which it doesn't know what they were then, or events of which it doesn't know when they were.
    var unknown: String {
        get throws {
            let timeless = "SELECT 1 FROM \(sql.raw) r WHERE r.source_ts IS NULL"
            guard !sql.definition.isKeyless else {
                return "\(timeless) OR r.op = 'r' AND NOT (\(try isPast("r"))) LIMIT 1"
            }
            return """
                \(timeless) UNION ALL SELECT 1 FROM (SELECT DISTINCT ON (\(keys.names(of: "e"))) e.op, e.is_past FROM \
                (SELECT r.op, \(try isPast("r")) AS is_past, \(try keyColumns("k")), \(TableSQL.versionColumns("r")) \
                FROM \(sql.raw) r CROSS JOIN LATERAL json_to_record(r.key) AS k(\(try keyFields)) \
                WHERE \(Self.isRow)) AS e \
                ORDER BY \(keys.names(of: "e")), \(TableSQL.versionColumns("e"))) AS first \
                WHERE first.is_past IS NOT TRUE AND first.op <> 'c' LIMIT 1
                """
        }
    }

    private static let isRow = "r.op <> 't' AND left(r.key::text, 1) = '{'"

    // MARK: Keys

    /// By the typed key, so that keys are equal as current has them.
    private var keyFields: String {
        get throws { key.map { "\(sql.columns[$0]) \(isNested($0) ? "json" : types[$0])" }.joined(separator: ", ") }
    }

    private func keyColumns(_ row: String, _ prefix: String = "k") throws -> String {
        key.enumerated().map { place, column in
            "\(row).\(sql.columns[column])\(isNested(column) ? "::text" : "") AS \(prefix)\(place)"
        }.joined(separator: ", ")
    }

    /// What is kept as text for want of its type is an object in raw.
    private func isNested(_ column: Int) -> Bool {
        NestedTextSQL.isNeeded(sql.definition.columns[column].type, declared: types[column])
    }

    // MARK: Events

    private var keyed: String {
        get throws {
            let fields = sql.columns.indices.map { "\(sql.columns[$0]) \(isNested($0) ? "json" : types[$0])" }
            let values = try sql.columns.indices.map { index in
                let value = "a.\(sql.columns[index])"
                return isNested(index)
                    ? try NestedTextSQL.column(value, sql.definition.columns[index].type) + " AS \(sql.columns[index])"
                    : value
            }
            return """
                WITH RECURSIVE \(try floor), \(try past), \(keys.nodes(spares: hasSpared ? try spares : nil)), origin AS MATERIALIZED (
                    SELECT DISTINCT ON (\(keys.names(of: "e")), e.life) \(keys.names(of: "e")), e.life, e.n, e.e, e.c, e.s & ~1::bigint AS s, \
                    \(try keyColumns("o", "o"))
                    FROM node e CROSS JOIN LATERAL json_to_record(e.other_key) AS o(\(try keyFields))
                    WHERE e.op <> 'd' AND e.s & 1 = 1 AND left(e.other_key::text, 1) = '{'
                    ORDER BY \(keys.names(of: "e")), e.life, e.n DESC
                ), alive AS MATERIALIZED (
                    SELECT e.*, (SELECT count(*) FROM json_object_keys(e.image)) < \(sql.columns.count) AS is_partial
                    FROM node e WHERE e.is_last AND e.op <> 'd'
                ), chain AS (
                    SELECT a.n AS root, \(keys.names(of: "a", "k")), a.life, 0 AS depth FROM alive a WHERE a.is_partial
                    UNION ALL
                    SELECT h.root, \(keys.names(of: "d")), d.life, h.depth + 1 FROM chain h
                    JOIN origin o ON \(keys.same("h", "o")) AND o.life = h.life
                    JOIN node d ON \(keys.same("d", "o", "o")) AND (d.e, d.c, d.s) = (o.e, o.c, o.s) AND d.op = 'd'
                ), told AS (
                    SELECT DISTINCT ON (h.root, m.name) h.root, m.name, m.value FROM chain h
                    JOIN node e ON \(keys.same("e", "h")) AND e.life = h.life
                    LEFT JOIN origin o ON \(keys.same("h", "o")) AND o.life = h.life
                    CROSS JOIN LATERAL json_each(\(TableSQL.readable("e.image"))) AS m(name, value)
                    WHERE e.image IS NOT NULL AND (o.n IS NULL OR e.n >= o.n)
                    ORDER BY h.root, m.name, h.depth, e.n DESC
                ), whole AS (
                    SELECT root, json_object_agg(name, value) AS image FROM told GROUP BY root
                )
                SELECT \(values.joined(separator: ", ")) FROM alive LEFT JOIN whole ON alive.is_partial AND whole.root = alive.n
                CROSS JOIN LATERAL json_to_record(CASE WHEN alive.is_partial THEN whole.image \
                ELSE \(TableSQL.readable("alive.image")) END) AS a(\(fields.joined(separator: ", ")))
                """
        }
    }

    /// All that happened to rows since the newest truncate.
    private var past: String {
        get throws {
            """
            past AS MATERIALIZED (
                SELECT r.op, r.other_key, CASE WHEN r.op = 'd' THEN r.before ELSE r.after END AS image, \
                r.\(TableSQL.epoch) AS e, r.\(TableSQL.commit) AS c, r.\(TableSQL.seq) AS s, r.event_id, \
                \(try keyColumns("k"))
                FROM \(try sql.rawImages) r CROSS JOIN LATERAL json_to_record(r.key) AS k(\(try keyFields))
                WHERE \(Self.isRow) AND \(try isPast("r")) AND \(isAboveFloor)
            )
            """
        }
    }

    // MARK: Shared keys

    private var spares: String {
        get throws {
            let source = sql.definition.source
            return """
                (r.op = 'd' AND EXISTS (SELECT FROM \(MetaTables.name("moves")) m \
                WHERE m.pipeline = \(try SQLText.literal(pipeline)) \
                AND m.source_schema = \(try SQLText.literal(source.schema)) \
                AND m.source_table = \(try SQLText.literal(source.table)) AND m.new_key = m.old_key \
                AND (m.create_epoch, m.create_commit, m.create_seq) = (r.e, r.c, r.s)))
                """
        }
    }

    /// A row if a delete spared another row than the one that came under its key last: the order of events doesn't tell then
    /// what is left. So where nothing but that row's creation stands before the delete, and the delete's row is another.
    var undecided: String {
        get throws {
            let same = try sql.definition.columns.map { column in
                let name = try quoteLiteral(column.name)
                let images = ["p.image", "d.image"].map { "(\(TableSQL.readable($0)) -> \(name))::text" }
                return "coalesce(\(images[0]) = \(images[1]), true)"
            }
            return """
                WITH \(try floor), \(try past), ordered AS MATERIALIZED (
                    SELECT r.*, row_number() OVER (ORDER BY \(keys.names(of: "r")), \(keys.order)) AS n FROM past r
                ), prior AS (
                    SELECT r.*, max(r.n) FILTER (WHERE r.op <> 'd') OVER (PARTITION BY \(keys.names(of: "r")) \
                    ORDER BY \(keys.order) ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS last FROM ordered r
                ), spared AS (SELECT r.* FROM prior r WHERE \(try spares))
                SELECT 1 FROM spared d LEFT JOIN ordered p ON p.n = d.last
                WHERE p.op IS DISTINCT FROM 'c' OR (\(same.joined(separator: " AND "))) LIMIT 1
                """
        }
    }
}
