"""The work: a table of orders, changes on it, and how two copies of it are compared."""

import csv
import io
import subprocess

COLUMNS = """id bigint PRIMARY KEY, customer_id bigint NOT NULL, status text NOT NULL, total_amount numeric(12,2) NOT NULL,
note text, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL"""

ROW = """{id}, ({id} * 7919) % 100000, (ARRAY['pending','paid','shipped','cancelled'])[1 + {id} % 4],
(({id} * 104729) % 10000000)::numeric / 100, 'order ' || md5({id}::text) || ' of the benchmark ' || {id} % 97,
'2026-01-01'::timestamptz + {id} % 30000000 * interval '1 second', '2026-01-01'::timestamptz + {id} % 30000000 * interval '1 second'"""

# Per row a number of 60 bits over all columns, summed: equal for the same rows in whatever order.
DIGEST = {
    "postgres": """SELECT count(*), sum(('x' || substr(md5(concat_ws('|', id, customer_id, status, total_amount, note,
        (extract(epoch from created_at) * 1000000)::bigint, (extract(epoch from updated_at) * 1000000)::bigint)), 1, 15)
        )::bit(60)::bigint) FROM {table}""",
    "duckdb": """SELECT count(*), sum(('0x' || substr(md5(concat_ws('|', id, customer_id, status, total_amount, note,
        epoch_us(created_at), epoch_us(updated_at))), 1, 15))::bigint) FROM {table}""",
}

CHANGES = """
CREATE PROCEDURE change(wanted int, size int, base bigint) LANGUAGE plpgsql AS $$
DECLARE
    done int := 0; changed int; top bigint := base; gone bigint := 0;
    inserts int := greatest(size * 6 / 10, 1); updates int := size * 3 / 10; deletes int := size - inserts - updates;
BEGIN
    PERFORM setseed(0.5);
    WHILE done < wanted LOOP
        INSERT INTO orders SELECT {row} FROM generate_series(top + 1, top + inserts) AS one(id);
        top := top + inserts; done := done + inserts;
        -- Hot keys: half of the updates go to an eighth of the rows.
        UPDATE orders SET status = 'updated', total_amount = (done % 100000)::numeric / 100,
            updated_at = '2026-06-01'::timestamptz + done * interval '1 second'
            WHERE id IN (SELECT 1 + floor(base * power(random(), 3))::bigint FROM generate_series(1, updates));
        GET DIAGNOSTICS changed = ROW_COUNT; done := done + changed;
        DELETE FROM orders WHERE id IN (SELECT gone + 3 * k FROM generate_series(1, deletes) AS k);
        GET DIAGNOSTICS changed = ROW_COUNT; done := done + changed;
        gone := (gone + 3 * deletes) % greatest(base - 3 * deletes, 1);
        COMMIT;
    END LOOP;
END $$
"""


def fill(cluster, database, rows):
    cluster.sql(f"""
        CREATE TABLE orders ({COLUMNS});
        INSERT INTO orders SELECT {ROW.format(id='id')} FROM generate_series(1::bigint, {rows}) AS one(id);
        ALTER TABLE orders SET (autovacuum_enabled = false);
        VACUUM ANALYZE orders;""", database)


def change(cluster, database, changes, size, base):
    """Runs about that many changes, 60 % inserts, 30 % updates, 10 % deletes, in transactions of `size`; their number."""
    cluster.sql(CHANGES.format(row=ROW.format(id="id")), database)
    before = cluster.sql("SELECT n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_user_tables WHERE relname = 'orders'", database)
    cluster.sql(f"SET synchronous_commit = off; CALL change({changes}, {size}, {base}); DROP PROCEDURE change;", database)
    cluster.sql("CHECKPOINT", database)
    # The statistics come a moment later.
    after = cluster.sql(
        "SELECT pg_stat_force_next_flush(); SELECT n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_user_tables WHERE relname = 'orders'",
        database).split("\n")[-1]
    return int(after) - int(before)


def digest(cluster, database, table="orders"):
    return tuple(cluster.sql(DIGEST["postgres"].format(table=table), database).split("|"))


def digest_duckdb(millrace, pipeline, table):
    done = subprocess.run(
        [millrace, "query", DIGEST["duckdb"].format(table=table), "--format", "csv", "-c", pipeline],
        capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return tuple(list(csv.reader(io.StringIO(done.stdout)))[1])
