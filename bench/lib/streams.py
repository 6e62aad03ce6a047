# SPDX-License-Identifier: Apache-2.0
"""What bench/streaming does to each server: WebSocket and SSE, message sizes, rates, with and without bursts."""
import time

from . import load, report, servers

CALLERS = 64  # connections of those who call tools over HTTP

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
    "critical_us": ("delay of pings, there and back, p99", "us", True),
    "critical_own_us": ("time of their replies in the gateway by its own histogram, p99", "us", False),
    "own_p50_us": ("time in the gateway by its own histogram, median", "us", False),
    "own_p90_us": ("time in the gateway by its own histogram, p90", "us", False),
    "own_p99_us": ("time in the gateway by its own histogram, p99", "us", False),
    "rate": ("highest rate whose p99 stays below 10 ms", "messages/s", False),
}


class Row:
    """`measure(bench, server, seconds)` gives figures; `shown` are those that stand in the table. Rows that are `fresh`
    get servers of their own in each round, mcpgate with what `flags(bench)` gives it. Rows of one `plot`, whose heading is
    `heading`, differ in `x` only. Rows that take `long` are only measured when they are asked for. `without`: who cannot do it."""

    def __init__(self, name, title, shown, measure, fresh=False, long=False, plot=None, heading=None, x=None, flags=None, without=()):
        self.name, self.title, self.shown, self.measure, self.fresh, self.long = name, title, shown, measure, fresh, long
        self.plot, self.heading, self.x, self.flags, self.without = plot, heading, x, flags or (lambda bench: []), without


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


def _sse(path, streams, flags, warmup=0.5):
    def measure(bench, server, seconds):
        words = ["--connections", 0, "--streams", streams, *flags]
        return _figures(server, load.result(bench, server, path, words, seconds, warmup=warmup), "event_delay")

    return measure


def _ws(connections, flags, warmup=0.5):
    def measure(bench, server, seconds):
        words = ["--connections", connections, *flags]
        return _figures(server, load.result(bench, server, "/echo", words, seconds, warmup=warmup, command=("ws",)), "latency")

    return measure


def _sse_at(streams, size, flags, warmup):
    return _sse(f"/sse?event-bytes={size}", streams, flags, warmup)


def _ws_at(connections, size, flags, warmup):
    return _ws(connections, [*flags, "--message-bytes", size, "--pipeline", 100000], warmup)


def _first(path, flags, command=()):
    def measure(bench, server, seconds):
        result = load.result(bench, server, path, ["--connections", 1, *flags], seconds, warmup=0.2, command=command)
        return _known(first_us=result.get("first_event", {}).get("p50_us"), failed=result["failed"])

    return measure


def _first_call(path):
    """The only call that a client makes of a server that has just been started."""

    def measure(bench, server, _seconds):
        time.sleep(0.5)
        flags = ["--kind", "mcp-2026", "--connections", 1, "--think", "1h"]
        result = load.result(bench, server, path, flags, 0.4, warmup=0)
        return _known(first_us=result.get("first_byte", {}).get("p50_us"), failed=result["failed"])

    return measure


def _over_tls(bench):
    if bench.tls_port is None:
        servers.start_tls(bench)
    return ["--upstream", f"secure=https://localhost:{bench.tls_port}/mcp", "--upstream-ca", servers.tls_certificate(bench)]


def _over_stdio(bench):
    return ["--upstream", f"old=stdio:{bench.program('mcpgate')} demo --stdio --revision 2025-06-18"]


def _own(server, transport):
    """The gateway's histogram of the time in it, of what goes to clients over that transport; None: it is none of ours."""
    if server.admin_port is None:
        return None
    return server.stats()["transport_in_gateway"]["client"][transport]


def _send(bench, server, seconds):
    result = load.result(bench, server, "/echo", ["--connections", 10, "--pipeline", 10000, "--rate", 10000], seconds, command=("ws",))
    own = _own(server, "ws") or {}
    return _known(failed=result["failed"], **{f"own_{p}_us": own[p] * 1e6 for p in ("p50", "p90", "p99") if p in own})


def _pings_beside(rate):
    """Pings of one WebSocket, and, with a rate, calls of low priority over HTTP beside them. Nothing but replies to pings
    leaves over WebSocket, so the gateway's histogram of this transport is theirs. The calls of a rate that cannot be had
    are counted as they end: their latencies would be those of a queue in mcpload."""

    def measure(bench, server, seconds):
        parts = [(_mcp_over_ws(server), ["--kind", "mcp", "--ping", "--rate", 500, "--pipeline", 100000, "--timeout", "30s"], ["ws"])]
        if rate:
            calls_rate = rate.per_second(bench, "mcp", 0, 0, seconds)
            parts.append(("/mcp", ["--kind", "mcp", "--connections", CALLERS, "--priority", "low", "--rate", calls_rate], []))
        pings, *calls = load.mix(bench, server, parts, seconds, warmup=0)
        own = _own(server, "ws") or {}
        return _known(
            critical_us=pings["latency"]["p99_us"],
            critical_own_us=own["p99"] * 1e6 if own else None,
            per_second=calls[0]["requests_per_second"] if calls else None,
            failed=pings["failed"] + sum(c["failed"] for c in calls),
        )

    return measure


def _calls(bench, server, seconds):
    return _figures(server, load.result(bench, server, "/mcp", ["--kind", "mcp", "--connections", CALLERS], seconds), "latency")


def _mcp_over_ws(server):
    return "/mcp" if server.name == "direct" else "/ws/bench"


def _classes(path, flags, command=()):
    """One request of ten is of high priority; the other nine keep the server busy."""

    def measure(bench, server, seconds):
        where = path(server) if callable(path) else path
        result = load.result(bench, server, where, ["--priority", "high=1,low=9", *flags], seconds, command=command)
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


def _pings(rate):
    beside = f" beside calls of low priority, {rate.title}" if rate else ""
    shown = ("critical_us", "critical_own_us") + (("per_second",) if rate else ())
    name = f"pings-{rate.name}" if rate else "pings"
    return Row(name, f"MCP: pings over WebSocket{beside}", shown, _pings_beside(rate), fresh=True, without=("nginx",))


def size_name(size):
    return f"{size // 1024} KiB" if size % 1024 == 0 else f"{size} B"


class Rate:
    """Messages a second, or, as in "90%", a share of the highest rate that the first of the servers sustains, which is looked for
    when it is first needed."""

    def __init__(self, text):
        self.number, self.is_share = int(text.removesuffix("%")), text.endswith("%")
        self.name, self.title = text, f"{self.number} % of the highest rate" if self.is_share else f"{text}/s"
        self.overloads = self.is_share and self.number >= 100

    def per_second(self, bench, kind, streams, size, seconds):
        if not self.is_share:
            return self.number
        if (kind, size) not in bench.highest:
            bench.highest[kind, size] = highest(kind, streams, size)(bench, bench.reference, seconds)["rate"]
        return round(bench.highest[kind, size] * self.number / 100)


def highest(kind, streams, size):
    """measure() of the highest rate that is sustained."""
    if kind == "sse":
        return _highest(f"/sse?event-bytes={size}", ["--connections", 0, "--streams", streams])
    if kind == "ws":
        return _highest("/echo", ["--connections", streams, "--message-bytes", size, "--pipeline", 100000], ("ws",))
    return _highest("/mcp", ["--kind", "mcp", "--connections", CALLERS])


def _paced(kind, streams, size, rate, burst):
    """Beyond what is sustained the queue before the server only grows, and its length is the only delay: there it counts how
    many pass, from the start on."""
    title, make = ("SSE", _sse_at) if kind == "sse" else ("WebSocket, there and back", _ws_at)

    def measure(bench, server, seconds):
        flags = ["--rate", rate.per_second(bench, kind, streams, size, seconds), "--burst", burst]
        return make(streams, size, flags, 0 if rate.overloads else 0.5)(bench, server, seconds)

    shown = ("per_second", "cpu_us") if rate.overloads else ("p50_us", "p99_us", "jitter_us", "cpu_us")
    plot = f"{kind}-{size}" + (f"-bursts{burst}" if burst > 1 else "")
    heading = f"{title}, {size_name(size)}" + (f", bursts of {burst}" if burst > 1 else "")
    where = {} if rate.overloads else {"plot": plot + ("-shares" if rate.is_share else ""), "heading": heading, "x": rate.number}
    return Row(f"{plot}-{rate.name}", f"{heading}, {rate.title}", shown, measure, **where)


def make(streams, sizes, rates, burst):
    first = ("first_us",)
    rows = [
        Row("sse-first", "SSE: request to first event", first, _first("/sse?events=1&rate=0", [])),
        Row("ws-first", "WebSocket: connecting to first message", first, _first("/echo", ["--messages", 1, "--pipeline", 1], ("ws",))),
        Row("first-call", "MCP: the first call after the start", first, _first_call("/mcp"), fresh=True),
    ]
    if servers.has_tls():
        rows.append(Row("first-call-https", "MCP: the same, upstream over TLS", first, _first_call("/mcp/secure"), fresh=True, flags=_over_tls, without=("nginx",)))
    rows.append(Row("first-call-stdio", "MCP: the same, server on stdio, of 2025-06-18", first, _first_call("/mcp/old"), fresh=True, flags=_over_stdio, without=("nginx",)))
    for kind in ("sse", "ws"):
        for size in sizes:
            rows += [_paced(kind, streams, size, rate, shape) for rate in rates for shape in (1, burst)]
    full = ("per_second", "cpu_us")
    for size in sizes:
        sse, ws = _sse(f"/sse?rate=0&event-bytes={size}", streams, []), _ws(streams, ["--message-bytes", size, "--pipeline", 64])
        rows.append(Row(f"sse-{size}-full", f"SSE, {size_name(size)}, as fast as it goes", full, sse))
        rows.append(Row(f"ws-{size}-full", f"WebSocket, {size_name(size)}, as fast as it goes", full, ws))
    rows.append(Row("mcp-full", f"MCP calls, {CALLERS} at a time", full, _calls))
    high = ("high_us", "low_us", "per_second")
    rows += [
        Row("classes-http", "MCP calls, 64 at a time, 1 of 10 of high priority", high, _classes("/mcp", ["--kind", "mcp", "--connections", 64])),
        Row("classes-ws", "MCP over WebSocket, 64 calls under way on each, 1 of 10 of high priority", high, _classes(_mcp_over_ws, ["--kind", "mcp", "--connections", streams, "--pipeline", 64], ("ws",)), without=("nginx",)),
    ]
    rows += [_pings(rate) for rate in (None, *rates)]
    for sessions in (1, 100):
        flags = ["--rate", 100000, "--pipeline", 100000]
        rows.append(Row(f"ws-100k-{sessions}", f"WebSocket, 200 B, 100,000/s, sessions: {sessions}", full, _ws(sessions, flags)))
    rows.append(Row("ws-send", "WebSocket, 200 B, 10,000/s", ("own_p50_us", "own_p90_us", "own_p99_us"), _send, fresh=True, without=("nginx",)))
    for size in sizes:
        rows.append(Row(f"sse-{size}-highest", f"SSE, {size_name(size)}", ("rate",), highest("sse", streams, size), long=True))
        rows.append(Row(f"ws-{size}-highest", f"WebSocket, {size_name(size)}", ("rate",), highest("ws", streams, size), long=True))
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
