"""W1: a table of so many rows, copied."""

import os
import shutil
import subprocess
import time

from clusters import measured
from contenders import title
from orders import Orders


class Backfill:
    def __init__(self, bench, rows):
        self.bench, self.rows, self.orders = bench, rows, Orders()
        self.database = f"w1_{rows}"
        bench.source.renew(self.database)
        self.orders.create(bench.source, self.database)
        self.orders.fill(bench.source, self.database, rows)
        self.wanted = self.orders.digest(bench.source, self.database)
        self.work = rows

    def close(self):
        self.bench.source.sql(f"DROP DATABASE {self.database}")

    def contenders(self):
        found = {"COPY, then the key (the limit)": self.copy, "native subscription": self.subscription}
        if shutil.which("pgcopydb"):
            found["pgcopydb clone"] = self.pgcopydb
        for kind in ("postgres", "duckdb"):
            for raw in (False, True):
                found[title(kind, raw)] = lambda kind=kind, raw=raw: self.ours(kind, raw)
        return found

    def fresh(self, name):
        self.bench.target.renew(name)
        self.bench.settle()

    def expect(self, database, who):
        self.bench.expect(self.orders.digest(self.bench.target, database), self.wanted, who)

    def copy(self):
        self.fresh("bare_copy")
        target = self.bench.target
        target.sql(f"CREATE TABLE orders ({self.orders.definition(key='NOT NULL')})", "bare_copy")

        def work():
            out = subprocess.Popen(
                ["psql", "-X", "-q", "-d", self.bench.source.dsn(self.database), "-c", "COPY orders TO STDOUT (FORMAT binary)"],
                stdout=subprocess.PIPE)
            into = subprocess.run(
                ["psql", "-X", "-q", "-d", target.dsn("bare_copy"), "-c", "COPY orders FROM STDIN (FORMAT binary)"],
                stdin=out.stdout)
            if out.wait() or into.returncode:
                raise RuntimeError("COPY failed")
            target.sql("ALTER TABLE orders ADD PRIMARY KEY (id)", "bare_copy")

        cost = self.bench.timed(work)
        self.expect("bare_copy", "COPY")
        return cost

    def subscription(self):
        self.fresh("native")
        source, target = self.bench.source, self.bench.target
        self.orders.create(target, "native")
        source.sql("CREATE PUBLICATION native FOR TABLE orders", self.database)

        def work():
            target.sql(f"CREATE SUBSCRIPTION native CONNECTION '{source.dsn(self.database)}' PUBLICATION native", "native")
            while target.sql("SELECT srsubstate FROM pg_subscription_rel", "native") != "r":
                time.sleep(0.05)

        try:
            cost = self.bench.timed(work)
        finally:
            target.sql("DROP SUBSCRIPTION native", "native")
            source.sql("DROP PUBLICATION native", self.database)
        self.expect("native", "native subscription")
        return cost

    def pgcopydb(self):
        self.fresh("copydb")
        folder = os.path.join(self.bench.root, "pgcopydb")
        shutil.rmtree(folder, ignore_errors=True)
        _, cost = measured(
            ["pgcopydb", "clone", "--source", self.bench.source.dsn(self.database), "--target",
             self.bench.target.dsn("copydb"), "--table-jobs", "2", "--index-jobs", "2", "--dir", folder],
            self.bench.clusters)
        self.expect("copydb", "pgcopydb")
        return cost

    def ours(self, kind, raw):
        path = self.bench.pipeline(
            f"b_{kind}_{'raw' if raw else 'bare'}", self.bench.from_postgres(self.database), kind, raw)
        self.bench.settle()
        try:
            cost = self.bench.until_end(path)
            self.bench.check(self.orders, kind, raw, path, self.wanted)
        finally:
            self.bench.agent(path, "drop", "--yes")
        return cost
