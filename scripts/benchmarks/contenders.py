"""What all works have in common: the servers, pipelines and agents of ours, and how a run's rows are held against the source."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import time

from clusters import Memory, measured


def title(kind, raw):
    return f"millrace → {'Postgres' if kind == 'postgres' else 'DuckDB'}{'' if raw else ', raw off'}"


class Bench:
    def __init__(self, root, millrace, source, target, tools):
        self.root, self.millrace, self.source, self.target, self.tools = root, millrace, source, target, tools
        self.clusters = (source, target)

    def tool(self, name):
        return os.path.join(self.tools, name)

    def pipeline(self, name, source, kind, raw):
        """Writes a pipeline file in a folder of its own, with a new warehouse; its path."""
        folder = os.path.join(self.root, name)
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        path = os.path.join(folder, "millrace.yaml")
        if kind == "postgres":
            self.target.renew(name)
            warehouse = f'{{ postgres: {{ url: "{self.target.url(name)}" }} }}'
        else:
            warehouse = f"{{ duckdb: {{ path: {name}.duckdb }} }}"
        with open(path, "w") as file:
            file.write(f"""pipeline: {name}
source:
  include: ["public.*"]
  {source}
warehouse: {warehouse}
layers: {{ raw: {"true" if raw else "false"} }}
agent: {{ listen: "127.0.0.1:0" }}
""")
        return path

    def from_postgres(self, database):
        return f'postgres: {{ url: "{self.source.url(database)}" }}'

    def discard(self, path):
        """The warehouse goes; a Kafka source keeps nothing of ours."""
        self.target.sql(f"DROP DATABASE IF EXISTS {os.path.basename(os.path.dirname(path))}")
        shutil.rmtree(os.path.dirname(path))

    def agent(self, path, *command, series=False):
        return measured(self.command(path, *command), self.clusters, cwd=os.path.dirname(path), series=series)

    def command(self, path, *command):
        return [self.millrace, *command, "--json", "--log-level", "error", "-c", path]

    def until_end(self, path, series=False):
        """Replicates what there is; what it cost, and the ledger over all tables."""
        text, cost = self.agent(path, "run", "--until-end", series=series)
        ledger = {}
        for table in json.loads(text)["tables"]:
            for key, value in table.items():
                if key in ("read", "applied", "superseded", "duplicate", "compacted", "filtered", "quarantined", "deferred"):
                    ledger[key] = ledger.get(key, 0) + value
        return {**cost, "ledger": ledger}

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

    def check(self, orders, kind, raw, path, wanted):
        name = os.path.basename(os.path.dirname(path))
        live = f"{name}_live."
        found = (
            orders.digest(self.target, name, live) if kind == "postgres"
            else orders.digest_duckdb(self.millrace, path, live))
        self.expect(found, wanted, title(kind, raw))


class Agent:
    """`millrace run` in the background, with its HTTP API."""

    def __init__(self, bench, path):
        self.folder = os.path.join(os.path.dirname(path), ".millrace")
        with open(os.path.join(os.path.dirname(path), "log"), "w") as log:
            self.process = subprocess.Popen(
                bench.command(path, "run"), cwd=os.path.dirname(path), stdout=subprocess.DEVNULL, stderr=log)
        self.log = log.name
        self.memory = Memory(self.process.pid)
        self.connection = None

    def ask(self, method, path, body=None):
        """(status, answer); status 0 while nobody answers."""
        try:
            if not self.connection:
                with open(os.path.join(self.folder, "agent.json")) as file:
                    self.connection = http.client.HTTPConnection(json.load(file)["address"], timeout=60)
            headers = {}
            if path.startswith("/api"):
                with open(os.path.join(self.folder, "token")) as file:
                    headers = {"Authorization": f"Bearer {file.read().strip()}", "Content-Type": "application/json"}
            self.connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = self.connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException):
            self.connection = None
            return 0, None

    def wait_until_ready(self, limit_s=60):
        end = time.monotonic() + limit_s
        while self.ask("GET", "/readyz")[0] != 200:
            if self.process.poll() is not None or time.monotonic() > end:
                with open(self.log) as log:
                    raise RuntimeError(f"the agent isn't ready: {log.read()[-2000:]}")
            time.sleep(0.05)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.memory.ended.set()
