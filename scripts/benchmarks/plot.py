"""The results as one SVG: bars a work, latency, growth, and memory over time."""

import html

import report

WIDTH, LABELS, RIGHT = 960, 300, 110
BAR, GAP = 18, 6
COLOURS = {"limit": "#5f6368", "peer": "#a9aeb4", "Postgres": "#2f6fb5", "DuckDB": "#d9822b"}


class Drawing:
    """Grows downwards."""

    def __init__(self):
        self.parts, self.y = [], 0

    def text(self, x, y, text, anchor="start", size=13, weight="normal", colour="#202124"):
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" '
            f'fill="{colour}">{html.escape(text)}</text>')

    def line(self, x1, y1, x2, y2, colour="#e3e5e8", width=1):
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>')

    def bar(self, x, y, width, colour, opacity=1.0):
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{BAR}" fill="{colour}" '
            f'fill-opacity="{opacity}"/>')

    def heading(self, title, note=""):
        self.y += 44
        self.text(20, self.y, title, size=16, weight="bold")
        if note:
            self.y += 18
            self.text(20, self.y, note, size=12, colour="#5f6368")
        self.y += 14

    def svg(self):
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{self.y + 20:.0f}" '
            f'viewBox="0 0 {WIDTH} {self.y + 20:.0f}" font-family="Helvetica, Arial, sans-serif">\n'
            f'<rect width="100%" height="100%" fill="#ffffff"/>\n' + "\n".join(self.parts) + "\n</svg>\n")


def colour(name):
    """(colour, opacity): what a name belongs to; paler with raw off."""
    if "millrace" not in name:
        return COLOURS["limit" if "limit" in name else "peer"], 1.0
    return COLOURS["DuckDB" if "DuckDB" in name else "Postgres"], 0.6 if "raw off" in name else 1.0


def ticks(highest, wanted=5):
    """Round numbers from 0 to the highest or a little more."""
    if highest <= 0:
        return [0, 1]
    step = 10 ** len(str(int(highest / wanted))) / 10 if highest >= wanted else 10 ** -len(str(int(wanted / highest)))
    step = next(step * factor for factor in (1, 2, 5, 10, 20, 50, 100) if step * factor * wanted >= highest)
    return [step * number for number in range(int(highest / step - 1e-9) + 2)]


def short(value):
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def bars(drawing, rows, unit):
    """Each row: label, value, what stands behind the bar, and the part of the bar that is dark (None: all)."""
    marks = ticks(max(row[1] for row in rows))
    scale = (WIDTH - LABELS - RIGHT) / marks[-1]
    top, bottom = drawing.y, drawing.y + len(rows) * (BAR + GAP)
    for mark in marks:
        x = LABELS + mark * scale
        drawing.line(x, top, x, bottom)
        drawing.text(x, bottom + 14, short(mark), "middle", 11, colour="#5f6368")
    for label, value, behind, dark in rows:
        shade, opacity = colour(label)
        drawing.text(LABELS - 8, drawing.y + 14, label, "end")
        drawing.bar(LABELS, drawing.y, value * scale, shade, opacity if dark is None else 0.35)
        if dark is not None:
            drawing.bar(LABELS, drawing.y, dark * scale, shade)
        drawing.text(LABELS + value * scale + 6, drawing.y + 14, behind, size=12)
        drawing.y += BAR + GAP
    drawing.text(WIDTH - 20, bottom + 14, unit, "end", 11, colour="#5f6368")
    drawing.y = bottom + 18


def lines(drawing, series, height=220):
    """Each of the series: label, [[s, MiB]]."""
    left, width = 70, WIDTH - 70 - 30
    across = ticks(max(points[-1][0] for _, points in series), 8)
    up = ticks(max(size for _, points in series for _, size in points), 4)
    top, bottom = drawing.y, drawing.y + height
    for mark in up:
        y = bottom - mark / up[-1] * height
        drawing.line(left, y, left + width, y)
        drawing.text(left - 8, y + 4, f"{mark:,g}", "end", 11, colour="#5f6368")
    for mark in across:
        x = left + mark / across[-1] * width
        drawing.line(x, bottom, x, bottom + 4, "#5f6368")
        drawing.text(x, bottom + 17, f"{mark:,g}", "middle", 11, colour="#5f6368")
    drawing.text(left - 8, top - 14, "MiB", "end", 11, colour="#5f6368")
    drawing.text(left + width, bottom + 32, "seconds", "end", 11, colour="#5f6368")
    for number, (label, points) in enumerate(series):
        path = " ".join(f"{left + at / across[-1] * width:.1f},{bottom - size / up[-1] * height:.1f}" for at, size in points)
        drawing.parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour(label)[0]}" stroke-width="1.8" stroke-linejoin="round"/>')
        x = left + number * 330
        drawing.line(x, bottom + 28, x + 22, bottom + 28, colour(label)[0], 3)
        drawing.text(x + 28, bottom + 32, label, size=12)
    drawing.y = bottom + 40


def draw(found):
    drawing = Drawing()
    drawing.y = 36
    drawing.text(20, drawing.y, f"Millrace, {found['date']}", size=21, weight="bold")
    drawing.y += 20
    drawing.text(20, drawing.y, found["machine"], size=12, colour="#5f6368")
    for work in found["works"].values():
        if work["runs"]:
            unit = "rows/s" if work["title"].startswith("W1") else "events/s" if "Kafka" in work["title"] else "changes/s"
            drawing.heading(work["title"], f"{work['work']:,} {unit[:-2]}, {unit}: more is better")
            bars(drawing, [
                (row["name"], row["per_s"], f"{row['per_s']:,.0f}  ({row['ratio']:.2f})", None) for row in report.rows(work)
            ], unit)
    draw_latency(drawing, found.get("latency") or {})
    draw_growth(drawing, found.get("growth") or {})
    draw_memory(drawing, found.get("memory") or {})
    return drawing.svg()


def draw_latency(drawing, latency):
    for at in range(len(next(iter(latency.values()), []))):
        rate = next(iter(latency.values()))[at]["rate"]
        drawing.heading(
            f"Latency at {rate:,.0f} changes/s", "From the commit at the source to visible in the warehouse: median dark, 99 % pale")
        bars(drawing, [
            (name, rates[at]["p99_ms"], f"{rates[at]['p50_ms']:,.1f} / {rates[at]['p99_ms']:,.0f}", rates[at]["p50_ms"])
            for name, rates in latency.items()], "ms")


def draw_growth(drawing, growth):
    if not growth:
        return
    drawing.heading("Growth", "Time a change, in comparison with the base: 1 is flat")
    bars(drawing, [
        (f"{case}, {name}", one["wall_ratio"], f"{one['wall_ratio']:.2f}", None)
        for case in next(iter(growth.values())) if case != "base"
        for name, one in ((name, cases[case]) for name, cases in growth.items())], "× the base")


def draw_memory(drawing, memory):
    groups = {}
    for name, cost in memory.items():
        load, contender = name.split(", millrace", 1)
        groups.setdefault(load, []).append((f"millrace{contender}", cost["memory"]))
    for load, series in groups.items():
        drawing.heading(f"Resident memory of the agent: {load}", "DuckDB's own, up to its memory_limit, is part of it")
        drawing.y += 12
        lines(drawing, series)
