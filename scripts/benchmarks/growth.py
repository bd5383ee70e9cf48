"""What a change costs when there is more of something, in comparison with a base: more rows, more changes, more tables, more
columns, keys without an order. What a run costs that has nothing to do is taken off, as it is paid once."""

import report
from contenders import title
from orders import Orders
from stream import Drain

FORMS = [("postgres", True), ("duckdb", True)]


def cases(rows, changes):
    """Each: name, rows, changes, tables."""
    return [
        ("base", rows, changes, Orders()),
        ("10 × the rows", 10 * rows, changes, Orders()),
        ("10 × the changes", rows, 10 * changes, Orders()),
        ("100 tables", rows, changes, Orders(tables=100)),
        ("100 columns", rows, changes, Orders(extra=93)),
        ("uuid keys", rows, changes, Orders(key="uuid")),
    ]


def run(bench, options):
    """{warehouse: {case: {"wall_us", "cpu_us", "wall_ratio", "cpu_ratio"}}} a change"""
    found = {}
    for number, (case, rows, changes, orders) in enumerate(cases(options.base, options.base)):
        work = Drain(bench, f"growth{number}", rows, changes, 10, orders, FORMS, with_peers=False)
        for kind, raw in FORMS:
            name = title(kind, raw)
            if options.only in name:
                runs = [once(work, kind, raw) for _ in range(options.rounds)]
                found.setdefault(name, {})[case] = {
                    "changes": work.work, **{key: report.median(run[key] for run in runs) for key in runs[0]}}
                report.progress(f"{case}, {name}: {found[name][case]['wall_us']:.1f} µs a change")
        work.close()
    for cases_found in found.values():
        base = cases_found["base"]
        for one in cases_found.values():
            one.update(wall_ratio=one["wall_us"] / base["wall_us"], cpu_ratio=one["cpu_us"] / base["cpu_us"])
    report.table("Growth: a change's cost, µs, of transactions of 10", [
        ("", "name", ""), ("", "case", ""), ("changes", "changes", ",.0f"), ("time", "wall_us", ",.1f"),
        ("of the base", "wall_ratio", ".2f"), ("CPU, agent and target", "cpu_us", ",.1f"), ("of the base", "cpu_ratio", ".2f"),
    ], [{"name": name, "case": case, **one} for name, cases_found in found.items() for case, one in cases_found.items()])
    return found


def once(work, kind, raw):
    """µs a change, in time and of the CPU."""
    def cpu_s(cost):
        return cost["cpu_s"] + cost["servers_cpu_s"]["target"]

    cost = work.ours(kind, raw)
    nothing = work.bench.until_end(work.paths[kind, raw])
    each = 1e6 / work.work
    return {
        "wall_us": max(cost["wall_s"] - nothing["wall_s"], 0) * each, "cpu_us": max(cpu_s(cost) - cpu_s(nothing), 0) * each}
