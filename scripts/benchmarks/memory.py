"""The agent's resident memory over time, where there is a lot to hold: one large transaction, a long backlog in Kafka."""

import report
from contenders import title
from kafka import FromKafka
from orders import Orders


class Transaction:
    """One transaction of so many rows, that waits behind the slot."""

    def __init__(self, bench, rows):
        self.bench, self.rows, self.orders = bench, rows, Orders()
        self.database = "memory_source"

    def contenders(self):
        label = f"one transaction of {self.rows:,} rows, "
        return {label + title(kind, True): lambda kind=kind: self.ours(kind) for kind in ("postgres", "duckdb")}

    def ours(self, kind):
        source = self.bench.source
        source.renew(self.database)
        self.orders.create(source, self.database)
        path = self.bench.pipeline(f"{kind}_memory", self.bench.from_postgres(self.database), kind, True)
        self.bench.agent(path, "run", "--until-end")
        self.orders.insert(source, self.database, self.rows)
        self.bench.settle()
        cost = self.bench.until_end(path, series=True)
        self.bench.check(self.orders, kind, True, path, self.orders.digest(source, self.database))
        self.bench.agent(path, "drop", "--yes")
        self.bench.discard(path)
        return {"changes": self.rows, **cost}

    def close(self):
        self.bench.source.sql(f"DROP DATABASE IF EXISTS {self.database}")


class Backlog:
    """A topic of so many bytes: the same changes again and again, each time newer than the last."""

    def __init__(self, topic, GiB):
        self.topic, self.reader = topic, FromKafka(topic, "plain")
        self.rounds = max(round(GiB * 2**30 / topic.bytes("plain")), 2)

    def contenders(self):
        label = f"Kafka, {self.rounds * self.topic.bytes('plain') / 2**30:,.1f} GiB, "
        return {label + title(kind, raw): lambda kind=kind, raw=raw: self.ours(kind, raw)
                for kind, raw in (("postgres", False), ("duckdb", True))}

    def ours(self, kind, raw):
        return {"changes": self.rounds * self.topic.events, **self.reader.ours(kind, raw, self.rounds, series=True)}


def run(bench, options, topic):
    """{contender: what it cost, with its memory}"""
    transaction, backlog = Transaction(bench, options.transaction), Backlog(topic, options.backlog)
    found = {}
    for work in (transaction, backlog):
        for name, contender in work.contenders().items():
            if options.only in name:
                found[name] = contender()
                report.progress(f"{name}: {found[name]['wall_s']:.2f} s")
    transaction.close()
    report.table("Resident memory of the agent, MiB", [
        ("", "name", ""), ("changes", "changes", ",.0f"), ("s", "wall_s", ".1f"), ("peak", "peak_MiB", ",.0f"),
        ("2nd quarter", "second", ",.0f"), ("3rd", "third", ",.0f"), ("4th", "fourth", ",.0f"),
        ("without the engine: median", "own", ",.0f"), ("most", "own_most", ",.0f"),
    ], [{"name": name, **cost, **quarters(cost["memory"]), "own": report.median(cost["own_MiB"] or [0]),
         "own_most": max(cost["own_MiB"], default=0)} for name, cost in found.items()])
    return found


def quarters(series):
    """The median of each quarter of the time: whether it grows."""
    sizes = [size for _, size in series]
    part = max(len(sizes) // 4, 1)
    return {
        name: report.median(sizes[at * part:(at + 1) * part] or sizes)
        for at, name in enumerate(("first", "second", "third", "fourth"))}
