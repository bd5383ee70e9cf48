"""Debezium's events of `orders` out of a topic: rows, then changes on them as in W2, made once from a real slot."""

import os
import shutil
import subprocess

from clusters import measured
from contenders import title
from orders import Orders
from stream import ALL

TOPIC = "bench.public.orders"
PARTITIONS = 8


class Topic:
    """The events, in record batches on disk, plain and with schemas; and the table that they must end in."""

    def __init__(self, bench, events, size=10):
        self.bench, self.orders = bench, Orders()
        self.database, self.slot = "kafka_source", "events"
        source = bench.source
        source.renew(self.database)
        self.orders.create(source, self.database)
        source.sql("CREATE PUBLICATION bare FOR TABLE orders", self.database)
        source.sql(f"SELECT pg_create_logical_replication_slot('{self.slot}', 'pgoutput')", self.database)
        rows = events // 10
        self.orders.fill(source, self.database, rows)
        self.orders.change(source, self.database, events - rows, size, rows)
        end = source.sql("SELECT pg_current_wal_flush_lsn()")
        self.wanted = self.orders.digest(source, self.database)
        self.folder = os.path.join(bench.root, "topic")
        for form in ("plain", "schema"):
            os.makedirs(os.path.join(self.folder, form))
        made = subprocess.run(
            [bench.tool("events"), source.dsn(self.database), self.slot, "bare", end, self.folder, str(PARTITIONS)],
            capture_output=True, text=True)
        if made.returncode:
            raise RuntimeError(made.stderr)
        self.events = int(made.stdout)
        source.drop_slots(self.slot)

    def bytes(self, form):
        folder = os.path.join(self.folder, form)
        return sum(os.path.getsize(os.path.join(folder, file)) for file in os.listdir(folder))

    def close(self):
        self.bench.source.sql(f"DROP DATABASE {self.database}")
        shutil.rmtree(self.folder)


class Broker:
    """Serves a folder of record batches, `rounds` times over. A context: its value is host:port."""

    def __init__(self, bench, folder, rounds=1):
        self.command = [bench.tool("broker"), folder, str(rounds)]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return f"127.0.0.1:{self.process.stdout.readline().strip()}"

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)


class FromKafka:
    """A topic, read to its end."""

    def __init__(self, topic, form):
        self.topic, self.bench, self.form = topic, topic.bench, form
        self.folder = os.path.join(topic.folder, form)
        self.work = topic.events

    def close(self):
        pass

    def contenders(self):
        found = {"librdkafka alone (the limit)": self.bare}
        for kind, raw in ALL:
            found[title(kind, raw)] = lambda kind=kind, raw=raw: self.ours(kind, raw)
        return found

    def bare(self):
        self.bench.settle()
        with Broker(self.bench, self.folder) as brokers:
            _, cost = measured(
                [self.bench.tool("consume"), brokers, TOPIC, str(PARTITIONS), str(self.work)], self.bench.clusters)
        return cost

    def ours(self, kind, raw, rounds=1, series=False):
        """Events without a schema get their types from the source."""
        catalog = f', catalog: "{self.bench.source.url(self.topic.database)}"' if self.form == "plain" else ""
        with Broker(self.bench, self.folder, rounds) as brokers:
            path = self.bench.pipeline(
                f"kafka_{self.form}_{kind}_{'raw' if raw else 'bare'}",
                f'kafka: {{ brokers: "{brokers}", topics: ["{TOPIC}"]{catalog} }}', kind, raw)
            self.bench.settle()
            cost = self.bench.until_end(path, series)
        self.bench.check(self.topic.orders, kind, raw, path, self.topic.wanted)
        self.bench.discard(path)
        return cost
