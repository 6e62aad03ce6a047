# SPDX-License-Identifier: Apache-2.0
"""Medians, spread and paired ratios of the rounds, as Markdown and SVG."""
import statistics

NAMES = {"nginx": "nginx", "haproxy": "HAProxy"}
SUBJECTS = ("mcpgate", "enhanced")

# figures beside a row's main one, as the table of details names them
FIGURES = {
    "per_second": "per second",
    "mib_per_second": "MiB per second",
    "p50_us": "p50, us",
    "p99_us": "p99, us",
    "direct_us": "p50 without a server, us",
    "p99_alone_us": "p99 alone, us",
    "gap_ratio": "ratio of the p99 gaps",
    "cpu_us": "CPU, us",
    "cpu_1_us": "CPU with 1 worker, us",
    "cpu_2_us": "CPU with 2 workers, us",
    "cpu_4_us": "CPU with 4 workers, us",
    "held_kib": "memory for each stopped one, KiB",
    "total_mib": "total, MiB",
}


def number(value):
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def summarize(rounds):
    """rounds: [{peer: {figure: value}}] -> {peer: {figure: {median, low, high}}}"""
    peers = {}
    for one in rounds:
        for peer, figures in one.items():
            for figure, value in figures.items():
                peers.setdefault(peer, {}).setdefault(figure, []).append(value)
    return {
        peer: {f: {"median": statistics.median(v), "low": min(v), "high": max(v)} for f, v in figures.items()}
        for peer, figures in peers.items()
    }


def ratio(rounds, main, subject, others):
    """Median of subject's figure by the better of `others`, paired per round; None when it cannot be made."""
    pairs = []
    for one in rounds:
        rivals = [one[o][main] for o in others if o in one and one[o][main] > 0]
        if subject in one and rivals and one[subject][main] > 0:
            pairs.append(one[subject][main] / min(rivals))
    return statistics.median(pairs) if pairs else None


def row_result(row, rounds):
    subject_ratios = {
        "to_better_peer": ratio(rounds, row.main, "mcpgate", row.rivals),
        **{f"to_{rival}": ratio(rounds, row.main, "mcpgate", [rival]) for rival in row.rivals},
        "to_floor": ratio(rounds, row.main, "mcpgate", ["floor"]),
        "floor_to_better_peer": ratio(rounds, row.main, "floor", row.rivals),
    }
    facts = {"title": row.title, "unit": row.unit, "main": row.main, "rivals": row.rivals}
    return {**facts, "rounds": rounds, "summary": summarize(rounds), "ratios": subject_ratios}


def _cell(summary, main):
    figure = summary[main]
    text = f"**{number(figure['median'])}** ({number(figure['low'])}-{number(figure['high'])})"
    if summary.get("failed", {}).get("high"):
        text += f" {summary['failed']['high']:.0f} failed"
    return text


def better_of(rivals):
    return "better of " + ", ".join(NAMES.get(r, r) for r in rivals)


def _ratio_cell(result, value, to):
    """The ratio of the main figures, and the goal that it has."""
    goal = next((g for g in result["goals"] if g["figure"] == result["main"] and g["of"] == "mcpgate" and g["to"] in to), None)
    text = "-" if value is None else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"
    return text + (f" (goal {goal['limit']:.2f})" if goal and value is not None else "")


def main_table(results, peers):
    """One for each set of rivals."""
    lines = []
    for rivals in dict.fromkeys(r["rivals"] for r in results.values()):
        some = [r for r in results.values() if r["rivals"] == rivals]
        lines += [""] * bool(lines) + _table_against(rivals, some, [p for p in peers if any(p in r["summary"] for r in some)])
    return lines


def _table_against(rivals, results, peers):
    ratios = {"to_better_peer": (better_of(rivals), *rivals)}
    if "floor" in peers:
        ratios["to_floor"] = ("floor",)
    lines = [
        "| lower is better | unit | " + " | ".join([*peers, *(f"mcpgate / {to[0]}" for to in ratios.values())]) + " |",
        "|---|---|" + "---|" * (len(peers) + len(ratios)),
    ]
    for result in results:
        cells = [_cell(result["summary"][p], result["main"]) if p in result["summary"] else "-" for p in peers]
        cells += [_ratio_cell(result, result["ratios"][r], to) for r, to in ratios.items()]
        lines.append(f"| {result['title']} | {result['unit']} | " + " | ".join(cells) + " |")
    return lines


def detail_table(results, peers):
    lines = ["| | " + " | ".join(peers) + " |", "|---|" + "---|" * len(peers)]
    for result in results.values():
        for figure, name in FIGURES.items():
            if figure == result["main"]:
                continue
            cells = [number(result["summary"][p][figure]["median"]) if figure in result["summary"].get(p, {}) else "" for p in peers]
            if any(cells):
                lines.append(f"| {result['title']}: {name} | " + " | ".join(cells) + " |")
    return lines


def goals_table(results):
    lines = ["| held to | figure | at most | |", "|---|---|---|---|"]
    for result in results.values():
        for goal in result["goals"]:
            name = result["unit"] if goal["figure"] == result["main"] else FIGURES[goal["figure"]]
            by = "" if goal["to"] == "itself" else f" / {goal['to']}"
            met = {None: "not measured", True: "met", False: "**not met**"}[goal["met"]]
            value = "-" if goal["value"] is None else number(goal["value"])
            lines.append(f"| {result['title']}: {name}, {goal['of']}{by} | {value} | {number(goal['limit'])} | {met} |")
    return lines


def markdown(facts, results, peers):
    lines = [f"`{facts['command']}` on {facts['machine']}, Linux {facts['kernel']}, {facts['date']}: medians of {facts['rounds']} rounds"]
    lines += [f"of {facts['seconds']} s (lowest-highest), interleaved; ratios are paired by round. " + "; ".join(facts["versions"]) + ".", ""]
    return "\n".join(lines + main_table(results, peers) + [""] + detail_table(results, peers) + [""] + goals_table(results)) + "\n"


def svg(result, peers):
    """A bar for each server, a line from its lowest to its highest round."""
    shown = [p for p in peers if p in result["summary"]]
    top = max(result["summary"][p][result["main"]]["high"] for p in shown) or 1
    width, bar, left = 640, 28, 90
    height = 50 + bar * len(shown)
    scale = (width - left - 90) / top
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="10" y="22" font-weight="bold">{result["title"]} ({result["unit"]})</text>',
    ]
    for i, peer in enumerate(shown):
        figure, y = result["summary"][peer][result["main"]], 38 + bar * i
        colour = "#2a6fbb" if peer in SUBJECTS else "#9aa5b1"
        middle = y + bar / 2 - 4
        out += [
            f'<text x="10" y="{y + 16}">{peer}</text>',
            f'<rect x="{left}" y="{y}" width="{max(figure["median"], 0) * scale:.1f}" height="{bar - 8}" fill="{colour}"/>',
            f'<path d="M{left + max(figure["low"], 0) * scale:.1f} {middle}H{left + max(figure["high"], 0) * scale:.1f}" stroke="black"/>',
            f'<text x="{left + max(figure["high"], 0) * scale + 6:.1f}" y="{y + 16}">{number(figure["median"])}</text>',
        ]
    return "\n".join(out + ["</svg>"]) + "\n"
