# SPDX-License-Identifier: Apache-2.0
"""The result of bench/streaming as Markdown, and as plots of a figure over the rate."""
import math

from . import report, streams

COLOURS = {"direct": "#9aa5b1", "plain": "#d98026", "enhanced": "#2a6fbb", "nginx": "#3c9a5f"}


def _ratio(value):
    return "-" if value is None else f"{value:.2f}"


def _cell(summary, figure, failed):
    if figure not in summary:
        return "-"
    f = summary[figure]
    text = f"**{report.number(f['median'])}** ({report.number(f['low'])} to {report.number(f['high'])})"
    return text + (f" {failed:.0f} failed" if failed else "")


def _line(result, figure, peers):
    one = result["figures"][figure]
    direct = result["summary"].get("direct", {}).get(figure)
    cells = [report.number(direct["median"]) if direct else "-"]
    for peer in peers:
        failed = result["summary"].get(peer, {}).get("failed", {}).get("high", 0)
        cells.append(_cell(one["added"].get(peer, {}), figure, failed))
    return f"| {result['title']} | " + " | ".join(cells + [_ratio(one["to_plain"]), _ratio(one["to_nginx"])]) + " |"


def _table(results, figure, peers):
    heading, unit, subtract = streams.FIGURES[figure]
    lines = [_line(r, figure, peers) for r in results.values() if figure in r["figures"]]
    if not lines:
        return []
    note = "; of each server what it adds to the direct way" if subtract else ""
    head = "| | direct | " + " | ".join(peers) + " | enhanced / plain | enhanced / nginx |"
    return [f"## {heading[0].upper()}{heading[1:]} ({unit}{note})", "", head, "|---|" + "---|" * (len(peers) + 3), *lines, ""]


def markdown(facts, results, peers):
    lines = [
        f"`{facts['command']}` on {facts['machine']}, Linux {facts['kernel']}, {facts['date']}, load {facts['load']:.1f}:",
        f"medians of {facts['rounds']} rounds of {facts['seconds']} s (lowest to highest), interleaved; what a server adds and the",
        "ratios are made within a round. " + "; ".join(facts["versions"]) + ".",
        f"plain: `{facts['plain']}`; enhanced: `{facts['enhanced']}`.", "",
    ]  # fmt: skip
    for figure in streams.FIGURES:
        lines += _table(results, figure, peers)
    return "\n".join(lines)


def plots(results):
    """{name of a plot: its results in the order of x}."""
    found = {}
    for result in results.values():
        if result["plot"]:
            found.setdefault(result["plot"], []).append(result)
    return {name: sorted(rows, key=lambda r: r["x"]) for name, rows in found.items()}


def _points(rows, figure, peer):
    return [(r["x"], r["summary"][peer][figure]) for r in rows if figure in r["summary"].get(peer, {})]


def plot(rows, figure, peers):
    """A line for each server, with the span of its rounds; both axes logarithmic. "" when there is nothing to draw."""
    name, unit, _ = streams.FIGURES[figure]
    lines = {p: _points(rows, figure, p) for p in ["direct", *peers]}
    values = [f[k] for points in lines.values() for _, f in points for k in ("low", "high") if f[k] > 0]
    xs = [r["x"] for r in rows]
    unit_of_x = " %" if rows[0]["plot"].endswith("-shares") else "/s"
    if not values:
        return ""
    width, height, left, top, right, bottom = 640, 360, 70, 40, 110, 40
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))) or 1
    high += high == low
    span = math.log10(max(xs) / min(xs)) or 1

    def x_of(x):
        return left + (width - left - right) * (math.log10(x / min(xs)) / span)

    def y_of(y):
        return top + (height - top - bottom) * (1 - (math.log10(max(y, 10**low)) - low) / (high - low))

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="10" y="20" font-weight="bold" font-size="13">{rows[0]["heading"]}: {name} ({unit})</text>',
    ]
    for power in range(low, high + 1):
        y = y_of(10**power)
        out += [f'<path d="M{left} {y:.1f}H{width - right}" stroke="#dde2e7"/>', f'<text x="8" y="{y + 4:.1f}">{10**power:g}</text>']
    out += [f'<text x="{x_of(x):.1f}" y="{height - 14}" text-anchor="middle">{x}{unit_of_x}</text>' for x in xs]
    for peer, points in lines.items():
        out += _draw(peer, [(x_of(x), y_of(f["median"]), y_of(f["low"]), y_of(f["high"])) for x, f in points])
    return "\n".join(out + _legend(lines, width - right + 20, top) + ["</svg>"]) + "\n"


def _draw(peer, points):
    colour = COLOURS[peer]
    path = " ".join(f"{'L' if i else 'M'}{x:.1f} {y:.1f}" for i, (x, y, _, _) in enumerate(points))
    out = [f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'] if points else []
    for x, y, low, high in points:
        out += [f'<path d="M{x:.1f} {low:.1f}V{high:.1f}" stroke="{colour}"/>', f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>']
    return out


def _legend(lines, x, top):
    return [
        f'<text x="{x}" y="{top + 18 * i + 10}" fill="{COLOURS[peer]}" font-weight="bold">{peer}</text>' for i, peer in enumerate(p for p in lines if lines[p])
    ]
