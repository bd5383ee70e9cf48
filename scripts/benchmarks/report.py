"""Medians and ratios of the rounds, as text and as JSON."""

import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import time

import plot


def machine():
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "unknown")
    with open("/proc/meminfo") as file:
        memory_GiB = int(file.readline().split()[1]) / 2**20
    postgres = subprocess.run(["pg_config", "--version"], capture_output=True, text=True).stdout.strip()
    return f"{os.cpu_count()} cores ({model}), {memory_GiB:.0f} GiB, {platform.system()} {platform.release()}, {postgres}"


def table(title, columns, rows):
    """An aligned table. `columns`: (heading, key, format) each; text, which has no format, to the left."""
    def cell(row, key, form):
        value = row.get(key)
        return "–" if value is None else format(value, form)

    lines = [[heading for heading, _, _ in columns]] + [[cell(row, key, form) for _, key, form in columns] for row in rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    print(f"\n{title}")
    for line in lines:
        cells = zip(line, widths, columns)
        print("  ".join(text.rjust(width) if form else text.ljust(width) for text, width, (_, _, form) in cells))
    sys.stdout.flush()


def progress(text):
    print(f"  {text}", file=sys.stderr, flush=True)


def median(values):
    return statistics.median(values)


def rounds(work, options):
    """All contenders of a work in turn, round by round: {name: [what each run found]}."""
    found = {}
    for _ in range(options.rounds):
        for name, contender in work.contenders().items():
            if options.only in name:
                start = time.monotonic()
                found.setdefault(name, []).append(contender())
                progress(f"{name}: {time.monotonic() - start:.1f} s")
    return found


class Report:
    def __init__(self, options):
        self.options = options
        self.machine = machine()
        print(self.machine, flush=True)
        self.works = {}
        # What isn't one figure in comparison: as each part has it.
        self.parts = {}

    def run(self, key, title, work):
        """All contenders of a work in turn, round by round."""
        runs = rounds(work, self.options)
        work.close()
        self.works[key] = {"title": title, "work": work.work, "runs": runs}
        if runs:
            table(f"{title} ({work.work:,})", [
                ("", "name", ""), ("s", "wall_s", ".2f"), ("per s", "per_s", ",.0f"), ("of the 1st", "ratio", ".2f"),
                ("CPU s", "cpu_s", ".2f"), ("per CPU s", "per_cpu_s", ",.0f"), ("source", "source_s", ".2f"),
                ("target", "target_s", ".2f"), ("MiB", "peak_MiB", ".0f"),
            ], rows(self.works[key]))

    def write(self):
        if not self.options.out:
            return
        os.makedirs(self.options.out, exist_ok=True)
        date = datetime.date.today().isoformat()
        found = {"date": date, "machine": self.machine, "works": self.works, **self.parts}
        with open(os.path.join(self.options.out, f"{date}.json"), "w") as file:
            json.dump(found, file, indent=1)
        with open(os.path.join(self.options.out, f"{date}.svg"), "w") as file:
            file.write(plot.draw(found))


def rows(work):
    """Of each contender the median, by time."""
    median = {name: statistics.median(run["wall_s"] for run in runs) for name, runs in work["runs"].items()}
    first = next(iter(median.values()))
    found = []
    for name, runs in work["runs"].items():
        run = sorted(runs, key=lambda one: one["wall_s"])[len(runs) // 2]
        cpu_s, servers = run.get("cpu_s"), run.get("servers_cpu_s", {})
        found.append({
            "name": name, "wall_s": median[name], "per_s": work["work"] / median[name], "ratio": first / median[name],
            "cpu_s": cpu_s, "per_cpu_s": work["work"] / cpu_s if cpu_s else None, "source_s": servers.get("source"),
            "target_s": servers.get("target"), "peak_MiB": run.get("peak_MiB"),
        })
    return found
