"""Medians and ratios of the rounds, as text and as JSON."""

import datetime
import json
import os
import platform
import statistics
import subprocess
import sys


def machine():
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "unknown")
    with open("/proc/meminfo") as file:
        memory_GiB = int(file.readline().split()[1]) / 2**20
    postgres = subprocess.run(["pg_config", "--version"], capture_output=True, text=True).stdout.strip()
    return f"{os.cpu_count()} cores ({model}), {memory_GiB:.0f} GiB, {platform.system()} {platform.release()}, {postgres}"


class Report:
    def __init__(self, options):
        self.options = options
        self.works = {}
        self.machine = machine()
        self.decoding = []

    def begin(self, key, title, work):
        self.works[key] = {"title": title, "work": work, "runs": {}}

    def add(self, key, name, cost):
        self.works[key]["runs"].setdefault(name, []).append(cost)
        print(f"  {name}: {cost['wall_s']:.2f} s", file=sys.stderr, flush=True)

    def rows(self, key):
        work = self.works[key]
        median = {name: statistics.median(run["wall_s"] for run in runs) for name, runs in work["runs"].items()}
        first = next(iter(median.values()))
        for name, runs in work["runs"].items():
            run = sorted(runs, key=lambda one: one["wall_s"])[len(runs) // 2]
            yield {
                "name": name, "wall_s": median[name], "per_s": work["work"] / median[name],
                "ratio": first / median[name], "cpu_s": run.get("cpu_s"),
                "servers_cpu_s": run.get("servers_cpu_s", {}), "peak_MiB": run.get("peak_MiB"),
            }

    def show(self, key):
        work = self.works[key]
        print(f"\n{work['title']} ({work['work']:,})")
        print(f"{'':34} {'s':>8} {'per s':>11} {'of the 1st':>10} {'CPU s':>7} {'source':>7} {'target':>7} {'MiB':>6}")
        for row in self.rows(key):
            def cell(value, form):
                return format(value, form) if value is not None else "–"
            print(
                f"{row['name']:34} {row['wall_s']:>8.2f} {row['per_s']:>11,.0f} {row['ratio']:>10.2f} "
                f"{cell(row['cpu_s'], '7.2f'):>7} {cell(row['servers_cpu_s'].get('source'), '7.2f'):>7} "
                f"{cell(row['servers_cpu_s'].get('target'), '7.2f'):>7} {cell(row['peak_MiB'], '6.0f'):>6}", flush=True)

    def write(self):
        if not self.options.out:
            return
        os.makedirs(self.options.out, exist_ok=True)
        date = datetime.date.today().isoformat()
        with open(os.path.join(self.options.out, f"{date}.json"), "w") as file:
            json.dump({"date": date, "machine": self.machine, "decoding": self.decoding, "works": self.works}, file, indent=1)
