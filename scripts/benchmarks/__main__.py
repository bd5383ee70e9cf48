"""scripts/bench: see there."""

import argparse
import os
import shutil
import sys
import tempfile

import decoding
import report
from clusters import Cluster
from contenders import Backfill, Bench, Drain


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("what", nargs="*", default=["decoding", "w1", "w2"],
                        help="decoding, w1, w2, w2a, w2b; quick: all of them, small; budget: allocations alone")
    parser.add_argument("--programs", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--tools", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--rows", type=int, help="of W1; W2 begins with a fifth of them")
    parser.add_argument("--changes", type=int, help="of W2")
    parser.add_argument("--only", default="", help="a part of the contenders' names")
    parser.add_argument("--record", action="store_true", help="budget: takes what is found for the budget")
    parser.add_argument("--out", help="a folder: the results go into a file there that is called by the date")
    options = parser.parse_args()
    is_quick = "quick" in options.what
    what = ["decoding", "w1", "w2"] if is_quick else options.what
    options.rounds = options.rounds or (1 if is_quick else 3)
    options.rows = options.rows or (500_000 if is_quick else 5_000_000)
    options.changes = options.changes or (200_000 if is_quick else 1_000_000)
    folder = os.path.dirname(os.path.abspath(__file__))
    corpus = os.path.join(folder, "..", "..", "Tests", "Fixtures", "corpus")
    benchmark = os.path.join(options.programs, "benchmark")
    counter = os.path.join(options.tools, "allocations.so")

    if "budget" in what:
        broken = decoding.check(benchmark, corpus, counter, os.path.join(folder, "budget.json"), options.record)
        for line in broken:
            print(f"Error: {line}", file=sys.stderr)
        print("the budget is broken" if broken else "the budget holds")
        return 1 if broken else 0

    root = tempfile.mkdtemp(prefix="millrace-bench-")
    os.chmod(root, 0o755)
    clusters = []
    result = report.Report(options)
    try:
        if "decoding" in what:
            result.decoding = decoding.run(benchmark, corpus, counter, 300_000 if is_quick else 2_000_000)
            decoding.show(result.decoding)
        clusters = [Cluster("source", root), Cluster("target", root)]
        tools = {name: os.path.join(options.tools, name) for name in ("drain",)}
        bench = Bench(root, os.path.join(options.programs, "millrace"), *clusters, tools)
        works = {
            "w1": ("W1: backfill", lambda: Backfill(bench, options.rows)),
            "w2a": ("W2 a: stream, transactions of 10", lambda: Drain(bench, options.rows // 5, options.changes, 10)),
            "w2b": ("W2 b: stream, transactions of 1000", lambda: Drain(bench, options.rows // 5, options.changes, 1000)),
        }
        for key, (title, make) in works.items():
            if not any(key.startswith(one) for one in what):
                continue
            work = make()
            result.begin(key, title, work.work)
            for _ in range(options.rounds):
                for name, run in work.contenders().items():
                    if run is None or options.only not in name:
                        continue
                    result.add(key, name, run())
            result.show(key)
        result.write()
    finally:
        for cluster in clusters:
            cluster.stop()
        shutil.rmtree(root, ignore_errors=True)
    return 0


sys.exit(main())
