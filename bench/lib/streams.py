# SPDX-License-Identifier: Apache-2.0
"""What bench/streaming does to each server: WebSocket and SSE, message sizes, rates, with and without bursts."""
import time

from . import load, report

# name -> heading, unit, whether what the way without a server takes is subtracted
FIGURES = {
    "first_us": ("time to first byte, median", "us", True),
    "p50_us": ("delay, median", "us", True),
    "p99_us": ("delay, p99", "us", True),
    "jitter_us": ("jitter, p99", "us", True),
    "per_second": ("throughput", "messages/s", False),
    "cpu_us": ("processor time", "us/message", False),
    "high_us": ("delay of high priority beside low, p99", "us", True),
    "low_us": ("delay of low priority beside high, p99", "us", True),
    "rate": ("highest rate whose p99 stays below 10 ms", "messages/s", False),
}


class Row:
    """`measure(bench, server, seconds)` gives figures; `shown` are those that stand in the table. Rows that are `fresh`
    get servers of their own in each round. Rows of one `plot`, whose heading is `heading`, differ in `x` only. Rows that
    take `long` are only measured when they are asked for."""

    def __init__(self, name, title, shown, measure, fresh=False, long=False, plot=None, heading=None, x=None):
        self.name, self.title, self.shown, self.measure, self.fresh, self.long = name, title, shown, measure, fresh, long
        self.plot, self.heading, self.x = plot, heading, x


def _known(**figures):
    """Without those that mcpload had nothing for."""
    return {name: value for name, value in figures.items() if value is not None}


def _figures(server, result, delay):
    return _known(
        p50_us=result.get(delay, {}).get("p50_us"),
        p99_us=result.get(delay, {}).get("p99_us"),
        jitter_us=result.get("jitter", {}).get("p99_us"),
        per_second=result["events_per_second"] or result["requests_per_second"],
        cpu_us=None if server.name == "direct" else result.get("cpu_us"),  # of direct it would be the upstream's
        failed=result["failed"],
    )


def _sse(path, streams, flags):
    def measure(bench, server, seconds):
        words = ["--connections", 0, "--streams", streams, *flags]
        return _figures(server, load.result(bench, server, path, words, seconds), "event_delay")

    return measure


def _ws(connections, flags):
    def measure(bench, server, seconds):
        words = ["--connections", connections, *flags]
        return _figures(server, load.result(bench, server, "/ws", words, seconds, command=("ws",)), "latency")

    return measure


def _first(path, flags, command=()):
    def measure(bench, server, seconds):
        result = load.result(bench, server, path, ["--connections", 1, *flags], seconds, warmup=0.2, command=command)
        return _known(first_us=result.get("first_event", {}).get("p50_us"), failed=result["failed"])

    return measure


def _first_call(bench, server, _seconds):
    """The only call that a client makes of a server that has just been started."""
    time.sleep(0.5)
    flags = ["--kind", "mcp-2026", "--connections", 1, "--think", "1h"]
    result = load.result(bench, server, "/mcp", flags, 0.2, warmup=0)
    return _known(first_us=result.get("first_byte", {}).get("p50_us"), failed=result["failed"])


def _classes(path, flags, command=()):
    """One request of ten is of high priority; the other nine keep the server busy."""

    def measure(bench, server, seconds):
        result = load.result(bench, server, path, ["--priority", "high=1,low=9", *flags], seconds, command=command)
        latency = {name: figures["latency"]["p99_us"] for name, figures in result.get("classes", {}).items() if "latency" in figures}
        return _known(
            high_us=latency.get("high"),
            low_us=latency.get("low"),
            per_second=result["requests_per_second"],
            failed=result["failed"],
        )

    return measure


def _highest(path, flags, command=()):
    def measure(bench, server, seconds):
        found = load.run(bench, server, path, ["--find-rate", *flags], seconds, command=command, at_most=60 * (seconds + 2))
        return {"rate": found["find_rate"]["rate"], "failed": 0}

    return measure


def size_name(size):
    return f"{size // 1024} KiB" if size % 1024 == 0 else f"{size} B"


def _paced(streams, size, rate, burst):
    """The two rows of one size, rate and shape."""
    shape = f", bursts of {burst}" if burst > 1 else ""
    flags = ["--rate", rate, "--burst", burst]
    shown = ("p50_us", "p99_us", "jitter_us", "cpu_us")
    sse = _sse(f"/sse?event-bytes={size}", streams, flags)
    ws = _ws(streams, [*flags, "--message-bytes", size, "--pipeline", 100000])
    for kind, title, measure in (("sse", "SSE", sse), ("ws", "WebSocket, there and back", ws)):
        plot = f"{kind}-{size}" + (f"-bursts{burst}" if burst > 1 else "")
        heading = f"{title}, {size_name(size)}{shape}"
        yield Row(f"{plot}-{rate}", f"{title}, {size_name(size)}, {rate}/s{shape}", shown, measure, plot=plot, heading=heading, x=rate)


def make(streams, sizes, rates, burst):
    first = ("first_us",)
    rows = [
        Row("sse-first", "SSE: request to first event", first, _first("/sse?events=1&rate=0", [])),
        Row("ws-first", "WebSocket: connecting to first message", first, _first("/ws", ["--messages", 1, "--pipeline", 1], ("ws",))),
        Row("first-call", "MCP: the first call after the start", first, _first_call, fresh=True),
    ]
    for size in sizes:
        for rate in rates:
            for shape in (1, burst):
                rows += _paced(streams, size, rate, shape)
    full = ("per_second", "cpu_us")
    for size in sizes:
        sse, ws = _sse(f"/sse?rate=0&event-bytes={size}", streams, []), _ws(streams, ["--message-bytes", size, "--pipeline", 64])
        rows.append(Row(f"sse-{size}-full", f"SSE, {size_name(size)}, as fast as it goes", full, sse))
        rows.append(Row(f"ws-{size}-full", f"WebSocket, {size_name(size)}, as fast as it goes", full, ws))
    high = ("high_us", "low_us", "per_second")
    rows += [
        Row("classes-http", "MCP calls, 64 at a time, 1 of 10 of high priority", high, _classes("/mcp", ["--kind", "mcp", "--connections", 64])),
        Row("classes-ws", "WebSocket, 64 under way on each, 1 of 10 of high priority", high, _classes("/ws", ["--connections", streams, "--pipeline", 64], ("ws",))),
    ]
    for size in sizes:
        sse = _highest(f"/sse?event-bytes={size}", ["--connections", 0, "--streams", streams])
        ws = _highest("/ws", ["--connections", streams, "--message-bytes", size, "--pipeline", 100000], ("ws",))
        rows.append(Row(f"sse-{size}-highest", f"SSE, {size_name(size)}", ("rate",), sse, long=True))
        rows.append(Row(f"ws-{size}-highest", f"WebSocket, {size_name(size)}", ("rate",), ws, long=True))
    return rows


# --- what comes of the rounds ---


def added(rounds, figure):
    """[{server: what it adds to the direct way}], round by round; where nothing is subtracted, the figure itself. A round
    that has nothing to subtract gives nothing."""
    subtract = FIGURES[figure][2]
    result = []
    for one in rounds:
        base = one["direct"].get(figure) if subtract else 0
        if base is None:
            continue
        result.append({s: {figure: f[figure] - base} for s, f in one.items() if figure in f and s != "direct"})
    return result


def row_result(row, rounds):
    """{figure: summary of what each server adds, and the ratios of enhanced by the others}."""
    figures = {}
    for figure in row.shown:
        pairs = added(rounds, figure)
        figures[figure] = {
            "added": report.summarize(pairs),
            "to_plain": report.ratio(pairs, figure, "enhanced", ["plain"]),
            "to_nginx": report.ratio(pairs, figure, "enhanced", ["nginx"]),
        }
    result = {"title": row.title, "plot": row.plot, "heading": row.heading, "x": row.x}
    return {**result, "rounds": rounds, "summary": report.summarize(rounds), "figures": figures}
