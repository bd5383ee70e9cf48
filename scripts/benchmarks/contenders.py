"""Who does the work: ours in its forms, what a user would pick instead, and the bare limits. Each run starts from nothing
and ends when the last row is visible and durable where it was to go; the rows are then held against the source."""

import json
import os
import shutil
import subprocess
import time

import orders
from clusters import measured


class Bench:
    def __init__(self, root, millrace, source, target, tools):
        self.root, self.millrace, self.source, self.target, self.tools = root, millrace, source, target, tools
        self.clusters = (source, target)

    def pipeline(self, name, database, warehouse, raw, extra=""):
        """Writes a pipeline file in a folder of its own; its path."""
        folder = os.path.join(self.root, name)
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        path = os.path.join(folder, "millrace.yaml")
        with open(path, "w") as file:
            file.write(f"""pipeline: {name}
source:
  include: [public.orders]
  postgres: {{ url: "{self.source.url(database)}" }}
warehouse: {warehouse}
layers: {{ raw: {"true" if raw else "false"} }}
agent: {{ listen: "127.0.0.1:0" }}
{extra}""")
        return path

    def agent(self, path, *command):
        return measured(
            [self.millrace, *command, "--json", "--log-level", "error", "-c", path], self.clusters,
            cwd=os.path.dirname(path))

    def timed(self, work):
        """As `measured`, of work that isn't one program."""
        before = {cluster.name: cluster.cpu_s() for cluster in self.clusters}
        start = time.monotonic()
        work()
        return {
            "wall_s": time.monotonic() - start,
            "servers_cpu_s": {one.name: one.cpu_s() - before[one.name] for one in self.clusters},
        }

    def settle(self):
        """Nobody pays for the run before."""
        for cluster in self.clusters:
            cluster.sql("CHECKPOINT")

    def expect(self, found, wanted, who):
        if found != wanted:
            raise RuntimeError(f"{who}: the tables differ: {found} instead of {wanted}")

    def warehouse(self, kind, name):
        """(as the pipeline file has it, what makes it new)"""
        if kind == "duckdb":
            return f"{{ duckdb: {{ path: {name}.duckdb }} }}", lambda: None

        def renew():
            self.target.sql(f"DROP DATABASE IF EXISTS {name};")
            self.target.sql(f"CREATE DATABASE {name};")

        return f'{{ postgres: {{ url: "{self.target.url(name)}" }} }}', renew

    def check(self, kind, name, path, wanted, who):
        live = f"{name}_live.orders"
        found = (
            orders.digest(self.target, name, live) if kind == "postgres"
            else orders.digest_duckdb(self.millrace, path, live))
        self.expect(found, wanted, who)


class Backfill:
    """W1: a table of so many rows, copied."""

    def __init__(self, bench, rows):
        self.bench, self.rows = bench, rows
        self.database = f"w1_{rows}"
        bench.source.sql(f"CREATE DATABASE {self.database}")
        orders.fill(bench.source, self.database, rows)
        self.wanted = orders.digest(bench.source, self.database)
        self.work = rows

    def contenders(self):
        return {
            "COPY, then the key (the limit)": self.copy,
            "native subscription": self.subscription,
            "pgcopydb clone": self.pgcopydb if shutil.which("pgcopydb") else None,
            "millrace → Postgres, raw off": lambda: self.ours("postgres", False),
            "millrace → Postgres": lambda: self.ours("postgres", True),
            "millrace → DuckDB, raw off": lambda: self.ours("duckdb", False),
            "millrace → DuckDB": lambda: self.ours("duckdb", True),
        }

    def fresh(self, name):
        self.bench.target.sql(f"DROP DATABASE IF EXISTS {name};")
        self.bench.target.sql(f"CREATE DATABASE {name};")
        self.bench.settle()

    def copy(self):
        self.fresh("bare_copy")
        target = self.bench.target
        target.sql(f"CREATE TABLE orders ({orders.COLUMNS.replace(' PRIMARY KEY', ' NOT NULL')})", "bare_copy")

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
        self.bench.expect(orders.digest(target, "bare_copy"), self.wanted, "COPY")
        return cost

    def subscription(self):
        self.fresh("native")
        source, target = self.bench.source, self.bench.target
        target.sql(f"CREATE TABLE orders ({orders.COLUMNS})", "native")
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
        self.bench.expect(orders.digest(target, "native"), self.wanted, "native subscription")
        return cost

    def pgcopydb(self):
        self.fresh("copydb")
        folder = os.path.join(self.bench.root, "pgcopydb")
        shutil.rmtree(folder, ignore_errors=True)
        _, cost = measured(
            ["pgcopydb", "clone", "--source", self.bench.source.dsn(self.database), "--target",
             self.bench.target.dsn("copydb"), "--table-jobs", "2", "--index-jobs", "2", "--dir", folder],
            self.bench.clusters)
        self.bench.expect(orders.digest(self.bench.target, "copydb"), self.wanted, "pgcopydb")
        return cost

    def ours(self, kind, raw):
        name = f"b_{kind}_{'raw' if raw else 'bare'}"
        warehouse, renew = self.bench.warehouse(kind, name)
        renew()
        path = self.bench.pipeline(name, self.database, warehouse, raw)
        self.bench.settle()
        try:
            _, cost = self.bench.agent(path, "run", "--until-end")
            self.bench.check(kind, name, path, self.wanted, f"millrace → {kind}")
        finally:
            self.bench.agent(path, "drop", "--yes")
        return cost


class Drain:
    """W2: changes that wait behind a slot, drained into a table that has the rows from before."""

    forms = {"postgres": [False, True], "duckdb": [False, True]}

    def __init__(self, bench, rows, changes, size, forms=None):
        self.bench, self.size = bench, size
        if forms:
            self.forms = forms
        source, target = bench.source, bench.target
        self.database = f"w2_{rows}_{size}"
        self.slots = f"bare_{size}"
        source.sql(f"CREATE DATABASE {self.database}")
        orders.fill(source, self.database, rows)
        self.paths = {}
        for kind, raws in self.forms.items():
            for raw in raws:
                name = f"d_{kind}_{'raw' if raw else 'bare'}_{size}"
                warehouse, renew = bench.warehouse(kind, name)
                renew()
                path = bench.pipeline(name, self.database, warehouse, raw)
                bench.agent(path, "run", "--until-end")
                self.paths[kind, raw] = (name, path)
                self.keep(name, kind, path)
        source.sql("CREATE PUBLICATION bare FOR TABLE orders", self.database)
        source.sql(f"SELECT pg_create_logical_replication_slot('{self.slots}_kept', 'pgoutput')", self.database)
        target.sql("DROP DATABASE IF EXISTS native_kept")
        target.sql("CREATE DATABASE native_kept")
        target.sql(f"CREATE TABLE orders ({orders.COLUMNS})", "native_kept")
        copied = subprocess.run(
            f'psql -X -q -d "{source.dsn(self.database)}" -c "COPY orders TO STDOUT" | '
            f'psql -X -q -d "{target.dsn("native_kept")}" -c "COPY orders FROM STDIN"', shell=True)
        if copied.returncode:
            raise RuntimeError("COPY failed")
        self.work = orders.change(source, self.database, changes, size, rows)
        self.end = source.sql("SELECT pg_current_wal_flush_lsn()")
        self.wanted = orders.digest(source, self.database)

    def keep(self, name, kind, path):
        """What each run begins from: the warehouse after the copy, and the slot."""
        self.bench.source.sql(
            f"SELECT pg_copy_logical_replication_slot(slot_name, slot_name || '_kept') FROM pg_replication_slots "
            f"WHERE slot_name = 'millrace_{name}'", self.database)
        if kind == "postgres":
            self.bench.target.sql(f"ALTER DATABASE {name} RENAME TO {name}_kept")
        else:
            file = os.path.join(os.path.dirname(path), f"{name}.duckdb")
            os.rename(file, file + ".kept")

    def slot(self, name):
        self.bench.source.sql(
            f"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{name}'")
        self.bench.source.sql(f"SELECT pg_copy_logical_replication_slot('{name}_kept', '{name}')", self.database)

    def contenders(self):
        found = {"decoding alone (the limit)": self.bare, "native subscription": self.native}
        for kind, raw in self.paths:
            title = f"millrace → {'Postgres' if kind == 'postgres' else 'DuckDB'}{'' if raw else ', raw off'}"
            found[title] = lambda kind=kind, raw=raw: self.ours(kind, raw)
        return found

    def bare(self):
        self.slot(self.slots)
        self.bench.settle()
        _, cost = measured(
            [self.bench.tools["drain"], self.bench.source.dsn(self.database), self.slots, "bare", self.end], self.bench.clusters)
        return cost

    def native(self):
        self.slot(self.slots)
        source, target = self.bench.source, self.bench.target
        target.sql("DROP DATABASE IF EXISTS native")
        target.sql("CREATE DATABASE native TEMPLATE native_kept STRATEGY FILE_COPY")
        self.bench.settle()

        def work():
            target.sql(
                f"CREATE SUBSCRIPTION native CONNECTION '{source.dsn(self.database)}' PUBLICATION bare "
                f"WITH (create_slot = false, slot_name = '{self.slots}', copy_data = false)", "native")
            while source.sql(
                f"SELECT confirmed_flush_lsn >= '{self.end}' FROM pg_replication_slots WHERE slot_name = '{self.slots}'") != "t":
                time.sleep(0.05)

        try:
            cost = self.bench.timed(work)
            self.bench.expect(orders.digest(target, "native"), self.wanted, "native subscription")
        finally:
            target.sql(
                "ALTER SUBSCRIPTION native DISABLE; ALTER SUBSCRIPTION native SET (slot_name = NONE); DROP SUBSCRIPTION native;",
                "native")
            while source.sql(f"SELECT active FROM pg_replication_slots WHERE slot_name = '{self.slots}'") == "t":
                time.sleep(0.05)
        return cost

    def ours(self, kind, raw):
        name, path = self.paths[kind, raw]
        self.slot(f"millrace_{name}")
        if kind == "postgres":
            self.bench.target.sql(f"DROP DATABASE IF EXISTS {name}")
            self.bench.target.sql(f"CREATE DATABASE {name} TEMPLATE {name}_kept STRATEGY FILE_COPY")
        else:
            file = os.path.join(os.path.dirname(path), f"{name}.duckdb")
            for old in (file, file + ".wal"):
                if os.path.exists(old):
                    os.remove(old)
            shutil.copyfile(file + ".kept", file)
        self.bench.settle()
        text, cost = self.bench.agent(path, "run", "--until-end")
        cost["ledger"] = json.loads(text)["tables"][0]
        self.bench.check(kind, name, path, self.wanted, f"millrace → {kind}")
        return cost
