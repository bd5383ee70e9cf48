"""W2: changes that wait behind a slot, drained into tables that have the rows from before."""

import os
import shutil
import subprocess
import time

from clusters import measured
from contenders import title
from orders import Orders

ALL = [("postgres", False), ("postgres", True), ("duckdb", False), ("duckdb", True)]


class Drain:
    def __init__(self, bench, name, rows, changes, size, orders=None, forms=ALL, with_peers=True):
        self.bench, self.name, self.orders, self.with_peers = bench, name, orders or Orders(), with_peers
        source = bench.source
        self.database, self.slot = f"source_{name}", f"bare_{name}"
        source.renew(self.database)
        self.orders.create(source, self.database)
        self.orders.fill(source, self.database, rows)
        self.paths = {form: self.copied(*form) for form in forms}
        if with_peers:
            self.prepare_peers()
        self.work = self.orders.change(source, self.database, changes, size, rows)
        self.end = source.sql("SELECT pg_current_wal_flush_lsn()")
        self.wanted = self.orders.digest(source, self.database)

    def close(self):
        """Its slots hold the log of all that comes after."""
        source, target = self.bench.source, self.bench.target
        source.drop_slots(f"%\\_{self.name}%")
        source.sql(f"DROP DATABASE {self.database}")
        for path in self.paths.values():
            name = os.path.basename(os.path.dirname(path))
            target.sql(f"DROP DATABASE IF EXISTS {name}; ")
            target.sql(f"DROP DATABASE IF EXISTS {name}_kept")
            shutil.rmtree(os.path.dirname(path))

    def copied(self, kind, raw):
        """What each run begins from: the warehouse after the copy, and the slot."""
        path = self.bench.pipeline(
            f"{kind}_{'raw' if raw else 'bare'}_{self.name}", self.bench.from_postgres(self.database), kind, raw)
        name = os.path.basename(os.path.dirname(path))
        self.bench.agent(path, "run", "--until-end")
        self.bench.source.sql(
            f"SELECT pg_copy_logical_replication_slot('millrace_{name}', 'millrace_{name}_kept')", self.database)
        if kind == "postgres":
            self.bench.target.sql(f"ALTER DATABASE {name} RENAME TO {name}_kept")
        else:
            file = os.path.join(os.path.dirname(path), f"{name}.duckdb")
            os.rename(file, file + ".kept")
        return path

    def prepare_peers(self):
        source, target = self.bench.source, self.bench.target
        source.sql("CREATE PUBLICATION bare FOR TABLE orders", self.database)
        source.sql(f"SELECT pg_create_logical_replication_slot('{self.slot}_kept', 'pgoutput')", self.database)
        target.renew("native_kept")
        self.orders.create(target, "native_kept")
        copied = subprocess.run(
            f'psql -X -q -d "{source.dsn(self.database)}" -c "COPY orders TO STDOUT" | '
            f'psql -X -q -d "{target.dsn("native_kept")}" -c "COPY orders FROM STDIN"', shell=True)
        if copied.returncode:
            raise RuntimeError("COPY failed")

    def renew_slot(self, name):
        self.bench.source.drop_slots(name)
        self.bench.source.sql(f"SELECT pg_copy_logical_replication_slot('{name}_kept', '{name}')", self.database)

    def contenders(self):
        found = {"decoding alone (the limit)": self.bare, "native subscription": self.native} if self.with_peers else {}
        for kind, raw in self.paths:
            found[title(kind, raw)] = lambda kind=kind, raw=raw: self.ours(kind, raw)
        return found

    def bare(self):
        self.renew_slot(self.slot)
        self.bench.settle()
        _, cost = measured(
            [self.bench.tool("drain"), self.bench.source.dsn(self.database), self.slot, "bare", self.end], self.bench.clusters)
        return cost

    def native(self):
        self.renew_slot(self.slot)
        source, target = self.bench.source, self.bench.target
        target.renew("native", "native_kept")
        self.bench.settle()

        def work():
            subscribe(source, target, self.database, self.slot, "bare")
            while source.sql(
                f"SELECT confirmed_flush_lsn >= '{self.end}' FROM pg_replication_slots WHERE slot_name = '{self.slot}'") != "t":
                time.sleep(0.05)

        try:
            cost = self.bench.timed(work)
            self.bench.expect(self.orders.digest(target, "native"), self.wanted, "native subscription")
        finally:
            unsubscribe(source, target, self.slot)
        return cost

    def ours(self, kind, raw):
        path = self.paths[kind, raw]
        name = os.path.basename(os.path.dirname(path))
        self.renew_slot(f"millrace_{name}")
        if kind == "postgres":
            self.bench.target.renew(name, f"{name}_kept")
        else:
            file = os.path.join(os.path.dirname(path), f"{name}.duckdb")
            for old in (file, file + ".wal"):
                if os.path.exists(old):
                    os.remove(old)
            shutil.copyfile(file + ".kept", file)
        self.bench.settle()
        cost = self.bench.until_end(path)
        self.bench.check(self.orders, kind, raw, path, self.wanted)
        return cost


def subscribe(source, target, database, slot, publication):
    """A native subscription of the database `native`, to a slot that is there."""
    target.sql(
        f"CREATE SUBSCRIPTION native CONNECTION '{source.dsn(database)}' PUBLICATION {publication} "
        f"WITH (create_slot = false, slot_name = '{slot}', copy_data = false)", "native")


def unsubscribe(source, target, slot):
    """Without the slot, which stays."""
    target.sql(
        "ALTER SUBSCRIPTION native DISABLE; ALTER SUBSCRIPTION native SET (slot_name = NONE); DROP SUBSCRIPTION native;",
        "native")
    while source.sql(f"SELECT active FROM pg_replication_slots WHERE slot_name = '{slot}'") == "t":
        time.sleep(0.05)
