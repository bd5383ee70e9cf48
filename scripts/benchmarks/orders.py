"""The work: tables of orders, changes on them, and how two copies of them are compared."""

import csv
import io
import subprocess

# Each: name, type, value of the row with number n.
COLUMNS = [
    ("customer_id", "bigint NOT NULL", "(n * 7919) % 100000"),
    ("status", "text NOT NULL", "(ARRAY['pending','paid','shipped','cancelled'])[1 + n % 4]"),
    ("total_amount", "numeric(12,2) NOT NULL", "((n * 104729) % 10000000)::numeric / 100"),
    ("note", "text", "'order ' || md5(n::text) || ' of the benchmark ' || n % 97"),
    ("created_at", "timestamptz NOT NULL", "'2026-01-01'::timestamptz + n % 30000000 * interval '1 second'"),
    ("updated_at", "timestamptz NOT NULL", "'2026-01-01'::timestamptz + n % 30000000 * interval '1 second'"),
]

# Per row a number of 60 bits over all columns, summed: equal for the same rows in whatever order.
DIGEST = {
    "postgres": "('x' || substr(md5({text}), 1, 15))::bit(60)::bigint",
    "duckdb": "('0x' || substr(md5({text}), 1, 15))::bigint",
}
MICROSECONDS = {"postgres": "(extract(epoch from {0}) * 1000000)::bigint", "duckdb": "epoch_us({0})"}

CHANGE = """
CREATE FUNCTION change_{table}(round bigint, base bigint, inserts int, updates int, deletes int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    top bigint := base + round * inserts; gone bigint := (round * 3 * deletes) % greatest(base - 3 * deletes, 1);
    updated int; deleted int;
BEGIN
    INSERT INTO {table} SELECT {row} FROM generate_series(top + 1, top + inserts) AS one(n);
    -- Hot keys: half of the updates go to an eighth of the rows.
    UPDATE {table} SET status = 'updated', total_amount = (round % 100000)::numeric / 100,
        updated_at = '2026-06-01'::timestamptz + round * interval '1 second'
        WHERE id IN (SELECT {hot} FROM generate_series(1, updates));
    GET DIAGNOSTICS updated = ROW_COUNT;
    DELETE FROM {table} WHERE id IN (SELECT {gone} FROM generate_series(1, deletes) AS k);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN inserts + updated + deleted;
END $$;
"""

# Transactions go to one table after the other.
CHANGES = """
CREATE PROCEDURE change(wanted int, size int, base bigint, tables text[], INOUT done int) LANGUAGE plpgsql AS $$
DECLARE
    changed int; round bigint := 0; inserts int := greatest(size * 6 / 10, 1); updates int := size * 3 / 10;
BEGIN
    PERFORM setseed(0.5);
    WHILE done < wanted LOOP
        EXECUTE 'SELECT change_' || tables[1 + round % cardinality(tables)] || '($1, $2, $3, $4, $5)' INTO changed
            USING round / cardinality(tables), base, inserts, updates, size - inserts - updates;
        done := done + changed; round := round + 1;
        COMMIT;
    END LOOP;
END $$;
"""


class Orders:
    """What the tables look like. `extra`: so many further columns; `key`: bigint, or uuid for scattered keys."""

    def __init__(self, tables=1, key="bigint", extra=0):
        self.tables = ["orders"] if tables == 1 else [f"orders_{number}" for number in range(tables)]
        self.key_type = key
        self.columns = COLUMNS + [
            (f"c{number}", "text", f"left(md5((n + {number})::text), 12)") if number % 3 == 0
            else (f"c{number}", "bigint", f"(n * {number}) % 1000003") for number in range(1, extra + 1)]

    def key(self, number):
        return f"md5(({number})::text)::uuid" if self.key_type == "uuid" else number

    def definition(self, key="PRIMARY KEY"):
        return ", ".join([f"id {self.key_type} {key}"] + [f"{name} {type}" for name, type, _ in self.columns])

    def row(self):
        return ", ".join([self.key("n")] + [value for _, _, value in self.columns])

    def create(self, cluster, database):
        cluster.sql("".join(
            f"CREATE TABLE {table} ({self.definition()}); ALTER TABLE {table} SET (autovacuum_enabled = false);"
            for table in self.tables), database)

    def insert(self, cluster, database, rows):
        """So many rows, in one transaction a table."""
        for table in self.tables:
            cluster.sql(
                f"INSERT INTO {table} SELECT {self.row()} FROM generate_series(1::bigint, {rows // len(self.tables)}) AS one(n)",
                database)

    def fill(self, cluster, database, rows):
        self.insert(cluster, database, rows)
        cluster.sql("VACUUM ANALYZE", database)

    def change(self, cluster, database, changes, size, base):
        """Runs about that many changes, 60 % inserts, 30 % updates, 10 % deletes, in transactions of `size`; their number."""
        base //= len(self.tables)
        for table in self.tables:
            cluster.sql(CHANGE.format(
                table=table, row=self.row(), hot=self.key("1 + floor(base * power(random(), 3))::bigint"),
                gone=self.key("gone + 3 * k")), database)
        cluster.sql(CHANGES, database)
        tables = ",".join(self.tables)
        done = cluster.sql(
            f"SET synchronous_commit = off; CALL change({changes}, {size}, {base}, '{{{tables}}}', 0)", database)
        cluster.sql("CHECKPOINT", database)
        return int(done)

    def digest_sql(self, kind, prefix):
        names = ["id"] + [
            MICROSECONDS[kind].format(name) if "timestamptz" in type else name for name, type, _ in self.columns]
        # Postgres takes 100 arguments at most.
        parts = [", ".join(names[at:at + 50]) for at in range(0, len(names), 50)]
        text = "concat_ws('|', " + ", ".join(f"concat_ws('|', {part})" for part in parts) + ")"
        each = DIGEST[kind].format(text=text)
        return "SELECT count(*), sum(n) FROM (" + " UNION ALL ".join(
            f"SELECT {each} AS n FROM {prefix}{table}" for table in self.tables) + ") AS one"

    def digest(self, cluster, database, prefix=""):
        return tuple(cluster.sql(self.digest_sql("postgres", prefix), database).split("|"))

    def digest_duckdb(self, millrace, pipeline, prefix):
        done = subprocess.run(
            [millrace, "query", self.digest_sql("duckdb", prefix), "--format", "csv", "-c", pipeline],
            capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return tuple(list(csv.reader(io.StringIO(done.stdout)))[1])
