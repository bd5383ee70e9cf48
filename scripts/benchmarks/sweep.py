"""Does the warehouse equal its source: our sweep beside data-diff, where that is installed (`DATA_DIFF` names it)."""

import json
import os
import shutil
import subprocess
import urllib.parse

from clusters import TICKS_PER_S, measured, read_stat
from contenders import Agent, title
from orders import COLUMNS, Orders

DIFFERENT = 100


class Sweep:
    def __init__(self, bench, rows):
        self.bench, self.work, self.orders = bench, rows, Orders()
        self.database = "sweep_source"
        bench.source.renew(self.database)
        self.orders.create(bench.source, self.database)
        self.orders.fill(bench.source, self.database, rows)
        self.paths = {
            kind: bench.pipeline(f"sweep_{kind}", bench.from_postgres(self.database), kind, True)
            for kind in ("postgres", "duckdb")}
        for path in self.paths.values():
            bench.until_end(path)
        bench.target.sql("VACUUM ANALYZE", "sweep_postgres")
        self.data_diff = os.environ.get("DATA_DIFF") or shutil.which("data-diff")

    def close(self):
        for path in self.paths.values():
            self.bench.agent(path, "drop", "--yes")
        self.bench.source.sql(f"DROP DATABASE {self.database}")

    def contenders(self):
        found = {}
        if self.data_diff:
            found["data-diff, Postgres, equal"] = lambda: self.theirs(0)
        found["millrace sweep, Postgres, equal"] = lambda: self.ours("postgres", 0)
        found["millrace sweep, DuckDB, equal"] = lambda: self.ours("duckdb", 0)
        if self.data_diff:
            found[f"data-diff, Postgres, {DIFFERENT} rows differ"] = lambda: self.theirs(DIFFERENT)
        found[f"millrace sweep, Postgres, {DIFFERENT} rows differ"] = lambda: self.ours("postgres", DIFFERENT)
        return found

    def spoil(self, count):
        """Rows all over the table, behind the agent's back; and back again."""
        step = self.work // DIFFERENT
        self.bench.target.sql(
            f"UPDATE sweep_postgres.orders SET customer_id = -1 - customer_id WHERE id % {step} = 7 AND id <= {step * count}",
            "sweep_postgres")

    def differing(self, work, count):
        if count:
            self.spoil(count)
        self.bench.settle()
        try:
            return work()
        finally:
            if count:
                self.spoil(count)

    def ours(self, kind, count):
        path = self.paths[kind]

        def work():
            agent = Agent(self.bench, path)
            try:
                agent.wait_until_ready()
                # A program that ends with 4 where rows differ, as it should.
                script = f'"$@"; [ $? = {4 if count else 0} ]'
                start = ["sh", "-c", script, "sh", *self.bench.command(path, "sweep")]
                before = read_stat(agent.process.pid)[0]
                text, cost = measured(start, self.bench.clusters, cwd=os.path.dirname(path))
                # The agent does the work.
                cost["cpu_s"] += (read_stat(agent.process.pid)[0] - before) / TICKS_PER_S
                cost["peak_MiB"] = max(size for _, size in agent.memory.samples) / 2**20
            finally:
                agent.stop()
            one = json.loads(text)["tables"][0]
            self.bench.expect(
                (one["rows"], one["different"], one["missing"] + one["extra"] + one["moved"]), (self.work, count, 0),
                title(kind, True))
            return cost

        return self.differing(work, count)

    def theirs(self, count):
        def url(cluster, database):
            return f"postgresql://bench:none@{urllib.parse.quote(cluster.socket, safe='')}:{cluster.port}/{database}"

        columns = [part for name, _, _ in COLUMNS for part in ("-c", name)]

        def work():
            command = [
                self.data_diff, url(self.bench.source, self.database), "orders",
                url(self.bench.target, "sweep_postgres"), "sweep_postgres_live.orders", "-k", "id", *columns]
            text, cost = measured(command, self.bench.clusters)
            # Of each row that differs it shows both sides, of one where it cuts the table twice.
            lines = {line for line in text.splitlines() if line[:1] in ("-", "+")}
            self.bench.expect(len(lines), 2 * count, "data-diff")
            return cost

        return self.differing(work, count)
