"""From the commit at the source to when it is visible in the warehouse, at some rates of changes. One clock: all runs on one
machine. Inserts alone, so that each row of the warehouse is its change."""

import datetime
import os
import re
import subprocess
import threading
import time

import report
from clusters import BIN
from contenders import Agent, title
from orders import Orders
from stream import subscribe, unsubscribe

# Changes a second, and how many of them a transaction has.
RATES = [(100, 1), (1000, 10), (5000, 10)]
ASK_s = 0.02
COMMIT = re.compile(r"tx: +(\d+),.*desc: COMMIT (\S+ \S+) UTC(?:;.*?subxacts:((?: \d+)+))?")


class Latency:
    def __init__(self, bench, seconds):
        self.bench, self.seconds, self.orders = bench, seconds, Orders()
        self.database = "latency_source"
        source = bench.source
        source.renew(self.database)
        self.orders.create(source, self.database)
        source.sql("CREATE SEQUENCE numbers CACHE 1; CREATE PUBLICATION bare FOR TABLE orders", self.database)
        self.script = os.path.join(bench.root, "insert.sql")
        with open(self.script, "w") as file:
            file.write(
                f"INSERT INTO orders SELECT {self.orders.row()} "
                "FROM (SELECT nextval('numbers') AS n FROM generate_series(1, :size)) AS one;\n")

    def close(self):
        self.bench.source.sql(f"DROP DATABASE {self.database}")

    def contenders(self):
        return {
            "native subscription": self.native,
            title("postgres", False): lambda: self.ours("postgres", False),
            title("postgres", True): lambda: self.ours("postgres", True),
            f"{title('duckdb', True)}, asked every {ASK_s * 1000:.0f} ms": lambda: self.ours("duckdb", True),
        }

    def native(self):
        source, target = self.bench.source, self.bench.target
        self.begin()
        target.renew("native")
        self.orders.create(target, "native")
        source.sql("SELECT pg_create_logical_replication_slot('bare_latency', 'pgoutput')", self.database)
        subscribe(source, target, self.database, "bare_latency", "bare")
        try:
            found = self.rates(InPostgres(target, "native", "orders"))
            self.expect(self.orders.digest(target, "native"), "native subscription")
        finally:
            unsubscribe(source, target, "bare_latency")
            source.drop_slots("bare\\_latency")
        return found

    def ours(self, kind, raw):
        self.begin()
        name = f"{kind}_{'raw' if raw else 'bare'}_latency"
        path = self.bench.pipeline(name, self.bench.from_postgres(self.database), kind, raw)
        agent = Agent(self.bench, path)
        try:
            agent.wait_until_ready()
            found = self.rates(
                InPostgres(self.bench.target, name, f"{name}.orders") if kind == "postgres"
                else InDuckDB(agent, f"{name}_live.orders"))
        finally:
            agent.stop()
        self.bench.check(self.orders, kind, raw, path, self.orders.digest(self.bench.source, self.database))
        self.bench.agent(path, "drop", "--yes")
        return found

    def begin(self):
        self.bench.source.sql("TRUNCATE orders; ALTER SEQUENCE numbers RESTART", self.database)

    def expect(self, found, who):
        self.bench.expect(found, self.orders.digest(self.bench.source, self.database), who)

    def rates(self, warehouse):
        self.load(50, 1, 2)
        warehouse.wait_for(self.last())
        found = []
        for rate, size in RATES:
            self.bench.settle()
            first = self.last() + 1
            warehouse.begin()
            self.load(rate, size, self.seconds)
            last = self.last()
            warehouse.wait_for(last)
            seen = warehouse.end(first)
            committed = self.committed(first)
            found.append(quantiles(rate, [seen[number] - at for number, at in committed.items()], committed.values()))
        return found

    def load(self, rate, size, seconds):
        """One client, so that numbers are in the order of commits; it commits at random moments, and catches up when late."""
        done = subprocess.run(
            [f"{BIN}/pgbench", "-n", "-c", "1", "-f", self.script, "-D", f"size={size}", "-R", str(rate // size), "-T",
             str(seconds), self.bench.source.dsn(self.database)],
            capture_output=True, text=True, env={**os.environ, "PGOPTIONS": "-c synchronous_commit=on"})
        if done.returncode:
            raise RuntimeError(f"pgbench: {done.stderr}")

    def last(self):
        return int(self.bench.source.sql("SELECT coalesce(max(id), 0) FROM orders", self.database))

    def committed(self, first):
        """When each row was committed at the source, by its number."""
        text = self.bench.source.sql(
            "SELECT id, (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000)::bigint "
            f"FROM orders WHERE id >= {first}", self.database)
        return {int(number): int(at) / 1e6 for number, at in (line.split("|") for line in text.split("\n"))}


class InPostgres:
    """When the target's transactions committed, as its log has it: a subscription's apply sets the source's time for the
    commit timestamp that SQL shows."""

    def __init__(self, cluster, database, table):
        self.cluster, self.database, self.table = cluster, database, table

    def wait_for(self, last):
        end = time.monotonic() + 120
        while int(self.cluster.sql(f"SELECT coalesce(max(id), 0) FROM {self.table}", self.database)) < last:
            if time.monotonic() > end:
                raise RuntimeError(f"{self.database}: row {last} doesn't come")
            time.sleep(0.1)

    def begin(self):
        self.start = self.cluster.sql("SELECT pg_current_wal_insert_lsn()")

    def end(self, first):
        rows = self.cluster.sql(f"SELECT id, xmin FROM {self.table} WHERE id >= {first}", self.database)
        # A subscription's commits don't wait for the log, this one does. No checkpoint: it takes away what is to be read.
        self.cluster.sql("SELECT pg_logical_emit_message(true, 'bench', '')")
        end = self.cluster.sql("SELECT pg_current_wal_flush_lsn()")
        dumped = self.cluster.run([
            f"{BIN}/pg_waldump", "-p", os.path.join(self.cluster.data, "pg_wal"), "-r", "Transaction", "-s", self.start,
            "-e", end], env={"TZ": "UTC"})
        commits = {}
        for line in dumped.split("\n"):
            found = COMMIT.search(line)
            if found:
                at = datetime.datetime.fromisoformat(found[2] + "+00:00").timestamp()
                for transaction in [found[1]] + (found[3] or "").split():
                    commits[transaction] = at
        return {int(number): commits[transaction] for number, transaction in (line.split("|") for line in rows.split("\n"))}


class InDuckDB:
    """When a query through the agent, which is asked again and again, first shows a row; nobody else can read the file."""

    def __init__(self, agent, table):
        self.agent, self.table = agent, table

    def ask(self):
        status, answer = self.agent.ask("POST", "/api/query", {"sql": f"SELECT coalesce(max(id), 0) FROM {self.table}"})
        # Before the first batch the table isn't there.
        return int(answer["rows"][0][0]) if status == 200 else 0

    def wait_for(self, last):
        end = time.monotonic() + 120
        while (self.seen[-1][1] if getattr(self, "seen", None) else self.ask()) < last:
            if time.monotonic() > end:
                raise RuntimeError(f"DuckDB: row {last} doesn't come")
            time.sleep(0.1)

    def begin(self):
        self.seen, self.is_over = [], threading.Event()
        self.asking = threading.Thread(target=self.watch, daemon=True)
        self.asking.start()

    def watch(self):
        while not self.is_over.wait(ASK_s):
            last = self.ask()
            if not self.seen or last > self.seen[-1][1]:
                self.seen.append((time.time(), last))

    def end(self, first):
        self.is_over.set()
        self.asking.join()
        found, number = {}, first
        for at, last in self.seen:
            found.update((one, at) for one in range(number, last + 1))
            number = max(number, last + 1)
        del self.seen
        return found


def quantiles(rate, latencies_s, committed_s):
    """In ms, by the changes."""
    ordered = sorted(latencies_s)
    took_s = max(committed_s) - min(committed_s)
    return {
        "rate": rate, "found_rate": len(ordered) / took_s, "changes": len(ordered),
        "p50_ms": 1000 * ordered[len(ordered) // 2], "p99_ms": 1000 * ordered[len(ordered) * 99 // 100],
        "max_ms": 1000 * ordered[-1],
    }


def run(bench, options):
    """{contender: [of each rate]}; of several rounds each figure's median."""
    work = Latency(bench, options.seconds)
    found = report.rounds(work, options)
    work.close()
    merged = {
        name: [{key: report.median(one[at][key] for one in all) for key in all[0][at]} for at in range(len(RATES))]
        for name, all in found.items()}
    report.table("Latency: commit to visible, ms", [
        ("", "name", ""), ("changes/s", "rate", ",.0f"), ("found", "found_rate", ",.0f"), ("p50", "p50_ms", ",.1f"),
        ("p99", "p99_ms", ",.1f"), ("max", "max_ms", ",.1f"),
    ], [{"name": name, **one} for name, rates in merged.items() for one in rates])
    return merged
