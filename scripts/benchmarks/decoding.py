"""What stands alone, without servers, as the program `benchmark` has it: events and megabytes a second, and what a budget
holds: allocations and instructions an event."""

import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import tempfile

import report

# How much more than the budget a figure may be: a part of it, and so much on top.
TOLERANCES = {"allocations_per_event": (0.05, 0.05), "instructions_per_event": (0.10, 0)}
ALLOCATED_EVENTS = 100_000
# In the difference what is done once cancels out. Few, as valgrind takes 50 times as long.
COUNTED_EVENTS = (1, 20_000)


class Program:
    def __init__(self, path, corpus, counter):
        self.path, self.corpus, self.counter = path, corpus, counter

    def lines(self, *arguments, wrapped=(), path=None, preload=None):
        """(what it prints, what stands on stderr)"""
        env = {**os.environ, "LD_PRELOAD": preload} if preload else None
        done = subprocess.run(
            [*wrapped, path or self.path, "--corpus", self.corpus, *arguments], capture_output=True, text=True, env=env,
            timeout=600)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")], done.stderr

    def speeds(self, events):
        return self.lines("--events", str(events))[0]

    def allocations(self):
        """In a run of their own, as counting takes time."""
        lines, _ = self.lines("--events", str(ALLOCATED_EVENTS), preload=self.counter)
        return {name(line): round(line["allocations"] / line["events"], 2) for line in lines}

    def instructions(self):
        """None without valgrind. With it simdjson takes AVX2 wherever there is any, so that machines agree."""
        if not shutil.which("valgrind"):
            return None
        with tempfile.TemporaryDirectory() as folder:
            # Valgrind can't read Swift's debug information.
            path = os.path.join(folder, "benchmark")
            subprocess.run(["strip", "-g", "-o", path, self.path], check=True)
            kinds = [(kind(line), name(line)) for line in self.speeds(COUNTED_EVENTS[0])]
            # Nothing else on the machine changes a count.
            with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
                counts = pool.map(lambda one: self.counted(path, *one), kinds)
                return {one: count for (_, one), count in zip(kinds, counts)}

    def counted(self, path, kind, name):
        counts = []
        for events in COUNTED_EVENTS:
            lines, errors = self.lines(
                "--events", str(events), f"--{kind}", name, path=path,
                wrapped=("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"))
            counts.append((lines[0]["events"], int(re.search(r"I\s+refs:\s+([\d,]+)", errors)[1].replace(",", ""))))
        (few, first), (many, second) = counts
        return round((second - first) / (many - few))


def kind(line):
    """A line says what it measures, {"decoder": "avro"}; the option that chooses it is called the same."""
    return "decoder" if "decoder" in line else "writer"


def name(line):
    return line[kind(line)]


def run(program, events, with_instructions):
    allocations = program.allocations()
    instructions = (with_instructions and program.instructions()) or {}
    found = program.speeds(events)
    for line in found:
        line["allocations_per_event"] = allocations[name(line)]
        line["instructions_per_event"] = instructions.get(name(line))
    return found


def show(found):
    report.table("Alone", [
        ("", "name", ""), ("events/s", "per_s", ",.0f"), ("MB/s", "MB_per_s", ",.0f"),
        ("allocations an event", "allocations_per_event", ".2f"), ("instructions an event", "instructions_per_event", ",.0f"),
    ], [{
        "name": name(line), "per_s": line["events"] / line["seconds"],
        "MB_per_s": line["bytes"] / line["seconds"] / 1e6 if "bytes" in line else None, **line,
    } for line in found])


def check(program, path, record=False):
    """Whether each keeps to its budget; the lines of those that don't."""
    found = {"allocations_per_event": program.allocations(), "instructions_per_event": program.instructions()}
    budget = {}
    if os.path.exists(path):
        with open(path) as file:
            budget = json.load(file)
    names = list(found["allocations_per_event"])
    report.table("Budget", [
        ("", "name", ""), ("allocations an event", "allocations", ",.2f"), ("budget", "allocations_budget", ",.2f"),
        ("instructions an event", "instructions", ",.0f"), ("budget", "instructions_budget", ",.0f"),
    ], [{
        "name": one, **{
            column: (figures or {}).get(one) for what in ("allocations", "instructions") for column, figures in (
                (what, found[f"{what}_per_event"]), (f"{what}_budget", budget.get(f"{what}_per_event")))},
    } for one in names])
    if not found["instructions_per_event"]:
        report.progress("instructions aren't counted: valgrind is missing")
        found.pop("instructions_per_event")
    if record:
        with open(path, "w") as file:
            json.dump({**budget, **found}, file, indent=1)
            file.write("\n")
        return []
    broken = []
    for what, figures in found.items():
        part, more = TOLERANCES[what]
        for one, figure in figures.items():
            allowed = budget.get(what, {}).get(one)
            if allowed is None or figure > allowed * (1 + part) + more:
                broken.append(f"{one}: {figure:,} {what.replace('_per_event', '')} an event, the budget is {allowed}")
    return broken
