"""Decoders alone: events and megabytes a second, and allocations an event, which a budget holds."""

import json
import os
import subprocess

TOLERANCE = 0.05
"""Of an allocation an event, and of the budget's own figure."""


def measure(program, corpus, events, preload=None):
    env = {**os.environ, "LD_PRELOAD": preload} if preload else None
    done = subprocess.run(
        [program, "--events", str(events), "--corpus", corpus], capture_output=True, text=True, env=env, timeout=600)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def show(found):
    print(f"\n{'decoder':14} {'events/s':>12} {'MB/s':>8} {'allocations an event':>22}")
    for one in found:
        print(
            f"{one['decoder']:14} {one['events'] / one['seconds']:>12,.0f} {one['bytes'] / one['seconds'] / 1e6:>8.0f} "
            f"{one['allocations_per_event']:>22.2f}")


def run(program, corpus, counter, events):
    """Allocations are counted in a run of their own: counting takes time."""
    counted = {one["decoder"]: one["allocations"] / one["events"] for one in measure(program, corpus, 100_000, counter)}
    found = measure(program, corpus, events)
    for one in found:
        one["allocations_per_event"] = round(counted[one["decoder"]], 2)
    return found


def check(program, corpus, counter, path, record=False):
    """Whether each decoder keeps to its budget; the lines of those that don't."""
    found = {
        one["decoder"]: round(one["allocations"] / one["events"], 2)
        for one in measure(program, corpus, 100_000, counter)}
    if record:
        with open(path, "w") as file:
            json.dump({"allocations_per_event": found}, file, indent=1)
            file.write("\n")
        return []
    with open(path) as file:
        budget = json.load(file)["allocations_per_event"]
    return [
        f"{name}: {figure} allocations an event, the budget is {budget.get(name)}" for name, figure in found.items()
        if name not in budget or figure > budget[name] * (1 + TOLERANCE) + TOLERANCE]
