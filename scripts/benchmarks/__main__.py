"""scripts/bench: see there."""

import argparse
import os
import shutil
import sys
import tempfile

import report
from clusters import Cluster
from contenders import Backfill, Bench, Drain


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench")
    parser.add_argument("what", nargs="*", default=["w1", "w2"])
    parser.add_argument("--millrace", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--tools", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--changes", type=int, default=1_000_000)
    parser.add_argument("--only", default="", help="a part of the contenders' names")
    parser.add_argument("--out", help="folder for the results")
    options = parser.parse_args()
    root = tempfile.mkdtemp(prefix="millrace-bench-")
    os.chmod(root, 0o755)
    clusters = []
    result = report.Report(options)
    try:
        clusters = [Cluster("source", root), Cluster("target", root)]
        tools = {name: os.path.join(options.tools, name) for name in ("drain", "discard")}
        bench = Bench(root, options.millrace, *clusters, tools)
        works = {
            "w1": ("W1: backfill", lambda: Backfill(bench, options.rows)),
            "w2a": ("W2 a: stream, transactions of 10", lambda: Drain(bench, options.rows // 5, options.changes, 10)),
            "w2b": ("W2 b: stream, transactions of 1000", lambda: Drain(bench, options.rows // 5, options.changes, 1000)),
        }
        for key, (title, make) in works.items():
            if not any(key.startswith(one) for one in options.what):
                continue
            work = make()
            result.begin(key, title, work.work)
            for round in range(options.rounds):
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


sys.exit(main())
