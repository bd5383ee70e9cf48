import Replication

/// The query that gives a table's rows as they were, from raw's events of up to then.
///
/// Of each key the newest event tells; what it didn't send is looked for below it, in the key's own events and, where a
/// key change brought the row there, in those of the key that it had before.
struct AsOfSelect {
    let sql: TableSQL
    let moment: AsOf
    /// The newest: positions are of it.
    let epoch: Int64
    /// Some deletes were found to spare a row (`SharedKeys`).
    let hasSpared: Bool
    let pipeline: String

    private var key: [Int] { sql.definition.key }
    private var keys: AsOfKeys { AsOfKeys(count: key.count) }

    /// What has happened by then.
    private func isPast(_ row: String) -> String {
        switch moment {
        case .position(let position):
            // A commit that begins there isn't before it; a copy's rows are of what stood before their position.
            """
            (\(row).\(TableSQL.epoch) < \(epoch) OR (\(row).\(TableSQL.epoch) = \(epoch) AND \
            (\(row).\(TableSQL.commit) < \(position) OR \
            (\(row).\(TableSQL.commit) = \(position) AND \(row).\(TableSQL.seq) <= 0))))
            """
        // Of a copy it is known otherwise that it was before.
        case .time(let time_us):
            """
            (\(row).source_ts <= \(TableSQL.moment(time_us)) OR \(row).source_ts IS NULL AND \(row).\(TableSQL.seq) <= 0)
            """
        }
    }

    var query: String { sql.definition.isKeyless ? keyless : keyed }

    /// Current has the rows that are gone too, and names the events that made and ended them; but for a truncate, which ends
    /// what is older. Later truncates change the version of what is gone, so that can't be asked.
    private var keyless: String {
        """
        WITH \(floor)
        SELECT \(sql.definition.columns.indices.map { "c.\(sql.column($0))" }.joined(separator: ", "))
        FROM \(sql.current) c JOIN \(sql.raw) r ON r.event_id = c.\(TableSQL.rowID)
        LEFT JOIN \(sql.raw) x ON x.event_id = c.\(TableSQL.endedBy) LEFT JOIN floor f ON true
        WHERE \(isPast("r")) AND \(isAboveFloor) AND (\(isPast("x"))) IS NOT TRUE
        """
    }

    /// The newest truncate of up to then.
    private var floor: String {
        """
        floor AS MATERIALIZED (
            SELECT \(Self.version("r")) FROM \(sql.raw) r WHERE r.op = 't' AND \(isPast("r"))
            ORDER BY 1 DESC, 2 DESC, 3 DESC LIMIT 1
        )
        """
    }

    private var isAboveFloor: String {
        "(f.\(TableSQL.epoch) IS NULL OR (\(Self.version("r"))) >= (\(Self.version("f"))))"
    }

    /// A row if raw has keys of which it doesn't know what they were then, or events of which it doesn't know when they were.
    var unknown: String {
        let timeless = "SELECT 1 FROM \(sql.raw) r WHERE r.source_ts IS NULL"
        guard !sql.definition.isKeyless else { return "\(timeless) OR r.op = 'r' AND NOT (\(isPast("r"))) LIMIT 1" }
        return """
            SELECT 1 FROM (\(timeless) UNION ALL SELECT 1 FROM (SELECT r.op, \(isPast("r")) AS is_past, row_number() OVER \
            (PARTITION BY CAST(r.key AS VARCHAR) ORDER BY \(Self.version("r"))) AS n FROM \(sql.raw) r \
            WHERE \(Self.isRow)) AS e \
            WHERE e.n = 1 AND e.is_past IS NOT TRUE AND e.op <> 'c') LIMIT 1
            """
    }

    private static let isRow = "r.op <> 't' AND CAST(r.key AS VARCHAR) LIKE '{%'"

    private static func version(_ row: String) -> String {
        "\(row).\(TableSQL.epoch), \(row).\(TableSQL.commit), \(row).\(TableSQL.seq)"
    }

    // MARK: Keys

    /// By the typed key, so that keys are equal as current has them.
    private func keyColumns(_ json: String, _ prefix: String = "k") -> String {
        let marked = key.contains { sql.forms[$0].needsExactNumbers }
        let text = "CAST(\(json) AS VARCHAR)"
        let object = marked ? "CAST(\(ExactNumbers.marked(text)) AS JSON)" : "CAST(\(text) AS JSON)"
        return key.enumerated().map { place, column in
            let form = sql.forms[column]
            // Raw's keys have the columns' own names, unlike its images.
            let pointer = ColumnForm.pointer(to: sql.definition.columns[column].name)
            let value = "json_extract(\(object), \(SQLName.literal(pointer)))"
            return "\(form.typed(json: value, marked: marked)) AS \(prefix)\(place)"
        }.joined(separator: ", ")
    }

    // MARK: Events

    private var keyed: String {
        let marked = sql.forms.contains(where: \.needsExactNumbers)
        func object(_ image: String) -> String {
            let text = "CAST(\(image) AS VARCHAR)"
            return "CAST(\(marked ? ExactNumbers.marked(text) : text) AS JSON)"
        }
        let told = sql.definition.columns.enumerated().map { index, column in
            "arg_min(\(TableSQL.member(column, of: "image")), place) AS v\(index)"
        }
        let members = sql.definition.columns.enumerated().map { index, column in
            "CASE WHEN alive.is_partial THEN whole.v\(index) ELSE \(TableSQL.member(column, of: "alive.image")) END AS v\(index)"
        }
        let columns = sql.forms.enumerated().map { index, form in
            "\(form.typed(json: "v\(index)", marked: marked)) AS \(SQLName.quoted(form.name))"
        }
        return """
            WITH RECURSIVE \(floor), \(past), \(keys.nodes(spares: hasSpared ? spares : nil)), origin AS MATERIALIZED (
                SELECT *, \(keyColumns("other_key", "o")) FROM (
                    SELECT \(keys.names(of: "e")), e.life, max(e.n) AS n, arg_max(e.e, e.n) AS e, arg_max(e.c, e.n) AS c, \
                    arg_max(e.s, e.n) - 1 AS s, arg_max(CAST(e.other_key AS VARCHAR), e.n) AS other_key
                    FROM node e WHERE e.op <> 'd' AND e.s & 1 = 1 AND CAST(e.other_key AS VARCHAR) LIKE '{%'
                    GROUP BY \(keys.names(of: "e")), e.life)
            ), alive AS MATERIALIZED (
                SELECT \(keys.names(of: "e")), e.life, e.n, \(object("e.image")) AS image, \
                len(json_keys(CAST(e.image AS JSON))) < \(sql.forms.count) AS is_partial
                FROM node e WHERE e.is_last AND e.op <> 'd'
            ), chain AS (
                SELECT a.n AS root, \(keys.names(of: "a")), a.life, 0 AS depth FROM alive a WHERE a.is_partial
                UNION ALL
                SELECT h.root, \(keys.names(of: "d")), d.life, h.depth + 1 FROM chain h
                JOIN origin o ON \(keys.same("h", "o")) AND o.life = h.life
                JOIN node d ON \(keys.same("d", "o", "o")) AND d.e = o.e AND d.c = o.c AND d.s = o.s AND d.op = 'd'
            ), told AS (
                SELECT h.root, h.depth * 1000000000000 - e.n AS place, \(object("e.image")) AS image FROM chain h
                JOIN node e ON \(keys.same("e", "h")) AND e.life = h.life
                LEFT JOIN origin o ON \(keys.same("h", "o")) AND o.life = h.life
                WHERE e.image IS NOT NULL AND (o.n IS NULL OR e.n >= o.n)
            ), whole AS (
                SELECT root, \(told.joined(separator: ", ")) FROM told GROUP BY root
            ), members AS (
                SELECT \(members.joined(separator: ", ")) FROM alive LEFT JOIN whole ON whole.root = alive.n
            )
            SELECT \(columns.joined(separator: ", ")) FROM members
            """
    }

    /// All that happened to rows since the newest truncate.
    private var past: String {
        """
        past AS MATERIALIZED (
            SELECT r.op, r.other_key, CASE WHEN r.op = 'd' THEN r.before ELSE r.after END AS image, \
            r.\(TableSQL.epoch) AS e, r.\(TableSQL.commit) AS c, r.\(TableSQL.seq) AS s, r.event_id, \
            \(keyColumns("r.key"))
            FROM \(sql.raw) r LEFT JOIN floor f ON true WHERE \(Self.isRow) AND \(isPast("r")) AND \(isAboveFloor)
        )
        """
    }

    // MARK: Shared keys

    private var spares: String {
        let source = sql.definition.source
        return """
            (r.op = 'd' AND EXISTS (SELECT 1 FROM \(MetaTables.name("moves")) m \
            WHERE m.pipeline = \(SQLName.literal(pipeline)) AND m.source_schema = \(SQLName.literal(source.schema)) \
            AND m.source_table = \(SQLName.literal(source.table)) AND m.new_key = m.old_key \
            AND m.create_epoch = r.e AND m.create_commit = r.c AND m.create_seq = r.s))
            """
    }

    /// A row if a delete spared another row than the one that came under its key last: the order of events doesn't tell then
    /// what is left. So where nothing but that row's creation stands before the delete, and the delete's row is another.
    var undecided: String {
        let same = sql.definition.columns.map { column in
            let images = ["p.image", "d.image"].map {
                "CAST(\(TableSQL.member(column, of: "CAST(\($0) AS JSON)")) AS VARCHAR)"
            }
            return "coalesce(\(images[0]) = \(images[1]), true)"
        }
        return """
            WITH \(floor), \(past), ordered AS MATERIALIZED (
                SELECT r.*, row_number() OVER (ORDER BY \(keys.names(of: "r")), \(keys.order)) AS n FROM past r
            ), prior AS (
                SELECT r.*, max(r.n) FILTER (WHERE r.op <> 'd') OVER (PARTITION BY \(keys.names(of: "r")) \
                ORDER BY \(keys.order) ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS last FROM ordered r
            ), spared AS (SELECT r.* FROM prior r WHERE \(spares))
            SELECT 1 FROM spared d LEFT JOIN ordered p ON p.n = d.last
            WHERE p.op IS DISTINCT FROM 'c' OR (\(same.joined(separator: " AND "))) LIMIT 1
            """
    }
}
