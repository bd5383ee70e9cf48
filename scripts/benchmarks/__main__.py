"""scripts/bench: see there."""

import argparse
import os
import shutil
import signal
import sys
import tempfile

import decoding
import growth
import kafka
import latency
import memory
from backfill import Backfill
from clusters import Cluster
from contenders import Bench
from report import Report
from stream import Drain
from sweep import Sweep

PARTS = ["decoding", "w1", "w2a", "w2b", "kafka", "latency", "memory", "sweep", "growth"]
# Too small, growth says nothing: what is paid once a batch weighs too much.
LEFT_OUT = ["growth"]
# Option: (as it is, in quick, what it is)
SIZES = {
    "rounds": (3, 1, "of what is compared"),
    "rows": (5_000_000, 300_000, "of W1 and of the sweep; W2 begins with a fifth of them"),
    "changes": (1_000_000, 100_000, "of W2, and Kafka's events"),
    "seconds": (20, 2, "of latency, each rate"),
    "transaction": (5_000_000, 200_000, "rows of memory's transaction"),
    "backlog": (20.0, 0.3, "GiB of memory's topic"),
    "base": (100_000, 50_000, "rows and changes of growth's base"),
}


def parse():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("what", nargs="*", default=PARTS,
                        help=f"{', '.join(PARTS)}, or how they begin (w2); quick: small; budget: allocations and instructions")
    parser.add_argument("--programs", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--tools", required=True, help=argparse.SUPPRESS)
    for name, (full, _, what) in SIZES.items():
        parser.add_argument(f"--{name}", type=type(full), help=what)
    parser.add_argument("--only", default="", help="a part of the contenders' names")
    parser.add_argument("--record", action="store_true", help="budget: takes what is found for the budget")
    parser.add_argument("--out", help="a folder: the results go into files there that are called by the date")
    options = parser.parse_args()
    options.is_quick = "quick" in options.what
    for name, (full, small, _) in SIZES.items():
        if getattr(options, name) is None:
            setattr(options, name, small if options.is_quick else full)
    asked = [one for one in options.what if one != "quick"] or [one for one in PARTS if one not in LEFT_OUT]
    for one in asked:
        if one != "budget" and not any(part.startswith(one) for part in PARTS):
            parser.error(f"there is no part {one}")
    options.parts = [part for part in PARTS if any(part.startswith(one) for one in asked)]
    return options


def main():
    options = parse()
    signal.signal(signal.SIGTERM, stop)
    folder = os.path.dirname(os.path.abspath(__file__))
    program = decoding.Program(
        os.path.join(options.programs, "benchmark"), os.path.join(folder, "..", "..", "Tests", "Fixtures", "corpus"),
        os.path.join(options.tools, "allocations.so"))
    if "budget" in options.what:
        broken = decoding.check(program, os.path.join(folder, "budget.json"), options.record)
        for line in broken:
            print(f"Error: {line}", file=sys.stderr)
        print("the budget is broken" if broken else "the budget is recorded" if options.record else "the budget holds")
        return 1 if broken else 0

    result = Report(options)
    if "decoding" in options.parts:
        found = decoding.run(program, 300_000 if options.is_quick else 2_000_000, not options.is_quick)
        decoding.show(found)
        result.parts["decoding"] = found
    if options.parts != ["decoding"]:
        root = tempfile.mkdtemp(prefix="millrace-bench-")
        os.chmod(root, 0o755)
        clusters = []
        try:
            for name in ("source", "target"):
                clusters.append(Cluster(name, root))
            bench = Bench(root, os.path.join(options.programs, "millrace"), *clusters, options.tools)
            replicate(bench, options, result)
        finally:
            # Also what was found before a part failed.
            result.write()
            for cluster in clusters:
                cluster.stop()
            shutil.rmtree(root, ignore_errors=True)
    else:
        result.write()
    return 0


def stop(*_):
    """Ends what was started, too. `timeout` signals twice."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(143)


def replicate(bench, options, result):
    parts = options.parts
    if "w1" in parts:
        result.run("w1", "W1: backfill", Backfill(bench, options.rows))
    for part, size in (("w2a", 10), ("w2b", 1000)):
        if part in parts:
            result.run(
                part, f"W2 {part[-1]}: stream, transactions of {size}",
                Drain(bench, part, options.rows // 5, options.changes, size))
    if "kafka" in parts or "memory" in parts:
        topic = kafka.Topic(bench, options.changes)
        if "kafka" in parts:
            for form, title in (("plain", "without schemas"), ("schema", "with schemas")):
                result.run(f"kafka_{form}", f"Kafka: Debezium's events {title}", kafka.FromKafka(topic, form))
        if "memory" in parts:
            result.parts["memory"] = memory.run(bench, options, topic)
        topic.close()
    if "latency" in parts:
        result.parts["latency"] = latency.run(bench, options)
    if "sweep" in parts:
        result.run("sweep", "Sweep: is the warehouse equal to its source", Sweep(bench, options.rows))
    if "growth" in parts:
        result.parts["growth"] = growth.run(bench, options)


sys.exit(main())
