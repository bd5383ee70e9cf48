"""Throwaway PostgreSQL servers, and what a run cost: wall time, CPU by process, resident memory."""

import http.client
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.request

BIN = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True).stdout.strip()
if not os.path.exists(os.path.join(BIN, "initdb")):
    BIN = max((os.path.join(root) for root, _, files in os.walk("/usr/lib/postgresql") if "initdb" in files), default=BIN)
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_bytes = os.sysconf("SC_PAGE_SIZE")

# The same for every contender; durable.
SETTINGS = {
    "wal_level": "logical", "fsync": "on", "synchronous_commit": "on", "full_page_writes": "on",
    "shared_buffers": "1GB", "max_wal_size": "8GB", "checkpoint_timeout": "30min", "maintenance_work_mem": "512MB",
    "work_mem": "64MB", "max_wal_senders": "20", "max_replication_slots": "20", "max_connections": "60",
    "listen_addresses": "''", "track_commit_timestamp": "on", "logging_collector": "off", "log_min_messages": "error",
    "timezone": "'UTC'", "autovacuum": "off", "max_logical_replication_workers": "8", "max_worker_processes": "16",
}


class Cluster:
    """One server on a unix socket in a folder of its own."""

    next_port = 15432

    def __init__(self, name, root):
        self.name = name
        self.data = os.path.join(root, name)
        self.port = Cluster.next_port
        Cluster.next_port += 1
        self.socket = tempfile.mkdtemp(prefix="ms")
        self.as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        os.makedirs(self.data)
        if self.as_user:
            for folder in (self.data, self.socket):
                shutil.chown(folder, "postgres", "postgres")
        self.run([f"{BIN}/initdb", "-D", self.data, "-U", "bench", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"])
        with open(os.path.join(self.data, "postgresql.conf"), "a") as conf:
            for key, value in {**SETTINGS, "port": self.port, "unix_socket_directories": f"'{self.socket}'"}.items():
                conf.write(f"{key} = {value}\n")
        self.run([f"{BIN}/pg_ctl", "-D", self.data, "-w", "-l", os.path.join(self.data, "log"), "start"])
        with open(os.path.join(self.data, "postmaster.pid")) as file:
            self.pid = int(file.readline())

    def run(self, command, env=None):
        """As the server's user; what it prints."""
        done = subprocess.run(
            self.as_user + command, capture_output=True, text=True, cwd="/", env={**os.environ, **(env or {})})
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stderr or done.stdout}")
        return done.stdout

    def stop(self):
        try:
            self.run([f"{BIN}/pg_ctl", "-D", self.data, "-m", "immediate", "stop"])
        except RuntimeError:
            pass
        shutil.rmtree(self.data, ignore_errors=True)
        shutil.rmtree(self.socket, ignore_errors=True)

    def dsn(self, database="postgres"):
        return f"host={self.socket} port={self.port} user=bench dbname={database}"

    def url(self, database="postgres"):
        return f"postgres://bench@/{database}?host={self.socket}&port={self.port}"

    def sql(self, text, database="postgres"):
        """The first column of the last statement's rows, as text, joined by newlines."""
        done = subprocess.run(
            ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", self.dsn(database)], input=text,
            capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{self.name}: {done.stderr.strip()}")
        return done.stdout.strip()

    def renew(self, database, template=None):
        """The database anew: empty, or a copy."""
        self.sql(f"DROP DATABASE IF EXISTS {database};")
        self.sql(f"CREATE DATABASE {database}{f' TEMPLATE {template} STRATEGY FILE_COPY' if template else ''};")

    def drop_slots(self, pattern):
        self.sql(f"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name LIKE '{pattern}'")

    def cpu_s(self):
        """CPU seconds of the server's processes, those that have ended too."""
        total = 0
        for pid in [self.pid] + children(self.pid):
            stat = read_stat(pid)
            if stat:
                own, ended = stat
                total += own + (ended if pid == self.pid else 0)
        return total / TICKS_PER_S


def read_stat(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(one) for one in file.read().split()]
    except OSError:
        return []


class Memory(threading.Thread):
    """Samples a process's resident memory every 50 ms: (seconds since the start, bytes)."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid = pid
        self.samples = []
        self.ended = threading.Event()
        self.start()

    def run(self):
        start = time.monotonic()
        while not self.ended.wait(0.05):
            try:
                with open(f"/proc/{self.pid}/statm") as file:
                    self.samples.append((time.monotonic() - start, int(file.read().split()[1]) * PAGE_bytes))
            except (OSError, IndexError):
                return

    def series(self, step_s=0.2):
        """[s, MiB] of every step: the highest in it."""
        found = {}
        for at, size in self.samples:
            step = int(at / step_s)
            found[step] = max(found.get(step, 0), size)
        return [[round(step * step_s, 1), round(size / 2**20, 1)] for step, size in sorted(found.items())]


class OwnMemory(threading.Thread):
    """Samples what of an agent's resident memory isn't the embedded engine's, in MiB, twice a second.

    That is what the C library's allocator has of the system, used or not, by `/metrics` (DuckDB has one of its own for
    what is large), and the pages of programs and libraries but for DuckDB's library.
    """

    def __init__(self, pid, folder):
        super().__init__(daemon=True)
        self.pid, self.folder = pid, folder
        self.samples = []
        self.ended = threading.Event()
        self.start()

    def run(self):
        while not self.ended.wait(0.5):
            try:
                self.samples.append((self.heap_bytes() + self.file_bytes()) / 2**20)
            except (OSError, ValueError, KeyError, http.client.HTTPException):
                continue  # It has just begun, or just ended.

    def heap_bytes(self):
        with open(os.path.join(self.folder, ".millrace", "agent.json")) as file:
            address = json.load(file)["address"]
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith("process_heap_bytes "):
                    return float(line.split()[1])
        raise ValueError("the agent doesn't say what its allocator holds")

    def file_bytes(self):
        total, path = 0, ""
        with open(f"/proc/{self.pid}/smaps") as file:
            for line in file:
                words = line.split()
                if "-" in words[0]:
                    path = words[5] if len(words) > 5 else ""
                elif not path.startswith("/") or "libduckdb" in path:
                    continue
                elif words[0] == "Rss:":
                    total += int(words[1]) * 1024
        return total


def measured(command, clusters=(), cwd=None, env=None, timeout_s=3600, series=False):
    """Runs a program to its end: what it printed, and what it cost.

    Returns (stdout, {"wall_s", "cpu_s", "system_s": the kernel's part of it, "peak_MiB", "median_MiB",
    "servers_cpu_s": {name: s}}), with "memory" and "own_MiB", the samples of `OwnMemory`, where a `series` is wanted.
    """
    before = {cluster.name: cluster.cpu_s() for cluster in clusters}
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        start = time.monotonic()
        child = subprocess.Popen(command, stdout=output, stderr=errors, cwd=cwd, env=env)
        memory = Memory(child.pid)
        own = OwnMemory(child.pid, cwd) if series else None
        guard = threading.Timer(timeout_s, child.kill)
        guard.daemon = True
        guard.start()
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            child.kill()
            raise
        finally:
            guard.cancel()
            memory.ended.set()
            if own:
                own.ended.set()
        wall_s = time.monotonic() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        text = output.read().decode()
        if child.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}: {errors.read().decode()[-2000:]}")
    samples = sorted(size for _, size in memory.samples) or [0]
    return text, {
        **({"memory": memory.series(), "own_MiB": [round(one, 1) for one in own.samples]} if series else {}),
        "wall_s": wall_s,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "system_s": usage.ru_stime,
        "peak_MiB": usage.ru_maxrss / 1024,
        "median_MiB": samples[len(samples) // 2] / 2**20,
        "servers_cpu_s": {cluster.name: cluster.cpu_s() - before[cluster.name] for cluster in clusters},
    }
