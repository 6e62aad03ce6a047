# SPDX-License-Identifier: Apache-2.0
"""The rows of the table: what is done to each server, and the figures that come out."""
import json
import time
import urllib.request

from . import load, proc, servers

STREAMS_IDLE = 4000
READERS = 1000
BUFFER = "256k"


class Row:
    """`measure(bench, server, seconds)` gives {figure: value}; `main` is the figure that ratios are made of, lower is
    better. Rows that are `fresh` get a server of their own in each round, because they compare its memory or leave it in
    another state; it may have flags for mcpgate and an upstream of its own (`upstream`: the flags of `mcpload serve`).
    `without`: the servers that cannot do it."""

    def __init__(self, name, title, main, unit, measure, fresh=False, mcpgate=(), upstream=None, without=()):
        self.name, self.title, self.main, self.unit, self.measure, self.fresh = name, title, main, unit, measure, fresh
        self.mcpgate, self.upstream, self.without, self._site = mcpgate, upstream, without, None

    def site(self, bench):
        """Where this row's servers find their upstream."""
        if self.upstream is None:
            return bench
        if self._site is None:
            self._site = servers.Bench(bench.build, bench.run)
            servers.start_upstream(self._site, self.upstream)
        return self._site


def _requests(path, *flags, command=()):
    def measure(bench, server, seconds):
        result = load.result(bench, server, path, flags, seconds, command=command)
        latency = result.get("latency", {})
        return {
            "cpu_us": result.get("cpu_us", 0),
            "per_second": result["requests_per_second"],
            "p50_us": latency.get("p50_us", 0),
            "p99_us": latency.get("p99_us", 0),
            "failed": result["failed"],
        }

    return measure


def _events(rate):
    def measure(bench, server, seconds):
        flags = ["--connections", 0, "--streams", 100]
        result = load.result(bench, server, f"/sse?rate={rate}", flags, seconds)
        delay = result.get("event_delay", {})
        return {
            "cpu_us": result.get("cpu_us", 0),
            "per_second": result["events_per_second"],
            "p50_us": delay.get("p50_us", 0),
            "p99_us": delay.get("p99_us", 0),
            "failed": result["failed"],
        }

    return measure


def _upstream_stats(bench):
    with urllib.request.urlopen(f"http://127.0.0.1:{bench.upstream_port}/stats", timeout=10) as reply:
        return json.load(reply)


def _counted(counter):
    """True once the counter has grown by STREAMS_IDLE since the first call."""
    first = []

    def ready(stats):
        first.append(counter(stats))
        return first[-1] - first[0] >= STREAMS_IDLE

    return ready


def _held(bench, server, flags, path, ready):
    """Memory per connection that mcpload holds open; `ready` says when all are."""
    load.result(bench, server, "/plain", ["--body-bytes", 200], 0.5)  # warms pools up
    time.sleep(0.3)
    ready(_upstream_stats(bench))
    before = proc.pss_bytes(server.pid)
    words = [
        bench.program("mcpload"), "--url", f"http://127.0.0.1:{server.port}{path}", "--connections", 0, "--duration", "60s",
        "--warmup", "0s", "--quiet", *flags,
    ]  # fmt: skip
    holder = proc.start(words, servers.LOAD_CORE, bench.run / "holder.log")
    try:
        for _ in range(200):
            if ready(_upstream_stats(bench)):
                break
            time.sleep(0.1)
        else:
            raise SystemExit(f"bench/compare: {server.name} did not carry {STREAMS_IDLE} connections; see {bench.run}")
        time.sleep(1)
        after = proc.pss_bytes(server.pid)
    finally:
        proc.stop(holder)
    return {"bytes": (after - before) / STREAMS_IDLE, "total_mib": after / 2**20, "failed": 0}


def _idle_streams(bench, server, _seconds):
    ready = _counted(lambda stats: stats["streams"])
    return _held(bench, server, ["--streams", STREAMS_IDLE], "/sse?rate=0.001", ready)


def _idle_connections(bench, server, _seconds):
    ready = _counted(lambda stats: stats["replies"]["plain"]["requests"])
    return _held(bench, server, ["--idle", STREAMS_IDLE], "/plain", ready)


def _hold_stopped_readers(bench, server):
    """READERS connections that have stopped to read streams which bring more than the server may hold for them; returns
    the process once their sources have stood still for two seconds."""
    words = [
        bench.program("mcpload"), "--url", f"http://127.0.0.1:{server.port}/plain", "--connections", 0, "--duration", "1h",
        "--slow-readers", READERS, "--rcvbuf", "64k", "--slow-path", "/sse?rate=0&event-bytes=16k", "--quiet",
    ]  # fmt: skip
    holder = proc.start(words, servers.LOAD_CORE, bench.run / "holder.log")
    before, since = None, time.monotonic()
    for _ in range(600):
        stats = _upstream_stats(bench)
        now = stats["stopped_connections"], stats["stopped_bytes"]
        if now != before or now[0] < READERS:
            before, since = now, time.monotonic()
        if time.monotonic() - since > 2:
            return holder
        time.sleep(0.1)
    raise SystemExit(f"bench/compare: {server.name} does not stop the sources of {READERS} stopped readers: {now}")


def _stalled(bench, server, seconds):
    """What stopped readers do to those that read: the running ones' p99 with the others beside them by that without."""
    flags = ["--connections", 0, "--streams", READERS]
    path = "/sse?rate=4&event-bytes=200"
    alone = load.result(bench, server, path, flags, seconds, warmup=1)
    holder = _hold_stopped_readers(bench, server)
    try:
        beside = load.result(bench, server, path, flags, seconds, warmup=1)
    finally:
        proc.stop(holder)
    if "event_delay" not in beside:
        raise SystemExit(f"bench/compare: {server.name} serves nobody beside {READERS} stopped readers")
    return {
        "ratio": beside["event_delay"]["p99_us"] / alone["event_delay"]["p99_us"],
        "gap_ratio": beside["event_gap"]["p99_us"] / alone["event_gap"]["p99_us"],
        "per_second": beside["events_per_second"],
        "p50_us": beside["event_delay"]["p50_us"],
        "p99_us": beside["event_delay"]["p99_us"],
        "p99_alone_us": alone["event_delay"]["p99_us"],
        "failed": alone["failed"] + beside["failed"],
    }


BODY = ("--body-bytes", 200)
ROWS = [
    Row("post1", "POST 200 B -> 300 B, 1 connection", "cpu_us", "us CPU/request", _requests("/plain", "--connections", 1, *BODY)),
    Row("post64", "POST 200 B -> 300 B, 64 connections", "cpu_us", "us CPU/request", _requests("/plain", "--connections", 64, *BODY)),
    Row("post512", "POST 200 B -> 300 B, 512 connections", "cpu_us", "us CPU/request", _requests("/plain", "--connections", 512, *BODY)),
    Row("mcp64", "MCP tools/call in a session, 64 connections", "cpu_us", "us CPU/request", _requests("/mcp", "--kind", "mcp")),
    Row("mcp2026", "MCP tools/call of 2026-07-28, 64 connections", "cpu_us", "us CPU/request", _requests("/mcp", "--kind", "mcp-2026")),
    Row(
        "tools-list", "repeated tools/list of 2 KiB (2026-07-28), mcpgate's from memory", "cpu_us", "us CPU/request",
        _requests("/mcp", "--kind", "mcp-2026", "--list"), fresh=True, mcpgate=("--mode", "merged"), upstream=("--list-bytes", 2048),
    ),  # fmt: skip
    Row("sse-saturated", "SSE, 100 streams as fast as they go", "cpu_us", "us CPU/event", _events(0)),
    Row("sse-10k", "SSE, 100 streams, 10,000 events/s", "cpu_us", "us CPU/event", _events(100)),
    Row(
        "ws1", "WebSocket, 1 session, 1,024 messages of 200 B under way", "cpu_us", "us CPU/message",
        _requests("/ws", "--connections", 1, "--pipeline", 1024, command=("ws",)), without=("floor",),
    ),  # fmt: skip
    Row(
        "ws100", "WebSocket, 100 sessions, 16 messages of 200 B under way on each", "cpu_us", "us CPU/message",
        _requests("/ws", "--connections", 100, "--pipeline", 16, command=("ws",)), without=("floor",),
    ),  # fmt: skip
    Row(
        "ws-100k", "WebSocket, 1 session, 100,000 messages/s of 200 B", "cpu_us", "us CPU/message",
        _requests("/ws", "--connections", 1, "--pipeline", 100000, "--rate", 100000, command=("ws",)), without=("floor",),
    ),  # fmt: skip
    Row("mem-sse", f"memory of an idle SSE stream ({STREAMS_IDLE})", "bytes", "B Pss", _idle_streams, fresh=True),
    Row("mem-idle", f"memory of an idle connection ({STREAMS_IDLE})", "bytes", "B Pss", _idle_connections, fresh=True),
    Row(
        "stalled", f"p99 of {READERS} SSE readers: {READERS} stopped ones beside / none", "ratio", "p99 ratio", _stalled, fresh=True,
        mcpgate=("--upstream-buffer", BUFFER), upstream=("--sndbuf", BUFFER), without=("floor",),  # its receive pool is used up by the stopped ones
    ),  # fmt: skip
]
